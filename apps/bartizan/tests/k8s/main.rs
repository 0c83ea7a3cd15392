//! Do the verbs about a cluster say what an API server answers, and end with the right exit code?
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test itself does")]

mod server;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use server::{Answers, Server};

/// A cluster in which everything is as it should be, and one pod that was there before the annotation.
fn cluster() -> Answers {
    let node = |name: &str, zone: &str| json!({ "metadata": { "name": name, "labels": { "topology.kubernetes.io/zone": zone } } });
    let config = json!({ "inspect": "annotated", "firewall": ["pan-fw"], "traffic_object_id": "7" });
    let coverage = json!({ "node": "n1", "written": "2026-11-26T20:00:00Z", "pods": [
        { "namespace": "shop", "name": "web", "uid": "u-web", "ip": "10.1.0.9", "inspected": true,
          "reason": "annotation of the namespace", "since": "2026-11-26T19:00:00Z" }] });
    let maps = [
        json!({ "metadata": { "name": "pan-cni-config" }, "data": { "cni_network_config": config.to_string() } }),
        json!({ "metadata": { "name": "pan-cni-coverage-n1" }, "data": { "coverage.json": coverage.to_string() } }),
    ];
    let pod = |namespace: &str, name: &str, node: &str| {
        json!({ "metadata": { "namespace": namespace, "name": name, "uid": format!("u-{name}") },
            "spec": { "nodeName": node }, "status": { "phase": "Running", "podIP": "10.1.0.9" } })
    };
    let mut agent = pod("kube-system", "pan-cni-abcde", "n1");
    agent["metadata"]["labels"] = json!({ "app.kubernetes.io/component": "pan-cni" });
    agent["status"]["conditions"] = json!([{ "type": "Ready", "status": "True" }]);
    agent["spec"]["hostNetwork"] = json!(true);
    let annotated = json!({ "metadata": { "name": "shop",
        "annotations": { "paloaltonetworks.com/firewall": "pan-fw" } } });
    let sets = [
        json!({ "metadata": { "name": "calico-node", "namespace": "kube-system" } }),
        json!({ "metadata": { "name": "pan-cni", "namespace": "kube-system" },
            "status": { "desiredNumberScheduled": 2, "numberReady": 2 } }),
    ];
    let slice = json!({ "metadata": { "labels": { "kubernetes.io/service-name": "pan-ngfw-svc" } }, "endpoints": [
        { "addresses": ["10.0.0.1"], "conditions": { "ready": true }, "zone": "a" },
        { "addresses": ["10.0.0.2"], "conditions": { "ready": true }, "zone": "b" }] });
    let mut answers = Answers::default();
    answers.set("/version", json!({ "major": "1", "minor": "36", "gitVersion": "v1.36.1" }));
    answers.list("/api/v1/nodes", &[node("n1", "a"), node("n2", "b")]);
    answers.list("/apis/apps/v1/daemonsets", &sets);
    answers.list("/api/v1/namespaces", &[annotated.clone(), json!({ "metadata": { "name": "kube-system" } })]);
    answers.set("/api/v1/namespaces/shop", annotated);
    answers.set("/api/v1/namespaces/kube-system", json!({ "metadata": { "name": "kube-system", "uid": "c-1" } }));
    answers.list("/api/v1/namespaces/kube-system/configmaps", &maps);
    answers.set("/api/v1/namespaces/kube-system/configmaps/pan-cni-config", maps[0].clone());
    answers.list("/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices", &[slice]);
    answers.set("/api/v1/nodes/n1", node("n1", "a"));
    answers.list("/api/v1/namespaces/kube-system/pods", std::slice::from_ref(&agent));
    for name in ["web", "old"] {
        answers.set(&format!("/api/v1/namespaces/shop/pods/{name}"), pod("shop", name, "n1"));
    }
    answers
        .list("/api/v1/pods", &[agent, pod("shop", "web", "n1"), pod("shop", "old", "n1"), pod("test", "job", "n2")]);
    answers
}

/// Runs a verb with a kubeconfig for servers, the first of which is the current context.
fn run(servers: &[&Server], words: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let contexts = |of: &dyn Fn(usize, &Server) -> Value| -> Vec<Value> {
        servers.iter().enumerate().map(|(number, server)| of(number, server)).collect()
    };
    let file = json!({ "apiVersion": "v1", "kind": "Config", "current-context": "c0",
        "users": [{ "name": "u", "user": { "token": "secret" } }],
        "clusters": contexts(&|number, server| json!({ "name": format!("c{number}"), "cluster": { "server": server.url() } })),
        "contexts": contexts(&|number, _| json!({ "name": format!("c{number}"),
            "context": { "cluster": format!("c{number}"), "user": "u" } })) });
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, file.to_string()).unwrap();
    let ended = command(&path, words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (ended.status.code().unwrap(), text(ended.stdout), text(ended.stderr))
}

