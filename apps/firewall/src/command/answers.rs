//! What is the answer to a command?

use std::net::IpAddr;

use bartizan_engine::verdict::{Port, SessionState, SessionView};
use bartizan_engine::{counters::Counters, verdict::DropReason};
use bartizan_model::device::Action;
use bartizan_policy::decide::{ZoneFlow, nat_match, security_match};
use bartizan_policy::explain::explain;
use bartizan_policy::tables::{Compiled, Decision, Flow, IfaceId, Route as Lookup, SourceNat, ZoneId};
use ipnet::IpNet;

use super::Command;
use super::answer::{
    Answer, Cleared, Configuration, Counter, Direction, Explained, Fib, Interface, NatMatch, Neighbor, Route,
    SecurityMatch, Session, SessionInfo, Sessions, Step, System,
};
use crate::firewall::{Firewall, Running};
use crate::port::Losses;
use crate::worker::IoCounters;

/// Sessions that one answer holds; `show session all` of PAN-OS stops at 1024 as well.
const SESSIONS_MAX: usize = 1024;

/// Answers a command on a running firewall.
///
/// # Errors
/// What is wrong with the command's values, or why it cannot be answered.
pub async fn answer(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    match command.path.as_slice() {
        ["show", "session", "all", ..] => sessions(command, firewall).await,
        ["show", "session", "id"] => session(command, firewall).await,
        ["show", "session", "info"] => session_info(firewall).await,
        ["show", "counter", "global"] => counters(firewall).await,
        ["show", "interface"] => interfaces(command, firewall).await,
        ["show", "arp"] => neighbors(command, firewall).await,
        ["show", "system", "info"] => Ok(Answer::System(system(firewall))),
        ["clear", "session", "all", ..] => clear(Filter::read(command)?, firewall).await,
        ["clear", "session", "id"] => {
            let id = number(command, "id")?;
            clear(Filter { id: Some(id), ..Filter::default() }, firewall).await
        }
        _ => {
            let running = firewall.running().ok_or("no configuration is enforced yet")?;
            answer_offline(command, &running)
        }
    }
}

/// Answers a command that needs only a configuration.
///
/// # Errors
/// What is wrong with the command's values, or that it needs a running firewall.
pub fn answer_offline(command: &Command, running: &Running) -> Result<Answer, String> {
    let tables = &running.compiled;
    match command.path.as_slice() {
        ["show", "routing", ..] => routes(command, tables),
        ["show", "config", "running"] => Ok(Answer::Configuration(Configuration {
            version: running.version,
            digest: running.digest.clone(),
            xml: running.text.to_string(),
        })),
        ["test", "security-policy-match"] => test_security(command, tables),
        ["test", "nat-policy-match"] => test_nat(command, tables),
        ["test", "routing", "fib-lookup"] => fib(command, tables),
        ["explain"] => explained(command, tables),
        _ => Err(format!("`{}` can be answered only by a running firewall", command.path.join(" "))),
    }
}

// ---- sessions

/// Which sessions are meant. Everything that is given must match.
#[derive(Clone, Debug, Default)]
struct Filter {
    id: Option<u64>,
    source: Option<IpNet>,
    destination: Option<IpNet>,
    source_port: Option<u16>,
    destination_port: Option<u16>,
    protocol: Option<u8>,
    from: Option<String>,
    to: Option<String>,
    rule: Option<String>,
    nat_rule: Option<String>,
    state: Option<String>,
}

impl Filter {
    fn read(command: &Command) -> Result<Self, String> {
        let text = |name: &str| command.value(name).map(str::to_owned);
        Ok(Self {
            id: None,
            source: network(command, "source")?,
            destination: network(command, "destination")?,
            source_port: optional_number(command, "source-port")?,
            destination_port: optional_number(command, "destination-port")?,
            protocol: optional_number(command, "protocol")?,
            from: text("from"),
            to: text("to"),
            rule: text("rule"),
            nat_rule: text("nat-rule"),
            state: text("state").map(|state| state.to_ascii_uppercase()),
        })
    }

