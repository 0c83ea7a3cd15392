//! How long does it take from a pod's label to the rule that a firewall enforces, in a cluster of 10,000 pods?
//!
//! `cargo bench -p bartizan --bench controller`; a JSON line with the figure. Manager, firewall and controller are the real
//! processes, the API server is scripted; all share the machine. What is measured ends when the firewall decides by the new
//! label, looked at each few milliseconds.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to measure")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the figure is what it is for")]

#[expect(dead_code, reason = "the test and the bench share it, and the bench needs a part of it")]
#[path = "../tests/controller/house.rs"]
mod house;
#[path = "support/inside.rs"]
mod inside;

use std::time::{Duration, Instant};

use bartizan_lab::kubernetes::{ApiServer, pod, slice};
use house::House;
use serde_json::json;

/// Pods of the cluster.
const PODS: usize = 10_000;
/// Labels that are changed one after the other.
const CHANGES: usize = 200;
/// The goal for 99 of 100.
const GOAL_MS: f64 = 1000.0;

fn address(number: usize) -> String {
    format!("10.{}.{}.{}", 1 + number / 40_000, number / 200 % 200, number % 200 + 1)
}

fn labels<'a>(number: &'a str, tier: &'a str) -> [(&'a str, &'a str); 4] {
    [("app", "web"), ("pod-template-hash", "7d9f8"), ("number", number), ("tier", tier)]
}

fn main() {
    if !inside::is_inside() {
        return;
    }
    let api = ApiServer::start(&["v1"]);
    let put = |number: usize, tier: &str| {
        let text = number.to_string();
        api.put("pods", pod("shop", &format!("web-{number}"), &address(number), &labels(&text, tier)));
    };
    (0..PODS).for_each(|number| put(number, "web"));
    for part in 0..PODS / 100 {
        let pods: Vec<(String, String)> =
            (part * 100..part * 100 + 100).map(|number| (address(number), format!("web-{number}"))).collect();
        let pods: Vec<(&str, &str)> = pods.iter().map(|(address, pod)| (address.as_str(), pod.as_str())).collect();
        let mut one = slice("v1", "shop", "web", &pods);
        one["metadata"]["name"] = json!(format!("web-{part}"));
        api.put("endpointslices", one);
    }
    let house = House::start();
    let start = Instant::now();
    let _controller = house.start_controller(&api);
    house.until("the firewall knows all pods", || {
        let last = house.rule_of(&address(PODS - 1));
        last.contains("web-pods") && house.rule_of(&address(0)).contains("web-pods")
    });
    eprintln!("{PODS} pods from nothing to enforced: {:?}", start.elapsed());
    let mut times = Vec::new();
    for change in 0..CHANGES {
        let number = change * 7919 % PODS;
        let address = address(number);
        let start = Instant::now();
        put(number, "db");
        while !house.rule_of(&address).contains("db-pods") {
            assert!(start.elapsed() < Duration::from_secs(30), "{address} is not in the group");
            std::thread::sleep(Duration::from_millis(2));
        }
        times.push(start.elapsed());
    }
    times.sort();
    let at = |part: f64| {
        let place = ((times.len() as f64 * part).ceil() as usize).clamp(1, times.len());
        (times[place - 1].as_secs_f64() * 1e6).round() / 1e3
    };
    let p99 = at(0.99);
    println!(
        "{}",
        json!({
            "name": "kubernetes: label change to enforced, 10000 pods", "unit": "ms", "value": p99, "p50": at(0.5),
            "max": at(1.0), "runs": times.len(), "floor": GOAL_MS, "aim": GOAL_MS, "meets_floor": p99 <= GOAL_MS,
        })
    );
}