fn command(kubeconfig: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bartizan"));
    command.arg("k8s").args(words).args(["--kubeconfig".as_ref(), kubeconfig.as_os_str()]);
    // The person's own login is no part of it.
    command.env_clear().env("HOME", kubeconfig.parent().unwrap());
    command
}

#[test]
fn preflight_is_content_with_a_good_cluster() {
    let server = Server::start(cluster());
    let (code, out, err) = run(&[&server], &["preflight"]);
    assert_eq!((code, &*err), (0, ""), "{out}");
    for line in ["Kubernetes v1.36.1", "Calico; `deployTo` is `native`", "2 of 2 are ready", "10.0.0.1, 10.0.0.2"] {
        assert!(out.contains(line), "{line}:\n{out}");
    }
    assert!(server.asked().iter().all(|request| request.authorization == "Bearer secret"));
    let posts: Vec<String> =
        server.asked().into_iter().filter(|request| request.method == "POST").map(|request| request.path).collect();
    assert_eq!(posts.len(), 12, "eleven questions about rights and one trial: {posts:?}");
    assert_eq!(posts[11], "/api/v1/namespaces/kube-system/configmaps?dryRun=All");
}

#[test]
fn preflight_fails_with_each_reason_and_what_to_do() {
    let mut answers = cluster();
    answers.refuse("/api/v1/namespaces/kube-system/configmaps", 403, "managed by the platform");
    answers.forbid("customresourcedefinitions");
    let east = Server::start(answers);
    let mut other = cluster();
    other.set("/api/v1/namespaces/kube-system", json!({ "metadata": { "name": "kube-system", "uid": "c-2" } }));
    let west = Server::start(other);
    let (code, out, _) = run(&[&east, &west, &east], &["preflight", "-o", "json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    let failed: Vec<(&str, &str)> = answer["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["state"] == "failed")
        .map(|check| (check["check"].as_str().unwrap(), check["text"].as_str().unwrap()))
        .collect();
    assert_eq!(
        failed,
        [
            ("rights", "you may not create customresourcedefinitions (cluster)"),
            ("namespace", "`kube-system` refuses a ConfigMap: managed by the platform (403)"),
            ("cluster id", "7 is the id of c1, too"),
        ]
    );
    assert_eq!(code, 1);
}

#[test]
fn coverage_lists_what_is_not_inspected_and_why() {
    let server = Server::start(cluster());
    let (code, out, err) = run(&[&server], &["coverage"]);
    assert_eq!((code, &*err), (4, ""), "{out}");
    assert!(!out.contains("web"), "{out}");
    let line = |word: &str| {
        out.lines().find(|line| line.contains(word)).unwrap_or_else(|| panic!("{word}:\n{out}")).to_owned()
    };
    assert!(line(" old ").contains("the node agent of `n1` does not know it"), "{out}");
    assert!(line("pan-cni-abcde").contains("it is in its node's network"), "{out}");
    assert!(line(" job ").contains("no `paloaltonetworks.com/firewall: pan-fw` on the pod or its namespace"), "{out}");
    assert!(out.contains("1 of 4 pods are inspected; 1 ask for it and are not"), "{out}");
    let (_, out, _) = run(&[&server], &["coverage", "--all", "-o", "json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["summary"], json!({ "pods": 4, "inspected": 1, "uninspected": 3, "unmet": 1 }));
    assert_eq!(answer["pods"][1]["since"], "2026-11-26T19:00:00Z");
}

#[test]
fn lists_are_read_to_their_last_page() {
    let server = Server::start(cluster().in_pages_of(1));
    let (code, out, err) = run(&[&server], &["coverage", "-o", "json"]);
    assert_eq!((code, &*err), (4, ""), "{out}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["summary"]["pods"], 4);
}

#[test]
fn doctor_finds_where_the_path_ends() {
    let server = Server::start(cluster());
    let (code, out, err) = run(&[&server], &["doctor", "shop/web"]);
    assert_eq!((code, &*err), (0, ""), "{out}");
    assert!(out.contains("10.0.0.1 in the zone a") && out.contains("no manager was asked"), "{out}");
    let (code, out, _) = run(&[&server], &["doctor", "shop/old"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("tunnel") && out.contains("restart it"), "{out}");
    let (code, _, err) = run(&[&server], &["doctor", "shop/gone"]);
    assert_eq!((code, &*err), (1, "error: there is no pod `gone` in the namespace `shop`\n"));
}

#[test]
fn a_cluster_that_refuses_or_is_not_there_is_told() {
    let mut answers = cluster();
    answers.refuse("/api/v1/pods", 403, "pods is forbidden");
    let server = Server::start(answers);
    let (code, _, err) = run(&[&server], &["coverage"]);
    assert_eq!((code, &*err), (1, "error: the cluster refuses `/api/v1/pods`: pods is forbidden (403)\n"));
    let ended = command(Path::new("/nowhere/kubeconfig"), &["coverage"]).output().unwrap();
    let err = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.code() == Some(1) && err.contains("help: name its kubeconfig"), "{err}");
}