    fn matches(&self, view: &SessionView, tables: &Compiled) -> bool {
        let client = &view.client;
        let zone = |wanted: &Option<String>, id: Option<ZoneId>| {
            wanted.as_deref().is_none_or(|name| id.is_some_and(|id| tables.zone_name(id) == name))
        };
        self.id.is_none_or(|id| id == view.id)
            && self.source.is_none_or(|network| network.contains(&client.source))
            && self.destination.is_none_or(|network| network.contains(&client.destination))
            && self.source_port.is_none_or(|port| port == client.source_port)
            && self.destination_port.is_none_or(|port| port == client.destination_port)
            && self.protocol.is_none_or(|protocol| protocol == client.protocol)
            && zone(&self.from, view.from)
            && zone(&self.to, view.to)
            && self.rule.as_deref().is_none_or(|name| view.rule.is_some_and(|id| tables.rule_name(id) == name))
            && self
                .nat_rule
                .as_deref()
                .is_none_or(|name| view.nat_rule.is_some_and(|id| tables.nat_rule_name(id) == name))
            && self.state.as_deref().is_none_or(|state| state == state_name(view.state))
    }
}

async fn sessions(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    let filter = Filter::read(command)?;
    let Some(running) = firewall.running() else { return Ok(Answer::Sessions(Sessions::default())) };
    let tables = std::sync::Arc::clone(&running.compiled);
    let found = on_all(firewall, move |inside| {
        let mut total = 0;
        let mut first = Vec::new();
        for view in inside.engine.sessions().filter(|view| filter.matches(view, &tables)) {
            total += 1;
            if first.len() < SESSIONS_MAX {
                first.push(view);
            }
        }
        (total, first)
    })
    .await?;
    let total = found.iter().map(|(total, _)| total).sum();
    let mut views: Vec<_> = found.into_iter().flat_map(|(_, views)| views).collect();
    views.sort_by_key(|view| (view.start, view.id));
    views.truncate(SESSIONS_MAX);
    let sessions = views.iter().map(|view| describe(view, &running.compiled, firewall)).collect();
    Ok(Answer::Sessions(Sessions { total, sessions }))
}

async fn session(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    let id: u64 = number(command, "id")?;
    let found = on_all(firewall, move |inside| inside.engine.session(id)).await?;
    let view = found.into_iter().flatten().next().ok_or_else(|| format!("there is no session {id}"))?;
    let running = firewall.running().ok_or("no configuration is enforced yet")?;
    Ok(Answer::Session(Box::new(describe(&view, &running.compiled, firewall))))
}

fn describe(view: &SessionView, tables: &Compiled, firewall: &Firewall) -> Session {
    let clock = firewall.clock();
    let zone = |id: Option<ZoneId>| id.map_or_else(String::new, |id| tables.zone_name(id).to_owned());
    let direction = |flow: &bartizan_engine::verdict::FlowKey, (packets, bytes): (u64, u64)| Direction {
        source: flow.source.to_string(),
        source_port: flow.source_port,
        destination: flow.destination.to_string(),
        destination_port: flow.destination_port,
        packets,
        bytes,
    };
    let (client, server) = (&view.client, &view.server);
    // An echo's identifier stands in the source port of both directions; its other port is 0.
    let echo = matches!(client.protocol, 1 | 58);
    Session {
        id: view.id,
        state: state_name(view.state),
        protocol: client.protocol,
        client: direction(client, view.sent),
        server: direction(server, view.received),
        ingress: tables.interface_name(view.ingress).to_owned(),
        egress: tables.interface_name(view.egress).to_owned(),
        from: zone(view.from),
        to: zone(view.to),
        rule: view.rule.map_or_else(String::new, |id| tables.rule_name(id).to_owned()),
        nat_rule: view.nat_rule.map_or_else(String::new, |id| tables.nat_rule_name(id).to_owned()),
        source_nat: server.destination != client.source || (!echo && server.destination_port != client.source_port),
        destination_nat: server.source != client.destination
            || (!echo && server.source_port != client.destination_port),
        action: view.action.as_str(),
        start: clock.wall(view.start).strftime("%a %b %e %H:%M:%S %Y").to_string(),
        expires_s: view.expires.since(clock.now()) / 1_000_000_000,
        application: if echo { "ping" } else { "undecided" },
    }
}

fn state_name(state: SessionState) -> &'static str {
    match state {
        SessionState::Opening => "OPENING",
        SessionState::Active => "ACTIVE",
        SessionState::Closing => "CLOSING",
        SessionState::Closed => "CLOSED",
        SessionState::Discard => "DISCARD",
    }
}

