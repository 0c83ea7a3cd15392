//! Which records go to which servers, by the configuration?
//!
//! System, config and IP-tag log: the match lists of the manager's own log settings. Traffic and threat log: the log forwarding
//! profile that the rule (for threats the zone) names, as the firewall's device group sees it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bartizan_model::codes;
use bartizan_model::diagnostic::{Diagnostic, Origin, closest};
use bartizan_model::manager;
use bartizan_model::tree::{Element, quote};
use hyper::Method;

use super::format::{self, Template};
use super::http::{self, Endpoint, Parts, Shape};
use super::syslog::{Server, Transport};
use crate::certificates::{self, text};
use crate::logs::filter::{self, Fields, Filter};
use crate::logs::query::Log;
use crate::topology::Topology;

/// A filter that lets everything through.
const ALL_LOGS: &str = "All Logs";
/// Ways out that are kept but not gone.
const OTHER_WAYS: [&str; 4] = ["send-email", "send-snmptrap", "actions", "quarantine"];
const LOCAL: &str = "localhost.localdomain";

/// Whose records a lane takes.
#[derive(Clone, Debug)]
enum Source {
    /// Everybody's.
    All,
    /// Those of firewalls by the rule or zone: names by serial.
    Named(Arc<HashMap<String, Arc<BTreeSet<String>>>>),
}

/// One entry of a match list and one server.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    /// What it is called, also after a restart.
    pub(crate) name: String,
    pub(super) log: Log,
    pub(super) filter: Filter,
    pub(super) target: Target,
    source: Source,
    /// What the manager is called in headers.
    host: String,
}

/// Where a lane leads.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A syslog server, and what a record looks like to it.
    Syslog(Server, Template),
    /// An HTTP server.
    Http(Endpoint),
}

/// All lanes of a configuration.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The lanes.
    pub(crate) lanes: Vec<Lane>,
}

impl Lane {
    /// Whether a record is of a rule or zone whose profile this is.
    pub(super) fn wants(&self, entry: &Element) -> bool {
        let Source::Named(names) = &self.source else { return true };
        let field = if self.log == Log::Threat { "from" } else { "rule" };
        names.get(&text(entry, "serial")).is_some_and(|names| names.contains(&text(entry, field)))
    }

    /// A record as a syslog server gets it.
    pub(super) fn message(&self, entry: &Element) -> String {
        let Target::Syslog(server, template) = &self.target else { return String::new() };
        let priority = format::priority(server.facility, entry);
        let header = if server.ietf { format::ietf } else { format::bsd };
        header(priority, &self.host, &template.fill(entry))
    }

    /// The server that no authority vouches for, when it is to be believed by one.
    fn unvouched(&self) -> Option<&str> {
        match &self.target {
            Target::Syslog(server, _) if server.transport == Transport::Tls && server.authorities.is_empty() => {
                Some(&server.host)
            }
            Target::Http(endpoint) if endpoint.authorities.as_ref().is_some_and(Vec::is_empty) => Some(&endpoint.host),
            _ => None,
        }
    }
}

/// A match list, where it stands, and the names that lead to it.
struct MatchList<'a> {
    element: &'a Element,
    here: String,
    /// `None` when each entry has its own `log-type`.
    log: Option<Log>,
    /// Traffic by rule, threats by zone.
    sources: [Source; 2],
}

impl Plan {
    /// Reads what can be read; the commit refused the rest.
    pub(crate) fn read(root: &Element) -> Self {
        let (mut lanes, mut wrong) = (Vec::new(), Vec::new());
        each(root, &mut lanes, &mut wrong);
        Self { lanes }
    }
}

/// What about log forwarding in a candidate is wrong, or kept without being done.
pub(crate) fn check(candidate: &Element) -> Vec<Diagnostic> {
    let (mut lanes, mut wrong) = (Vec::new(), Vec::new());
    each(candidate, &mut lanes, &mut wrong);
    let servers: BTreeSet<&str> = lanes.iter().filter_map(Lane::unvouched).collect();
    wrong.extend(servers.into_iter().map(|server| {
        let message = format!("no certificate authority vouches for the server `{server}`, so it gets nothing");
        Diagnostic::warning(codes::INVALID_CERTIFICATE, Origin::xpath(certificates::HOME), message)
            .with_help("import the certificate of its authority")
    }));
    wrong.extend(unknown_profiles(candidate));
    wrong
}

