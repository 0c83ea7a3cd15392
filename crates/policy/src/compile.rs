//! What do packets see of this configuration?

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bartizan_model::device::{DeviceConfig, InterfaceKind, Validated, ZoneProtection};
use bartizan_model::diagnostic::{Diagnostic, Origin, Severity};
use ipnet::IpNet;

use crate::codes;
use crate::facts::Facts;
use crate::names::{Ids, Names};
use crate::objects::Objects;
use crate::security::{Noted, Zones};
use crate::tables::{Compiled, IfaceId, Interface, RouterId, ZoneId};
use crate::{nat, proxy, routing, security, tunnels};

/// Ids are 16 bits wide for what packets carry along.
const IDS_MAX: usize = u16::MAX as usize;
/// Realms of packets are routers or traffic objects.
const ROUTERS_MAX: usize = tunnels::FIRST_REALM as usize;
/// Largest IP packet when the configuration does not say.
const MTU_DEFAULT_BYTES: u16 = 1500;

/// Compiles one configuration with what is known at this moment. Names get their ids from `ids`, which outlives the generations.
///
/// # Errors
/// Everything that is wrong with the configuration, with the warnings among it; the caller keeps what it
/// had. What is accepted but not in force is in [`Compiled::warnings`].
pub fn compile(config: &Validated, facts: &Facts, ids: &mut Ids, generation: u64) -> Result<Compiled, Vec<Diagnostic>> {
    compile_device(config, facts, ids, generation, None, &mut Vec::new())
}

/// [`compile`] in the life of a firewall: what the change leaves as it is keeps its tables. Gives what
/// [`compile`] gives.
///
/// # Errors
/// As [`compile`].
pub fn recompile(
    config: &Validated,
    facts: &Facts,
    ids: &mut Ids,
    previous: &Compiled,
    generation: u64,
) -> Result<Compiled, Vec<Diagnostic>> {
    compile_device(config, facts, ids, generation, Some(previous), &mut Vec::new())
}

/// [`compile`] for what is not known to be validated: tests of this crate build their configurations. `noted` gets
/// which of the warnings are about which security rule.
pub(crate) fn compile_device(
    config: &DeviceConfig,
    facts: &Facts,
    ids: &mut Ids,
    generation: u64,
    previous: Option<&Compiled>,
    noted: &mut Vec<Noted>,
) -> Result<Compiled, Vec<Diagnostic>> {
    let mut diagnostics = Vec::new();
    intern(
        ("interfaces", IDS_MAX),
        &mut ids.interfaces,
        config.interfaces.iter().map(|entry| &entry.name),
        &mut diagnostics,
    );
    intern(("zones", IDS_MAX), &mut ids.zones, config.zones.iter().map(|entry| &entry.name), &mut diagnostics);
    intern(
        ("routers", ROUTERS_MAX),
        &mut ids.routers,
        config.routers.iter().map(|entry| &entry.name),
        &mut diagnostics,
    );
    let objects = &config.traffic_objects;
    let sides: Vec<String> = objects.iter().flat_map(tunnels::interface_names).collect();
    intern(("interfaces", IDS_MAX), &mut ids.interfaces, sides.iter(), &mut diagnostics);
    intern(
        ("traffic objects", tunnels::OBJECTS_MAX),
        &mut ids.traffic_objects,
        objects.iter().map(|object| &object.name),
        &mut diagnostics,
    );
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    tunnels::note_clusters(objects, ids);
    let mut interfaces = interfaces(config, facts, ids);
    let tunnels = tunnels::compile(config, ids, &mut interfaces);
    let known: HashSet<&str> = config.interfaces.iter().map(|entry| &*entry.name).collect();
    let interface_ids =
        |name: &str| ids.interfaces.position(name).filter(|_| known.contains(name)).map(|at| IfaceId(at as u16));
    let known_routers: HashSet<&str> = config.routers.iter().map(|entry| &*entry.name).collect();
    let router_ids =
        |name: &str| ids.routers.position(name).filter(|_| known_routers.contains(name)).map(|at| RouterId(at as u16));
    let routers = routing::build::build((config, facts), &interfaces, &interface_ids, &router_ids, &mut diagnostics);
    let zones = Zones { names: &ids.zones, known: config.zones.iter().map(|entry| &*entry.name).collect() };
    let mut objects = Objects::new(config, facts);
    let context = nat::build::Context {
        zones: &zones,
        objects: &mut objects,
        interfaces: &interfaces,
        interface_ids: &interface_ids,
        names: &mut ids.nat_rules,
        diagnostics: &mut diagnostics,
        gathered: facts.gathered,
    };
    let nat = nat::build::compile(&config.nat_rules, context);
    let security = security::compile(
        &config.security_rules,
        (&config.intrazone_default, &config.interzone_default),
        &zones,
        &mut objects,
        &mut ids.rules,
        (&mut diagnostics, noted),
        previous.map(|previous| &previous.security),
    );
    let too_large = |rules: &str| {
        let message = format!("the {rules} rules with their addresses need more than 1 GiB of tables");
        let help = "replace lists of single hosts by networks, or split the rules between devices";
        Diagnostic::error(codes::RULE_BASE_TOO_LARGE, Origin::default(), message).with_help(help)
    };
    diagnostics.extend(nat.is_none().then(|| too_large("NAT")));
    diagnostics.extend(security.is_none().then(|| too_large("security")));
    let (Some(nat), Some(security)) = (nat, security) else { return Err(diagnostics) };
    proxy::claim(&mut interfaces, &nat, &routers, &mut diagnostics);
    if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(diagnostics);
    }
    let protections = protections(config, ids);
    Ok(Compiled {
        generation,
        interfaces,
        warnings: diagnostics,
        session: config.session.clone(),
        protections,
        ids: Arc::new(ids.clone()),
        tunnels,
        routers,
        nat,
        nat_settings: config.nat,
        security,
    })
}

