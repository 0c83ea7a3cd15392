//! The controller between a scripted API server and a scripted manager: nothing that happened is lost, whatever breaks.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod manager;
mod policies;
mod states;
mod webhook;

use std::time::{Duration, Instant};

use bartizan_kube::cluster::Tagging;
use bartizan_kube::labels::{Filter, LabelSelector};
use bartizan_kube::tags::Names;
use bartizan_kube::{Controller, Settings};
use bartizan_lab::kubernetes::{ApiServer, pod, slice};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use manager::Manager;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long something may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A controller that runs in this process.
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
    address: std::net::SocketAddr,
    webhook: Option<std::net::SocketAddr>,
    _key: tempfile::NamedTempFile,
}

impl Running {
    async fn start(api: &ApiServer, manager: &Manager, name: &str) -> Self {
        Self::start_with(api, manager, name, None).await
    }

    async fn start_with(
        api: &ApiServer,
        manager: &Manager,
        name: &str,
        webhook: Option<bartizan_kube::webhook::Settings>,
    ) -> Self {
        let key = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(key.path(), "the-key\n").unwrap();
        let connector = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(trusting_nobody());
        let selectors = vec![LabelSelector::parse("pci:*:pod:tier=db").unwrap()];
        let settings = Settings {
            api: kube::Config::new(api.url().parse().unwrap()),
            manager: format!("http://{}", manager.address),
            connector: connector.https_or_http().enable_http1().build(),
            key_file: key.path().to_owned(),
            cluster: "lab".to_owned(),
            cluster_id: Some(7),
            tagging: Tagging { names: Names::of_cluster("lab").unwrap(), filter: Filter::All, selectors },
            ttl: Duration::from_secs(2),
            lease: ("kube-system".to_owned(), "bartizan-controller-lab".to_owned()),
            identity: name.to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            webhook,
        };
        let controller = Controller::start(settings).await.unwrap();
        let address = controller.local_addr().unwrap();
        let webhook = controller.webhook_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(controller.run(async { drop(stopped.await) }));
        Self { stop, task, address, webhook, _key: key }
    }

    async fn end(self) {
        drop(self.stop);
        self.task.await.unwrap().unwrap();
    }

