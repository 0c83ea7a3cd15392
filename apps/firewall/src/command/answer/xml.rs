//! Answers as the inner XML of a PAN-OS `<result>`. Names as the parsers of its API clients read them.

use bartizan_model::tree::{Child, Element};
use bartizan_model::xml::{parse, write};

use super::{Answer, Direction, Fib, IpPool, NatMatch, RuleHits, Session, SessionInfo, Sessions, protection};

pub(super) fn render(answer: &Answer) -> String {
    if let Answer::NatPolicy(text) = answer {
        return format!("<![CDATA[{}]]>", text.replace("]]>", "]]]]><![CDATA[>"));
    }
    elements(answer).iter().map(write).collect()
}

fn elements(answer: &Answer) -> Vec<Element> {
    match answer {
        Answer::Sessions(Sessions { total, counted: true, .. }) => {
            vec![Element::leaf("member", &format!("Number of sessions that match filter: {total}"))]
        }
        Answer::Sessions(sessions) => sessions.sessions.iter().map(entry).collect(),
        Answer::Session(session) => detail(session),
        Answer::SessionInfo(info) => session_info(info),
        Answer::Counters(counters) => {
            let entries = counters.iter().map(|one| {
                node(
                    "entry",
                    leaves(&[
                        ("name", one.name.clone()),
                        ("value", one.value.to_string()),
                        ("rate", "0".to_owned()),
                        ("severity", one.severity.to_owned()),
                        ("category", one.category.to_owned()),
                        ("aspect", "pktproc".to_owned()),
                        ("desc", one.description.clone()),
                    ]),
                )
            });
            vec![node("global", vec![node("counters", entries.collect())])]
        }
        Answer::Routes(routes) => {
            let flags =
                Element::leaf("flags", "flags: A:active, C:connect, H:host, S:static, E:ecmp, D:down, L:learned");
            let entries = routes.iter().map(|one| {
                node(
                    "entry",
                    leaves(&[
                        ("virtual-router", one.router.clone()),
                        ("destination", one.destination.clone()),
                        ("nexthop", one.next_hop.clone()),
                        ("metric", one.metric.to_string()),
                        ("flags", one.flags.to_owned()),
                        ("age", String::new()),
                        ("interface", one.interface.clone()),
                        ("route-table", "unicast".to_owned()),
                    ]),
                )
            });
            std::iter::once(flags).chain(entries).collect()
        }
        Answer::PathMonitors(paths) => {
            let entries = paths.iter().map(|one| {
                node(
                    "entry",
                    leaves(&[
                        ("virtual-router", one.router.clone()),
                        ("name", one.route.clone()),
                        ("destination", one.destination.clone()),
                        ("nexthop", one.next_hop.clone()),
                        ("pathmonitor-status", one.status.to_owned()),
                        ("pathmonitor-cond", one.failure_condition.to_owned()),
                        ("monitor-destination", one.monitored.clone()),
                        ("monitor-status", one.monitored_status.to_owned()),
                        ("interval", one.interval_s.to_string()),
                        ("count", one.count.to_string()),
                        ("missed", one.missed.to_string()),
                    ]),
                )
            });
            entries.collect()
        }
        Answer::PacketCapture(capture) => capture.elements(),
        Answer::Interfaces(interfaces) => {
            let logical = interfaces.iter().map(|one| {
                node(
                    "entry",
                    leaves(&[
                        ("name", one.name.clone()),
                        ("zone", one.zone.clone()),
                        ("fwd", format!("vr:{}", one.router)),
                        ("vsys", "1".to_owned()),
                        ("ip", one.addresses.first().cloned().unwrap_or_else(|| "N/A".to_owned())),
                        ("tag", one.vlan.to_string()),
                    ]),
                )
            });
            let hardware = interfaces.iter().map(|one| {
                node(
                    "entry",
                    leaves(&[
                        ("name", one.name.clone()),
                        ("state", if one.state == "up" { "up" } else { "down" }.to_owned()),
                        ("mac", one.mac.clone()),
                        ("speed", "ukn".to_owned()),
                        ("duplex", "ukn".to_owned()),
                        ("mode", "(autoneg)".to_owned()),
                    ]),
                )
            });
            vec![node("ifnet", logical.collect()), node("hw", hardware.collect())]
        }
        Answer::Neighbors(neighbors) => {
            let entries = neighbors.iter().map(|one| {
                node(
                    "entry",
                    leaves(&[
                        ("status", if one.status == "complete" { "c" } else { "i" }.to_owned()),
                        ("ip", one.address.clone()),
                        ("mac", one.mac.clone()),
                        ("interface", one.interface.clone()),
                        ("port", one.interface.clone()),
                    ]),
                )
            });
            let mut all = leaves(&[("total", neighbors.len().to_string()), ("dp", "dp0".to_owned())]);
            all.push(node("entries", entries.collect()));
            all
        }
        Answer::DhcpClients(clients) => {
            let entries = clients.iter().map(|one| {
                node(
                    "entry",
                    leaves(&[
                        ("interface", one.interface.clone()),
                        ("state", one.state.to_owned()),
                        ("ip", one.address.clone()),
                        ("gateway", one.gateway.clone()),
                        ("server", one.server.clone()),
                        ("leased-until", one.leased_until_s.map_or_else(String::new, |s| s.to_string())),
                    ]),
                )
            });
            entries.collect()
        }
        Answer::TrafficObjects(found) => {
            let objects = found.objects.iter().map(|one| {
                node(
                    "entry",
                    leaves(&[
                        ("name", one.name.clone()),
                        ("tunnel", one.tunnel.clone()),
                        ("zone-ingress", one.zone_ingress.clone()),
                        ("zone-egress", one.zone_egress.clone()),
                        ("logical-router", one.router.clone()),
                        ("packets-in", one.received_packets.to_string()),
                        ("bytes-in", one.received_bytes.to_string()),
                        ("packets-out", one.sent_packets.to_string()),
                        ("bytes-out", one.sent_bytes.to_string()),
                    ]),
                )
            });
            let unmapped = found.unmapped.iter().map(|one| {
                node(
                    "entry",
                    leaves(&[
                        ("tunnel", one.tunnel.clone()),
                        ("interface", one.interface.clone()),
                        ("peer", one.peer.clone()),
                        ("packets", one.packets.to_string()),
                        ("last", one.last_s.to_string()),
                    ]),
                )
            });
            vec![node("objects", objects.collect()), node("unmapped", unmapped.collect())]
        }
        // It was parsed before it was enforced.
        Answer::Configuration(configuration) => parse(&configuration.xml).into_iter().collect(),
        Answer::System(system) => {
            let uptime = system.uptime_s;
            let (days, rest) = (uptime / 86_400, uptime % 86_400);
            let uptime = format!("{days} days, {}:{:02}:{:02}", rest / 3600, rest % 3600 / 60, rest % 60);
            let fields = leaves(&[
                ("hostname", system.hostname.clone()),
                ("uptime", uptime),
                ("sw-version", system.software_version.clone()),
                ("configuration-version", system.configuration_version.to_string()),
                ("configuration-digest", system.configuration_digest.clone()),
            ]);
            vec![node("system", fields)]
        }
        Answer::SecurityMatch(found) => {
            let mut entry = Element::entry(&found.rule);
            let fields = [("index", found.position.to_string()), ("action", found.action.to_owned())];
            entry.children.extend(leaves(&fields).into_iter().map(child));
            vec![node("rules", vec![entry])]
        }
        Answer::NatMatch(found) => vec![nat(found)],
        Answer::Fib(fib) => fib_fields(fib),
        Answer::FirstUsable(found) => {
            leaves(&[("network", found.network.clone()), ("first-usable", found.address.clone())])
        }
        Answer::ZoneProtection(zones) => protection::zones_xml(zones),
        Answer::Blocks(blocks) => vec![node("dos-block-table", protection::blocks_xml(blocks))],
        Answer::Unblocked(_) => vec![Element::leaf("member", "dos block table cleared")],
        Answer::Cleared(_) => vec![Element::leaf("member", "sessions cleared")],
        // Text, not elements: see `render`.
        Answer::NatPolicy(_) => Vec::new(),
        Answer::IpPools(pools) => pools.iter().map(ip_pool).collect(),
        Answer::RuleHits(hits) => vec![rule_hits(hits)],
        Answer::RuleHitsCleared(_) => vec![Element::leaf("member", "rule hit counts cleared")],
        Answer::Shadows(shadows) => shadows.xml(),
        Answer::Gathered(gathered) => gathered.xml(),
        Answer::Explained(explained) => {
            let steps = explained.steps.iter().map(|step| {
                let fields =
                    [("stage", step.stage.clone()), ("text", step.text.clone()), ("origin", step.origin.clone())];
                node("entry", leaves(&fields))
            });
            let mut all = leaves(&[("outcome", explained.outcome.clone()), ("rule", explained.rule.clone())]);
            all.push(node("steps", steps.collect()));
            all
        }
    }
}

