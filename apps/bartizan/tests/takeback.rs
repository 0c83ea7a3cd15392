//! A push cuts the firewall from its manager: does the old configuration come back by itself, and who says so?
//!
//! The way to the manager leads through the firewall's own data plane, as where it has no other uplink:
//! `fw mgmt → vnet → eth1 fw eth2 → edge → manager`.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::time::{Duration, Instant};

use bartizan_lab::azure::configuration::{device_group, security_rule, template_device};
use bartizan_lab::azure::{Azure, PRIVATE_ADDRESS, PUBLIC_ADDRESS, WEB};
use bartizan_lab::process::eventually;

/// Seconds in which the manager must be reached; the shortest that can be configured.
const WINDOW: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(30);

fn rules() -> String {
    format!("{}/pre-rulebase/security/rules", device_group())
}

/// The rule by which the firewall's own connection to the manager lives.
fn management(action: &str) -> String {
    security_rule("management", "trust", "untrust", "10.254.0.0/24", "10.255.0.1", "any", action)
}

fn toggled(action: &str) -> String {
    security_rule("toggled", "trust", "untrust", "pod-cidr", "any", "tcp-smtp", action)
}

/// The deployment, managed through its own data plane.
fn start() -> Azure {
    let mut azure = Azure::start(Path::new(env!("CARGO_BIN_EXE_bartizan"))).unwrap();
    azure.configure().unwrap();
    let api = &azure.house.api;
    let route = |router: &str, next_hop: &str| {
        let table = format!(
            "{}/network/logical-router/entry[@name='{router}']/vrf/entry[@name='default']/routing-table/ip/static-route",
            template_device()
        );
        let entry = format!(
            "<entry name=\"management\"><destination>10.254.0.0/24</destination><nexthop>{next_hop}</nexthop></entry>"
        );
        api.set(&table, &entry).unwrap();
    };
    route("vr-private", "<ip-address>10.0.1.1</ip-address>");
    route("vr-public", "<next-lr>vr-private</next-lr>");
    let setting = format!("{}/deviceconfig/setting/management", template_device());
    api.set(
        &setting,
        "<commit-recovery-retry>1</commit-recovery-retry><commit-recovery-timeout>5</commit-recovery-timeout>",
    )
    .unwrap();
    api.set(&rules(), &(management("allow") + &toggled("deny"))).unwrap();
    api.commit().unwrap();
    api.push("azure").unwrap();

    let (lab, hosts) = (&azure.lab, &azure.hosts);
    lab.link((&hosts.firewall, "mgmt"), (&hosts.vnet, "fw")).unwrap();
    hosts.firewall.address("mgmt", "10.254.0.2/24").unwrap();
    hosts.vnet.address("fw", "10.254.0.1/24").unwrap();
    lab.link((&hosts.edge, "manager"), (&hosts.manager, "edge")).unwrap();
    hosts.edge.address("manager", "10.253.0.1/24").unwrap();
    hosts.manager.address("edge", "10.253.0.2/24").unwrap();
    hosts.vnet.route(&format!("10.255.0.1/32 via {PRIVATE_ADDRESS}")).unwrap();
    hosts.edge.route("10.255.0.1/32 via 10.253.0.2").unwrap();
    hosts.edge.route(&format!("10.254.0.0/24 via {PUBLIC_ADDRESS}")).unwrap();
    hosts.manager.route("10.254.0.0/24 via 10.253.0.1").unwrap();
    hosts.firewall.route("10.255.0.1/32 via 10.254.0.1 src 10.254.0.2").unwrap();
    kill_firewall(&mut azure);
    eventually("the firewall connects through itself", LIMIT, || {
        // By its new address: the stream that the killed one left may still count as connected.
        let devices = azure.house.api.op("<show><devices><connected/></devices></show>")?;
        anyhow::ensure!(devices.contains("<ip-address>10.254.0.2</ip-address>"), "{devices}");
        Ok(())
    })
    .unwrap();
    azure
}

/// `kill -9`, and another one in its place.
fn kill_firewall(azure: &mut Azure) {
    azure.house.firewall.signal("KILL").unwrap();
    azure.house.firewall.wait(LIMIT).unwrap();
    azure.house.restart_firewall().unwrap();
}

fn enforced(azure: &Azure) -> anyhow::Result<String> {
    azure.house.on_firewall(&["show", "config", "running"])
}

/// Whether the firewall lets itself reach the manager.
fn is_cut(configuration: &str) -> bool {
    let entries = configuration.split("name=\"management\"").skip(1).filter_map(|rest| rest.split("</entry>").next());
    entries.filter(|entry| entry.contains("<from>")).any(|rule| rule.contains("<action>deny</action>"))
}