async fn session_info(firewall: &Firewall) -> Result<Answer, String> {
    let found = on_all(firewall, |inside| {
        let counters = inside.engine.counters();
        let mut info = SessionInfo { installed: counters.sessions_created, ..SessionInfo::default() };
        for view in inside.engine.sessions() {
            info.active += 1;
            match (view.state, view.client.protocol) {
                (SessionState::Discard, _) => info.discard += 1,
                (_, 6) => info.tcp += 1,
                (_, 17) => info.udp += 1,
                (_, 1 | 58) => info.icmp += 1,
                _ => {}
            }
        }
        info
    })
    .await?;
    let mut sum = SessionInfo { max: firewall.dataplane().sessions_max() as u64, ..SessionInfo::default() };
    for one in found {
        sum.active += one.active;
        sum.installed += one.installed;
        sum.tcp += one.tcp;
        sum.udp += one.udp;
        sum.icmp += one.icmp;
        sum.discard += one.discard;
    }
    Ok(Answer::SessionInfo(sum))
}

async fn clear(filter: Filter, firewall: &Firewall) -> Result<Answer, String> {
    let running = firewall.running().ok_or("no configuration is enforced yet")?;
    let tables = std::sync::Arc::clone(&running.compiled);
    let id = filter.id;
    let cleared = on_all(firewall, move |inside| inside.engine.clear(|view| filter.matches(view, &tables), inside.now));
    let cleared = cleared.await?.into_iter().sum();
    match id {
        Some(id) if cleared == 0 => Err(format!("there is no session {id}")),
        _ => Ok(Answer::Cleared(Cleared { cleared })),
    }
}

// ---- counters, interfaces, neighbours

async fn counters(firewall: &Firewall) -> Result<Answer, String> {
    let found = on_all(firewall, |inside| (inside.engine.counters().clone(), inside.io.clone())).await?;
    let mut sum = Counters::default();
    let mut rows = Vec::new();
    let mut io = IoSum::default();
    for (counters, one) in &found {
        sum.add(counters);
        io.add(one);
    }
    for (name, value) in sum.all() {
        let reason = DropReason::ALL.iter().find(|reason| reason.as_str() == name);
        rows.push(Counter {
            name: name.to_owned(),
            value,
            severity: if reason.is_some() { "drop" } else { "info" },
            category: "flow",
            description: reason.map_or_else(|| name.replace('-', " "), |reason| reason.describe().to_owned()),
        });
    }
    rows.extend(io.rows(firewall.logs_lost()));
    Ok(Answer::Counters(rows))
}

/// What happened to frames around the engines.
#[derive(Default)]
struct IoSum {
    losses: Losses,
    send_refused: u64,
    port_missing: u64,
    handed_over: u64,
    ownerless: u64,
    peer_ring_full: u64,
}

impl IoSum {
    fn add(&mut self, one: &IoCounters) {
        one.losses.iter().for_each(|losses| self.losses.add(*losses));
        self.send_refused += one.send_refused;
        self.port_missing += one.port_missing;
        self.handed_over += one.handed_over;
        self.ownerless += one.ownerless;
        self.peer_ring_full += one.peer_ring_full;
    }

    fn rows(&self, logs_lost: u64) -> Vec<Counter> {
        let row = |name: &str, value, severity, category, description: &str| Counter {
            name: name.to_owned(),
            value,
            severity,
            category,
            description: description.to_owned(),
        };
        vec![
            row(
                "io-ring-full",
                self.losses.ring_full,
                "drop",
                "io",
                "The kernel found no free slot in a receive ring.",
            ),
            row("io-truncated", self.losses.truncated, "drop", "io", "Frames longer than a slot of the ring."),
            row(
                "io-vlan-tagged",
                self.losses.vlan_tagged,
                "drop",
                "io",
                "VLAN-tagged frames: subinterfaces are not supported.",
            ),
            row(
                "io-unknown-offload",
                self.losses.unknown_offload,
                "drop",
                "io",
                "Frames with an unknown kind of offload.",
            ),
            row("io-send-refused", self.send_refused, "drop", "io", "Frames that the kernel did not take."),
            row("io-port-missing", self.port_missing, "drop", "io", "Frames for an interface without a device."),
            row(
                "io-handed-over",
                self.handed_over,
                "info",
                "io",
                "Frames handed to the worker that has their session.",
            ),
            row(
                "io-ownerless",
                self.ownerless,
                "drop",
                "io",
                "Frames handed to a worker that did not own them either.",
            ),
            row(
                "io-peer-ring-full",
                self.peer_ring_full,
                "drop",
                "io",
                "Frames and messages for a worker whose ring was full.",
            ),
            row("log-lines-lost", logs_lost, "drop", "log", "Log lines that found the queue out of the workers full."),
        ]
    }
}

