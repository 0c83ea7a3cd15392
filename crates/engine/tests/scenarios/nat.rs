//! Whose address and port does a session leave with, and what when there is none left?

use std::collections::BTreeSet;

use bartizan_engine::settings::{Settings, SharedPools};
use bartizan_engine::steer::worker_for;
use bartizan_engine::verdict::{DropReason, PoolLevel, SessionView, Verdict};
use bartizan_packet::frame::Frame;
use bartizan_policy::facts::{Facts, Learned};

use crate::house::{dynamic, house, rule};
use crate::lab::Lab;

fn open(nat: &str) -> String {
    house(nat, &rule("all", "any", "any", "allow"))
}

/// A NAT rule from `trust` to `untrust`.
fn translated(translation: &str) -> String {
    nat_rule("trust", "untrust", "any", &format!("<source-translation>{translation}</source-translation>"))
}

fn nat_rule(from: &str, to: &str, destination: &str, translation: &str) -> String {
    format!(
        "<entry name='out'><from><member>{from}</member></from><to><member>{to}</member></to>\
         <source><member>any</member></source><destination><member>{destination}</member></destination>\
         <service>any</service>{translation}</entry>"
    )
}

/// The session of a client's port.
fn of(lab: &Lab, port: u16) -> SessionView {
    lab.sessions().into_iter().find(|session| session.client.source_port == port).expect("a session")
}

/// Address and port that the server of a client's session sees.
fn seen(lab: &Lab, port: u16) -> (String, u16) {
    let server = of(lab, port).server;
    (server.destination.to_string(), server.destination_port)
}

/// Sends the `n`-th client's packet at the worker that gets it; the verdict, and the port it left with.
fn flow(labs: &mut [Lab], n: u32, server: &str) -> (Verdict, u16) {
    let (host, port) = (5 + n / 60_000, 1000 + n % 60_000);
    let client = format!("10.1.0.{host}");
    let (from, to) = (client.parse().expect("an address"), server.parse().expect("an address"));
    let worker = worker_for(from, to, 17, port as u16, 53, labs.len() as u16);
    let lab = &mut labs[usize::from(worker)];
    let (input, mut bytes, meta) = lab.packet(&format!("e1 udp {client}:{port} > {server}:53"));
    let verdict = lab.engine.handle_frame(lab.port(&input), &mut Frame { bytes: &mut bytes, meta }, lab.now);
    (verdict, u16::from_be_bytes([bytes[34], bytes[35]]))
}

#[test]
fn sixty_thousand_flows_behind_one_address_have_a_port_each_and_the_next_raise_the_alarm() {
    let nat = SharedPools::default();
    let config = open(&dynamic("trust", "untrust", "192.0.2.10"));
    let mut labs: Vec<Lab> = (0..3)
        .map(|worker| {
            let settings =
                Settings { worker, workers: 3, sessions_max: 100_000, nat: nat.clone(), ..Settings::default() };
            let mut lab = Lab::with(&config, settings);
            // The gateway is asked for and answers.
            for id in 0..20 {
                lab.send(&format!("e1 ping 10.1.0.{id} > 198.51.100.9 id=1"));
            }
            lab
        })
        .collect();
    let mut ports = BTreeSet::new();
    let mut turned_away = 0;
    for n in 0..64_600 {
        let (verdict, port) = flow(&mut labs, n, "198.51.100.9");
        match verdict {
            Verdict::Transmit(_) => {
                assert!(port >= 1024 && ports.insert(port), "flow {n}: port {port} was handed out twice");
            }
            Verdict::Drop(DropReason::NatPoolExhausted) => turned_away += 1,
            other => panic!("flow {n}: {other:?}"),
        }
        assert!(turned_away == 0 || n >= 60_000, "flow {n} is turned away");
    }
    assert!(ports.len() >= 60_000 && turned_away > 0, "{} ports, {turned_away} turned away", ports.len());
    labs.iter_mut().for_each(|lab| drop(lab.settle()));
    let levels: Vec<_> = labs
        .iter()
        .flat_map(|lab| &lab.pool_alarms)
        .filter(|alarm| alarm.protocol == 17)
        .map(|alarm| alarm.level)
        .collect();
    assert_eq!(levels.iter().filter(|level| **level == PoolLevel::High).count(), 1, "{levels:?}");
    assert_eq!(levels.iter().filter(|level| **level == PoolLevel::Exhausted).count(), 1, "{levels:?}");
    let dropped: u64 = labs.iter().map(|lab| lab.dropped(DropReason::NatPoolExhausted)).sum();
    assert_eq!(dropped, turned_away);
    let usage = nat.usage(|address| address.to_string() == "192.0.2.10");
    let udp = usage.iter().find(|row| row.protocol == 17).unwrap();
    assert_eq!(udp.level, PoolLevel::Exhausted);

    // With oversubscription the same ports serve flows to another server, and to no server twice.
    let setting = "<deviceconfig><setting><nat><dipp-oversub>2x</dipp-oversub></nat></setting></deviceconfig><network>";
    for lab in &mut labs {
        lab.commit(&config.replacen("<network>", setting, 1));
    }
    let mut again = BTreeSet::new();
    for n in 0..300 {
        let (verdict, port) = flow(&mut labs, n, "198.51.100.77");
        assert!(matches!(verdict, Verdict::Transmit(_)), "{verdict:?}");
        assert!(again.insert(port), "port {port} serves two flows to one server");
    }
    for lab in &mut labs {
        lab.pass(40);
        assert_eq!(lab.sessions().len(), 0);
    }
    assert!(nat.usage(|_| true).iter().all(|row| row.used == 0), "{:?}", nat.usage(|_| true));
}

