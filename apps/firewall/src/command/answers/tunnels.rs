//! Which tunnels are there, what went through them, and which belong to no traffic object?

use std::collections::BTreeMap;

use bartizan_engine::verdict::{Time, TunnelTraffic, UnmappedTunnel};
use bartizan_policy::tunnels::{Object, Unmapped};

use super::on_all;
use crate::command::answer::{Answer, TrafficObject, TrafficObjects, UnmappedRow};
use crate::firewall::Firewall;

/// `show traffic-objects`.
pub(super) async fn traffic_objects(firewall: &Firewall) -> Result<Answer, String> {
    let running = firewall.running().ok_or("no configuration is enforced yet")?;
    let tables = &running.compiled;
    let objects = tables.tunnels().objects().to_vec();
    let sides: Vec<_> = objects.iter().map(|object| object.sides().collect::<Vec<_>>()).collect();
    let found = on_all(firewall, move |inside| {
        let of = |sides: &Vec<_>| {
            sides.iter().map(|side| inside.engine.tunnel_traffic(*side)).fold(TunnelTraffic::default(), add)
        };
        let traffic: Vec<_> = sides.iter().map(of).collect();
        (traffic, inside.engine.unmapped_tunnels().to_vec(), inside.now)
    })
    .await?;
    let total = |at: usize| found.iter().map(|(traffic, ..)| traffic[at]).fold(TunnelTraffic::default(), add);
    let zone = |side| {
        let interface = tables.interface(side);
        interface.and_then(|interface| interface.zone).map_or_else(String::new, |id| tables.zone_name(id).to_owned())
    };
    let row = |(at, object): (usize, &Object)| {
        let traffic = total(at);
        let router = tables.interface(object.ingress).and_then(|interface| interface.router);
        TrafficObject {
            name: object.name.to_string(),
            tunnel: object.tunnel.clone(),
            zone_ingress: zone(object.ingress),
            zone_egress: zone(object.egress),
            router: router.map_or_else(String::new, |id| tables.router_name(id).to_owned()),
            received_packets: traffic.received.0,
            received_bytes: traffic.received.1,
            sent_packets: traffic.sent.0,
            sent_bytes: traffic.sent.1,
        }
    };
    let rows = objects.iter().enumerate().map(row).collect();
    let mut unmapped: BTreeMap<_, (UnmappedTunnel, Time)> = BTreeMap::new();
    for (_, seen, now) in &found {
        for one in seen {
            let (sum, _) =
                unmapped.entry((one.tunnel, one.lower)).or_insert((UnmappedTunnel { packets: 0, ..*one }, *now));
            sum.packets += one.packets;
            if one.last > sum.last {
                (sum.last, sum.peer) = (one.last, one.peer);
            }
        }
    }
    let unmapped = unmapped.into_values().map(|(one, now)| UnmappedRow {
        tunnel: describe(one.tunnel),
        interface: tables.interface_name(one.lower).to_owned(),
        peer: one.peer.to_string(),
        packets: one.packets,
        last_s: now.since(one.last) / bartizan_engine::settings::SECOND,
    });
    Ok(Answer::TrafficObjects(TrafficObjects { objects: rows, unmapped: unmapped.collect() }))
}

fn add(a: TunnelTraffic, b: TunnelTraffic) -> TunnelTraffic {
    let sum = |(a, b): (u64, u64), (c, d): (u64, u64)| (a + c, b + d);
    TunnelTraffic { received: sum(a.received, b.received), sent: sum(a.sent, b.sent) }
}

fn describe(tunnel: Unmapped) -> String {
    match tunnel {
        Unmapped::Vni(port, vni) => format!("vni {vni} on port {port}"),
        Unmapped::VpcEndpoint(endpoint) => format!("vpce-0{endpoint:016x}"),
        Unmapped::Network(network) => format!("network-id {network}"),
        Unmapped::Unnamed => "geneve without an id".to_owned(),
    }
}