async fn interfaces(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    let wanted = command.value("interface").unwrap_or("all");
    let io = on_all(firewall, |inside| inside.io.clone()).await?;
    let running = firewall.running();
    let attachments = firewall.dataplane().attachments();
    let mut rows = Vec::new();
    if let Some(running) = &running {
        let tables = &running.compiled;
        for (id, interface) in tables.interfaces() {
            let position = attachments.iter().position(|one| one.port == Port::Data(id));
            let device = position.and_then(|at| attachments.get(at)).map(|one| &one.device);
            let sum = |pick: &dyn Fn(&IoCounters, usize) -> u64| {
                position.map_or(0, |at| io.iter().map(|one| pick(one, at)).sum())
            };
            rows.push(Interface {
                name: interface.name.to_string(),
                device: device.map_or_else(String::new, |device| device.name.clone()),
                state: match device {
                    _ if interface.loopback => "up",
                    None => "no port",
                    Some(device) => link_state(&device.name),
                },
                mac: device.map_or_else(String::new, |device| mac_text(device.mac)),
                zone: interface.zone.map_or_else(String::new, |id| tables.zone_name(id).to_owned()),
                router: interface.router.map_or_else(String::new, |id| tables.router_name(id).to_owned()),
                addresses: interface.addresses.iter().map(ToString::to_string).collect(),
                mtu_bytes: interface.mtu_bytes,
                received: sum(&|one, at| one.received.get(at).copied().unwrap_or(0)),
                sent: sum(&|one, at| one.sent.get(at).copied().unwrap_or(0)),
                lost: sum(&|one, at| one.losses.get(at).map_or(0, Losses::total)),
            });
        }
    }
    if wanted != "all" {
        let known: Vec<_> = rows.iter().map(|row| format!("`{}`", row.name)).collect();
        rows.retain(|row| row.name == wanted);
        if rows.is_empty() {
            return Err(format!("there is no interface `{wanted}`; known: {}", known.join(", ")));
        }
    }
    Ok(Answer::Interfaces(rows))
}

fn link_state(device: &str) -> &'static str {
    // As the kernel sees it now; a device that went away has no file.
    match std::fs::read_to_string(format!("/sys/class/net/{device}/carrier")) {
        Ok(text) if text.trim() == "1" => "up",
        _ => "down",
    }
}

