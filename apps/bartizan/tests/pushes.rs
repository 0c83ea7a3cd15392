//! Does a transfer under an unaffected rule survive a hundred pushes?

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::time::Duration;

use bartizan_lab::Process;
use bartizan_lab::azure::configuration::{device_group, security_rule};
use bartizan_lab::azure::{Azure, WEB, flows};

const PUSHES: usize = 100;

#[test]
fn a_gigabyte_transfer_survives_a_hundred_pushes() {
    let azure = Azure::start(Path::new(env!("CARGO_BIN_EXE_bartizan"))).unwrap();
    azure.configure().unwrap();
    let mut transfer = begin(&azure, 0);

    let rules = format!("{}/pre-rulebase/security/rules", device_group());
    let mut slowest = Duration::ZERO;
    for push in 0..PUSHES {
        let action = if push % 2 == 0 { "deny" } else { "allow" };
        azure
            .house
            .api
            .set(&rules, &security_rule("toggled", "trust", "untrust", "pod-cidr", "any", "tcp-smtp", action))
            .unwrap();
        let commit = azure.house.api.commit().unwrap();
        let pushed = azure.house.api.push("azure").unwrap();
        slowest = slowest.max(commit.elapsed + pushed.elapsed);
        // Where pushes take long because the machine has much else to do, the next transfer sees the rest of them.
        if !transfer.is_running() {
            is_whole(&mut transfer);
            transfer = begin(&azure, push);
        }
    }
    println!("slowest of {PUSHES}, commit call to enforcement: {} ms", slowest.as_millis());

    println!("transferred a gigabyte at {:.3} Gbit/s", is_whole(&mut transfer));
}

/// A gigabyte, paced so that it outlasts the pushes: 2^30 bytes at 200 Mbit/s take 43 seconds.
fn begin(azure: &Azure, push: usize) -> Process {
    let report = azure.lab.dir().join(format!("transfer{push}.json"));
    azure.hosts.app1.spawn(&["iperf3", "-c", WEB, "-n", "1G", "-b", "200M", "-J"], &[], &report).unwrap()
}

/// Waits for a transfer that was begun: its rate in Gbit/s; panics when it broke off, or not all of it arrived.
fn is_whole(transfer: &mut Process) -> f64 {
    assert_eq!(transfer.wait(Duration::from_secs(120)).unwrap(), Some(0), "{}", transfer.output());
    let text = transfer.output();
    let gigabits = flows::throughput(&text).unwrap_or_else(|error| panic!("{error:#}: {text}"));
    let result: serde_json::Value = serde_json::from_str(&text).unwrap();
    let received = result.pointer("/end/sum_received/bytes").and_then(serde_json::Value::as_u64).unwrap();
    // iperf3's server may stop counting one block early, without any firewall between the two as well.
    const BLOCK: u64 = 128 << 10;
    assert!(received + BLOCK >= 1_000_000_000, "only {received} bytes arrived");
    gigabits
}
