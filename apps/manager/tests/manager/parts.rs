//! Parts of a configuration are loaded and saved.

use serde_json::json;

use crate::common::Server;
use crate::together::bob;

const ADDRESSES: &str = "/config/shared/address";

fn partial(inner: &str) -> String {
    format!("<load><config><partial>{inner}</partial></config></load>")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_a_saved_configuration_is_merged_replaced_or_appended() {
    let mut server = Server::start().await;
    let entry = |name: &str, host: &str| format!("<entry name='{name}'><fqdn>{host}.example</fqdn></entry>");
    server.set(ADDRESSES, &(entry("a", "saved") + &entry("c", "saved"))).await;
    server.op("<save><config><to>before.xml</to></config></save>").await;
    server.body(&[("type", "config"), ("action", "delete"), ("xpath", ADDRESSES)]).await;
    server.set(ADDRESSES, &(entry("a", "own") + &entry("b", "own"))).await;
    server.commit().await;

    let load = |mode: &str| {
        partial(&format!(
            "<from>before.xml</from><from-xpath>shared/address</from-xpath><to-xpath>{ADDRESSES}</to-xpath><mode>{mode}</mode>"
        ))
    };
    let answer = server.op(&load("append")).await;
    assert!(answer.contains("Config loaded from before.xml"), "{answer}");
    let shown = server.get(ADDRESSES).await;
    assert!(shown.contains("own.example") && shown.find("\"b\"").unwrap() < shown.find("\"c\"").unwrap(), "{shown}");
    // It is an edit like any other: it survives a restart, and a partial commit takes it.
    server.restart().await;
    assert_eq!(server.get(ADDRESSES).await, shown);
    let log = server.told("/api/v1/logs/config?query=(%20cmd%20eq%20load%20)").await;
    assert_eq!(log["lines"].as_array().unwrap().len(), 1, "{log}");

    let part = json!({ "from_xpath": ADDRESSES, "to_xpath": ADDRESSES, "mode": "replace" });
    let body = json!({ "source": "saved:before.xml", "part": part });
    assert_eq!(server.json("POST", "/api/v1/candidate/load", Some(body)).await.status, 204);
    let shown = server.get(ADDRESSES).await;
    assert!(!shown.contains("own.example") && !shown.contains("\"b\""), "{shown}");
    let version = load("merge").replace("<from>before.xml</from>", "<version>2</version>");
    server.op(&version).await;
    let shown = server.get(ADDRESSES).await;
    assert!(shown.contains("own.example") && shown.contains("\"b\"") && shown.contains("\"c\""), "{shown}");

    for (command, reason) in [
        (load("over"), "`over` is no mode"),
        (load("merge").replace("before.xml", "lost.xml"), "lost.xml is not a saved configuration"),
        (partial("<from>before.xml</from><mode>merge</mode>"), "needs `from-xpath` and `to-xpath`"),
        (load("merge").replace("shared/address</from", "shared/tag</from"), "/config/shared/tag is not in"),
    ] {
        let answer = server.op(&command).await;
        assert!(answer.contains("status=\"error\"") && answer.contains(reason), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_administrators_edits_are_saved_over_what_is_running() {
    let server = Server::start().await;
    let key = bob(&server).await;
    server.set(ADDRESSES, "<entry name='of-admin'><fqdn>a.example</fqdn></entry>").await;
    let of_bob = "<entry name='of-bob'><fqdn>b.example</fqdn></entry>";
    let parameters = [("type", "config"), ("action", "set"), ("xpath", ADDRESSES), ("element", of_bob)];
    server.send(&parameters, &[("x-pan-key", &key)]).await;
    let command =
        "<save><config><partial><admin><member>bob</member></admin><to>bobs.xml</to></partial></config></save>";
    let answer = server.op(command).await;
    assert!(answer.contains("Config saved to bobs.xml"), "{answer}");
    let shown = server.op("<show><config><saved>bobs.xml</saved></config></show>").await;
    assert!(shown.contains("of-bob") && !shown.contains("of-admin"), "{shown}");
    let body = json!({ "only": { "admins": ["admin"] } });
    assert_eq!(server.json("PUT", "/api/v1/saved/admins.xml", Some(body)).await.status, 204);
    let shown = server.op("<show><config><saved>admins.xml</saved></config></show>").await;
    assert!(shown.contains("of-admin") && !shown.contains("of-bob"), "{shown}");
}
