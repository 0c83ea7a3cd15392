//! Does the established path allocate? It must not: not for NAT, not for IPv6, not for ping.

use bartizan_engine::verdict::{Port, Verdict};
use bartizan_packet::answer::{Link, ip_frame};
use bartizan_packet::ethernet;
use bartizan_packet::frame::{Frame, HEADROOM_BYTES, Meta};
use bartizan_packet::vxlan::{self, Vni};

use crate::counting::allocations;

mod counting;
#[path = "scenarios/house.rs"]
#[expect(dead_code, reason = "shared with the scenarios, which use more of it")]
mod house;
#[path = "scenarios/lab.rs"]
#[expect(dead_code, reason = "shared with the scenarios, which use more of it")]
mod lab;

#[test]
fn the_counter_counts() {
    assert!(allocations(|| drop(std::hint::black_box(vec![1_u8; 100]))) > 0);
}

#[test]
fn packets_of_open_sessions_allocate_nothing() {
    let nat = house::dynamic("trust", "untrust", "192.0.2.10");
    let mut lab = lab::Lab::new(&house::house(&nat, &house::rule("all", "any", "any", "allow")));
    let mut frames = Vec::new();
    for line in [
        "e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 S",
        "e1 udp 10.1.0.5:40000 > 198.51.100.9:53 len=100",
        "e1 udp [2001:db8:1::5]:40000 > [2001:db8:100::9]:53 len=100",
        "e1 ping 10.1.0.5 > 198.51.100.9 id=5",
        "e1 ping 10.1.0.5 > 10.1.0.1 id=5",
    ] {
        lab.send(line);
        frames.push(lab.packet(line));
        if !line.ends_with("10.1.0.1 id=5") {
            let answer = lab.answer("SA");
            lab.reply("SA");
            frames.push(answer);
        }
    }
    frames.push(lab.packet("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 A len=1000"));
    for (port, bytes, meta) in frames {
        let port = lab.port(&port);
        let mut copy = bytes.clone();
        let mut verdicts = [Verdict::Consumed; 3];
        let now = lab.now;
        let engine = &mut lab.engine;
        let count = allocations(|| {
            for verdict in &mut verdicts {
                copy.copy_from_slice(&bytes);
                *verdict = engine.handle_frame(port, &mut Frame { bytes: &mut copy, meta }, now);
            }
        });
        assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Transmit(_))), "{verdicts:?}");
        assert_eq!(count, 0, "allocations for a packet by {port:?}");
        let mut copies = [bytes.clone(), bytes.clone()];
        let mut burst = copies.each_mut().map(|bytes| Frame { bytes, meta });
        let mut forwarded = 0;
        let count = allocations(|| {
            engine.handle_burst(port, &mut burst, now, |_, _, verdict| {
                forwarded += usize::from(matches!(verdict, Verdict::Transmit(_)));
            });
        });
        assert_eq!((forwarded, count), (2, 0), "allocations for a burst by {port:?}");
    }
}

/// The packet of a line in the tunnel of a pod.
fn in_tunnel(lab: &mut lab::Lab, pod: &str, line: &str) -> Vec<u8> {
    let (_, mut inner, _) = lab.packet(&format!("e1 {line}"));
    ethernet::address(&mut inner, [2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 1]);
    let length = (8 + 8 + inner.len()) as u16;
    let ports = [33_000_u16, 6080, length, 0].map(u16::to_be_bytes).concat();
    let message = [ports.as_slice(), &vxlan::header(Vni::new(1).expect("a network")), &inner].concat();
    let (pod, own) = (pod.parse().expect("an address"), [10, 1, 0, 1].into());
    let link = Link { source: lab::neighbor_mac(pod), destination: lab::port_mac("e1") };
    ip_frame(link, pod, own, 17, 64, &message)
}

#[test]
fn packets_to_and_from_pods_allocate_nothing() {
    let object = "<traffic-object><entry name='red'><k8s-cluster><cluster-id>1</cluster-id><network>\
        <logical-router>lr</logical-router><zone-ingress>trust</zone-ingress>\
        <interface><member>ethernet1/1</member></interface></network></k8s-cluster></entry></traffic-object><rulebase>";
    let house = house::house("", &house::rule("all", "any", "any", "allow")).replace("<rulebase>", object);
    let mut lab = lab::Lab::new(&house);
    let (of_server, of_client) = ("udp 198.51.100.9:4000 > 10.3.0.8:53", "udp 10.3.0.8:53 > 198.51.100.9:4000");
    // The pod's tunnel becomes known, and so do the neighbours.
    lab.send(&format!("e2 {of_server}"));
    let back = in_tunnel(&mut lab, "10.3.0.8", of_server);
    lab.inject("e1", back, Meta::default());
    let answer = in_tunnel(&mut lab, "10.3.0.8", of_client);
    lab.inject("e1", answer.clone(), Meta::default());
    let new = in_tunnel(&mut lab, "10.3.0.8", "udp 10.3.0.50:4000 > 10.3.0.8:53");
    lab.inject("e1", new.clone(), Meta::default());
    let routed = in_tunnel(&mut lab, "10.3.0.8", "udp 10.3.0.8:53 > 10.3.0.50:4000");
    lab.inject("e1", routed.clone(), Meta::default());
    let (_, straight, _) = lab.packet(&format!("e2 {of_server}"));
    for (what, port, bytes) in [
        ("straight into the tunnel", "e2", straight),
        ("the answer", "e1", answer),
        ("on its way to the pod", "e1", new),
        ("the routed answer", "e1", routed),
    ] {
        let port = lab.port(port);
        let meta = Meta { headroom: HEADROOM_BYTES as u16, ..Meta::default() };
        let buffer = [vec![0; HEADROOM_BYTES], bytes].concat();
        let mut copy = buffer.clone();
        let (now, engine) = (lab.now, &mut lab.engine);
        let mut verdicts = [Verdict::Consumed; 3];
        let count = allocations(|| {
            for verdict in &mut verdicts {
                copy.copy_from_slice(&buffer);
                *verdict = engine.handle_frame(port, &mut Frame { bytes: &mut copy, meta }, now);
            }
        });
        assert!(
            verdicts.iter().all(|verdict| matches!(verdict, Verdict::Transmit(Port::Data(_)))),
            "{what} {verdicts:?}"
        );
        assert_eq!(count, 0, "allocations for {what}");
    }
}
