//! What is left after `kill -9`: is the configuration whole, and does the firewall enforce alone?

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::time::Duration;

use bartizan_lab::azure::configuration::{device_group, security_rule};
use bartizan_lab::azure::{Azure, PUBLIC_ADDRESS, WEB, flows};
use bartizan_lab::process::eventually;

const KILLS: u32 = 20;
const OBJECTS: u32 = 300;

/// All objects of one generation; a half-written version would mix two.
fn generation(number: u32) -> String {
    (0..OBJECTS)
        .map(|object| format!("<entry name=\"whole-{object}\"><ip-netmask>10.77.{number}.1</ip-netmask></entry>"))
        .collect()
}

fn generations_in(configuration: &str) -> Vec<u32> {
    let mut found: Vec<u32> = configuration
        .split("<ip-netmask>10.77.")
        .skip(1)
        .map(|rest| rest.split('.').next().unwrap().parse().unwrap())
        .collect();
    assert!(found.is_empty() || found.len() == OBJECTS as usize, "{} of {OBJECTS} objects are there", found.len());
    found.dedup();
    found
}

#[test]
fn the_configuration_is_the_old_or_the_new_one_after_the_manager_is_killed_during_commit() {
    let mut azure = Azure::start(Path::new(env!("CARGO_BIN_EXE_bartizan"))).unwrap();
    azure.configure().unwrap();
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = seed | 1;
    let (mut old, mut kept_old, mut kept_new) = (0, 0, 0);
    for number in 1..=KILLS {
        azure.house.api.set("/config/shared/address", &generation(number)).unwrap();
        let key_api = azure.house.api.clone();
        let commit = std::thread::spawn(move || key_api.commit().is_ok());
        // xorshift64: anywhere from before the commit reached the manager to after it answered.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(Duration::from_micros(random % 60_000));
        azure.house.manager.signal("KILL").unwrap();
        azure.house.manager.wait(Duration::from_secs(5)).unwrap();
        let _ = commit.join();
        azure.house.restart_manager().unwrap();

        let running = azure.house.api.op("<show><config><running/></config></show>").unwrap();
        let found = generations_in(&running);
        assert!(found.len() <= 1, "the running configuration mixes {found:?}");
        let now = found.first().copied().unwrap_or(0);
        assert!(now == old || now == number, "generation {now} after a commit of {number} over {old}");
        if now == old {
            kept_old += 1
        } else {
            kept_new += 1
        }
        old = now;
    }
    println!("killed {KILLS} times: {kept_old} times the old version, {kept_new} times the new one");
    // What was set and acknowledged before the kill is still in the candidate.
    let candidate = azure.house.api.op("<show><config><candidate/></config></show>").unwrap();
    assert_eq!(generations_in(&candidate), [KILLS]);
    azure.house.wait_connected().unwrap();
    azure.house.api.commit().ok();
    azure.house.api.push("azure").unwrap();
}

#[test]
fn a_killed_firewall_enforces_its_last_pushed_configuration_without_the_manager() {
    let mut azure = Azure::start(Path::new(env!("CARGO_BIN_EXE_bartizan"))).unwrap();
    azure.configure().unwrap();
    azure.house.manager.signal("KILL").unwrap();
    azure.house.manager.wait(Duration::from_secs(5)).unwrap();
    azure.house.firewall.signal("KILL").unwrap();
    azure.house.firewall.wait(Duration::from_secs(5)).unwrap();
    let dead = flows::http(&azure.hosts.app1, &format!("http://{WEB}/")).unwrap();
    assert!(!dead.contains("answers"), "packets pass without a firewall: {dead}");

    azure.house.restart_firewall().unwrap();
    eventually("the firewall enforces again", Duration::from_secs(10), || {
        let body = flows::http(&azure.hosts.app1, &format!("http://{WEB}/"))?;
        anyhow::ensure!(body.contains(&format!("internet answers {PUBLIC_ADDRESS}")), "{body}");
        Ok(())
    })
    .unwrap();
    let refused = flows::connect(&azure.hosts.app1, WEB, 25).unwrap();
    assert!(refused.contains("refused"), "{refused}");

    azure.house.restart_manager().unwrap();
    azure.house.wait_connected().unwrap();
    let rules = format!("{}/pre-rulebase/security/rules", device_group());
    azure.house.api.set(&rules, &security_rule("after", "trust", "untrust", "any", "any", "tcp-smtp", "deny")).unwrap();
    azure.house.api.commit().unwrap();
    azure.house.api.push("azure").unwrap();
}

#[test]
fn asked_to_end_both_processes_end_in_order_and_keep_what_they_had() {
    let mut azure = Azure::start(Path::new(env!("CARGO_BIN_EXE_bartizan"))).unwrap();
    azure.configure().unwrap();
    azure.house.api.set("/config/shared/address", &generation(1)).unwrap();

    azure.house.firewall.signal("TERM").unwrap();
    assert_eq!(
        azure.house.firewall.wait(Duration::from_secs(10)).unwrap(),
        Some(0),
        "{}",
        azure.house.firewall.output()
    );
    let links = azure.hosts.firewall.run(&["ip", "-brief", "link"]).unwrap();
    assert!(!links.contains("bzl"), "the local link is left behind:\n{links}");
    azure.house.manager.signal("TERM").unwrap();
    assert_eq!(azure.house.manager.wait(Duration::from_secs(10)).unwrap(), Some(0), "{}", azure.house.manager.output());

    azure.house.restart_manager().unwrap();
    let candidate = azure.house.api.op("<show><config><candidate/></config></show>").unwrap();
    assert_eq!(generations_in(&candidate), [1]);
    azure.house.restart_firewall().unwrap();
    azure.house.wait_connected().unwrap();
}

#[test]
fn a_firewall_that_is_asked_for_a_new_key_comes_back_with_it_and_keeps_it() {
    let mut azure = Azure::start(Path::new(env!("CARGO_BIN_EXE_bartizan"))).unwrap();
    azure.configure().unwrap();
    let serial = &azure.house.serial;
    let ask =
        format!("<request><device><renew-certificate><serial>{serial}</serial></renew-certificate></device></request>");
    azure.house.api.op(&ask).unwrap();
    eventually("the firewall uses a new certificate", Duration::from_secs(20), || {
        let (firewall, manager) = (azure.house.firewall.output(), azure.house.manager.output());
        anyhow::ensure!(firewall.contains("this device has a new certificate"), "{firewall}");
        anyhow::ensure!(manager.contains("a device uses its new certificate"), "{manager}");
        Ok(())
    })
    .unwrap();
    azure.house.wait_connected().unwrap();
    azure.house.api.push("azure").unwrap();
    azure.house.firewall.signal("KILL").unwrap();
    azure.house.firewall.wait(Duration::from_secs(5)).unwrap();
    azure.house.restart_firewall().unwrap();
    azure.house.wait_connected().unwrap();
    azure.house.api.push("azure").unwrap();
}
