//! The deployment behind two Azure load balancers: two routers, outbound source NAT, inbound NAT of both
//! addresses, probes to both loopbacks.

use crate::lab::{AZURE, Lab};
use bartizan_engine::verdict::{DropReason, SessionState};

#[test]
fn outbound_crosses_the_routers_with_the_untrust_address() {
    let mut lab = Lab::new(AZURE);
    lab.check("e1 tcp 10.1.0.10:40000 > 198.51.100.9:443 S", "e2 tcp 10.0.2.4:* > 198.51.100.9:443 S");
    lab.check_reply("SA", "e1 tcp 198.51.100.9:443 > 10.1.0.10:40000 SA");
    lab.check("e1 tcp 10.1.0.10:40000 > 198.51.100.9:443 A", "e2 tcp 10.0.2.4:* > 198.51.100.9:443 A");
    lab.check_reply("PA len=500", "e1 tcp 198.51.100.9:443 > 10.1.0.10:40000 PA");
    let session = lab.session();
    assert_eq!(session.state, SessionState::Active);
    assert_eq!(session.sent, (2, 80));
    assert_eq!(session.received, (2, 580));
    assert_eq!(session.server.destination.to_string(), "10.0.2.4");
}

#[test]
fn pods_go_out_and_answers_come_back() {
    let mut lab = Lab::new(AZURE);
    lab.check("e1 udp 172.16.0.77:5353 > 8.8.8.8:53 len=30", "e2 udp 10.0.2.4:* > 8.8.8.8:53");
    lab.check_reply("len=100", "e1 udp 8.8.8.8:53 > 172.16.0.77:5353");
    lab.check("e1 ping 172.16.0.77 > 8.8.8.8 id=7", "e2 ping 10.0.2.4 > 8.8.8.8 id=*");
    lab.check_reply("", "e1 pong 8.8.8.8 > 172.16.0.77 id=7");
}

#[test]
fn inbound_is_translated_both_ways_and_logged() {
    let mut lab = Lab::new(AZURE);
    lab.check("e2 tcp 198.51.100.9:50000 > 203.0.113.10:80 S", "e1 tcp 10.0.1.4:* > 10.1.0.10:80 S");
    lab.check_reply("SA", "e2 tcp 203.0.113.10:80 > 198.51.100.9:50000 SA");
    assert_eq!(lab.logs(), ["start 198.51.100.9 > 203.0.113.10 untrust>trust allow inbound-web -"]);
    lab.check("e2 tcp 198.51.100.9:50000 > 203.0.113.10:80 A", "e1 tcp 10.0.1.4:* > 10.1.0.10:80 A");
    lab.check("e2 tcp 198.51.100.9:50000 > 203.0.113.10:80 FA", "e1 tcp 10.0.1.4:* > 10.1.0.10:80 FA");
    lab.check_reply("FA ack=1002", "e2 tcp 203.0.113.10:80 > 198.51.100.9:50000 FA");
    assert_eq!(lab.session().state, SessionState::Closed);
    lab.pass(16);
    assert_eq!(lab.logs(), ["end 198.51.100.9 > 203.0.113.10 untrust>trust allow inbound-web tcp-fin"]);
    assert_eq!(lab.sessions(), []);
}

#[test]
fn probes_of_both_load_balancers_are_answered_by_the_router_they_came_by() {
    let mut lab = Lab::new(AZURE);
    for (port, address) in [("e1", "10.0.1.100"), ("e2", "203.0.113.10")] {
        let syn = format!("{port} tcp 168.63.129.16:60000 > {address}:443 S");
        lab.check(&syn, "local tcp token > 198.18.0.1:8443 S");
        lab.check_reply("SA", &format!("{port} tcp {address}:443 > 168.63.129.16:60000 SA"));
    }
    lab.check("e1 tcp 168.63.129.16:60000 > 10.0.1.100:443 A", "local tcp token > 198.18.0.1:8443 A");
    // Where the operator did not allow it, nothing answers.
    lab.check("e1 tcp 10.1.0.10:40000 > 10.0.1.100:443 S", "drop local-service");
}

#[test]
fn ping_of_the_firewall_is_answered_where_the_profile_says_so() {
    let mut lab = Lab::new(AZURE);
    lab.check("e1 ping 10.0.1.9 > 10.0.1.4 id=3", "e1 pong 10.0.1.4 > 10.0.1.9 id=3");
    lab.check("e1 ping 10.0.1.9 > 10.0.1.100 id=3", "e1 pong 10.0.1.100 > 10.0.1.9 id=3");
    lab.check("e2 ping 198.51.100.9 > 10.0.2.4 id=3", "drop local-service");
}

#[test]
fn what_no_rule_allows_is_dropped_and_logged_once() {
    let mut lab = Lab::new(AZURE);
    for _ in 0..3 {
        lab.check("e2 tcp 198.51.100.9:50000 > 203.0.113.10:22 S", "drop local-service");
    }
    for _ in 0..3 {
        lab.check("e2 tcp 198.51.100.9:50000 > 10.1.0.10:22 S", "drop policy-deny");
    }
    let denied: Vec<_> = lab.logs().into_iter().filter(|line| line.starts_with("deny")).collect();
    assert_eq!(denied, ["deny 198.51.100.9 > 10.1.0.10 untrust>trust deny interzone-default policy-deny"]);
    assert_eq!(lab.dropped(DropReason::Policy), 3);
}