/// Whether a diagnostic is about what a firewall does not do, because the manager does it.
pub(crate) fn is_done(diagnostic: &Diagnostic) -> bool {
    is_managers(diagnostic.code, &diagnostic.origin.xpath)
}

/// The same of a code and an XPath.
pub(crate) fn is_managers(code: &str, xpath: &str) -> bool {
    code == codes::NOT_ENFORCED && (xpath.ends_with("/log-setting") || xpath.ends_with("/log-settings"))
}

fn each(root: &Element, lanes: &mut Vec<Lane>, wrong: &mut Vec<Diagnostic>) {
    let authorities = authorities(root);
    let host = root.child("devices").and_then(|devices| devices.entry_named(LOCAL));
    let host = host.and_then(|own| own.descend(&["deviceconfig", "system", "hostname"])).map(|host| host.text());
    let host = host.filter(|host| !host.is_empty()).unwrap_or_else(|| "bartizan".to_owned());
    for list in lists(root) {
        for (name, entry) in list.element.entries() {
            let here = format!("{}/entry[@name={}]", list.here, quote(name));
            for way in OTHER_WAYS.into_iter().filter(|way| entry.child(way).is_some_and(|way| !is_no(way))) {
                let message =
                    format!("`{way}` of the match list entry `{name}` is not done; `send-syslog` and `send-http` are");
                wrong.push(Diagnostic::warning(codes::NOT_ENFORCED, Origin::xpath(format!("{here}/{way}")), message));
            }
            let Some((log, fields)) = log_of(&list, entry) else {
                let kind = text(entry, "log-type");
                let message = format!("logs of the type `{kind}` are not kept here, so `{name}` forwards nothing");
                wrong.push(Diagnostic::warning(
                    codes::NOT_ENFORCED,
                    Origin::xpath(format!("{here}/log-type")),
                    message,
                ));
                continue;
            };
            let written = text(entry, "filter");
            let filter = match filter::parse(if written == ALL_LOGS { "" } else { &written }, fields) {
                Ok(filter) => filter,
                Err(error) => {
                    let at = Origin::xpath(format!("{here}/filter"));
                    wrong.push(Diagnostic::error(
                        codes::INVALID_FILTER,
                        at,
                        format!("the filter of `{name}`: {error}"),
                    ));
                    continue;
                }
            };
            let source = list.sources[usize::from(log == Log::Threat)].clone();
            for profile in entry.child("send-syslog").into_iter().flat_map(|list| list.members()) {
                let Some(found) = server_profile(root, "syslog", &profile) else {
                    wrong.push(no_profile(root, &format!("{here}/send-syslog"), "syslog", &profile));
                    continue;
                };
                for (server, of) in servers(found, &authorities) {
                    lanes.push(Lane {
                        name: format!("{here} → {profile}/{server} ({log:?})"),
                        log,
                        filter: filter.clone(),
                        target: Target::Syslog(of, template(found, log)),
                        source: source.clone(),
                        host: host.clone(),
                    });
                }
            }
            for profile in entry.child("send-http").into_iter().flat_map(|list| list.members()) {
                let Some(found) = server_profile(root, "http", &profile) else {
                    wrong.push(no_profile(root, &format!("{here}/send-http"), "http", &profile));
                    continue;
                };
                for (server, of) in endpoints(found, log, &host, &authorities) {
                    lanes.push(Lane {
                        name: format!("{here} → http {profile}/{server} ({log:?})"),
                        log,
                        filter: filter.clone(),
                        target: Target::Http(of),
                        source: source.clone(),
                        host: host.clone(),
                    });
                }
            }
        }
    }
}

fn is_no(element: &Element) -> bool {
    element.text() == "no"
}

fn log_of(list: &MatchList<'_>, entry: &Element) -> Option<(Log, Fields)> {
    let log = match list.log {
        Some(log) => log,
        None => match text(entry, "log-type").as_str() {
            "traffic" => Log::Traffic,
            "threat" => Log::Threat,
            _ => return None,
        },
    };
    Some((log, log.fields()))
}

