//! Interfaces whose address comes by DHCP: what is heard, what is sent, and what a new lease does.

#![expect(clippy::unwrap_used, reason = "a test that cannot build its packet fails")]

use bartizan_engine::settings::{Limits, Settings};
use bartizan_engine::verdict::{DropReason, Event, Notice, NoticeKind};
use bartizan_packet::answer::{Link, udp_frame};
use bartizan_packet::ethernet::BROADCAST;
use bartizan_packet::frame::Meta;
use bartizan_policy::facts::{Facts, Learned};

use crate::house::{house, rule};
use crate::lab::{Lab, neighbor_mac, port_mac};

/// The house with `untrust` on a leased address, and its clients behind that.
fn leased() -> String {
    let nat = "<entry name='out'><from><member>trust</member></from><to><member>untrust</member></to>\
         <source><member>any</member></source><destination><member>any</member></destination><service>any</service>\
         <source-translation><dynamic-ip-and-port><interface-address><interface>ethernet1/2</interface>\
         </interface-address></dynamic-ip-and-port></source-translation></entry>";
    let own = "<ip><entry name=\"192.0.2.1/24\"/></ip>";
    let text = house(nat, &rule("all", "any", "any", "allow"));
    assert!(text.contains(own));
    text.replace(own, "<dhcp-client/>")
}

fn lease(own: &str, gateway: &str) -> Facts {
    let mut facts = Facts::default();
    let (addresses, gateways) = (vec![own.parse().unwrap()], vec![gateway.parse().unwrap()]);
    facts.interfaces.insert("ethernet1/2".into(), Learned { addresses, gateways });
    facts
}

/// A datagram from a server's port to a client's.
fn reply(destination: &str, broadcast: bool) -> Vec<u8> {
    let source = "192.0.2.254".parse().unwrap();
    let to = if broadcast { BROADCAST } else { port_mac("e2") };
    let link = Link { source: neighbor_mac(source), destination: to };
    udp_frame(link, (source, 67), (destination.parse().unwrap(), 68), b"reply")
}

fn heard(lab: &mut Lab) -> Vec<Notice> {
    let notices = std::mem::take(&mut lab.messages).into_iter().filter_map(|event| match event {
        Event::Notice(notice) => Some(notice),
        _ => None,
    });
    notices.collect()
}

#[test]
fn replies_are_heard_by_the_client_alone() {
    let mut lab = Lab::new(&leased());
    // Without an address a server may send to the one it offers.
    for (destination, broadcast) in [("255.255.255.255", true), ("192.0.2.10", false)] {
        assert_eq!(lab.inject("e2", reply(destination, broadcast), Meta::default()), "");
        let notices = heard(&mut lab);
        assert_eq!(notices.len(), 1, "{destination}");
        assert_eq!((notices[0].kind, &*notices[0].bytes), (NoticeKind::Dhcp, &b"reply"[..]));
        assert_eq!(lab.name(bartizan_engine::verdict::Port::Data(notices[0].iface)), "e2");
    }
    // With one, a reply to somebody else is passing through.
    lab.learn(&leased(), &lease("192.0.2.10/24", "192.0.2.254"));
    assert_eq!(lab.inject("e2", reply("192.0.2.10", false), Meta::default()), "");
    assert_eq!(heard(&mut lab).len(), 1);
    let through = lab.inject("e2", reply("10.1.0.5", false), Meta::default());
    assert_eq!(through, "e1 udp 192.0.2.254:67 > 10.1.0.5:68".replace(":67", ":*").replace(":68", ":*"));
    // An interface with a written address has no client.
    assert_eq!(lab.inject("e1", reply("255.255.255.255", true), Meta::default()), "drop multicast");
    assert_eq!(lab.counters().notices, 3);
}

#[test]
fn damaged_and_too_many_replies_are_dropped() {
    let limits = Limits { notices_per_second: 2, ..Limits::default() };
    let mut lab = Lab::with(&leased(), Settings { limits, ..Settings::default() });
    let mut damaged = reply("255.255.255.255", true);
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(lab.inject("e2", damaged, Meta::default()), "drop bad-checksum");
    for expected in ["", "", "drop queue-full"] {
        assert_eq!(lab.inject("e2", reply("255.255.255.255", true), Meta::default()), expected);
    }
    lab.pass(1);
    assert_eq!(lab.inject("e2", reply("255.255.255.255", true), Meta::default()), "");
}