fn session_info(info: &SessionInfo) -> Vec<Element> {
    let mut fields = vec![
        ("num-active", info.active.to_string()),
        ("num-max", info.max.to_string()),
        ("num-installed", info.installed.to_string()),
        ("num-tcp", info.tcp.to_string()),
        ("num-udp", info.udp.to_string()),
        ("num-icmp", info.icmp.to_string()),
        ("num-discard", info.discard.to_string()),
        ("tcp-nonsyn-rej", if info.reject_non_syn { "True" } else { "False" }.to_owned()),
    ];
    fields.extend(info.timeouts_s.iter().map(|(name, seconds)| (*name, seconds.to_string())));
    leaves(&fields)
}

fn entry(one: &Session) -> Element {
    // What the server sees: the client's packet after translation.
    let (xsource, xdestination) =
        ((&one.server.destination, one.server.destination_port), (&one.server.source, one.server.source_port));
    let flags = format!("{}{}", if one.source_nat { "NS" } else { "" }, if one.destination_nat { "ND" } else { "" });
    let yes = |value: bool| if value { "True" } else { "False" }.to_owned();
    node(
        "entry",
        leaves(&[
            ("idx", one.id.to_string()),
            ("vsys", "vsys1".to_owned()),
            ("application", one.application.to_owned()),
            ("state", one.state.to_owned()),
            ("type", "FLOW".to_owned()),
            ("source", one.client.source.clone()),
            ("sport", one.client.source_port.to_string()),
            ("dst", one.client.destination.clone()),
            ("dport", one.client.destination_port.to_string()),
            ("proto", one.protocol.to_string()),
            ("from", one.from.clone()),
            ("to", one.to.clone()),
            ("ingress", one.ingress.clone()),
            ("egress", one.egress.clone()),
            ("xsource", xsource.0.clone()),
            ("xsport", xsource.1.to_string()),
            ("xdst", xdestination.0.clone()),
            ("xdport", xdestination.1.to_string()),
            ("nat", yes(one.source_nat || one.destination_nat)),
            ("srcnat", yes(one.source_nat)),
            ("dstnat", yes(one.destination_nat)),
            ("proxy", yes(false)),
            ("decrypt-mirror", yes(false)),
            ("flags", flags),
            ("security-rule", one.rule.clone()),
            ("nat-rule", one.nat_rule.clone()),
            ("start-time", one.start.clone()),
            ("age", one.age_s.to_string()),
            ("timeout", one.timeout_s.to_string()),
            ("ttl", one.expires_s.to_string()),
            ("total-byte-count", (one.client.bytes + one.server.bytes).to_string()),
            ("vsys-idx", "1".to_owned()),
        ]),
    )
}