#[test]
fn a_persistent_port_is_the_clients_for_every_destination_and_every_worker() {
    let persistent = translated(
        "<persistent-dynamic-ip-and-port><translated-address><member>192.0.2.10</member></translated-address>\
         </persistent-dynamic-ip-and-port>",
    );
    let nat = SharedPools::default();
    let lab = |worker| {
        let settings = Settings { worker, workers: 2, nat: nat.clone(), ..Settings::default() };
        Lab::with(&open(&persistent), settings)
    };
    let mut labs = [lab(0), lab(1)];
    let mut seen_ports = BTreeSet::new();
    let mut workers = BTreeSet::new();
    for last in 1..20 {
        let server = format!("198.51.100.{last}");
        let worker = worker_for("10.1.0.5".parse().unwrap(), server.parse().unwrap(), 17, 5000, 53, 2);
        workers.insert(worker);
        let lab = &mut labs[usize::from(worker)];
        lab.send(&format!("e1 udp 10.1.0.5:5000 > {server}:53"));
        seen_ports.extend(lab.sessions().iter().map(|session| session.server.destination_port));
    }
    assert_eq!((seen_ports.len(), workers.len()), (1, 2), "{seen_ports:?} on {workers:?}");
    // Another port of the client is another endpoint.
    let other = worker_for("10.1.0.5".parse().unwrap(), "198.51.100.1".parse().unwrap(), 17, 5001, 53, 2);
    labs[usize::from(other)].send("e1 udp 10.1.0.5:5001 > 198.51.100.1:53");
    assert!(!seen_ports.contains(&seen(&labs[usize::from(other)], 5001).1));
    assert_eq!(nat.usage(|_| true)[0].used, 2, "one port for each of the client's ports");
    for lab in &mut labs {
        lab.pass(31);
    }
    assert_eq!(nat.usage(|_| true).iter().map(|row| row.used).sum::<u32>(), 0);
}

#[test]
fn clients_of_a_dynamic_ip_pool_have_an_address_each_until_there_is_none() {
    let pool = "<translated-address><member>192.0.2.32/31</member></translated-address>";
    let mut lab = Lab::new(&open(&translated(&format!("<dynamic-ip>{pool}</dynamic-ip>"))));
    lab.send("e1 udp 10.1.0.5:4001 > 198.51.100.9:53");
    lab.send("e1 udp 10.1.0.6:4002 > 198.51.100.9:53");
    lab.send("e1 udp 10.1.0.5:4003 > 198.51.100.8:53");
    let addresses: Vec<_> = [4001, 4002, 4003].map(|port| seen(&lab, port)).into();
    assert_ne!(addresses[0].0, addresses[1].0, "one client each");
    assert_eq!(addresses[0].0, addresses[2].0, "a client keeps its address");
    assert_eq!([addresses[0].1, addresses[1].1, addresses[2].1], [4001, 4002, 4003], "ports stay");
    lab.check("e1 udp 10.1.0.7:4004 > 198.51.100.9:53", "drop nat-pool-exhausted");
    lab.pass(31);
    assert!(lab.send("e1 udp 10.1.0.7:4004 > 198.51.100.9:53").ends_with(":4004 > 198.51.100.9:53"));
    assert!(seen(&lab, 4004).0.starts_with("192.0.2.3"), "the addresses came back");
}

#[test]
fn who_finds_no_address_falls_back_to_a_port() {
    let translation = "<dynamic-ip><translated-address><member>192.0.2.32</member></translated-address>\
         <fallback><interface-address><interface>ethernet1/2</interface></interface-address></fallback></dynamic-ip>";
    let mut lab = Lab::new(&open(&translated(translation)));
    lab.check("e1 udp 10.1.0.5:4001 > 198.51.100.9:53", "e2 udp 192.0.2.32:4001 > 198.51.100.9:53");
    lab.check("e1 udp 10.1.0.6:4002 > 198.51.100.9:53", "e2 udp 192.0.2.1:* > 198.51.100.9:53");
    lab.check_reply("", "e1 udp 198.51.100.9:53 > 10.1.0.6:4002");
}

