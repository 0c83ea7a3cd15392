//! Answers as text for people.

use std::fmt::Write;

use super::{Answer, Direction, Fib, Interface, IpPool, NatMatch, Session, SessionInfo, Sessions, protection};

pub(super) fn render(answer: &Answer) -> String {
    match answer {
        Answer::Sessions(sessions) => sessions_text(sessions),
        Answer::Session(session) => session_text(session),
        Answer::SessionInfo(info) => session_info(info),
        Answer::Counters(counters) => table(
            &["NAME", "VALUE", "SEVERITY", "CATEGORY", "DESCRIPTION"],
            counters
                .iter()
                // What never happened need not be read, but that nothing happened at all may matter.
                .filter(|one| one.value > 0 || one.severity == "info")
                .map(|one| {
                    let description = one.description.clone();
                    vec![one.name.clone(), one.value.to_string(), one.severity.into(), one.category.into(), description]
                })
                .collect(),
        ),
        Answer::Routes(routes) => table(
            &["ROUTER", "DESTINATION", "NEXT HOP", "METRIC", "FLAGS", "INTERFACE"],
            routes
                .iter()
                .map(|one| {
                    vec![
                        one.router.clone(),
                        one.destination.clone(),
                        one.next_hop.clone(),
                        one.metric.to_string(),
                        one.flags.into(),
                        one.interface.clone(),
                    ]
                })
                .collect(),
        ),
        Answer::PathMonitors(paths) => table(
            &["ROUTER", "ROUTE", "DESTINATION", "NEXT HOP", "STATUS", "FAILS IF", "MONITORED", "IS", "MISSED", "RTT"],
            paths
                .iter()
                .map(|one| {
                    vec![
                        one.router.clone(),
                        one.route.clone(),
                        one.destination.clone(),
                        one.next_hop.clone(),
                        one.status.into(),
                        one.failure_condition.into(),
                        one.monitored.clone(),
                        one.monitored_status.into(),
                        format!("{} of {}", one.missed, one.count),
                        one.round_trip_us.map_or_else(|| "-".into(), |us| format!("{us} us")),
                    ]
                })
                .collect(),
        ),
        Answer::Interfaces(interfaces) => table(
            &["NAME", "DEVICE", "TAG", "STATE", "ZONE", "ROUTER", "ADDRESSES", "MAC", "RX", "TX", "LOST", "IO"],
            interfaces
                .iter()
                .map(|one| {
                    vec![
                        one.name.clone(),
                        one.device.clone(),
                        if one.vlan == 0 { String::new() } else { one.vlan.to_string() },
                        one.state.into(),
                        one.zone.clone(),
                        one.router.clone(),
                        addresses_text(one),
                        one.mac.clone(),
                        count_text(one.received),
                        count_text(one.sent),
                        count_text(one.lost),
                        one.io.into(),
                    ]
                })
                .collect(),
        ),
        Answer::Neighbors(neighbors) => table(
            &["INTERFACE", "ADDRESS", "MAC", "STATUS"],
            neighbors
                .iter()
                .map(|one| {
                    let (interface, address) = (one.interface.clone(), one.address.clone());
                    vec![interface, address, one.mac.clone(), one.status.into()]
                })
                .collect(),
        ),
        Answer::DhcpClients(clients) => table(
            &["INTERFACE", "STATE", "IP", "GATEWAY", "SERVER", "LEASED UNTIL"],
            clients
                .iter()
                .map(|one| {
                    let until = match (one.leased_until_s, one.address.is_empty()) {
                        (Some(seconds), _) => format!("{seconds} s"),
                        (None, true) => String::new(),
                        (None, false) => "for ever".to_owned(),
                    };
                    let (address, gateway) = (one.address.clone(), one.gateway.clone());
                    vec![one.interface.clone(), one.state.into(), address, gateway, one.server.clone(), until]
                })
                .collect(),
        ),
        Answer::PacketCapture(capture) => capture.text(),
        Answer::TrafficObjects(found) => traffic_objects(found),
        Answer::Configuration(configuration) => with_newline(configuration.xml.clone()),
        Answer::System(system) => pairs(&[
            ("hostname", system.hostname.clone()),
            ("software version", system.software_version.clone()),
            ("uptime", format!("{} s", system.uptime_s)),
            ("workers", system.workers.to_string()),
            ("configuration version", system.configuration_version.to_string()),
            ("configuration digest", system.configuration_digest.clone()),
        ]),
        Answer::SecurityMatch(found) => {
            format!("{} by rule `{}` (number {})\n", found.action, found.rule, found.position)
        }
        Answer::NatMatch(found) => nat_text(found),
        Answer::Fib(fib) => fib_text(fib),
        Answer::FirstUsable(found) => format!("{}\n", found.address),
        Answer::ZoneProtection(zones) => protection::zones_text(zones),
        Answer::Blocks(blocks) => protection::blocks_text(blocks),
        Answer::Unblocked(cleared) => format!("blocks ended: {}\n", cleared.cleared),
        Answer::Cleared(cleared) => format!("sessions ended: {}\n", cleared.cleared),
        Answer::NatPolicy(text) => text.clone(),
        Answer::IpPools(pools) => ip_pools(pools),
        Answer::RuleHits(hits) => table(
            &["RULE", "HITS", "FIRST", "LAST", "CLEARED"],
            hits.rules
                .iter()
                .map(|one| {
                    let times = [one.first_s, one.last_s, one.reset_s].map(time);
                    [one.name.clone(), one.count.to_string()].into_iter().chain(times).collect()
                })
                .collect(),
        ),
        Answer::RuleHitsCleared(rules) => format!("rules that count from nothing again: {rules}\n"),
        Answer::Shadows(shadows) => shadows.text(),
        Answer::Gathered(gathered) => gathered.text(),
        Answer::Explained(explained) => {
            let mut text = table(
                &["STAGE", "FINDING"],
                explained.steps.iter().map(|step| vec![step.stage.clone(), step.text.clone()]).collect(),
            );
            let _ = writeln!(text, "outcome: {}", explained.outcome);
            text
        }
    }
}