async fn neighbors(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    let wanted = command.value("arp").unwrap_or("all").to_owned();
    let found = on_all(firewall, |inside| inside.engine.neighbors().collect::<Vec<_>>()).await?;
    let running = firewall.running();
    let mut rows: Vec<_> = found
        .into_iter()
        .flatten()
        .map(|(port, address, mac)| Neighbor {
            interface: match (port, &running) {
                (Port::Data(id), Some(running)) => running.compiled.interface_name(id).to_owned(),
                (Port::Data(_), None) => String::new(),
                (Port::Local, _) => "local".to_owned(),
            },
            address: address.to_string(),
            mac: mac.map_or_else(String::new, mac_text),
            status: if mac.is_some() { "complete" } else { "incomplete" },
        })
        .filter(|row| wanted == "all" || row.interface == wanted)
        .collect();
    // Every worker knows most of them.
    rows.sort_by(|a, b| (&a.interface, &a.address, &b.mac).cmp(&(&b.interface, &b.address, &a.mac)));
    rows.dedup_by(|a, b| (&a.interface, &a.address) == (&b.interface, &b.address));
    Ok(Answer::Neighbors(rows))
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn system(firewall: &Firewall) -> System {
    let running = firewall.running();
    System {
        hostname: crate::hostname(),
        software_version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: firewall.clock().uptime().as_secs(),
        workers: firewall.dataplane().worker_count(),
        configuration_version: running.as_ref().map_or(0, |running| running.version),
        configuration_digest: running.as_ref().map_or_else(String::new, |running| running.digest.clone()),
    }
}

// ---- routes and policy

fn routes(command: &Command, tables: &Compiled) -> Result<Answer, String> {
    let router = command.value("virtual-router");
    if let Some(name) = router {
        router_id(tables, name)?;
    }
    let rows = tables.routes().filter(|row| router.is_none_or(|name| tables.router_name(row.router) == name));
    let rows = rows.map(|row| Route {
        router: tables.router_name(row.router).to_owned(),
        destination: row.destination.to_string(),
        next_hop: row.next_hop,
        metric: row.metric,
        flags: row.flags,
        interface: row.interface.map_or_else(String::new, |id| tables.interface_name(id).to_owned()),
    });
    Ok(Answer::Routes(rows.collect()))
}

fn test_security(command: &Command, tables: &Compiled) -> Result<Answer, String> {
    let (rule, verdict) = security_match(tables, &zone_flow(command, tables)?);
    let info = tables.rule(rule);
    Ok(Answer::SecurityMatch(SecurityMatch {
        rule: tables.rule_name(rule).to_owned(),
        position: info.map_or(0, |info| info.position),
        action: verdict.action.as_str(),
        origin: info.map_or_else(String::new, |info| info.origin.xpath.clone()),
    }))
}

fn test_nat(command: &Command, tables: &Compiled) -> Result<Answer, String> {
    let egress = match command.value("to-interface") {
        Some(name) => Some(interface_id(tables, name)?),
        None => None,
    };
    let found = nat_match(tables, &zone_flow(command, tables)?, egress);
    Ok(Answer::NatMatch(match found {
        None => NatMatch::default(),
        Some(found) => NatMatch {
            rule: Some(tables.nat_rule_name(found.rule).to_owned()),
            reverse: found.reverse,
            source: found.source.map(|source| source_text(&source)),
            destination: found.destination.map(|nat| match nat.port {
                Some(port) => format!("{} port {port}", nat.address),
                None => nat.address.to_string(),
            }),
        },
    }))
}

fn source_text(source: &SourceNat) -> String {
    match source {
        SourceNat::Static { address } => format!("{address}, the port unchanged"),
        SourceNat::DynamicIpAndPort { pool } => {
            let ranges = pool.iter().map(
                |(first, last)| {
                    if first == last { first.to_string() } else { format!("{first}-{last}") }
                },
            );
            format!("a port of {}", ranges.collect::<Vec<_>>().join(", "))
        }
    }
}

fn fib(command: &Command, tables: &Compiled) -> Result<Answer, String> {
    let router = router_id(tables, command.value("virtual-router").unwrap_or_default())?;
    let name = |id| tables.interface_name(id).to_owned();
    Ok(Answer::Fib(match tables.route(router, address(command, "ip")?) {
        Lookup::Local { iface } => Fib { kind: "local", interface: name(iface), ..Fib::default() },
        Lookup::Via { iface, next_hop, router } => Fib {
            kind: "forward",
            interface: name(iface),
            next_hop: next_hop.to_string(),
            router: tables.router_name(router).to_owned(),
        },
        Lookup::Discard => Fib { kind: "discard", ..Fib::default() },
        Lookup::None => Fib { kind: "none", ..Fib::default() },
        Lookup::Loop => Fib { kind: "loop", ..Fib::default() },
    }))
}

fn explained(command: &Command, tables: &Compiled) -> Result<Answer, String> {
    let flow = Flow {
        ingress: ingress(command, tables)?,
        source: address(command, "source")?,
        destination: address(command, "destination")?,
        protocol: protocol(command)?,
        source_port: optional_number(command, "source-port")?.unwrap_or(EPHEMERAL_PORT),
        destination_port: optional_number(command, "destination-port")?.unwrap_or(0),
    };
    let (decision, steps) = explain(tables, &flow);
    let (outcome, rule) = match &decision {
        Decision::Ruled(forward) => (forward.verdict.action, tables.rule_name(forward.rule).to_owned()),
        Decision::Dropped(_) => (Action::Drop, String::new()),
    };
    Ok(Answer::Explained(Explained {
        outcome: match &decision {
            Decision::Ruled(_) => outcome.as_str().to_owned(),
            Decision::Dropped(cause) => format!("dropped before any security rule: {}", cause_text(*cause)),
        },
        rule,
        steps: steps
            .into_iter()
            .map(|step| Step {
                stage: step.stage.to_owned(),
                text: step.text,
                origin: step.origin.map_or_else(String::new, |origin| origin.xpath),
            })
            .collect(),
    }))
}

fn cause_text(cause: bartizan_policy::tables::DropCause) -> &'static str {
    use bartizan_policy::tables::DropCause;
    match cause {
        DropCause::NoZone => "the ingress interface has no zone",
        DropCause::NoRouter => "the ingress interface has no router",
        DropCause::NoRoute => "no route to the destination",
        DropCause::RouteDiscard => "a discard route",
        DropCause::RouterLoop => "routers point at one another",
        DropCause::NoEgressZone => "the egress interface has no zone",
    }
}

