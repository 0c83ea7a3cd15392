//! Two routers with the same addresses: does each client reach the server of its own router?
//!
//! `red 10.0.1.10 - eth1 fw eth3 - 192.0.2.2 server`, `blue 10.0.1.10 - eth2 fw eth4 - 192.0.2.2 server`

use bartizan_lab::Lab;
use bartizan_lab::servers::{await_listener, nginx};
use bartizan_lab::standalone::Standalone;

use crate::edge::BINARY;

/// A router with two attached networks.
fn router(name: &str, interfaces: [&str; 2]) -> String {
    let [inside, outside] = interfaces;
    format!(
        "<entry name='{name}'><vrf><entry name='default'><interface><member>{inside}</member><member>{outside}</member>\
         </interface></entry></vrf></entry>"
    )
}

fn configuration() -> String {
    let interface = |number: u32, address: &str| {
        format!("<entry name='ethernet1/{number}'><layer3><ip><entry name='{address}'/></ip></layer3></entry>")
    };
    let interfaces: String = [1, 2].map(|number| interface(number, "10.0.1.1/24")).concat()
        + &[3, 4].map(|number| interface(number, "192.0.2.1/24")).concat();
    let members: String = (1..=4).map(|number| format!("<member>ethernet1/{number}</member>")).collect();
    let routers = router("red", ["ethernet1/1", "ethernet1/3"]) + &router("blue", ["eth1/2", "eth1/4"]);
    format!(
        "<config><devices><entry name='localhost.localdomain'><network><interface><ethernet>{interfaces}</ethernet></interface>\
         <logical-router>{routers}</logical-router></network><vsys><entry name='vsys1'><import><network><interface>{members}\
         </interface></network></import><zone><entry name='all'><network><layer3>{members}</layer3></network></entry></zone>\
         </entry></vsys></entry></devices></config>"
    )
}

#[test]
fn the_same_addresses_in_two_routers_do_not_clash() {
    let lab = Lab::new().unwrap();
    let firewall = lab.namespace("fw").unwrap();
    let mut servers = Vec::new();
    let mut clients = Vec::new();
    for (client, server, number) in [("red", "red-server", 1), ("blue", "blue-server", 2)] {
        let (client, server) = (lab.namespace(client).unwrap(), lab.namespace(server).unwrap());
        lab.link((&client, "eth0"), (&firewall, &format!("eth{number}"))).unwrap();
        lab.link((&server, "eth0"), (&firewall, &format!("eth{}", number + 2))).unwrap();
        client.address("eth0", "10.0.1.10/24").unwrap();
        client.route("default via 10.0.1.1").unwrap();
        server.address("eth0", "192.0.2.2/24").unwrap();
        server.route("default via 192.0.2.1").unwrap();
        servers.push(nginx(lab.dir(), &server, &["80"]).unwrap());
        await_listener(&server, 80).unwrap();
        clients.push(client);
    }
    let firewall = Standalone::start(BINARY, lab.dir(), &firewall, &configuration(), &["--workers", "2"]).unwrap();
    // One source port for both: the tuples are the same, bit for bit.
    for client in &clients {
        let words = ["curl", "-sS", "--max-time", "5", "--local-port", "40000", "http://192.0.2.2/"];
        let said = client.run(&words).unwrap_or_else(|error| panic!("{error:#}\n{}", firewall.output()));
        assert_eq!(said, format!("{}-server answers 10.0.1.10\n", client.name()));
    }
    let sessions = firewall.json("show session all filter source-port 40000").unwrap();
    assert_eq!(sessions["total"], 2, "{sessions}");
    let routes = firewall.operate("show routing route").unwrap().stdout;
    for router in ["red", "blue"] {
        assert!(routes.lines().any(|line| line.starts_with(router) && line.contains("192.0.2.0/24")), "{routes}");
    }
}