    /// Ends it at whatever it does.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    async fn told(&self, path: &str) -> (u16, String) {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let answer = client.get(format!("http://{}{path}", self.address).parse().unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

/// Plain HTTP is spoken here; the type of the connector wants one.
fn trusting_nobody() -> rustls::ClientConfig {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    builder.unwrap().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn until_has(manager: &Manager, address: &str, tags: &[&str]) {
    let has = || manager.tags().get(address).cloned().unwrap_or_default();
    let start = Instant::now();
    while has() != tags {
        assert!(start.elapsed() < PATIENCE, "{address} has {:?}, not {tags:?}", has());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cluster_says_is_at_the_manager_by_either_version_of_slices() {
    for version in [&["v1", "v1beta1"][..], &["v1beta1"]] {
        let api = ApiServer::start(version);
        let manager = Manager::start().await;
        // Something of before, which is gone from the cluster.
        let old =
            bartizan_model::registered::Entry { persistent: true, tags: [("k8s.cl_lab.old".into(), None)].into() };
        manager.kept.lock().unwrap().tags.put("10.9.9.9".parse().unwrap(), Some(old));
        for number in 0..1200 {
            let address = format!("10.1.{}.{}", number / 200, number % 200 + 1);
            api.put("pods", pod("many", &format!("p{number}"), &address, &[]));
        }
        api.put("pods", pod("shop", "web-1", "10.0.0.1", &[("tier", "web")]));
        api.put("endpointslices", slice(version[0], "shop", "web", &[("10.0.0.1", "web-1")]));
        api.put(
            "services",
            json!({ "kind": "Service", "apiVersion": "v1", "metadata": { "name": "web", "namespace": "shop" },
            "spec": { "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"] } }),
        );
        api.put(
            "nodes",
            json!({ "kind": "Node", "apiVersion": "v1", "metadata": { "name": "node-1" },
            "status": { "addresses": [{ "type": "InternalIP", "address": "192.0.2.1" }] } }),
        );
        let annotations = json!({ "paloaltonetworks.com/firewall": "pan-fw" });
        api.put(
            "namespaces",
            json!({ "kind": "Namespace", "apiVersion": "v1",
            "metadata": { "name": "shop", "annotations": annotations } }),
        );
        let running = Running::start(&api, &manager, "one").await;
        let web = ["ns_shop", "ns_shop.rs_web", "ns_shop.svc_web", "ns_shop.tier.web"];
        until_has(&manager, "10.0.0.1", &web).await;
        until_has(&manager, "10.9.9.9", &[]).await;
        assert_eq!(manager.tags().len(), 1203);
        assert_eq!(manager.tags()["10.96.0.1"], ["ns_shop", "ns_shop.svc_web"]);
        assert_eq!(manager.tags()["192.0.2.1"], ["nodes"]);
        assert!(manager.kept.lock().unwrap().messages <= 4, "in few messages");

        let label = pod("shop", "web-1", "10.0.0.1", &[("tier", "db")]);
        api.put("pods", label.clone());
        until_has(&manager, "10.0.0.1", &["ns_shop", "ns_shop.rs_web", "ns_shop.svc_web", "ns_shop.tier.db", "pci"])
            .await;
        let mut ended = label;
        ended["status"]["phase"] = json!("Succeeded");
        api.put("pods", ended);
        until_has(&manager, "10.0.0.1", &[]).await;
        api.put("pods", pod("other", "next", "10.0.0.1", &[]));
        api.delete("pods", "shop", "web-1");
        until_has(&manager, "10.0.0.1", &["ns_other", "ns_other.rs_web"]).await;

        let renewals = || manager.kept.lock().unwrap().renewals.last().cloned().unwrap_or_default();
        until("a renewal counts", || renewals()["objects"]["pods"] == json!(1201)).await;
        let told = renewals();
        assert_eq!((&told["cluster_id"], &told["controller"], &told["ttl_s"]), (&json!(7), &json!("one"), &json!(2)));
        assert_eq!(told["objects"]["protected_namespaces"], json!(1));
        assert_eq!(running.told("/healthz").await.0, 200);
        assert_eq!(running.told("/readyz").await.0, 200);
        let metrics = running.told("/metrics").await.1;
        for line in ["_leader 1", "_synced 1", "_manager_up 1", "_tagged_addresses 1203", "_manager_warnings 1"] {
            assert!(metrics.contains(&format!("bartizan_controller{line}\n")), "{line}\n{metrics}");
        }
        running.end().await;
        let holder = &api.get("leases", "kube-system", "bartizan-controller-lab").unwrap()["spec"]["holderIdentity"];
        assert_eq!(holder, &json!(""), "given up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_when_watches_break() {
    let mut api = ApiServer::start(&["v1"]);
    let manager = Manager::start().await;
    api.put("pods", pod("shop", "a", "10.0.0.1", &[]));
    api.put("pods", pod("shop", "b", "10.0.0.2", &[]));
    let running = Running::start(&api, &manager, "one").await;
    until_has(&manager, "10.0.0.2", &["ns_shop", "ns_shop.rs_web"]).await;
    until("pods are watched", || api.asked("pods") == (1, 1)).await;

    // A watch that is cut goes on from where it was.
    api.bookmark();
    api.put("pods", pod("shop", "a", "10.0.0.1", &[("x", "1")]));
    api.cut();
    api.put("pods", pod("shop", "a", "10.0.0.1", &[("x", "2")]));
    until_has(&manager, "10.0.0.1", &["ns_shop", "ns_shop.rs_web", "ns_shop.x.2"]).await;
    assert_eq!(api.asked("pods").0, 1, "it was not listed again");

    // What the server does not have any more is listed anew: also that something is gone.
    api.put("pods", pod("shop", "c", "10.0.0.3", &[]));
    until_has(&manager, "10.0.0.3", &["ns_shop", "ns_shop.rs_web"]).await;
    api.go_away();
    api.delete("pods", "shop", "b");
    api.put("pods", pod("shop", "a", "10.0.0.1", &[("x", "3")]));
    api.put("pods", pod("shop", "d", "10.0.0.4", &[]));
    api.forget();
    let before = manager.kept.lock().unwrap().renewals.len();
    until("it renews while the API server is away", || manager.kept.lock().unwrap().renewals.len() > before + 1).await;
    assert_eq!(manager.tags()["10.0.0.2"].len(), 2, "nothing is taken away meanwhile");
    api.come_back();
    until_has(&manager, "10.0.0.2", &[]).await;
    until_has(&manager, "10.0.0.1", &["ns_shop", "ns_shop.rs_web", "ns_shop.x.3"]).await;
    until_has(&manager, "10.0.0.4", &["ns_shop", "ns_shop.rs_web"]).await;
    assert!(api.asked("pods").0 >= 2);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_was_away_has_everything_soon_after_it_is_back() {
    let api = ApiServer::start(&["v1"]);
    let mut manager = Manager::start().await;
    api.put("pods", pod("shop", "a", "10.0.0.1", &[]));
    api.put("pods", pod("shop", "b", "10.0.0.2", &[]));
    let running = Running::start(&api, &manager, "one").await;
    until_has(&manager, "10.0.0.1", &["ns_shop", "ns_shop.rs_web"]).await;
    manager.go_away().await;
    api.put("pods", pod("shop", "a", "10.0.0.1", &[("x", "1")]));
    api.delete("pods", "shop", "b");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(running.told("/metrics").await.1.contains("bartizan_controller_manager_up 0\n"));
    // It comes back from a backup, with something else.
    manager.kept.lock().unwrap().tags.put("10.0.0.1".parse().unwrap(), None);
    manager.come_back().await;
    until_has(&manager, "10.0.0.1", &["ns_shop", "ns_shop.rs_web", "ns_shop.x.1"]).await;
    until_has(&manager, "10.0.0.2", &[]).await;
    // Somebody clears tags: the next renewal finds it out.
    manager.kept.lock().unwrap().tags.clear(&mut Vec::new());
    until_has(&manager, "10.0.0.1", &["ns_shop", "ns_shop.rs_web", "ns_shop.x.1"]).await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_controllers_one_tells_and_the_other_goes_on() {
    let api = ApiServer::start(&["v1"]);
    let manager = Manager::start().await;
    api.put("pods", pod("shop", "a", "10.0.0.1", &[]));
    let holder = || {
        let lease = api.get("leases", "kube-system", "bartizan-controller-lab");
        lease.map(|lease| lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
    };
    let first = Running::start(&api, &manager, "first").await;
    until("the first leads", || holder().as_deref() == Some("first")).await;
    let second = Running::start(&api, &manager, "second").await;
    until_has(&manager, "10.0.0.1", &["ns_shop", "ns_shop.rs_web"]).await;
    until("the second watches", || api.asked("pods").1 == 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(second.told("/readyz").await.0, 200, "a standby is ready");
    assert!(second.told("/metrics").await.1.contains("bartizan_controller_leader 0\n"));
    let tellers = || {
        manager
            .kept
            .lock()
            .unwrap()
            .renewals
            .iter()
            .rev()
            .take(2)
            .map(|one| one["controller"].clone())
            .collect::<Vec<_>>()
    };
    until("only the first tells", || tellers() == [json!("first"), json!("first")]).await;
    first.end().await;
    api.put("pods", pod("shop", "a", "10.0.0.1", &[("x", "1")]));
    until_has(&manager, "10.0.0.1", &["ns_shop", "ns_shop.rs_web", "ns_shop.x.1"]).await;
    assert_eq!(holder().as_deref(), Some("second"));
    second.end().await;
}

/// Fifty pods start in a second and forty run at a time, as long as the plugin's test of the same kind.
#[tokio::test(flavor = "multi_thread")]
async fn pods_that_come_and_go_leave_no_tags() {
    let count = std::env::var("BARTIZAN_K8S_PODS").map_or(200, |text| text.parse().unwrap());
    let api = ApiServer::start(&["v1"]);
    let manager = Manager::start().await;
    api.put("pods", pod("shop", "stays", "10.0.0.1", &[]));
    let running = Running::start(&api, &manager, "one").await;
    let stays = ["ns_shop", "ns_shop.rs_web"];
    until_has(&manager, "10.0.0.1", &stays).await;
    let mut due = tokio::time::interval(Duration::from_millis(20));
    for at in 0..count + 40 {
        due.tick().await;
        if at < count {
            // Addresses come again soon, as those of a node do.
            let address = format!("10.1.0.{}", at % 60 + 1);
            api.put("pods", pod("shop", &format!("p{at}"), &address, &[("number", &at.to_string())]));
        }
        if at >= 40 {
            api.delete("pods", "shop", &format!("p{}", at - 40));
        }
    }
    // Told after all of those.
    api.put("pods", pod("shop", "last", "10.0.0.2", &[]));
    until_has(&manager, "10.0.0.2", &stays).await;
    let has_tags = || manager.tags().into_iter().filter(|(_, tags)| !tags.is_empty()).map(|(address, _)| address);
    until("only those that run have tags", || has_tags().eq(["10.0.0.1", "10.0.0.2"])).await;
    let metrics = running.told("/metrics").await.1;
    assert!(metrics.contains("bartizan_controller_tagged_addresses 2\n"), "{metrics}");
    running.end().await;
}