fn lists(root: &Element) -> Vec<MatchList<'_>> {
    let mut lists = Vec::new();
    for (kind, log) in [("system", Log::System), ("config", Log::Config), ("iptag", Log::IpTag)] {
        if let Some(element) = root.descend(&["panorama", "log-settings", kind, "match-list"]) {
            let here = format!("/config/panorama/log-settings/{kind}/match-list");
            lists.push(MatchList { element, here, log: Some(log), sources: [Source::All, Source::All] });
        }
    }
    let profiles: Vec<_> = places(root)
        .into_iter()
        .flat_map(|(owner, here, place)| {
            let entries = place.descend(&["log-settings", "profiles"]).into_iter().flat_map(Element::entries);
            entries.map(move |(name, profile)| (owner.clone(), here.clone(), name, profile))
        })
        .collect();
    if profiles.is_empty() {
        return lists;
    }
    let users = users(root);
    for (owner, here, name, profile) in profiles {
        let Some(element) = profile.child("match-list") else { continue };
        let here = format!("{here}/log-settings/profiles/entry[@name={}]/match-list", quote(name));
        let of = |kind: usize| {
            let key = (owner.clone(), name.to_owned());
            let named = users[kind].get(&key).map(|by_serial| {
                by_serial.iter().map(|(serial, names)| (serial.clone(), Arc::new(names.clone()))).collect()
            });
            Source::Named(Arc::new(named.unwrap_or_default()))
        };
        lists.push(MatchList { element, here, log: None, sources: [of(0), of(1)] });
    }
    lists
}

/// Shared and every device group, with the XPath. The owner is the group's name, `None` for shared.
fn places(root: &Element) -> Vec<(Option<String>, String, &Element)> {
    let mut places: Vec<_> =
        root.child("shared").map(|shared| (None, "/config/shared".to_owned(), &**shared)).into_iter().collect();
    let own = root.child("devices").and_then(|devices| devices.entry_named(LOCAL));
    let groups = own.and_then(|own| own.child("device-group")).into_iter().flat_map(|groups| groups.entries());
    places.extend(groups.map(|(name, group)| {
        let here = format!("/config/devices/entry[@name='{LOCAL}']/device-group/entry[@name={}]", quote(name));
        (Some(name.to_owned()), here, &**group)
    }));
    places
}

/// A profile by its owner and name; rules or zones by the serial of the firewall that has them.
type Users = HashMap<(Option<String>, String), HashMap<String, BTreeSet<String>>>;

/// Who names which profile: rules, and zones.
fn users(root: &Element) -> [Users; 2] {
    let topology = Topology::read(root);
    let places: HashMap<Option<String>, &Element> =
        places(root).into_iter().map(|(owner, _, place)| (owner, place)).collect();
    let mut users = [Users::new(), Users::new()];
    for (serial, device) in &topology.devices {
        let Some(group) = &device.device_group else { continue };
        let mut line: Vec<Option<String>> = vec![Some(group.clone())];
        line.extend(manager::ancestors(root, group).into_iter().map(Some));
        line.push(None);
        // The nearest profile of a name counts.
        let owner_of = |profile: &str| {
            line.iter().find(|owner| {
                let profiles = places.get(*owner).and_then(|place| place.descend(&["log-settings", "profiles"]));
                profiles.is_some_and(|profiles| profiles.entry_named(profile).is_some())
            })
        };
        let mut add = |kind: usize, name: &str, profile: String| {
            if let Some(owner) = owner_of(&profile) {
                let by_serial = users[kind].entry((owner.clone(), profile)).or_default();
                by_serial.entry(serial.clone()).or_default().insert(name.to_owned());
            }
        };
        for place in line.iter().filter_map(|owner| places.get(owner)) {
            for (rule, element) in rules(place) {
                if let Some(profile) = element.child("log-setting") {
                    add(0, rule, profile.text());
                }
            }
        }
        for template in device.stack.iter().flat_map(|stack| manager::templates_of(root, stack)) {
            for (zone, element) in zones(root, &template) {
                if let Some(profile) = element.descend(&["network", "log-setting"]) {
                    add(1, zone, profile.text());
                }
            }
        }
    }
    users
}