fn detail(one: &Session) -> Vec<Element> {
    let direction = |name: &str, flow: &Direction, zone: &str| {
        node(
            name,
            leaves(&[
                ("source", flow.source.clone()),
                ("source-zone", zone.to_owned()),
                ("dst", flow.destination.clone()),
                ("proto", one.protocol.to_string()),
                ("sport", flow.source_port.to_string()),
                ("dport", flow.destination_port.to_string()),
                ("state", one.state.to_owned()),
                ("type", "FLOW".to_owned()),
            ]),
        )
    };
    let mut all = vec![direction("c2s", &one.client, &one.from), direction("s2c", &one.server, &one.to)];
    all.extend(leaves(&[
        ("start-time", one.start.clone()),
        ("timeout", one.timeout_s.to_string()),
        ("ttl", one.expires_s.to_string()),
        ("total-byte-count", (one.client.bytes + one.server.bytes).to_string()),
        ("layer7-packet-count", (one.client.packets + one.server.packets).to_string()),
        ("vsys", "vsys1".to_owned()),
        ("application", one.application.to_owned()),
        ("rule", one.rule.clone()),
        ("nat-rule", one.nat_rule.clone()),
        ("ingress-interface", one.ingress.clone()),
        ("egress-interface", one.egress.clone()),
    ]));
    all.extend(one.cluster_id.iter().flat_map(|id| leaves(&[("k8s-cluster-id", id.to_string())])));
    all
}

