//! How long does it take from a NetworkPolicy that is applied to the rule that a firewall enforces, with 1,000 policies there?
//!
//! `cargo bench -p bartizan --bench policies`; a JSON line with the figures. Manager, firewall and controller are the real
//! processes, the API server is scripted; all share the machine. What is measured begins when the API server has the policy,
//! which is when `kubectl apply` returns, and ends when the manager has told, to a request that waits for it, that the
//! firewall enforces that generation. That the firewall decides by it is asked of itself, once the clock has stopped.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to measure")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the figure is what it is for")]

#[expect(dead_code, reason = "the test and the benches share it, and this one needs a part of it")]
#[path = "../tests/controller/house.rs"]
mod house;
#[path = "support/inside.rs"]
mod inside;

use std::time::{Duration, Instant};

use bartizan_lab::kubernetes::{ApiServer, namespace, network_policy, pod};
use house::House;
use serde_json::{Value, json};

/// Policies of the cluster, and pods: each policy is about one, and lets another one in.
const POLICIES: usize = 1_000;
/// Policies that are changed one after the other.
const CHANGES: usize = 100;
/// The goals for half of the changes and for 99 of 100.
const GOALS_MS: (f64, f64) = (500.0, 2000.0);

fn main() {
    if !inside::is_inside() {
        return;
    }
    let api = ApiServer::start(&["v1"]);
    api.put("namespaces", namespace("shop", &[]));
    for number in 0..POLICIES {
        api.put("pods", pod("shop", &format!("p{number}"), &address(number), &[("app", &app(number))]));
        put(&api, number, 1);
    }
    let house = House::start();
    house.automate("<auto-commit>yes</auto-commit>");
    let begun = Instant::now();
    let _controller = house.start_controller(&api);
    let mut seen = 0;
    until_enforced(&house, POLICIES - 1, 1, &mut seen);
    eprintln!("{POLICIES} policies from nothing to enforced: {:?}", begun.elapsed());
    let mut times = Vec::new();
    for change in 0..CHANGES {
        let (number, generation) = (change * 7919 % POLICIES, 2);
        let begun = Instant::now();
        put(&api, number, generation);
        until_enforced(&house, number, generation, &mut seen);
        times.push(begun.elapsed());
        let rule = rule_of(&house, number, generation);
        assert!(rule.contains(&format!("np.lab.shop.policy-{number}.")), "{rule}");
    }
    times.sort();
    let at = |part: f64| {
        let place = ((times.len() as f64 * part).ceil() as usize).clamp(1, times.len());
        (times[place - 1].as_secs_f64() * 1e6).round() / 1e3
    };
    let (p50, p99) = (at(0.5), at(0.99));
    println!(
        "{}",
        json!({
            "name": "kubernetes: policy applied to enforced, 1000 policies", "unit": "ms", "value": p99, "p50": p50,
            "max": at(1.0), "runs": times.len(), "floor": GOALS_MS.1, "aim": GOALS_MS.1, "aim_p50": GOALS_MS.0,
            "meets_floor": p50 <= GOALS_MS.0 && p99 <= GOALS_MS.1,
        })
    );
}

fn app(number: usize) -> String {
    format!("a{number}")
}

fn address(number: usize) -> String {
    format!("10.1.{}.{}", number / 200, number % 200 + 1)
}

/// The port that a generation of a policy lets in.
fn port(generation: usize) -> usize {
    8000 + generation
}

fn put(api: &ApiServer, number: usize, generation: usize) {
    let labels = |number: usize| json!({ "matchLabels": { "app": app(number) } });
    let from = json!([{ "podSelector": labels((number + 1) % POLICIES) }]);
    let spec = json!({ "podSelector": labels(number), "ingress": [{ "from": from, "ports": [{ "port": port(generation) }] }] });
    let mut policy = network_policy("shop", &format!("policy-{number}"), spec);
    policy["metadata"]["generation"] = json!(generation);
    api.put("networkpolicies", policy);
}

/// The rule that decides about what a generation of a policy lets in.
fn rule_of(house: &House, number: usize, generation: usize) -> String {
    let (from, to) = (address((number + 1) % POLICIES), address(number));
    house.ask(&format!(
        "test security-policy-match from trust to untrust source {from} destination {to} protocol 6 destination-port {}",
        port(generation)
    ))
}

/// Waits until the manager tells that; `seen` is the version of what it told last.
fn until_enforced(house: &House, number: usize, generation: usize, seen: &mut i64) {
    let (begun, name) = (Instant::now(), format!("policy-{number}"));
    loop {
        let states = house.json(&format!("/kubernetes/clusters/lab/policies?changed=true&wait=20&after={seen}"));
        *seen = states["version"].as_i64().unwrap_or(*seen);
        let policies = states["policies"].as_array().into_iter().flatten();
        let of_it = policies.into_iter().find(|policy| policy["name"] == name.as_str());
        if of_it.is_some_and(|policy| policy["generation"] == generation && is_enforced(policy)) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(300), "{name} is not enforced: {states:#}");
    }
}

fn is_enforced(policy: &Value) -> bool {
    let mut conditions = policy["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Enforced" && condition["status"] == "True")
}
