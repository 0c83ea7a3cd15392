//! What would the rules do with a flow, and is it what a test expects?
//!
//! The rules go the way of a push: rendered, read and compiled by the code that enforces them. What no compiler decides
//! by the packet alone is settled before: rules for other applications than the test's are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bartizan_model::device::{self, Action, Scope};
use bartizan_model::diagnostic::{Diagnostic, closest};
use bartizan_model::tree::Element;
use bartizan_model::xml;
use bartizan_policy::compile::compile;
use bartizan_policy::decide::decide;
use bartizan_policy::facts::Facts;
use bartizan_policy::tables::{Compiled, Decision, Flow, Ids};
use serde::Deserialize;

use crate::attributes::{Attributes, PROFILES};
use crate::cluster::{Pod, Snapshot};
use crate::ports::Protocol;
use crate::render::Objects;
use crate::rules::{End, Plan, Rule};
use crate::unknown::Ranges;

/// A test, as it is written.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// What it is called.
    pub name: String,
    /// `namespace/pod`, `namespace/workload`, an address, or a DNS name.
    pub from: String,
    /// As [`Test::from`].
    pub to: String,
    /// A number, the name of a port of the destination, or either behind `UDP/` or `SCTP/`; nothing for ICMP.
    pub port: Option<PortText>,
    /// The application; without one only rules for any application can allow.
    pub app: Option<String>,
    /// `allow` or `deny`.
    pub expect: Expect,
    /// The profiles that the flow must get, by the keys of the policies' attributes; `none` for none.
    #[serde(default)]
    pub profiles: BTreeMap<String, String>,
    /// `namespace/policy` that must decide.
    pub policy: Option<String>,
    /// Where it is written.
    #[serde(skip)]
    pub place: String,
}

/// A port in a test.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum PortText {
    /// A number of TCP.
    Number(u16),
    /// Anything else.
    Text(String),
}

/// What a test expects.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// The flow goes through.
    Allow,
    /// It does not.
    Deny,
}

/// Source and destination of a flow.
pub type Ends = (IpAddr, IpAddr);
/// Number of a flow's protocol, and the destination's port; 0 for a protocol without ports.
pub type Service = (u8, u16);

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The test.
    pub name: String,
    /// Where it is written.
    pub place: String,
    /// What happens: the verdict, the rule, and which policies it is from.
    pub found: String,
    /// What is not as expected; empty when all is.
    pub failures: Vec<String>,
}

/// A flow's fate.
#[derive(Clone, Debug)]
pub struct Fate<'a> {
    /// Whether it goes through.
    pub allowed: bool,
    /// The rule that decided; `None` for the device's own last rule.
    pub rule: Option<&'a Rule>,
}

/// Rules to be tried in a cluster.
pub struct Trial<'a> {
    plan: &'a Plan,
    snapshot: &'a Snapshot,
    names: BTreeMap<String, BTreeSet<IpAddr>>,
    pods: Ranges,
}

/// The rules for flows of one application, compiled.
pub struct Enforced<'a> {
    plan: &'a Plan,
    tables: Compiled,
    /// The configuration that they were read from.
    pub text: String,
}

impl<'a> Enforced<'a> {
    /// What happens to a flow.
    ///
    /// # Errors
    /// When no rule is asked.
    pub fn fate(&self, ends: Ends, (protocol, port): Service) -> Result<Fate<'a>, String> {
        let ingress = self.tables.interface_id(INTERFACE).ok_or("the trial has no interface")?;
        let source_port = if port == 0 { 0 } else { SOURCE_PORT };
        let (source, destination) = ends;
        let flow = Flow { ingress, source, destination, protocol, source_port, destination_port: port };
        match decide(&self.tables, &flow) {
            Decision::Ruled(forward) => {
                let name = self.tables.rule_name(forward.rule);
                let rule = self.plan.rules.iter().find(|rule| rule.name == name);
                Ok(Fate { allowed: forward.verdict.action == Action::Allow, rule })
            }
            Decision::Dropped(cause) => Err(format!("the trial drops the flow before its rules: {cause:?}")),
        }
    }
}

impl<'a> Trial<'a> {
    /// Rules to be tried in a cluster. Each DNS name that they mean gets an address that nobody else has.
    pub fn new(plan: &'a Plan, snapshot: &'a Snapshot) -> Self {
        let ends = plan.rules.iter().flat_map(|rule| &rule.destination);
        let names: BTreeSet<&String> =
            ends.filter_map(|end| if let End::Domain(name) = end { Some(name) } else { None }).collect();
        let addresses = (u32::from(FIRST_NAMED)..).map(|bits| BTreeSet::from([IpAddr::V4(bits.into())]));
        Self { plan, snapshot, names: names.into_iter().cloned().zip(addresses).collect(), pods: Ranges::default() }
    }

    /// With what a name server says of the names instead.
    #[must_use]
    pub fn resolving(self, names: BTreeMap<String, BTreeSet<IpAddr>>) -> Self {
        Self { names, ..self }
    }