/// Gives ids to names.
fn intern<'a>(
    (kind, max): (&str, usize),
    names: &mut Names,
    configured: impl Iterator<Item = &'a String>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    for name in configured {
        if names.intern(name) >= max {
            let message = format!("more than {max} different {kind} were configured since the firewall started");
            let error = Diagnostic::error(codes::TOO_MANY_NAMES, Origin::default(), message);
            diagnostics.push(error.with_help("restart the firewall to forget names that are gone"));
            return;
        }
    }
}

/// Zone protection profiles by the zone that has them.
fn protections(config: &DeviceConfig, ids: &Ids) -> Vec<Option<Arc<ZoneProtection>>> {
    let profiles: HashMap<&str, Arc<ZoneProtection>> =
        config.zone_protections.iter().map(|profile| (&*profile.name, Arc::new(profile.clone()))).collect();
    let mut slots = vec![None; ids.zones.len()];
    for zone in &config.zones {
        let profile = zone.protection.as_deref().and_then(|name| profiles.get(name));
        if let Some(slot) = ids.zones.position(&zone.name).and_then(|at| slots.get_mut(at)) {
            *slot = profile.cloned();
        }
    }
    slots
}

/// Interfaces by id.
fn interfaces(config: &DeviceConfig, facts: &Facts, ids: &Ids) -> Vec<Option<Interface>> {
    let mut zones: HashMap<&str, ZoneId> = HashMap::new();
    for zone in &config.zones {
        let id = ids.zones.position(&zone.name).map(|at| ZoneId(at as u16));
        zones.extend(zone.interfaces.iter().filter_map(|name| Some((&**name, id?))));
    }
    let mut routers: HashMap<&str, RouterId> = HashMap::new();
    for router in &config.routers {
        let id = ids.routers.position(&router.name).map(|at| RouterId(at as u16));
        routers.extend(router.interfaces.iter().filter_map(|name| Some((&**name, id?))));
    }
    let mut slots = vec![None; ids.interfaces.len()];
    for written in &config.interfaces {
        let learned = facts.interfaces.get(&written.name).map(|learned| learned.addresses.iter().copied());
        // What a client that is switched off by now had learned counts no more.
        let wanted =
            |own: &IpNet| if own.addr().is_ipv4() { written.dhcp.is_some() } else { written.autoconf.is_some() };
        let learned = learned.into_iter().flatten().filter(wanted);
        let profile = written.management_profile.as_deref();
        let profile = profile.and_then(|name| config.management_profiles.iter().find(|profile| profile.name == name));
        let mtu_bytes = written.mtu_bytes.unwrap_or(MTU_DEFAULT_BYTES);
        let below = |bytes| mtu_bytes.saturating_sub(bytes);
        let port = written.parent().and_then(|port| ids.interfaces.position(port)).map(|at| IfaceId(at as u16));
        let interface = Interface {
            name: written.name.as_str().into(),
            loopback: written.kind == InterfaceKind::Loopback,
            zone: zones.get(&*written.name).copied(),
            router: routers.get(&*written.name).copied(),
            vlan: port.zip(written.vlan),
            mtu_bytes,
            mss_bytes: written.tcp_mss.map(|mss| (below(mss.v4_bytes), below(mss.v6_bytes))),
            addresses: written.addresses.iter().copied().chain(learned).collect(),
            ping: profile.is_some_and(|profile| profile.ping),
            http: profile.is_some_and(|profile| profile.http),
            https: profile.is_some_and(|profile| profile.https),
            tunnel: None,
            permitted: profile.map(|profile| profile.permitted.clone()).unwrap_or_default(),
            dhcp: written.dhcp.is_some(),
            autoconf: written.autoconf.is_some(),
            proxy: Vec::new(),
        };
        if let Some(slot) = ids.interfaces.position(&written.name).and_then(|at| slots.get_mut(at)) {
            *slot = Some(interface);
        }
    }
    slots
}