#[test]
fn a_new_lease_is_the_new_source_and_ends_the_sessions_of_the_old_one_only() {
    let translation = "<dynamic-ip-and-port><interface-address><interface>ethernet1/2</interface></interface-address>\
         </dynamic-ip-and-port>";
    let config = open(&translated(translation)).replace("<ip><entry name=\"192.0.2.1/24\"/></ip>", "<dhcp-client/>");
    let leased = |address: &str| {
        let addresses = vec![address.parse().unwrap()];
        let learned = Learned { addresses, gateways: Vec::new() };
        Facts { interfaces: [("ethernet1/2".to_owned(), learned)].into(), ..Facts::default() }
    };
    let mut lab = Lab::new(&config);
    lab.check("e1 udp 10.1.0.5:4001 > 198.51.100.9:53", "drop no-route");
    assert_eq!(lab.logs().len(), 1);
    lab.learn(&config, &leased("192.0.2.1/24"));
    lab.check("e1 udp 10.1.0.5:4001 > 198.51.100.9:53", "e2 udp 192.0.2.1:* > 198.51.100.9:53");
    lab.check("e1 proto 10.1.0.5 > 198.51.100.9", "e2 proto 47 192.0.2.1 > 198.51.100.9");
    lab.check("e1 udp 10.1.0.5:4002 > 10.3.0.9:53", "e3 udp 10.1.0.5:4002 > 10.3.0.9:53");
    lab.learn(&config, &leased("192.0.2.77/24"));
    lab.pass(1);
    let end = "end 10.1.0.5 > 198.51.100.9 trust>untrust allow all nat-address-gone";
    assert_eq!(lab.logs(), [end, end]);
    assert_eq!(lab.counters().nat_address_gone, 2, "also what has no ports");
    assert_eq!(lab.session().client.source_port, 4002, "what was not translated goes on");
    lab.check("e1 udp 10.1.0.5:4001 > 198.51.100.9:53", "e2 udp 192.0.2.77:* > 198.51.100.9:53");
    // The same address again is no change.
    lab.learn(&config, &leased("192.0.2.77/24"));
    lab.pass(1);
    assert_eq!(lab.sessions().len(), 2);
}

#[test]
fn new_sessions_are_spread_over_the_servers_and_stay_where_they_are() {
    let spread = |by: &str, servers: &str| {
        let translation = format!(
            "<dynamic-destination-translation><translated-address>{servers}</translated-address>\
             <distribution>{by}</distribution></dynamic-destination-translation>"
        );
        open(&nat_rule("untrust", "untrust", "192.0.2.50", &translation))
    };
    let target = |lab: &Lab, port| of(lab, port).server.source.to_string();
    let mut lab = Lab::new(&spread("round-robin", "10.3.0.11-10.3.0.13"));
    for port in 1..=4 {
        lab.send(&format!("e2 udp 198.51.100.9:{port} > 192.0.2.50:53"));
    }
    let turns: Vec<_> = (1..=4).map(|port| target(&lab, port)).collect();
    assert_eq!(turns, ["10.3.0.11", "10.3.0.12", "10.3.0.13", "10.3.0.11"]);
    lab.check("e3 udp 10.3.0.12:53 > 198.51.100.9:2", "e2 udp 192.0.2.50:53 > 198.51.100.9:2");
    lab.commit(&spread("round-robin", "10.3.0.11-10.3.0.14"));
    lab.check("e2 udp 198.51.100.9:2 > 192.0.2.50:53", "e3 udp 198.51.100.9:2 > 10.3.0.12:53");

    let mut lab = Lab::new(&spread("least-sessions", "10.3.0.11-10.3.0.12"));
    for port in 1..=4 {
        lab.send(&format!("e2 udp 198.51.100.9:{port} > 192.0.2.50:53"));
    }
    let ids: Vec<_> = [1, 3]
        .map(|port| of(&lab, port))
        .into_iter()
        .filter(|one| one.server.source.to_string() == "10.3.0.11")
        .collect();
    assert_eq!(ids.len(), 2, "they take turns while both are equal");
    let now = lab.now;
    assert_eq!(lab.engine.clear(0..u32::MAX, |session| ids.iter().any(|one| one.id == session.id), now), 2);
    for port in 5..=6 {
        lab.send(&format!("e2 udp 198.51.100.9:{port} > 192.0.2.50:53"));
        assert_eq!(target(&lab, port), "10.3.0.11", "where the fewest are");
    }
}

#[test]
fn a_session_that_a_commit_refuses_is_none_of_its_servers() {
    let nat = nat_rule(
        "untrust",
        "untrust",
        "192.0.2.50",
        "<dynamic-destination-translation><translated-address>10.3.0.11-10.3.0.12</translated-address>\
         <distribution>least-sessions</distribution></dynamic-destination-translation>",
    );
    let mut lab = Lab::new(&open(&nat));
    for (client, port) in [(9, 1), (8, 2), (9, 3)] {
        lab.send(&format!("e2 udp 198.51.100.{client}:{port} > 192.0.2.50:53"));
    }
    let refusal = rule("no", "any", "any", "deny").replacen("<source><member>any", "<source><member>198.51.100.9", 1);
    lab.commit(&house(&nat, &(refusal + &rule("all", "any", "any", "allow"))));
    lab.pass(0);
    assert_eq!(lab.sessions().len(), 3, "the refused ones are remembered");
    lab.check("e2 udp 198.51.100.8:4 > 192.0.2.50:53", "e3 udp 198.51.100.8:4 > 10.3.0.11:53");
}
