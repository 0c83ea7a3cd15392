//! Is any policy lost, or any rule there twice, when the manager is killed amid its runs again and again?
//!
//! Policies are told once; as soon as that is answered the manager is killed, sooner or later, so that each task of a run
//! is hit. Nobody tells anything again: what was answered must become the rules, those and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bartizan_lab::Lab;
use bartizan_lab::api::{Api, between};
use bartizan_lab::postgres::{Durability, Postgres};
use serde_json::{Value, json};

use crate::{LIMIT, Random, launch, login};

const DEVICE: &str = "/config/devices/entry[@name='localhost.localdomain']";
const POLICIES: &str = "/kubernetes/clusters/prod/policies";
const ROUNDS: u64 = 40;
const NAMES: u64 = 6;
/// Longest time from the answer to the kill.
const DELAY_MAX_US: u64 = 90_000;

/// Policies by name with the port that they let in.
type Wanted = BTreeMap<String, u64>;

#[test]
fn on_sqlite_policies_become_exactly_their_rules_whenever_the_manager_is_killed() {
    trial(None, ROUNDS);
}

#[test]
fn on_postgresql_policies_become_exactly_their_rules_whenever_the_manager_is_killed() {
    let server = Postgres::start(Durability::Full).unwrap();
    let url = server.database().unwrap();
    trial(Some(&url), ROUNDS / 3);
}

fn trial(database: Option<&str>, rounds: u64) {
    let lab = Lab::new().unwrap();
    let host = lab.namespace("manager").unwrap();
    let mut manager = launch(&lab, &host, "manager", database);
    let mut api = login(&host);
    let own = "<pre-rulebase><security><rules><entry name='mine'><from><member>any</member></from><to><member>any</member></to>\
        <source><member>any</member></source><destination><member>any</member></destination><application><member>any</member>\
        </application><service><member>any</member></service><action>allow</action></entry></rules></security></pre-rulebase>";
    api.set(&format!("{DEVICE}/device-group/entry[@name='dg']"), own).unwrap();
    let settings = "<device-group>dg</device-group><auto-commit>yes</auto-commit><batch-window>1</batch-window>";
    api.set(&format!("{DEVICE}/plugins/kubernetes/policy-automation/entry[@name='prod']"), settings).unwrap();
    api.commit().unwrap();
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = Random(seed | 1);
    let mut wanted = Wanted::new();
    let mut round = 0;
    loop {
        // Which tasks the kills hit is chance: on, until they have hit two.
        let is_last = round + 1 >= rounds && (interrupted(&api).len() > 1 || round + 1 >= 4 * rounds);
        for _ in 0..=random.below(3) {
            let name = format!("p{}", random.below(NAMES));
            if random.below(4) == 0 {
                wanted.remove(&name);
            } else {
                wanted.insert(name, 1000 + random.below(50));
            }
        }
        if is_last {
            wanted.clear();
        }
        let digest = format!("d{round}");
        api.json("PUT", POLICIES, Some(&told(&digest, &wanted))).unwrap();
        std::thread::sleep(Duration::from_micros(random.below(DELAY_MAX_US)));
        manager.signal("KILL").unwrap();
        manager.wait(LIMIT).unwrap();
        manager = launch(&lab, &host, "manager", database);
        api = login(&host);
        until_enforced(&api, &digest, &mut || manager.output());
        assert_eq!(ports(&api), wanted, "round {round}: {}", manager.output());
        if is_last {
            break;
        }
        round += 1;
    }
    let group = running(&api);
    assert!(!group.contains("np.prod") && !group.contains("k8s-np.prod") && group.contains("\"mine\""), "{group}");
    let tasks = interrupted(&api);
    println!("interrupted amid {tasks:?}");
    assert!(tasks.len() > 1, "the kills hit no tasks: {tasks:?}");
    let candidate = api.json("GET", "/candidate", None).unwrap();
    assert_eq!(candidate["pending"], 0, "no edit is left behind: {candidate}");
}

fn told(digest: &str, wanted: &Wanted) -> Value {
    let policy = |(name, port): (&String, &u64)| {
        json!({"metadata": {"name": name, "namespace": "shop", "uid": name, "generation": port},
            "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": port}]}]}})
    };
    json!({"controller": "one", "digest": digest, "pods": [], "cluster_policies": [],
        "namespaces": {"shop": {"kubernetes.io/metadata.name": "shop"}},
        "policies": wanted.iter().map(policy).collect::<Vec<_>>()})
}

fn until_enforced(api: &Api, digest: &str, log: &mut dyn FnMut() -> String) {
    let begun = Instant::now();
    loop {
        let states = api.json("GET", POLICIES, None).unwrap();
        if states["enforced_digest"] == digest {
            return;
        }
        let runs = || api.json("GET", "/automation/runs?limit=2", None).unwrap();
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{digest} is not brought about: {states:#} {:#} {}",
            runs(),
            log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn running(api: &Api) -> String {
    let xpath = format!("{DEVICE}/device-group/entry[@name='dg']");
    api.call(&[("type", "config"), ("action", "show"), ("xpath", &xpath)]).unwrap()
}

/// Policies by the rules that are there, each once, with their ports.
fn ports(api: &Api) -> Wanted {
    let group = running(api);
    let rules = between(&group, "<rules>", "</rules>").unwrap_or_default();
    let mut found = Wanted::new();
    let mut names = BTreeSet::new();
    for rule in rules.split("<entry name=\"").skip(1) {
        let name = rule.split('"').next().unwrap();
        assert!(names.insert(name.to_owned()), "{name} is there twice: {rules}");
        let Some(policy) = name.strip_prefix("np.prod.shop.") else { continue };
        let policy = policy.split('.').next().unwrap().to_owned();
        let port = between(rule, "np.prod.tcp-", "<").unwrap().parse().unwrap();
        assert_eq!(found.insert(policy, port), None, "two rules of one policy: {rules}");
    }
    found
}

/// Tasks that were done when the manager was killed.
fn interrupted(api: &Api) -> BTreeSet<String> {
    let runs = api.json("GET", "/automation/runs?limit=1000", None).unwrap();
    let mut tasks = BTreeSet::new();
    for run in runs["runs"].as_array().unwrap() {
        let run = api.json("GET", &format!("/automation/runs/{}", run["id"]), None).unwrap();
        let steps = run["steps"].as_array().unwrap();
        let cut = steps
            .iter()
            .filter(|step| step["error"].as_str().is_some_and(|error| error.starts_with("the manager ended")));
        tasks.extend(cut.map(|step| step["task"].as_str().unwrap().to_owned()));
    }
    tasks
}
