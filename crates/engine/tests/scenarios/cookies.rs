//! How does a connection begin while SYNs are answered by cookies?

use bartizan_engine::verdict::{DropReason, SessionState};
use bartizan_packet::bytes::{u16_at, u32_at};
use bartizan_packet::handshake;
use bartizan_packet::parse::{Layer4, Packet, Parsed, Tcp, parse};

use crate::house::dynamic;
use crate::lab::Lab;
use crate::protection::protected;

/// SYN cookies in `trust`.
fn cookies(activate: u32, maximal: u32) -> String {
    protected(&format!(
        "<flood><tcp-syn><enable>yes</enable><syn-cookies><alarm-rate>100000</alarm-rate>\
         <activate-rate>{activate}</activate-rate><maximal-rate>{maximal}</maximal-rate></syn-cookies></tcp-syn></flood>"
    ))
}

/// The TCP segment that left last, and its receive window.
fn last(lab: &Lab) -> (Tcp, u16) {
    let (_, bytes, meta) = lab.last();
    let Ok(Parsed::Ip(packet @ Packet { layer4: Layer4::Tcp(tcp), .. })) = parse(bytes, *meta) else {
        panic!("no TCP");
    };
    (tcp, u16_at(bytes, packet.transport + 14))
}

/// Both ends of a connection, in a family.
struct Ends {
    client: &'static str,
    server: &'static str,
}

const V4: Ends = Ends { client: "10.1.0.5:4000", server: "198.51.100.9:443" };
const V6: Ends = Ends { client: "[2001:db8:1::5]:4000", server: "[2001:db8:100::9]:443" };

impl Ends {
    fn client_sends(&self, words: &str) -> String {
        format!("e1 tcp {} > {} {words}", self.client, self.server)
    }

    fn to_client(&self, flags: &str) -> String {
        format!("e1 tcp {} > {} {flags}", self.server, self.client)
    }

    fn to_server(&self, flags: &str) -> String {
        format!("e2 tcp {} > {} {flags}", self.client, self.server)
    }

    /// A SYN and its cookie, brought back; the cookie.
    fn prove(&self, lab: &mut Lab) -> u32 {
        lab.check(&self.client_sends("S"), &self.to_client("SA"));
        let (cookie, window) = last(lab);
        assert_eq!((cookie.acknowledgment, window), (1001, 0), "the client is to wait");
        lab.check(&self.client_sends(&format!("A ack={}", cookie.sequence.wrapping_add(1))), &self.to_server("S"));
        let (syn, window) = last(lab);
        assert_eq!((syn.sequence, window), (1000, 0xffff), "in the client's name");
        cookie.sequence
    }

    /// An open connection; the cookie.
    fn open(&self, lab: &mut Lab) -> u32 {
        let cookie = self.prove(lab);
        lab.check_reply("SA", &[self.to_server("A"), self.to_client("A")].join("\n"));
        let (go, window) = last(lab);
        assert_eq!((go.sequence, go.acknowledgment, window), (cookie.wrapping_add(1), 1001, 0xffff));
        cookie
    }
}

#[test]
fn a_connection_that_is_picked_up_at_its_second_segment_is_no_syn_to_answer() {
    let loose = "<deviceconfig><setting><session><tcp-reject-non-syn>no</tcp-reject-non-syn></session></setting>\
                 </deviceconfig><network>";
    let mut lab = Lab::new(&cookies(0, 1000).replacen("<network>", loose, 1));
    lab.check(&V4.client_sends("SA"), &V4.to_server("SA"));
    lab.check(&V4.client_sends("A"), &V4.to_server("A"));
}

#[test]
fn a_proven_client_gets_its_server_and_the_numbers_of_both_stay_right() {
    for ends in [V4, V6] {
        let mut lab = Lab::new(&cookies(0, 1000));
        assert_eq!((lab.engine.sessions().count(), lab.sessions().len()), (0, 0));
        let cookie = ends.open(&mut lab);
        assert_eq!(lab.session().state, SessionState::Active);
        let seen = cookie.wrapping_add(1);
        lab.check(&ends.client_sends(&format!("A len=10 ack={seen}")), &ends.to_server("A"));
        assert_eq!((last(&lab).0.sequence, last(&lab).0.acknowledgment), (1001, 5001));
        lab.check_reply("A seq=5001 ack=1011 len=20 server", &ends.to_client("A"));
        assert_eq!((last(&lab).0.sequence, last(&lab).0.acknowledgment), (seen, 1011));
        // Offloaded, and for the card to sum.
        let large = format!("A seq=1011 ack={} len=3000 gso=1000 partial", seen.wrapping_add(20));
        lab.check(&ends.client_sends(&large), &ends.to_server("A"));
        assert_eq!((last(&lab).0.sequence, last(&lab).0.acknowledgment), (1011, 5021));
        // Both say good-bye.
        lab.check(&ends.client_sends(&format!("FA seq=4011 ack={}", seen.wrapping_add(20))), &ends.to_server("FA"));
        lab.check_reply("FA seq=5021 ack=4012 server", &ends.to_client("FA"));
        assert_eq!(lab.session().state, SessionState::Closed);
        let counters = lab.counters();
        assert_eq!((counters.cookies_sent, counters.cookies_accepted, counters.cookies_refused), (1, 1, 0));
        lab.pass(60);
        assert_eq!(lab.engine.sessions().count(), 0);
    }
}