/// Every security rule of a place.
fn rules(place: &Element) -> impl Iterator<Item = (&str, &Arc<Element>)> {
    const BASES: [[&str; 3]; 3] = [
        ["pre-rulebase", "security", "rules"],
        ["post-rulebase", "security", "rules"],
        ["post-rulebase", "default-security-rules", "rules"],
    ];
    BASES.iter().filter_map(|base| place.descend(base)).flat_map(Element::entries)
}

/// Every zone of a template.
fn zones<'a>(root: &'a Element, template: &str) -> Vec<(&'a str, &'a Arc<Element>)> {
    let own = root.child("devices").and_then(|devices| devices.entry_named(LOCAL));
    let entry = own.and_then(|own| own.child("template")).and_then(|templates| templates.entry_named(template));
    let devices = entry.and_then(|entry| entry.descend(&["config", "devices"])).into_iter().flat_map(Element::entries);
    let systems = devices.filter_map(|(_, device)| device.child("vsys")).flat_map(|systems| systems.entries());
    systems.filter_map(|(_, system)| system.child("zone")).flat_map(|zones| zones.entries()).collect()
}

/// Rules that name a profile which they cannot see.
fn unknown_profiles(root: &Element) -> Vec<Diagnostic> {
    let places = places(root);
    let has = |owner: &Option<String>, name: &str| {
        let place = places.iter().find(|(other, _, _)| other == owner).map(|(_, _, place)| *place);
        let profiles = place.and_then(|place| place.descend(&["log-settings", "profiles"]));
        profiles.is_some_and(|profiles| profiles.entry_named(name).is_some())
    };
    let mut wrong = Vec::new();
    for (owner, here, place) in &places {
        let mut line = vec![owner.clone()];
        if let Some(group) = owner {
            line.extend(manager::ancestors(root, group).into_iter().map(Some));
            line.push(None);
        }
        for (rule, element) in rules(place) {
            let Some(profile) = element.child("log-setting").map(|profile| profile.text()) else { continue };
            // A rule of shared or of a parent may mean a profile that only a child has.
            if profile.is_empty() || line.iter().any(|owner| has(owner, &profile)) {
                continue;
            }
            let at = Origin::xpath(format!("{here}//entry[@name={}]/log-setting", quote(rule)));
            let message = format!("rule `{rule}` names the log forwarding profile `{profile}`, which does not exist");
            wrong.push(Diagnostic::warning(codes::UNKNOWN_PROFILE, at, message));
        }
    }
    wrong
}

fn server_profile<'a>(root: &'a Element, kind: &str, name: &str) -> Option<&'a Element> {
    let lists = ["panorama", "shared"].into_iter().filter_map(|place| root.descend(&[place, "log-settings", kind]));
    lists.filter_map(|list| list.entry_named(name)).next().map(|profile| &**profile)
}

fn no_profile(root: &Element, here: &str, kind: &str, name: &str) -> Diagnostic {
    let lists = ["panorama", "shared"].into_iter().filter_map(|place| root.descend(&[place, "log-settings", kind]));
    let known: Vec<&str> = lists.flat_map(Element::entries).map(|(name, _)| name).collect();
    let at = Origin::xpath(format!("{here}/member[text()={}]", quote(name)));
    let message = format!("the {kind} server profile `{name}` does not exist");
    let diagnostic = Diagnostic::error(codes::UNKNOWN_PROFILE, at, message);
    match closest(name, known.iter().copied()) {
        Some(near) => diagnostic.with_help(format!("did you mean `{near}`?")),
        None => {
            diagnostic.with_help(format!("it stands in `/config/panorama/log-settings/{kind}` or in `/config/shared`"))
        }
    }
}

fn template(profile: &Element, log: Log) -> Template {
    let format = profile.child("format");
    let written = format.map(|format| text(format, log.name())).unwrap_or_default();
    let escaping = format.and_then(|format| format.child("escaping"));
    let of = |tag: &str| escaping.map(|escaping| text(escaping, tag)).unwrap_or_default();
    Template::new(&written, log, (&of("escape-character"), &of("escaped-characters")))
}