fn ip_pool(pool: &IpPool) -> Element {
    let mut entry = Element::entry(&pool.rule);
    let fields = leaves(&[
        ("type", pool.kind.to_owned()),
        ("used", pool.used.to_string()),
        ("available", pool.available.to_string()),
        ("ratio", pool.ratio.to_string()),
        ("state", pool.state.to_owned()),
    ]);
    let addresses = pool.addresses.iter().map(|one| {
        let fields = [
            ("address", one.address.clone()),
            ("protocol", one.protocol.clone()),
            ("used", one.used.to_string()),
            ("available", one.available.to_string()),
            ("allocates", one.allocates.to_string()),
            ("state", one.state.to_owned()),
        ];
        node("entry", leaves(&fields))
    });
    let addresses = (!pool.addresses.is_empty()).then(|| node("addresses", addresses.collect()));
    entry.children.extend(fields.into_iter().chain(addresses).map(child));
    entry
}

/// Times are seconds of Unix time, 0 for never.
fn rule_hits(hits: &RuleHits) -> Element {
    let named = |name: &str, children: Vec<Element>| {
        let mut entry = Element::entry(name);
        entry.children = children.into_iter().map(child).collect();
        entry
    };
    let time = |seconds: Option<i64>| seconds.unwrap_or(0).to_string();
    let rules = hits.rules.iter().map(|rule| {
        let fields = leaves(&[
            ("latest", "yes".to_owned()),
            ("hit-count", rule.count.to_string()),
            ("last-hit-timestamp", time(rule.last_s)),
            ("last-reset-timestamp", time(rule.reset_s)),
            ("first-hit-timestamp", time(rule.first_s)),
        ]);
        named(&rule.name, fields)
    });
    let base = named(hits.rule_base, vec![node("rules", rules.collect())]);
    let vsys = named(hits.vsys, vec![node("rule-base", vec![base])]);
    node("rule-hit-count", vec![node("vsys", vec![vsys])])
}

fn nat(found: &NatMatch) -> Element {
    let Some(rule) = &found.rule else { return Element::new("rules") };
    let mut entry = Element::entry(rule);
    let fields = [("source-translation", &found.source), ("destination-translation", &found.destination)];
    for (name, value) in fields {
        if let Some(value) = value {
            entry.children.push(child(Element::leaf(name, value)));
        }
    }
    node("rules", vec![entry])
}

fn fib_fields(fib: &Fib) -> Vec<Element> {
    let kind = match fib.kind {
        "forward" => "ip",
        "local" => "local",
        other => other,
    };
    leaves(&[
        ("nh", kind.to_owned()),
        ("interface", fib.interface.clone()),
        ("ip", fib.next_hop.clone()),
        ("vr", fib.router.clone()),
    ])
}

pub(super) fn node(name: &str, children: Vec<Element>) -> Element {
    let mut element = Element::new(name);
    element.children = children.into_iter().map(child).collect();
    element
}

pub(super) fn leaves(fields: &[(&str, String)]) -> Vec<Element> {
    fields
        .iter()
        .map(|(name, value)| if value.is_empty() { Element::new(name) } else { Element::leaf(name, value) })
        .collect()
}

fn child(element: Element) -> Child {
    Child::Element(element.into())
}