#[track_caller]
fn wait_until(what: &str, azure: &Azure, cut: bool) {
    eventually(what, LIMIT, || {
        let configuration = enforced(azure)?;
        anyhow::ensure!(is_cut(&configuration) == cut, "{configuration}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_push_that_cuts_the_firewall_from_its_manager_is_taken_back_and_told_in_three_logs() {
    let azure = start();
    let report = azure.lab.dir().join("transfer.json");
    // Paced so that it outlasts all of this.
    let words = ["iperf3", "-c", WEB, "-t", "25", "-b", "20M", "-J"];
    let mut transfer = azure.hosts.app1.spawn(&words, &[], &report).unwrap();

    // One that does not cut is confirmed at once, and stays beyond its window.
    let (api, serial) = (&azure.house.api, azure.house.serial.as_str());
    api.set(&rules(), &toggled("allow")).unwrap();
    api.commit().unwrap();
    let pushed = api.push("azure").unwrap();
    assert!(pushed.elapsed < WINDOW, "{:?}", pushed.elapsed);
    std::thread::sleep(WINDOW + Duration::from_secs(1));
    let before = enforced(&azure).unwrap();
    assert!(before.contains("toggled") && !is_cut(&before));
    assert_eq!(api.log("system", "(eventid eq commit-recovery)").unwrap(), Vec::<String>::new());

    api.set(&rules(), &management("deny")).unwrap();
    api.commit().unwrap();
    let begun = Instant::now();
    let failure = api.push("azure").unwrap_err().to_string();
    println!("the job of the push that cuts ended after {} ms", begun.elapsed().as_millis());
    assert!(failure.contains("the device reverted to the configuration of before"), "{failure}");
    assert!(failure.contains("the manager was not reached within 5 s"), "{failure}");
    assert!(begun.elapsed() < WINDOW + Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(enforced(&azure).unwrap(), before);
    azure.house.wait_connected().unwrap();
    let groups = api.op("<show><devicegroups/></show>").unwrap();
    assert!(groups.contains("<shared-policy-status>Out of Sync</shared-policy-status>"), "{groups}");

    let of = |who: &str| format!("(eventid eq commit-recovery) and (serial eq {who})");
    let of_device = eventually("the device's line", LIMIT, || {
        let lines = api.log("system", &of(serial))?;
        anyhow::ensure!(lines.len() == 1, "{lines:?}");
        Ok(lines)
    })
    .unwrap();
    assert!(
        of_device[0].contains("was reverted") && of_device[0].contains("<severity>critical</severity>"),
        "{of_device:?}"
    );
    let all = api.log("system", "(eventid eq commit-recovery)").unwrap();
    assert_eq!(all.len(), 2, "the device's and the manager's: {all:?}");
    assert!(all.iter().any(|line| line.contains(&format!("device {serial}"))), "{all:?}");
    let audit = api.log("config", "(cmd eq revert)").unwrap();
    assert!(audit.len() == 1 && audit[0].contains("reverted by commit recovery"), "{audit:?}");

    // The firewall takes the next push, and the transfer never noticed.
    api.set(&rules(), &management("allow")).unwrap();
    api.commit().unwrap();
    api.push("azure").unwrap();
    assert_eq!(transfer.wait(LIMIT).unwrap(), Some(0), "{}", transfer.output());
    assert!(!transfer.output().contains("\"error\""), "{}", transfer.output());
}

#[test]
fn a_firewall_that_is_killed_while_it_is_cut_off_still_comes_back() {
    let mut azure = start();
    let api = azure.house.api.clone();
    api.set(&rules(), &management("deny")).unwrap();
    api.commit().unwrap();
    let push = std::thread::spawn(move || api.push("azure"));
    wait_until("the push is in force", &azure, true);
    kill_firewall(&mut azure);
    wait_until("it begins with what was pushed", &azure, true);
    wait_until("the old one is back", &azure, false);
    let failure = push.join().unwrap().unwrap_err().to_string();
    assert!(failure.contains("the device reverted to the configuration of before"), "{failure}");
    azure.house.wait_connected().unwrap();
    kill_firewall(&mut azure);
    wait_until("and stays", &azure, false);
}

#[test]
fn a_manager_that_is_restarted_while_it_pushes_is_no_reason_to_take_anything_back() {
    let mut azure = start();
    // Before, while and after the push comes into force.
    for (delay_ms, action) in [(5, "allow"), (15, "deny"), (40, "allow")] {
        azure.house.api.set(&rules(), &toggled(action)).unwrap();
        azure.house.api.commit().unwrap();
        let api = azure.house.api.clone();
        let push = std::thread::spawn(move || api.push("azure"));
        std::thread::sleep(Duration::from_millis(delay_ms));
        azure.house.manager.signal("KILL").unwrap();
        azure.house.manager.wait(LIMIT).unwrap();
        let _ = push.join().unwrap();
        azure.house.restart_manager().unwrap();
        azure.house.wait_connected().unwrap();
    }
    // What the last push left undone comes by itself when the firewall is back.
    eventually("nothing is left to push", LIMIT, || {
        let devices = azure.house.api.op("<show><devices><all/></devices></show>")?;
        anyhow::ensure!(!devices.contains("<pending-push>"), "{devices}");
        Ok(())
    })
    .unwrap();
    let after = enforced(&azure).unwrap();
    std::thread::sleep(WINDOW + Duration::from_secs(1));
    assert_eq!(enforced(&azure).unwrap(), after);
    assert_eq!(azure.house.api.log("system", "(eventid eq commit-recovery)").unwrap(), Vec::<String>::new());
    assert_eq!(azure.house.api.log("config", "(cmd eq revert)").unwrap(), Vec::<String>::new());
}