    /// With these addresses as those of pods: who has one and is not in the cluster is not known yet.
    #[must_use]
    pub fn among(self, pods: Ranges) -> Self {
        Self { pods, ..self }
    }

    /// The rules as they are for flows of an application.
    ///
    /// # Errors
    /// When the rules are refused by the reader or the compiler, with every reason.
    pub fn compiled(&self, application: Option<&str>) -> Result<Enforced<'a>, String> {
        let tried = self.of_application(application);
        let mut objects = tried.render();
        tried.refuse_unknown(&mut objects, &self.pods);
        let text = configuration(&objects);
        let tree = xml::parse(&text).map_err(|diagnostic| diagnostic.to_string())?;
        let report = device::read(&tree, Scope::Device);
        let told =
            |diagnostics: &[Diagnostic]| diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let config = report.config.ok_or_else(|| told(&report.diagnostics))?;
        let (tags, names) = (tried.members(self.snapshot), self.names.clone());
        let facts = Facts { gathered: true, tags, names, ..Facts::default() };
        let tables = compile(&config, &facts, &mut Ids::default(), 1).map_err(|diagnostics| told(&diagnostics))?;
        Ok(Enforced { plan: self.plan, tables, text })
    }

    /// The rules that can match flows of the application, as rules for any.
    fn of_application(&self, application: Option<&str>) -> Plan {
        let mut plan = self.plan.clone();
        plan.rules.retain(|rule| {
            let wanted = &rule.attributes.applications;
            wanted.is_empty() || application.is_some_and(|application| wanted.contains(application))
        });
        for rule in &mut plan.rules {
            rule.attributes = Arc::new(Attributes::default());
        }
        plan
    }

    /// Runs a test.
    pub fn run(&self, test: &Test) -> Outcome {
        let mut outcome =
            Outcome { name: test.name.clone(), place: test.place.clone(), found: String::new(), failures: Vec::new() };
        let read = self.ends(test).and_then(|(ends, port)| self.compiled(test.app.as_deref())?.fate(ends, port));
        match read {
            Ok(fate) => {
                outcome.found = told(&fate);
                compare(test, &fate, &mut outcome.failures);
            }
            Err(why) => outcome.failures.push(why),
        }
        outcome
    }

    fn ends(&self, test: &Test) -> Result<(Ends, Service), String> {
        let (from, to) = (self.end("from", &test.from)?, self.end("to", &test.to)?);
        let pairs = from.0.iter().flat_map(|a| to.0.iter().map(move |b| (*a, *b)));
        let pair = pairs.into_iter().find(|(a, b)| a.is_ipv4() == b.is_ipv4());
        let pair =
            pair.ok_or_else(|| format!("`{}` and `{}` have no address of the same family", test.from, test.to))?;
        Ok((pair, self.port(test, to.1)?))
    }

    fn end(&self, field: &str, text: &str) -> Result<(Vec<IpAddr>, Option<&'a Pod>), String> {
        if let Ok(address) = text.parse() {
            let pod = self.snapshot.pods.iter().find(|pod| pod.addresses.contains(&address));
            return Ok((vec![address], pod));
        }
        if !text.contains('/') && text.contains('.') {
            // A name that no rule has is the address of some host that is nobody's.
            let known = self.names.get(&text.trim_end_matches('.').to_ascii_lowercase());
            return Ok((known.map_or(vec![IpAddr::V4(UNNAMED)], |known| known.iter().copied().collect()), None));
        }
        match self.snapshot.pods.iter().find(|pod| pod.full_name() == text) {
            Some(pod) => Ok((pod.addresses.iter().copied().collect(), Some(pod))),
            None => {
                let names: Vec<String> = self.snapshot.pods.iter().map(Pod::full_name).collect();
                let near = closest(text, names.iter().map(String::as_str));
                let near = near.map(|near| format!(": did you mean `{near}`?"));
                let near = near.unwrap_or_else(|| ": write `namespace/name`, or an address".to_owned());
                Err(format!("{field}: `{text}` is no pod or workload of the folder{near}"))
            }
        }
    }

    fn port(&self, test: &Test, to: Option<&Pod>) -> Result<Service, String> {
        let text = match &test.port {
            None => return Ok((1, 0)),
            Some(PortText::Number(number)) => return Ok((Protocol::Tcp.number(), *number)),
            Some(PortText::Text(text)) => text,
        };
        let (protocol, port) = text.split_once('/').unwrap_or(("TCP", text));
        let known = Protocol::read(&protocol.to_uppercase());
        let protocol = known.ok_or_else(|| format!("port: `{protocol}` is not `TCP`, `UDP` or `SCTP`"))?;
        if let Ok(number) = port.parse() {
            return Ok((protocol.number(), number));
        }
        let named = to.and_then(|pod| pod.ports.iter().find(|have| have.name == port && have.protocol == protocol));
        let number = named.map(|named| named.number);
        let number =
            number.ok_or_else(|| format!("port: `{}` has no {} port named `{port}`", test.to, protocol.tag()))?;
        Ok((protocol.number(), number))
    }
}