fn count_text(count: Option<u64>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

fn addresses_text(interface: &Interface) -> String {
    let mut addresses = interface.addresses.clone();
    if interface.dhcp && !addresses.iter().any(|address| !address.contains(':')) {
        addresses.insert(0, "(no DHCP lease)".to_owned());
    }
    addresses.join(",")
}

fn sessions_text(sessions: &Sessions) -> String {
    if sessions.counted {
        return format!("sessions: {}\n", sessions.total);
    }
    if sessions.sessions.is_empty() {
        return "no sessions\n".to_owned();
    }
    let mut rows = Vec::new();
    for one in &sessions.sessions {
        let flags = match (one.source_nat, one.destination_nat) {
            (true, true) => "NS ND",
            (true, false) => "NS",
            (false, true) => "ND",
            (false, false) => "",
        };
        rows.push(vec![
            one.id.to_string(),
            one.state.into(),
            protocol(one.protocol),
            format!("{} [{}]", ends(&one.client), one.from),
            flags.into(),
            one.rule.clone(),
            format!("{}/{}", one.client.packets, one.client.bytes),
            format!("{} s", one.expires_s),
        ]);
        rows.push(vec![
            String::new(),
            String::new(),
            String::new(),
            format!("{} [{}]", ends(&one.server), one.to),
            String::new(),
            one.nat_rule.clone(),
            format!("{}/{}", one.server.packets, one.server.bytes),
            String::new(),
        ]);
    }
    let header = [
        "ID",
        "STATE",
        "PROTO",
        "CLIENT TO SERVER / SERVER TO CLIENT",
        "NAT",
        "RULE / NAT RULE",
        "PKTS/BYTES",
        "EXPIRES",
    ];
    let mut text = table(&header, rows);
    if sessions.total > sessions.sessions.len() {
        let _ = writeln!(
            text,
            "{} of {} sessions are shown; use `filter` to choose, with `start-at {}` for the next ones",
            sessions.sessions.len(),
            sessions.total,
            sessions.sessions.last().map_or(0, |last| last.id + 1),
        );
    }
    text
}

fn session_info(info: &SessionInfo) -> String {
    let mut lines = vec![
        ("active sessions", info.active.to_string()),
        ("limit", info.max.to_string()),
        ("installed since start", info.installed.to_string()),
        ("TCP", info.tcp.to_string()),
        ("UDP", info.udp.to_string()),
        ("ICMP", info.icmp.to_string()),
        ("refused (discard)", info.discard.to_string()),
        ("TCP begins with a SYN", if info.reject_non_syn { "yes" } else { "no" }.to_owned()),
    ];
    lines.extend(info.timeouts_s.iter().map(|(name, seconds)| (*name, format!("{seconds} s"))));
    pairs(&lines)
}

fn session_text(session: &Session) -> String {
    let direction =
        |one: &Direction, zone: &str| format!("{} [{zone}], {} packets, {} bytes", ends(one), one.packets, one.bytes);
    let mut lines = vec![
        ("session", session.id.to_string()),
        ("state", session.state.into()),
        ("protocol", protocol(session.protocol)),
        ("client to server", direction(&session.client, &session.from)),
        ("server to client", direction(&session.server, &session.to)),
        ("in by", session.ingress.clone()),
        ("out by", session.egress.clone()),
        ("rule", format!("{} ({})", session.rule, session.action)),
        ("NAT rule", session.nat_rule.clone()),
        ("application", session.application.into()),
        ("started", format!("{}, {} s ago", session.start, session.age_s)),
        ("timeout", format!("{} s", session.timeout_s)),
        ("expires in", format!("{} s", session.expires_s)),
    ];
    lines.extend(session.cluster_id.map(|id| ("cluster id", id.to_string())));
    pairs(&lines)
}

fn nat_text(found: &NatMatch) -> String {
    let Some(rule) = &found.rule else { return "no NAT rule matches\n".to_owned() };
    let mut text = format!("rule `{rule}`{}", if found.reverse { ", in reverse" } else { "" });
    if let Some(source) = &found.source {
        let _ = write!(text, ", source becomes {source}");
    }
    if let Some(destination) = &found.destination {
        let _ = write!(text, ", destination becomes {destination}");
    }
    if found.source.is_none() && found.destination.is_none() {
        text.push_str(", which translates nothing");
    }
    text + "\n"
}

fn fib_text(fib: &Fib) -> String {
    match fib.kind {
        "forward" => format!("to {} by `{}` (router `{}`)\n", fib.next_hop, fib.interface, fib.router),
        "local" => format!("to this firewall: `{}` holds the address\n", fib.interface),
        "discard" => "discarded by a discard route\n".to_owned(),
        "loop" => "dropped: routers point at one another\n".to_owned(),
        _ => "no route\n".to_owned(),
    }
}

fn ends(one: &Direction) -> String {
    let end = |address: &str, port: u16| {
        if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
    };
    format!("{} -> {}", end(&one.source, one.source_port), end(&one.destination, one.destination_port))
}

fn ip_pools(pools: &[IpPool]) -> String {
    let row = |one: &IpPool| {
        let numbers = [one.used.to_string(), one.available.to_string(), one.ratio.to_string()];
        let names = [one.rule.clone(), one.kind.to_owned()];
        names.into_iter().chain(numbers).chain([one.state.to_owned()]).collect()
    };
    let mut text = table(&["RULE", "TYPE", "USED", "AVAILABLE", "RATIO", "STATE"], pools.iter().map(row).collect());
    let addresses: Vec<_> = pools.iter().flat_map(|pool| &pool.addresses).collect();
    if !addresses.is_empty() {
        let rows = addresses.into_iter().map(|one| {
            let numbers = [one.used, one.available, one.allocates].map(|number| number.to_string());
            let names = [one.address.clone(), one.protocol.clone()];
            names.into_iter().chain(numbers).chain([one.state.to_owned()]).collect()
        });
        let header = ["ADDRESS", "PROTOCOL", "USED", "AVAILABLE", "ALLOCATES", "STATE"];
        text = text + "\n" + &table(&header, rows.collect());
    }
    text
}

/// Seconds of Unix time as a date; `-` for never.
fn time(seconds: Option<i64>) -> String {
    let time = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "-".to_owned(), |time| time.strftime("%a %b %e %H:%M:%S %Y").to_string())
}

fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmp6".to_owned(),
        other => other.to_string(),
    }
}

pub(super) fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{:width$}  {value}", format!("{name}:"), width = width + 1);
        text
    })
}

fn traffic_objects(found: &super::TrafficObjects) -> String {
    let head = ["NAME", "TUNNEL", "FROM", "TO", "ROUTER", "PACKETS IN", "BYTES IN", "PACKETS OUT", "BYTES OUT"];
    let rows = found.objects.iter().map(|one| {
        let texts = [&one.name, &one.tunnel, &one.zone_ingress, &one.zone_egress, &one.router].map(Clone::clone);
        let numbers = [one.received_packets, one.received_bytes, one.sent_packets, one.sent_bytes];
        texts.into_iter().chain(numbers.map(|number| number.to_string())).collect()
    });
    let objects = table(&head, rows.collect());
    if found.unmapped.is_empty() {
        return objects;
    }
    let rows = found.unmapped.iter().map(|one| {
        let last = format!("{} s ago", one.last_s);
        vec![one.tunnel.clone(), one.interface.clone(), one.peer.clone(), one.packets.to_string(), last]
    });
    objects + "\n" + &table(&["NO OBJECT FOR", "INTERFACE", "FROM", "PACKETS", "LAST"], rows.collect())
}

pub(super) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut widths: Vec<usize> = header.iter().map(|name| name.len()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let header = header.iter().map(|name| (*name).to_owned()).collect();
    for row in std::iter::once(header).chain(rows) {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(&row) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn with_newline(mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