/// The servers of a profile by name.
fn servers(profile: &Element, authorities: &[rustls_pki_types::CertificateDer<'static>]) -> Vec<(String, Server)> {
    let entries = profile.child("server").into_iter().flat_map(|servers| servers.entries());
    entries
        .filter(|(_, entry)| !text(entry, "server").is_empty())
        .map(|(name, entry)| {
            let transport = match text(entry, "transport").as_str() {
                "TCP" => Transport::Tcp,
                "SSL" => Transport::Tls,
                _ => Transport::Udp,
            };
            // RFC 5426 and RFC 5425.
            let usual = if transport == Transport::Tls { 6514 } else { 514 };
            let facility =
                match text(entry, "facility").strip_prefix("LOG_LOCAL").and_then(|number| number.parse::<u8>().ok()) {
                    Some(number @ 0..=7) => 16 + number,
                    _ => 1,
                };
            let server = Server {
                host: text(entry, "server"),
                port: text(entry, "port").parse().unwrap_or(usual),
                transport,
                ietf: text(entry, "format") == "IETF",
                facility,
                authorities: if transport == Transport::Tls { authorities.to_vec() } else { Vec::new() },
            };
            (name.to_owned(), server)
        })
        .collect()
}

/// The servers of the HTTP profile of that name, whatever it forwards.
pub(crate) fn http_servers(root: &Element, profile: &str) -> Vec<Endpoint> {
    let profile = server_profile(root, "http", profile);
    let servers = profile.map(|profile| endpoints(profile, Log::System, "", &authorities(root))).unwrap_or_default();
    servers.into_iter().map(|(_, endpoint)| endpoint).collect()
}

/// The servers of an HTTP profile by name. An extension, `otlp`, makes them OpenTelemetry's.
fn endpoints(
    profile: &Element,
    log: Log,
    host: &str,
    authorities: &[rustls_pki_types::CertificateDer<'static>],
) -> Vec<(String, Endpoint)> {
    let format = profile.descend(&["format", log.name()]);
    let written = |name: &str| format.map(|format| text(format, name)).unwrap_or_default();
    let template = |written: &str, escaped: &str| Template::new(written, log, ("\\", escaped));
    let pairs = |list: &str| {
        let list = format.and_then(|format| format.child(list));
        let entries = list.into_iter().flat_map(|list| list.entries());
        let entries = entries.map(|(name, entry)| (name.to_owned(), text(entry, "value")));
        let said = entries.filter(|(_, value)| !value.trim().is_empty());
        said.map(|(name, value)| (name, template(&value, ""))).collect()
    };
    let path = written("url-format");
    let shape = if text(profile, "otlp") == "yes" {
        Shape::Otlp { path: http::otlp_path(&path), log, host: host.to_owned() }
    } else {
        let payload = written("payload");
        Shape::Template(Box::new(Parts {
            path: template(if path.is_empty() { "/" } else { &path }, ""),
            headers: pairs("headers"),
            parameters: pairs("params"),
            // What stands in JSON has its quotes escaped.
            payload: (!payload.trim().is_empty())
                .then(|| template(&payload, if payload.trim_start().starts_with(['{', '[']) { "\"\\" } else { "" })),
        }))
    };
    let entries = profile.child("server").into_iter().flat_map(|servers| servers.entries());
    entries
        .filter(|(_, entry)| !text(entry, "address").is_empty())
        .map(|(name, entry)| {
            let is_tls = text(entry, "protocol") != "HTTP";
            let login = Some((text(entry, "username"), text(entry, "password"))).filter(|(name, _)| !name.is_empty());
            let endpoint = Endpoint {
                host: text(entry, "address"),
                port: text(entry, "port").parse().unwrap_or(if is_tls { 443 } else { 80 }),
                authorities: is_tls.then(|| authorities.to_vec()),
                method: text(entry, "http-method").parse().unwrap_or(Method::POST),
                login,
                shape: shape.clone(),
            };
            (name.to_owned(), endpoint)
        })
        .collect()
}

/// Every certificate authority of the manager's own.
fn authorities(root: &Element) -> Vec<rustls_pki_types::CertificateDer<'static>> {
    let lists = ["panorama", "shared"].into_iter().filter_map(|place| root.descend(&[place, "certificate"]));
    let chains =
        lists.flat_map(Element::entries).filter_map(|(_, entry)| certificates::chain(&text(entry, "public-key")).ok());
    chains.flatten().filter(|one| certificates::facts(one).is_ok_and(|facts| facts.ca)).collect()
}
