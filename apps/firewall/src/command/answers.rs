//! What is the answer to a command?

mod capture;
mod dhcp;
mod gathered;
mod nat;
mod paths;
mod protection;
mod rules;
mod sessions;
mod shadows;
mod tunnels;
mod values;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bartizan_engine::verdict::Port;
use bartizan_engine::{counters::Counters, verdict::DropReason};
use bartizan_model::device::interface_name;
use bartizan_policy::decide::{ZoneFlow, nat_match, security_match};
use bartizan_policy::explain::{Explanation, explain, no_service};
use bartizan_policy::tables::{Among, Compiled, Decision, Flow, IfaceId, Route as Lookup, SourceNat};

use self::gathered::gathered;
use self::sessions::{Filter, clear, session, session_info, sessions};
use self::shadows::shadows;
use self::tunnels::traffic_objects;
use self::values::{address, interface_id, network, number, optional_number, protocol, router_id, zone_id};
use super::Command;
use super::answer::{
    Answer, Configuration, Counter, Explained, Fib, FirstUsable, Interface, NatMatch, Neighbor, Route, SecurityMatch,
    Step, System,
};
use crate::dhcp::Order;
use crate::firewall::{Firewall, Running};
use crate::port::Losses;
use crate::port::netdev::{Device, Netdevs};
use crate::worker::IoCounters;

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
        ["request", "system", ..] | ["show", "object", ..] => gathered(command, firewall),
        ["show", "routing", "path-monitor", ..] => paths::path_monitor(command, firewall),
        ["show", "arp"] => neighbors(command, firewall).await,
        ["show", "dhcp", ..] => dhcp::state(command, firewall),
        ["request", "dhcp", "client", "renew"] => dhcp::order(command, firewall, Order::Renew).await,
        ["request", "dhcp", "client", "release"] => dhcp::order(command, firewall, Order::Release).await,
        ["debug", "dataplane", "packet-diag", ..] => capture::answer(command, firewall).await,
        ["show", "zone-protection", ..] => protection::zones(command, firewall).await,
        ["show", "dos-block-table", ..] => protection::blocks(firewall).await,
        ["clear", "dos-block-table", ..] => protection::unblock(command, firewall).await,
        ["show", "traffic-objects"] => traffic_objects(firewall).await,
        ["show", "system", "info"] => Ok(Answer::System(system(firewall))),
        ["show", "running", "ippool"] | ["show", "running", "nat-rule-ippool", ..] => nat::pools(command, firewall),
        ["show", "rule-hit-count", ..] => rules::hits(command, firewall).await,
        ["clear", "rule-hit-count", ..] => rules::clear(command, firewall).await,
        ["clear", "session", "all", ..] => clear(Filter::read_for_clear(command)?, firewall).await,
        ["clear", "session", "id"] => {
            let id = number(command, "id")?;
            clear(Filter::of(id), firewall).await
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
        ["show", "routing", "route" | "fib", ..] => routes(command, tables),
        ["show", "running", "nat-policy"] => Ok(nat::policy(running)),
        ["show", "config", "running"] => Ok(Answer::Configuration(Configuration {
            version: running.version,
            digest: running.digest.clone(),
            xml: running.text.to_string(),
        })),
        ["show", "shadow-warning", ..] => shadows(command, tables),
        ["test", "security-policy-match"] => test_security(command, tables),
        ["test", "nat-policy-match"] => test_nat(command, tables),
        ["test", "routing", "fib-lookup"] => fib(command, tables),
        ["test", "routing", "first-usable"] => first_usable(command),
        ["explain"] => explained(command, tables),
        _ => Err(format!("`{}` can be answered only by a running firewall", command.path.join(" "))),
    }
}

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
        let drop = DropReason::ALL.iter().any(|reason| reason.as_str() == name);
        rows.push(Counter {
            name: name.to_owned(),
            value,
            severity: if drop { "drop" } else { "info" },
            category: "flow",
            description: Counters::describe(name).unwrap_or_default().to_owned(),
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
    notices_lost: u64,
}

impl IoSum {
    fn add(&mut self, one: &IoCounters) {
        one.losses.iter().for_each(|losses| self.losses.add(*losses));
        self.send_refused += one.send_refused;
        self.port_missing += one.port_missing;
        self.handed_over += one.handed_over;
        self.ownerless += one.ownerless;
        self.peer_ring_full += one.peer_ring_full;
        self.notices_lost += one.notices_lost;
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
                "Frames with a VLAN tag of another kind than 802.1Q.",
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
            row(
                "io-notices-lost",
                self.notices_lost,
                "drop",
                "io",
                "DHCP replies and router advertisements that found the queue to the client full.",
            ),
            row("log-lines-lost", logs_lost, "drop", "log", "Log lines that found the queue out of the workers full."),
        ]
    }
}

