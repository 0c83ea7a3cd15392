//! Whoever looks at a frame sees the session that it is part of, wherever the frame comes from, and changes nothing.

use bartizan_engine::look::Look;
use bartizan_packet::frame::Meta;

use crate::house::{dynamic, house, rule};
use crate::lab::Lab;
use crate::tunnels::{cloud, cluster, everything, outer};

fn arriving(lab: &mut Lab, (port, bytes, meta): (String, Vec<u8>, Meta)) -> Look {
    let (port, vlan) = lab.wire(&port);
    lab.engine.look_at_arriving(port, &bytes, Meta { vlan, ..meta })
}

fn session(look: &Look) -> Option<u64> {
    look.session.map(|session| session.id)
}

#[test]
fn a_session_is_seen_from_both_sides_of_its_translation_and_in_errors() {
    let text = house(&dynamic("trust", "untrust", "192.0.2.77"), &rule("out", "trust", "untrust", "allow"));
    let mut lab = Lab::new(&text);
    let line = "e1 udp 10.1.0.5:4000 > 198.51.100.9:53";
    let packet = lab.packet(line);
    let before = arriving(&mut lab, packet.clone());
    assert!(before.packet.is_some() && before.session.is_none(), "nothing was sent yet");
    assert_eq!(before.iface.map(|id| lab.tables.interface_name(id)), Some("ethernet1/1"));

    let out = lab.send(line);
    assert!(out.starts_with("e2 udp 192.0.2.77:"), "{out}");
    let id = lab.engine.sessions().next().map(|session| session.id);
    let counters = lab.engine.counters().clone();
    assert_eq!(session(&arriving(&mut lab, packet)), id);
    let answer = lab.answer("");
    assert_eq!(session(&arriving(&mut lab, answer)), id, "the server answers the translated address");
    let (port, bytes) = lab.error_about_last("198.51.100.1", 3, 4, 1300);
    assert_eq!(session(&arriving(&mut lab, (port, bytes, Meta::default()))), id, "by what it quotes");

    let (port, bytes, meta) = lab.last().clone();
    let (port, vlan) = lab.wire(&port);
    let left = lab.engine.look_at_leaving(port, &bytes, Meta { vlan, ..meta });
    assert_eq!(session(&left), id, "as it leaves");
    assert_eq!(lab.engine.counters(), &counters, "looking counts nothing");
}

#[test]
fn what_is_in_a_tunnel_is_seen_with_the_side_it_comes_by() {
    let mut lab = Lab::new(&cloud(&cluster("k", 7), "", &everything()));
    let line = "udp 10.244.1.7:5000 > 198.51.100.9:53";
    let payload = lab.vxlan_frame(7, line);
    let frame = || ("e1".to_owned(), outer("10.1.0.9", (33_000, 6080), &payload), Meta::default());
    let look = arriving(&mut lab, frame());
    assert_eq!(look.packet.map(|packet| packet.source.to_string()).as_deref(), Some("10.244.1.7"));
    let side = look.iface.and_then(|id| lab.tables.interface(id)).and_then(|one| one.tunnel.as_ref());
    assert!(side.is_some(), "a side of the traffic object");

    let out = lab.vxlan("10.1.0.9", (33_000, 6080), 7, line);
    assert!(!out.contains("drop"), "{out}");
    let id = lab.engine.sessions().next().map(|session| session.id);
    assert!(id.is_some());
    assert_eq!(session(&arriving(&mut lab, frame())), id);
}

#[test]
fn what_is_no_ip_packet_has_an_interface_and_no_more() {
    let mut lab = Lab::new(&house("", ""));
    for bytes in [vec![], vec![0xff; 13], [[0xff; 12].as_slice(), &[8, 6], &[0; 28]].concat()] {
        let look = arriving(&mut lab, ("e1".to_owned(), bytes.clone(), Meta::default()));
        assert_eq!(look.iface.map(|id| lab.tables.interface_name(id)), Some("ethernet1/1"));
        assert!(look.packet.is_none() && look.session.is_none(), "{bytes:?}");
        let (port, _) = lab.wire("e1");
        assert!(lab.engine.look_at_leaving(port, &bytes, Meta::default()).packet.is_none());
    }
}