#[test]
fn own_frames_leave_as_they_are_or_by_way_of_a_neighbour() {
    let mut lab = Lab::new(&leased());
    let iface = lab.tables.interface_id("ethernet1/2").unwrap();
    let frame = || {
        let link = Link { source: [0; 6], destination: BROADCAST };
        udp_frame(link, ("0.0.0.0".parse().unwrap(), 68), ("192.0.2.254".parse().unwrap(), 67), b"ask")
    };
    let now = lab.now;
    assert_eq!(lab.engine.originate(iface, None, frame(), now), Ok(()));
    assert_eq!(lab.settle(), ["e2 udp 0.0.0.0:* > 192.0.2.254:*"]);
    assert_eq!(bartizan_packet::ethernet::destination(&lab.last().1), BROADCAST);
    let server = "192.0.2.254".parse().unwrap();
    assert_eq!(lab.engine.originate(iface, Some(server), frame(), now), Ok(()));
    // The first question and its answer let the frame go.
    lab.settle();
    lab.settle();
    assert_eq!(bartizan_packet::ethernet::destination(&lab.last().1), neighbor_mac(server));
    assert_eq!(lab.engine.originate(iface, None, vec![0; 3], now), Err(DropReason::Malformed));
    lab.engine.detach(lab.port("e2"));
    assert_eq!(lab.engine.originate(iface, None, frame(), now), Err(DropReason::PortDown));
    assert_eq!(lab.dropped(DropReason::PortDown), 1);
}

#[test]
fn without_a_lease_there_is_no_address_and_no_way() {
    let mut lab = Lab::new(&leased());
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "drop no-route");
    lab.check("e2 ping 192.0.2.77 > 192.0.2.10 id=1", "drop no-route");
    lab.learn(&leased(), &lease("192.0.2.10/24", "192.0.2.254"));
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "e2 udp 192.0.2.10:* > 198.51.100.9:53");
    lab.check("e1 udp [2001:db8:1::5]:40000 > [2001:db8:2::9]:53", "e2 udp [2001:db8:2::1]:* > [2001:db8:2::9]:53");
}

#[test]
fn a_changed_lease_ends_the_sessions_that_used_the_old_address_and_no_others() {
    let mut lab = Lab::new(&leased());
    lab.learn(&leased(), &lease("192.0.2.10/24", "192.0.2.254"));
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "e2 udp 192.0.2.10:* > 198.51.100.9:53");
    lab.check("e1 udp 10.1.0.5:40000 > 10.3.0.9:53", "e3 udp 10.1.0.5:40000 > 10.3.0.9:53");
    lab.check("e1 ping 10.1.0.5 > 10.1.0.1 id=7", "e1 pong 10.1.0.1 > 10.1.0.5 id=7");
    assert_eq!(lab.sessions().len(), 3);
    lab.logs();

    lab.learn(&leased(), &lease("192.0.2.99/24", "192.0.2.254"));
    lab.pass(0);
    assert_eq!(lab.logs(), ["end 10.1.0.5 > 198.51.100.9 trust>untrust allow all nat-address-gone"]);
    assert_eq!((lab.sessions().len(), lab.counters().nat_address_gone), (2, 1));
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "e2 udp 192.0.2.99:* > 198.51.100.9:53");
    // The same lease again, renewed, changes nothing.
    lab.learn(&leased(), &lease("192.0.2.99/24", "192.0.2.254"));
    lab.pass(0);
    assert_eq!((lab.sessions().len(), lab.counters().nat_address_gone), (3, 1));
    // Before the sweep has come by, the session's own next packet finds out.
    lab.learn(&leased(), &Facts::default());
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "drop no-route");
    // What was opened to an address that is gone ends, too.
    lab.logs();
    lab.commit(&leased().replace("10.1.0.1/24", "10.1.0.2/24"));
    lab.pass(0);
    assert!(lab.logs().contains(&"end 10.1.0.5 > 10.1.0.1 trust>trust allow all address-lost".to_owned()));
    assert_eq!(lab.counters().sessions_address_lost, 1);
}
