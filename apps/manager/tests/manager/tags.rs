//! Tags that the manager keeps: who hears of them, and what outlives what?

use std::collections::BTreeMap;

use bartizan_api::fleet::manager_message::Body as ToDevice;
use bartizan_api::fleet::{Hello, RegisteredTags};
use serde_json::json;

use crate::common::Server;
use crate::common::device::Device;
use crate::fleet::{LOCALHOST, place};

fn message(payload: &str) -> String {
    format!("<uid-message><version>2.0</version><type>update</type><payload>{payload}</payload></uid-message>")
}

fn register(address: &str, tags: &[&str]) -> String {
    let tags: String = tags.iter().map(|tag| format!("<member>{tag}</member>")).collect();
    format!("<register><entry ip='{address}' persistent='1'><tag>{tags}</tag></entry></register>")
}

async fn tell(server: &Server, payload: &str) -> String {
    server.body(&[("type", "user-id"), ("cmd", &message(payload))]).await
}

/// The next message about tags: whether it is a whole set, and the addresses.
async fn heard(device: &mut Device) -> (bool, BTreeMap<String, Vec<String>>) {
    let RegisteredTags { whole_begins, whole_ends, addresses } = match device.next().await {
        Some(Ok(ToDevice::RegisteredTags(told))) => told,
        other => panic!("tags were expected, not {other:?}"),
    };
    assert_eq!(whole_begins, whole_ends);
    (whole_begins, addresses.into_iter().map(|one| (one.address, one.tags)).collect())
}