fn told(fate: &Fate<'_>) -> String {
    let verdict = if fate.allowed { "allowed" } else { "denied" };
    let Some(rule) = fate.rule else { return format!("{verdict} by the device's own last rule") };
    let mut text = format!("{verdict} by {} ({})", rule.name, rule.description);
    for (element, profile) in &rule.attributes.profiles {
        let _ = write!(text, ", {element} {profile}");
    }
    if let Some(group) = &rule.attributes.group {
        let _ = write!(text, ", profile group {group}");
    }
    text
}

fn compare(test: &Test, fate: &Fate<'_>, failures: &mut Vec<String>) {
    let (wanted, is) = (test.expect == Expect::Allow, told(fate));
    if fate.allowed != wanted {
        failures.push(format!("should be {}, is {is}", if wanted { "allowed" } else { "denied" }));
        return;
    }
    let carried = fate.rule.map(|rule| &*rule.attributes);
    for (key, wanted) in &test.profiles {
        let have = match (key.as_str(), PROFILES.iter().find(|(known, _)| known == key)) {
            ("profile-group", _) => carried.and_then(|carried| carried.group.as_deref()),
            (_, Some((_, element))) => carried.and_then(|carried| carried.profiles.get(element)).map(String::as_str),
            (_, None) => {
                let keys: Vec<&str> = PROFILES.iter().map(|(key, _)| *key).chain(["profile-group"]).collect();
                failures.push(format!("profiles: `{key}` is none of {}", keys.join(", ")));
                continue;
            }
        };
        if have.unwrap_or("none") != wanted {
            failures.push(format!("{key} should be `{wanted}`, is `{}`: {is}", have.unwrap_or("none")));
        }
    }
    if let Some(policy) = &test.policy {
        let named = |rule: &Rule| rule.description.split_whitespace().any(|word| word == policy);
        if !fate.rule.is_some_and(named) {
            failures.push(format!("`{policy}` should decide: {is}"));
        }
    }
}

/// The first address that stands for a DNS name in a trial (RFC 2544, benchmarks: no host of a network has it).
const FIRST_NAMED: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The address of a DNS name that no rule means.
const UNNAMED: Ipv4Addr = Ipv4Addr::new(198, 19, 255, 254);
const INTERFACE: &str = "ethernet1/1";
/// Any port that a client may have (RFC 6335, dynamic ports).
const SOURCE_PORT: u16 = 50_000;

/// A device with the rules, and one interface by which everything comes and goes.
fn configuration(objects: &Objects) -> String {
    let of = |map: &BTreeMap<String, Element>| map.values().map(xml::write).collect::<String>();
    let rules: String = objects.rules.iter().map(|(_, rule)| xml::write(rule)).collect();
    format!(
        "<config><devices><entry name='localhost.localdomain'><network><interface><ethernet><entry name='{INTERFACE}'><layer3>\
         <ip><entry name='192.0.2.1/24'/></ip><ipv6><enabled>yes</enabled><address><entry name='2001:db8::1/64'/></address>\
         </ipv6></layer3></entry></ethernet></interface><virtual-router><entry name='vr'><interface><member>{INTERFACE}</member>\
         </interface><routing-table><ip><static-route><entry name='d'><destination>0.0.0.0/0</destination>\
         <interface>{INTERFACE}</interface><nexthop><ip-address>192.0.2.2</ip-address></nexthop></entry></static-route></ip><ipv6>\
         <static-route><entry name='d'><destination>::/0</destination><interface>{INTERFACE}</interface><nexthop>\
         <ipv6-address>2001:db8::2</ipv6-address></nexthop></entry></static-route></ipv6></routing-table></entry></virtual-router>\
         </network><vsys><entry name='vsys1'>{}<tag>{}</tag><address>{}</address><address-group>{}</address-group><service>{}</service>\
         <rulebase><security><rules>{rules}</rules></security></rulebase></entry></vsys></entry></devices></config>",
        zones(objects),
        of(&objects.tags),
        of(&objects.addresses),
        of(&objects.groups),
        of(&objects.services),
    )
}

/// The zones that the rules name; the interface is in the first. A cluster's rules name all of its zones or none.
fn zones(objects: &Objects) -> String {
    let sides = objects.rules.iter().flat_map(|(_, rule)| [rule.child("from"), rule.child("to")]);
    let mut named: BTreeSet<String> =
        sides.flatten().flat_map(|side| side.members()).filter(|name| name != "any").collect();
    let name = named.pop_first().unwrap_or_else(|| "pods".to_owned());
    let others: String =
        named.iter().map(|name| format!("<entry name='{name}'><network><layer3/></network></entry>")).collect();
    format!(
        "<zone><entry name='{name}'><network><layer3><member>{INTERFACE}</member></layer3></network></entry>{others}</zone>"
    )
}