#[test]
fn a_translated_connection_is_no_different() {
    let nat = dynamic("trust", "untrust", "192.0.2.10");
    let mut lab = Lab::new(&cookies(0, 1000).replacen("<nat><rules>", &format!("<nat><rules>{nat}"), 1));
    lab.check(&V4.client_sends("S"), &V4.to_client("SA"));
    let cookie = last(&lab).0.sequence;
    let seen = cookie.wrapping_add(1);
    lab.check(&V4.client_sends(&format!("A ack={seen}")), "e2 tcp 192.0.2.10:* > 198.51.100.9:443 S");
    lab.check_reply("SA", &format!("e2 tcp 192.0.2.10:* > 198.51.100.9:443 A\n{}", V4.to_client("A")));
    lab.check(&V4.client_sends(&format!("A len=10 ack={seen}")), "e2 tcp 192.0.2.10:* > 198.51.100.9:443 A");
    lab.check_reply("A seq=5001 ack=1011 len=20 server", &V4.to_client("A"));
    assert_eq!(last(&lab).0.sequence, seen);
}

#[test]
fn a_session_has_its_turn_of_the_servers_when_its_client_is_proven() {
    let nat = "<entry name='farm'><from><member>any</member></from><to><member>any</member></to>\
               <source><member>any</member></source><destination><member>198.51.100.9</member></destination>\
               <service>any</service><dynamic-destination-translation>\
               <translated-address>198.51.100.11-198.51.100.12</translated-address></dynamic-destination-translation></entry>";
    let mut lab = Lab::new(&cookies(0, 1000).replacen("<nat><rules>", &format!("<nat><rules>{nat}"), 1));
    for (port, server) in [(4000, 11), (4001, 12), (4002, 11)] {
        let client = format!("e1 tcp 10.1.0.5:{port} > 198.51.100.9:443");
        lab.send(&format!("{client} S"));
        let seen = last(&lab).0.sequence.wrapping_add(1);
        lab.check(&format!("{client} A ack={seen}"), &format!("e2 tcp 10.1.0.5:{port} > 198.51.100.{server}:443 S"));
    }
}

#[test]
fn a_flood_of_spoofed_syns_leaves_no_trace_and_locks_nobody_out() {
    let mut lab = Lab::new(&cookies(10, 100_000));
    for at in 0..2000_u32 {
        let line = format!("e1 tcp 10.1.{}.{}:{} > 198.51.100.9:443 S", 1 + at / 200, 2 + at % 200, 1024 + at);
        let out = lab.send(&line);
        // Below the activate rate they are let in; a duplicate answer is none.
        assert_eq!(out.starts_with("e2 "), at < 10, "{at}: {out}");
    }
    assert_eq!((lab.engine.sessions().count(), lab.counters().cookies_sent), (10, 1990));
    V4.open(&mut lab);
    // Guesses open nothing.
    for guess in 0..2000_u32 {
        let line = V4.client_sends(&format!("A seq=77 ack={}", guess.wrapping_mul(0x9e37_79b9)));
        let line = line.replace(":4000", ":4001");
        lab.check(&line, "drop tcp-not-syn");
    }
    assert_eq!((lab.engine.sessions().count(), lab.counters().cookies_refused), (11, 2000));
    lab.pass(5);
    lab.check("e1 tcp 10.1.0.6:1 > 198.51.100.9:443 S", "e2 tcp 10.1.0.6:1 > 198.51.100.9:443 S");
}

#[test]
fn above_the_maximal_rate_all_are_dropped() {
    let mut lab = Lab::new(&cookies(0, 5));
    for at in 0..10 {
        let out = lab.send(&format!("e1 tcp 10.1.0.5:{} > 198.51.100.9:443 S", 1024 + at));
        assert_eq!(out == "drop flood-tcp-syn", at >= 5, "{out}");
    }
    assert_eq!(lab.dropped(DropReason::FloodTcpSyn), 5);
}

