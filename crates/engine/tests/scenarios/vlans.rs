//! Subinterfaces with 802.1Q tags, and segment sizes that interfaces allow.

#![expect(clippy::unwrap_used, reason = "a test that cannot build its packet fails")]

use bartizan_engine::verdict::DropReason;
use bartizan_packet::bytes::u16_at;
use bartizan_packet::frame::Meta;

use crate::house::{house, rule};
use crate::lab::{Lab, port_mac};

/// The house with its trusted side on VLAN 100 of the first port and its DMZ on VLAN 200 of the same.
fn trunk(port: &str, more: &str) -> String {
    let text = house("", &rule("all", "any", "any", "allow"));
    let entry = |name: &str| {
        let start = text.find(&format!("<entry name=\"{name}\"><layer3>")).unwrap();
        let end = start + text[start..].find("</layer3></entry>").unwrap() + "</layer3></entry>".len();
        text[start..end].to_owned()
    };
    let (trust, dmz) = (entry("ethernet1/1"), entry("ethernet1/3"));
    let unit = |entry: &str, from: &str, to: &str, tag: u16| {
        entry
            .replace(from, to)
            .replace("<layer3>", &format!("<tag>{tag}</tag>{more}"))
            .replace("</layer3></entry>", "</entry>")
    };
    let units = [
        unit(&trust, "ethernet1/1", "ethernet1/1.100", 100),
        // The number of the name is not the tag.
        unit(&dmz, "ethernet1/3", "ethernet1/1.7", 200),
    ];
    let both = format!("<entry name=\"ethernet1/1\"><layer3>{port}<units>{}</units></layer3></entry>", units.concat());
    text.replace(&dmz, "")
        .replace(&trust, &both)
        .replace("<member>ethernet1/1</member>", "<member>ethernet1/1.100</member>")
        .replace("<member>ethernet1/3</member>", "<member>ethernet1/1.7</member>")
}

#[test]
fn parts_of_one_port_are_told_apart_by_their_tags() {
    let mut lab = Lab::new(&trunk("", ""));
    lab.check("e1.100 udp 10.1.0.5:40000 > 198.51.100.9:53", "e2 udp 10.1.0.5:40000 > 198.51.100.9:53");
    assert_eq!(lab.last().2.vlan, 0, "the other port has no VLANs");
    lab.check_reply("", "e1.100 udp 198.51.100.9:53 > 10.1.0.5:40000");
    assert_eq!(lab.last().2.vlan, 100);
    // From one VLAN of a port to another of the same.
    lab.check("e1.100 udp 10.1.0.5:40000 > 10.3.0.9:53", "e1.7 udp 10.1.0.5:40000 > 10.3.0.9:53");
    assert_eq!(lab.last().2.vlan, 200);
    let session = lab.sessions().pop().unwrap();
    assert_eq!(lab.tables.interface_name(session.ingress), "ethernet1/1.100");
    lab.check(
        "e1.100 udp [2001:db8:1::5]:40000 > [2001:db8:3::9]:53",
        "e1.7 udp [2001:db8:1::5]:40000 > [2001:db8:3::9]:53",
    );
    // A ping of the address that another part holds leaves where it came in.
    lab.check("e1.7 ping 10.3.0.9 > 10.1.0.1 id=1", "e1.7 pong 10.1.0.1 > 10.3.0.9 id=1");
    lab.check("e1.300 udp 10.1.0.5:40000 > 198.51.100.9:53", "drop unknown-vlan");
    lab.check("e2.100 udp 10.1.0.5:40000 > 198.51.100.9:53", "drop unknown-vlan");
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "drop no-zone");
    assert_eq!(lab.dropped(DropReason::UnknownVlan), 2);
}

#[test]
fn arp_is_answered_and_asked_with_the_tag() {
    let mut lab = Lab::new(&trunk("", ""));
    let asker =
        bartizan_packet::arp::Arp::request([2, 0x0a, 10, 1, 0, 77], [10, 1, 0, 77].into(), [10, 1, 0, 1].into());
    assert_eq!(lab.inject("e1.100", asker.clone(), Meta::default()), "e1.100 arp Reply 10.1.0.1 > 10.1.0.77");
    assert_eq!(lab.last().2.vlan, 100);
    assert_eq!(lab.inject("e1.7", asker, Meta::default()), "", "another VLAN's address");
    lab.silent.insert([10, 3, 0, 9].into());
    lab.send("e1.100 udp 10.1.0.5:40000 > 10.3.0.9:53");
    lab.pass(1);
    let asked = lab.settle();
    assert!(asked.is_empty(), "the silent neighbour was asked again: {asked:?}");
    assert_eq!(lab.counters().neighbor_requests, 2);
}

#[test]
fn a_port_takes_its_parts_down_with_it() {
    let mut lab = Lab::new(&trunk("", ""));
    let port = lab.port("e1");
    lab.engine.detach(port);
    lab.check("e1.100 udp 10.1.0.5:40000 > 198.51.100.9:53", "drop port-down");
    lab.engine.attach(port, port_mac("e1"));
    lab.check("e1.100 udp 10.1.0.5:40000 > 198.51.100.9:53", "e2 udp 10.1.0.5:40000 > 198.51.100.9:53");
}

/// The segment size that the packet which left last announces.
fn mss(lab: &Lab) -> u16 {
    let (_, bytes, _) = lab.last();
    let transport = if bytes[12] == 0x08 { 34 } else { 54 };
    u16_at(bytes, transport + 22)
}

#[test]
fn handshakes_agree_on_segments_that_the_interfaces_allow() {
    let adjust = "<adjust-tcp-mss><enable>yes</enable><ipv4-mss-adjustment>120</ipv4-mss-adjustment></adjust-tcp-mss>";
    let mut lab = Lab::new(&trunk("", adjust));
    // e1.7 has an MTU of 1400, e1.100 the usual 1500; e2 enforces nothing.
    lab.check("e1.100 tcp 10.1.0.5:40000 > 198.51.100.9:443 S mss=1460", "e2 tcp 10.1.0.5:40000 > 198.51.100.9:443 S");
    assert_eq!(mss(&lab), 1380);
    lab.check_reply("SA mss=1460", "e1.100 tcp 198.51.100.9:443 > 10.1.0.5:40000 SA");
    assert_eq!(mss(&lab), 1380, "what the server wants comes by the same interface");
    lab.check("e1.100 tcp 10.1.0.5:40001 > 10.3.0.9:443 S mss=1460", "e1.7 tcp 10.1.0.5:40001 > 10.3.0.9:443 S");
    assert_eq!(mss(&lab), 1280, "the lower of both");
    lab.check("e1.100 tcp 10.1.0.5:40002 > 10.3.0.9:443 S mss=1000", "e1.7 tcp 10.1.0.5:40002 > 10.3.0.9:443 S");
    assert_eq!(mss(&lab), 1000, "never raised");
    lab.check(
        "e1.100 tcp [2001:db8:1::5]:40000 > [2001:db8:3::9]:443 S mss=1440 partial",
        "e1.7 tcp [2001:db8:1::5]:40000 > [2001:db8:3::9]:443 S",
    );
    assert_eq!(mss(&lab), 1340);
    assert_eq!(lab.counters().mss_lowered, 4);
    let mut lab = Lab::new(&trunk("", ""));
    lab.send("e1.100 tcp 10.1.0.5:40000 > 10.3.0.9:443 S mss=1460");
    assert_eq!((mss(&lab), lab.counters().mss_lowered), (1460, 0), "off unless it is switched on");
}