/// Stands for any client port where none is given (first of the IANA dynamic range).
const EPHEMERAL_PORT: u16 = 49_152;

fn ingress(command: &Command, tables: &Compiled) -> Result<IfaceId, String> {
    match (command.value("ingress"), command.value("from")) {
        (Some(name), None) => interface_id(tables, name),
        (None, Some(zone)) => {
            let id = zone_id(tables, zone)?;
            let mut inside = tables.interfaces().filter(|(_, interface)| interface.zone == Some(id));
            inside.next().map(|(id, _)| id).ok_or_else(|| format!("zone `{zone}` has no interface"))
        }
        (Some(_), Some(_)) => Err("give either `ingress` or `from`, not both".to_owned()),
        (None, None) => Err("give the ingress interface (`ingress`) or its zone (`from`)".to_owned()),
    }
}

fn zone_flow(command: &Command, tables: &Compiled) -> Result<ZoneFlow, String> {
    Ok(ZoneFlow {
        from: zone_id(tables, command.value("from").unwrap_or_default())?,
        to: zone_id(tables, command.value("to").unwrap_or_default())?,
        source: address(command, "source")?,
        destination: address(command, "destination")?,
        protocol: protocol(command)?,
        source_port: optional_number(command, "source-port")?.unwrap_or(EPHEMERAL_PORT),
        destination_port: optional_number(command, "destination-port")?.unwrap_or(0),
    })
}

// ---- values

fn zone_id(tables: &Compiled, name: &str) -> Result<ZoneId, String> {
    tables.zone_id(name).ok_or_else(|| no_such("zone", name, &tables.ids().zones))
}

fn interface_id(tables: &Compiled, name: &str) -> Result<IfaceId, String> {
    tables.interface_id(name).ok_or_else(|| no_such("interface", name, &tables.ids().interfaces))
}

fn router_id(tables: &Compiled, name: &str) -> Result<bartizan_policy::tables::RouterId, String> {
    tables.router_id(name).ok_or_else(|| no_such("router", name, &tables.ids().routers))
}

fn no_such(kind: &str, name: &str, names: &bartizan_policy::names::Names) -> String {
    let known: Vec<_> = (0..names.len()).map(|at| format!("`{}`", names.name(at))).collect();
    format!("there is no {kind} `{name}`; known: {}", known.join(", "))
}

fn address(command: &Command, name: &str) -> Result<IpAddr, String> {
    let text = command.value(name).unwrap_or_default();
    text.parse().map_err(|_| format!("`{text}` after `{name}` is no IP address"))
}

fn network(command: &Command, name: &str) -> Result<Option<IpNet>, String> {
    let Some(text) = command.value(name) else { return Ok(None) };
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    parsed.map(Some).map_err(|_| format!("`{text}` after `{name}` is neither an IP address nor a network"))
}

fn protocol(command: &Command) -> Result<u8, String> {
    match command.value("protocol") {
        Some("tcp") => Ok(6),
        Some("udp") => Ok(17),
        Some("icmp") => Ok(1),
        Some("icmp6") => Ok(58),
        _ => number(command, "protocol"),
    }
}

fn number<T: std::str::FromStr>(command: &Command, name: &str) -> Result<T, String> {
    let text = command.value(name).unwrap_or_default();
    text.parse().map_err(|_| format!("`{text}` after `{name}` is no number in its range"))
}

fn optional_number<T: std::str::FromStr>(command: &Command, name: &str) -> Result<Option<T>, String> {
    if command.value(name).is_none() {
        return Ok(None);
    }
    if name == "protocol" {
        let known = protocol(command)?;
        return known.to_string().parse().map(Some).map_err(|_| "a protocol number has 8 bits".to_owned());
    }
    number(command, name).map(Some)
}

async fn on_all<T: Send + 'static>(
    firewall: &Firewall,
    work: impl Fn(&mut crate::worker::Inside<'_>) -> T + Clone + Send + 'static,
) -> Result<Vec<T>, String> {
    firewall.dataplane().on_all(work).await.map_err(|error| format!("{error:#}"))
}