#[test]
fn the_server_is_asked_again_and_its_refusal_is_handed_on() {
    let mut lab = Lab::new(&cookies(0, 1000));
    let cookie = V4.prove(&mut lab);
    // The client may not speak yet.
    let data = V4.client_sends(&format!("A len=1 ack={}", cookie.wrapping_add(1)));
    lab.check(&data, "drop handshake-pending");
    let mut asked = 0;
    for _ in 0..8 {
        let due = lab.engine.poll_timeout();
        let Some((due, _)) = due else { break };
        lab.now = lab.now.max(due);
        lab.engine.handle_timeout(lab.now);
        asked += lab.settle().iter().filter(|line| **line == V4.to_server("S")).count();
    }
    assert_eq!((asked, lab.engine.sessions().count()), (3, 0), "asked again, and given up");

    let cookie = V4.prove(&mut lab);
    lab.check_reply("RA seq=0 ack=1001 server", &V4.to_client("R"));
    assert_eq!(last(&lab).0.sequence, cookie.wrapping_add(1));
    assert_eq!(lab.session().state, SessionState::Closed);

    let mut lab = Lab::new(&cookies(0, 1000));
    V4.prove(&mut lab);
    assert_eq!(lab.send(&V4.client_sends("R seq=1001")), "");
    assert_eq!(lab.engine.sessions().count(), 0);
}

#[test]
fn an_error_about_the_server_quotes_the_servers_number() {
    let mut lab = Lab::new(&cookies(0, 1000));
    let cookie = V4.open(&mut lab);
    lab.check(&V4.client_sends(&format!("A len=1 ack={}", cookie.wrapping_add(1))), &V4.to_server("A"));
    lab.check_reply("A seq=5001 ack=1002 len=20 server", &V4.to_client("A"));
    let (port, bytes) = lab.error_about_last("10.1.0.5", 3, 4, 1400);
    assert_eq!(u32_at(&bytes, 14 + 20 + 8 + 20 + 4), cookie.wrapping_add(1), "as the client's side sees it");
    let out = lab.inject(&port, bytes, bartizan_packet::frame::Meta::default());
    assert_eq!(out, "e2 icmp 3/4 10.1.0.5 > 198.51.100.9 about 198.51.100.9:443 > 10.1.0.5:4000");
    assert_eq!(u32_at(&lab.last().1, 14 + 20 + 8 + 20 + 4), 5001);
}

#[test]
fn neither_end_is_told_a_larger_segment_than_the_interfaces_allow() {
    let adjusted = |interface: &str| {
        let entry = format!("<entry name=\"{interface}\"><layer3>");
        let adjust =
            "<adjust-tcp-mss><enable>yes</enable><ipv4-mss-adjustment>300</ipv4-mss-adjustment></adjust-tcp-mss>";
        let config = cookies(0, 1000);
        assert!(config.contains(&entry));
        config.replacen(&entry, &format!("{entry}{adjust}"), 1)
    };
    let mss = |lab: &Lab| {
        let (_, bytes, meta) = lab.last();
        let Ok(Parsed::Ip(packet)) = parse(bytes, *meta) else { panic!("no packet") };
        handshake::mss(bytes, &packet)
    };
    for interface in ["ethernet1/1", "ethernet1/2"] {
        let mut lab = Lab::new(&adjusted(interface));
        lab.check(&V4.client_sends("S mss=1460"), &V4.to_client("SA"));
        assert_eq!(mss(&lab), Some(1200), "{interface}");
        let cookie = last(&lab).0.sequence;
        lab.check(&V4.client_sends(&format!("A ack={}", cookie.wrapping_add(1))), &V4.to_server("S"));
        assert_eq!(mss(&lab), Some(1200), "{interface}");
    }
}

#[test]
fn a_refused_flow_gets_no_cookie() {
    let config = cookies(0, 1000).replace("<action>allow</action>", "<action>reset-client</action>");
    let mut lab = Lab::new(&config);
    assert_eq!(lab.send(&V4.client_sends("S")), ["drop policy-deny".to_owned(), V4.to_client("RA")].join("\n"));
    // Ping and what ends at the firewall itself go as ever.
    let mut lab = Lab::new(&cookies(0, 1000));
    lab.check("e1 ping 10.1.0.5 > 10.1.0.1 id=3", "e1 pong 10.1.0.1 > 10.1.0.5 id=3");
    assert!(lab.send("e1 tcp 10.1.0.5:1 > 10.1.0.1:80 S").starts_with("local tcp"));
}