fn tags(lines: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
    let line =
        |(address, tags): &(&str, &[&str])| ((*address).to_owned(), tags.iter().map(|tag| (*tag).to_owned()).collect());
    lines.iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_kept_by_the_manager_and_reach_each_firewall() {
    let mut server = Server::start().await;
    let told = tell(&server, &register("10.0.0.1", &["web", "test"])).await;
    assert!(told.contains("status=\"success\"") && told.contains("<uid-response>"), "{told}");
    let mut device = Device::join(&server).await;
    assert_eq!(heard(&mut device).await, (true, tags(&[("10.0.0.1", &["test", "web"])])));
    tell(&server, &register("10.0.0.2", &["web"])).await;
    assert_eq!(heard(&mut device).await, (false, tags(&[("10.0.0.2", &["web"])])));
    let payload = "<unregister><entry ip='10.0.0.2'/><entry ip='10.0.0.9'/></unregister>\
        <register><entry ip='10.0.0.3' persistent='0'><tag><member timeout='600'>soon</member></tag></entry></register>";
    let refused = tell(&server, payload).await;
    assert!(
        refused.contains("status=\"error\"")
            && refused.contains(r#"<entry ip="10.0.0.9" message="ip 10.0.0.9 does not exist, ignore unreg"/>"#),
        "{refused}"
    );
    let changed = tags(&[("10.0.0.2", &[]), ("10.0.0.3", &["soon"])]);
    assert_eq!(heard(&mut device).await, (false, changed));
    let shown = server.op("<show><object><registered-ip><all/></registered-ip></object></show>").await;
    assert!(shown.contains(r#"<entry ip="10.0.0.1" from_agent="0" persistent="1"><tag><member>test</member><member>web</member></tag></entry>"#), "{shown}");
    assert!(shown.contains(r#"<entry ip="10.0.0.3" from_agent="0" persistent="0"><tag><member timeout=""#), "{shown}");
    assert!(shown.contains("<count>2</count>"), "{shown}");
    let page = "<show><object><registered-ip><tag><entry name='web'/></tag><limit>1</limit><start-point>2</start-point></registered-ip></object></show>";
    assert!(server.op(page).await.contains("<result><count>0</count></result>"));
    let listed = server.told("/api/v1/registered-addresses?tag=soon").await;
    assert_eq!((&listed["total"], &listed["addresses"][0]["address"]), (&json!(1), &json!("10.0.0.3")));

    // What is persistent outlives the manager's restart; a firewall that has what it told before hears the whole again.
    let (identity, serial) = (device.identity.clone(), device.serial.clone());
    drop(device);
    server.restart().await;
    let hello = Hello { serial: serial.clone(), tagged_addresses: 2, ..Hello::default() };
    let mut device = Device::greet(&server, identity.clone(), hello).await.unwrap();
    assert_eq!(heard(&mut device).await, (true, tags(&[("10.0.0.1", &["test", "web"])])));
    tell(&server, "<unregister><entry ip='10.0.0.1'/></unregister>").await;
    assert_eq!(heard(&mut device).await, (false, tags(&[("10.0.0.1", &[])])));
    drop(device);
    let hello = Hello { serial, tagged_addresses: 1, ..Hello::default() };
    let mut device = Device::greet(&server, identity, hello).await.unwrap();
    assert_eq!(heard(&mut device).await, (true, BTreeMap::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clusters_tags_reach_the_firewalls_that_its_monitoring_definition_notifies() {
    let server = Server::start().await;
    let mut device = Device::join(&server).await;
    place(&server, &device.serial).await;
    server.commit().await;
    tell(&server, &register("10.1.0.1", &["k8s.cl_prod.ns_shop", "k8s.cl_test.ns_shop"])).await;
    tell(&server, &register("10.1.0.2", &["by-hand"])).await;
    assert_eq!(heard(&mut device).await.1, tags(&[("10.1.0.2", &["by-hand"])]), "no definition names the clusters");

    let plugin = "<setup><notify-group><entry name='all'><device-group><member>dg</member></device-group></entry>\
        </notify-group></setup><monitoring-definition><entry name='prod'><cluster>prod</cluster>\
        <notify-group>all</notify-group><enable>yes</enable></entry></monitoring-definition>";
    server.set(&format!("{LOCALHOST}/plugins/kubernetes"), plugin).await;
    let job = server.commit().await;
    assert!(job.contains("<result>OK</result>") && !job.contains("plugins"), "{job}");
    let whole = tags(&[("10.1.0.1", &["k8s.cl_prod.ns_shop"]), ("10.1.0.2", &["by-hand"])]);
    assert_eq!(heard(&mut device).await, (true, whole));
    tell(&server, &register("10.1.0.3", &["k8s.cl_prod.nodes"])).await;
    assert_eq!(heard(&mut device).await, (false, tags(&[("10.1.0.3", &["k8s.cl_prod.nodes"])])));

    let renewal = json!({ "cluster_id": 7, "controller": "one", "ttl_s": 900, "objects": { "pods": 3 } });
    let renewed = server.json("POST", "/api/v1/kubernetes/clusters/prod/renew", Some(renewal.clone())).await;
    assert_eq!(renewed.status, 200, "{:?}", renewed.body);
    assert_eq!((&renewed.body["addresses"], &renewed.body["device_groups"]), (&json!(2), &json!(["dg"])));
    let warnings = renewed.body["warnings"].to_string();
    assert!(warnings.contains("no template has a traffic object for cluster id 7"), "{warnings}");
    let other = server.json("POST", "/api/v1/kubernetes/clusters/test/renew", Some(renewal.clone())).await;
    let warnings = other.body["warnings"].to_string();
    assert!(warnings.contains("cluster `prod` has cluster id 7, too"), "{warnings}");
    assert!(
        warnings.contains("no monitoring definition of the running configuration names cluster `test`"),
        "{warnings}"
    );
    let status = server.op("<show><plugins><kubernetes><status/></kubernetes></plugins></show>").await;
    assert!(status.contains("<entry name=\"prod\"><cluster-id>7</cluster-id><state>connected</state>"), "{status}");
    assert!(status.contains("<pods>3</pods>") && status.contains("<tagged-addresses>2</tagged-addresses>"), "{status}");
    assert_eq!(server.told("/api/v1/kubernetes/clusters").await["clusters"][1]["name"], json!("test"));
    let kept = server.told("/api/v1/kubernetes/clusters/prod/tags").await;
    assert_eq!(kept["addresses"]["10.1.0.3"], json!(["k8s.cl_prod.nodes"]));
    for (path, wrong) in [
        ("/api/v1/kubernetes/clusters/a.b/renew", renewal.clone()),
        ("/api/v1/kubernetes/clusters/a/renew", json!({ "cluster_id": 2049, "controller": "one", "ttl_s": 900 })),
        ("/api/v1/kubernetes/clusters/a/renew", json!({ "controller": "one", "ttl_s": 1 })),
    ] {
        assert_eq!(server.json("POST", path, Some(wrong)).await.status, 400);
    }

    assert_eq!(server.json("DELETE", "/api/v1/kubernetes/clusters/prod", None).await.status, 204);
    assert_eq!(heard(&mut device).await, (false, tags(&[("10.1.0.1", &[]), ("10.1.0.3", &[])])));
    assert_eq!(server.json("DELETE", "/api/v1/kubernetes/clusters/prod", None).await.status, 404);
}
