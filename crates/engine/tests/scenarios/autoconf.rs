//! Interfaces whose IPv6 address comes by router advertisement.

#![expect(clippy::unwrap_used, reason = "a test that cannot build its packet fails")]

use std::net::{IpAddr, Ipv6Addr};

use bartizan_engine::verdict::{Event, Notice, NoticeKind};
use bartizan_packet::answer::{Link, ip_frame};
use bartizan_packet::bytes::put_u16;
use bartizan_packet::checksum;
use bartizan_packet::frame::Meta;
use bartizan_policy::facts::{Facts, Learned};

use crate::house::{house, rule};
use crate::lab::{Lab, neighbor_mac};

const ROUTER: &str = "fe80::fe";

/// The house with `untrust` by router advertisement, over IPv6.
fn listening() -> String {
    let text = house("", &rule("all", "any", "any", "allow"));
    let own = "<address><entry name=\"2001:db8:2::1/64\"/></address>";
    assert!(text.contains(own));
    let route = text.find("<ipv6><static-route>").unwrap();
    let end = route + text[route..].find("</ipv6>").unwrap() + "</ipv6>".len();
    format!("{}{}", &text[..route], &text[end..]).replace(own, "<dhcp-client/>")
}

/// An advertisement by this source with this hop limit; `damage` comes after its checksum.
fn advertisement(source: &str, hop_limit: u8, damage: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let source: Ipv6Addr = source.parse().unwrap();
    let all: IpAddr = "ff02::1".parse().unwrap();
    let mut message = vec![134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend([3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x07, 0x08, 0, 0, 0, 0]);
    message.extend("2001:db8:9::".parse::<Ipv6Addr>().unwrap().octets());
    let value = checksum::transport(source.into(), all, 58, &message);
    put_u16(&mut message, 2, value);
    damage(&mut message);
    let link = Link { source: neighbor_mac(source.into()), destination: [0x33, 0x33, 0, 0, 0, 1] };
    ip_frame(link, source.into(), all, 58, hop_limit, &message)
}

fn heard(lab: &mut Lab) -> Vec<Notice> {
    let notices = std::mem::take(&mut lab.messages).into_iter().filter_map(|event| match event {
        Event::Notice(notice) => Some(notice),
        _ => None,
    });
    notices.collect()
}

#[test]
fn advertisements_are_heard_where_they_are_wanted_and_right() {
    let mut lab = Lab::new(&listening());
    assert_eq!(lab.inject("e2", advertisement(ROUTER, 255, |_| {}), Meta::default()), "");
    let notices = heard(&mut lab);
    assert_eq!((notices.len(), notices[0].kind), (1, NoticeKind::RouterAdvertisement));
    assert_eq!((notices[0].source.to_string(), notices[0].bytes[0]), (ROUTER.to_owned(), 134));
    for (wrong, frame) in [
        ("it crossed a router", advertisement(ROUTER, 254, |_| {})),
        ("not of this link", advertisement("2001:db8:2::fe", 255, |_| {})),
        ("damaged", advertisement(ROUTER, 255, |message| message[7] ^= 1)),
    ] {
        assert_eq!(lab.inject("e2", frame, Meta::default()), "drop bad-neighbor-message", "{wrong}");
    }
    // An interface with a written address does not listen.
    assert_eq!(lab.inject("e1", advertisement(ROUTER, 255, |_| {}), Meta::default()), "drop multicast");
    assert!(heard(&mut lab).is_empty());
}

#[test]
fn what_was_learned_answers_and_leads_out() {
    let mut lab = Lab::new(&listening());
    lab.check("e1 udp [2001:db8:1::5]:40000 > [3fff::9]:53", "drop no-route");
    let mut facts = Facts::default();
    let learned =
        Learned { addresses: vec!["2001:db8:9::7/64".parse().unwrap()], gateways: vec![ROUTER.parse().unwrap()] };
    facts.interfaces.insert("ethernet1/2".into(), learned);
    lab.learn(&listening(), &facts);
    lab.check("e1 udp [2001:db8:1::5]:40000 > [3fff::9]:53", "e2 udp [2001:db8:1::5]:40000 > [3fff::9]:53");
    assert_eq!(bartizan_packet::ethernet::destination(&lab.last().1), neighbor_mac(ROUTER.parse().unwrap()));
    let asker: Ipv6Addr = "2001:db8:9::77".parse().unwrap();
    let question = bartizan_packet::ndp::solicit(neighbor_mac(asker.into()), asker, "2001:db8:9::7".parse().unwrap());
    assert_eq!(lab.inject("e2", question, Meta::default()), "e2 icmp 136 2001:db8:9::7 > 2001:db8:9::77");
    // IPv4 of the same interface is as it was written.
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "e2 udp 10.1.0.5:40000 > 198.51.100.9:53");
}