async fn interfaces(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    let wanted = interface_name(command.value("interface").unwrap_or("all"));
    let io = on_all(firewall, |inside| inside.io.clone()).await?;
    // By netlink, which speaks of this process's own network namespace; /sys may show another one.
    let listed = match Netdevs::connect() {
        Ok(netdevs) => netdevs.list().await,
        Err(error) => Err(error),
    };
    let listed = listed.map_err(|error| format!("{error:#}"))?;
    let running = firewall.running();
    let attachments = firewall.dataplane().attachments();
    let mut rows = Vec::new();
    if let Some(running) = &running {
        let tables = &running.compiled;
        for (id, interface) in tables.interfaces() {
            let wire = interface.vlan.map_or(id, |(port, _)| port);
            let position = attachments.iter().position(|one| one.port == Port::Data(wire));
            let device = position.and_then(|at| attachments.get(at)).map(|one| &one.device);
            let capabilities = position.and_then(|at| firewall.dataplane().capabilities().get(at));
            // Frames are counted by the port; a subinterface has no counters of its own.
            let sum = |pick: &dyn Fn(&IoCounters, usize) -> u64| {
                let own = interface.vlan.is_none();
                own.then(|| position.map_or(0, |at| io.iter().map(|one| pick(one, at)).sum()))
            };
            rows.push(Interface {
                name: interface.name.to_string(),
                device: device.map_or_else(String::new, |device| device.name.clone()),
                state: match device {
                    _ if interface.loopback => "up",
                    None => "no port",
                    Some(device) => link_state(&listed, device),
                },
                mac: device.map_or_else(String::new, |device| mac_text(device.mac)),
                zone: interface.zone.map_or_else(String::new, |id| tables.zone_name(id).to_owned()),
                router: interface.router.map_or_else(String::new, |id| tables.router_name(id).to_owned()),
                addresses: interface.addresses.iter().map(ToString::to_string).collect(),
                dhcp: interface.dhcp,
                vlan: interface.vlan.map_or(0, |(_, tag)| tag),
                mtu_bytes: interface.mtu_bytes,
                received: sum(&|one, at| one.received.get(at).copied().unwrap_or(0)),
                sent: sum(&|one, at| one.sent.get(at).copied().unwrap_or(0)),
                lost: sum(&|one, at| one.losses.get(at).map_or(0, Losses::total)),
                io: capabilities.map_or("", |one| one.backend),
                io_reason: capabilities.map_or_else(String::new, |one| one.reason.clone()),
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

/// As the kernel lists it now: a device that went away is down.
fn link_state(listed: &[Device], device: &Device) -> &'static str {
    let now = listed.iter().find(|one| one.index == device.index);
    if now.is_some_and(|now| now.up && now.carrier) { "up" } else { "down" }
}

async fn neighbors(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    let wanted = interface_name(command.value("arp").unwrap_or("all"));
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

fn routes(command: &Command, tables: &Compiled) -> Result<Answer, String> {
    let router = router_name(command)?;
    if let Some(name) = router {
        router_id(tables, name)?;
    }
    let in_force = command.path.contains(&"fib");
    let rows = tables.routes().filter(|row| !in_force || row.flags.starts_with('A'));
    let rows = rows.filter(|row| router.is_none_or(|name| tables.router_name(row.router) == name));
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

/// The router asked about, in either spelling.
fn router_name(command: &Command) -> Result<Option<&str>, String> {
    match (command.value("virtual-router"), command.value("logical-router")) {
        (Some(_), Some(_)) => Err("give either `virtual-router` or `logical-router`, not both".to_owned()),
        (one, other) => Ok(one.or(other)),
    }
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
        SourceNat::DynamicIpAndPort { pool, persistent: false } => format!("a port of {}", ranges_text(&pool.ranges)),
        SourceNat::DynamicIpAndPort { pool, persistent: true } => {
            format!("a port of {}, the same for all destinations", ranges_text(&pool.ranges))
        }
        SourceNat::DynamicIp { pool, fallback } => {
            let fallback = fallback.as_ref().map(|pool| format!(", else a port of {}", ranges_text(&pool.ranges)));
            format!("an address of {}, the port unchanged{}", ranges_text(pool), fallback.unwrap_or_default())
        }
    }
}

fn ranges_text(ranges: &[(IpAddr, IpAddr)]) -> String {
    let text = |(first, last): &(IpAddr, IpAddr)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    ranges.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn fib(command: &Command, tables: &Compiled) -> Result<Answer, String> {
    let missing = || "give the router (`virtual-router` or `logical-router`)".to_owned();
    let router = router_id(tables, router_name(command)?.ok_or_else(missing)?)?;
    let destination = address(command, "ip")?;
    let among = match command.value("source-ip") {
        None => Among::First,
        Some(_) => Among::Flow {
            source: address(command, "source-ip")?,
            destination,
            source_port: optional_number(command, "source-port")?.unwrap_or(EPHEMERAL_PORT),
            destination_port: optional_number(command, "destination-port")?.unwrap_or(0),
        },
    };
    let name = |id| tables.interface_name(id).to_owned();
    Ok(Answer::Fib(match tables.route(router, destination, &among) {
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

/// The first address of a network that a host can have: there clouds put the gateway of a subnet.
fn first_usable(command: &Command) -> Result<Answer, String> {
    let network = network(command, "first-usable")?.ok_or("`first-usable` is not followed by a network")?;
    // The first address names the network itself (IPv6: all of its routers), unless there are only two.
    let first = usize::from(network.max_prefix_len() - network.prefix_len() > 1);
    let address = match network.network() {
        IpAddr::V4(first_v4) => IpAddr::V4(Ipv4Addr::from_bits(first_v4.to_bits() + first as u32)),
        IpAddr::V6(first_v6) => IpAddr::V6(Ipv6Addr::from_bits(first_v6.to_bits() + first as u128)),
    };
    Ok(Answer::FirstUsable(FirstUsable { network: network.trunc().to_string(), address: address.to_string() }))
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
    let Explanation { decision, host, steps } = explain(tables, &flow);
    let (outcome, rule) = match (&decision, host) {
        (Decision::Ruled(forward), Some(Err(reason))) => {
            let text = format!("dropped as local-service after the security rule: {}", no_service(reason));
            (text, tables.rule_name(forward.rule).to_owned())
        }
        (Decision::Ruled(forward), _) => {
            (forward.verdict.action.as_str().to_owned(), tables.rule_name(forward.rule).to_owned())
        }
        (Decision::Dropped(cause), _) => {
            (format!("dropped before any security rule: {}", cause_text(*cause)), String::new())
        }
    };
    Ok(Answer::Explained(Explained {
        outcome,
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

async fn on_all<T: Send + 'static>(
    firewall: &Firewall,
    work: impl Fn(&mut crate::worker::Inside<'_>) -> T + Clone + Send + 'static,
) -> Result<Vec<T>, String> {
    firewall.dataplane().on_all(work).await.map_err(|error| format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_state_is_what_the_kernel_lists_now() {
        let device = |index, up, carrier| Device {
            index,
            name: "eth1".to_owned(),
            mac: [2, 0, 0, 0, 0, 1],
            mtu_bytes: 1500,
            up,
            carrier,
        };
        let attached = device(7, false, false);
        for (listed, state) in [
            (vec![device(3, true, true), device(7, true, true)], "up"),
            (vec![device(7, true, false)], "down"),
            (vec![device(7, false, true)], "down"),
            (vec![device(3, true, true)], "down"),
        ] {
            assert_eq!(link_state(&listed, &attached), state, "{listed:?}");
        }
    }
    #[test]
    fn the_first_usable_address_is_where_clouds_put_the_gateway() {
        for (network, expected) in [
            ("10.0.1.0/24", Ok("10.0.1.1")),
            ("10.0.1.77/24", Ok("10.0.1.1")),
            ("10.0.1.8/30", Ok("10.0.1.9")),
            ("10.0.1.8/31", Ok("10.0.1.8")),
            ("10.0.1.9/32", Ok("10.0.1.9")),
            ("0.0.0.0/0", Ok("0.0.0.1")),
            ("2001:db8:7::/64", Ok("2001:db8:7::1")),
            ("2001:db8:7::/127", Ok("2001:db8:7::")),
            ("10.0.1.0/33", Err("`10.0.1.0/33` after `first-usable` is neither an IP address nor a network")),
        ] {
            let words: Vec<String> = ["test", "routing", "first-usable", network].map(str::to_owned).to_vec();
            let command = crate::command::words::parse(&words).unwrap();
            let found = first_usable(&command).map(|answer| answer.render(crate::command::answer::Form::Text));
            assert_eq!(found, expected.map(|text| format!("{text}\n")).map_err(str::to_owned), "{network}");
        }
    }
}
