//! Four eyes: nobody commits or pushes his own edits alone.

use serde_json::json;

use crate::common::device::Device;
use crate::common::{Server, between};
use crate::fleet::{LOCALHOST, PUSH_GROUP, place, rule};
use crate::together::bob;

const ADDRESSES: &str = "/config/shared/address";

async fn switch_on(server: &Server, what: &str) {
    let setting = format!("{LOCALHOST}/deviceconfig/setting/management");
    server.set(&setting, &format!("<four-eyes><{what}>yes</{what}></four-eyes>")).await;
    let job = server.commit().await;
    assert!(job.contains("<result>OK</result>") && !job.contains("four-eyes"), "{job}");
}

async fn op(server: &Server, key: &str, command: &str) -> String {
    server.send(&[("type", "op"), ("cmd", command)], &[("x-pan-key", key)]).await.body
}

fn approve(id: &str) -> String {
    format!("<request><approval><approve><id>{id}</id><comment>looks right</comment></approve></approval></request>")
}

async fn commit_of(server: &Server, key: &str) -> String {
    let answer = server.send(&[("type", "commit"), ("cmd", "<commit/>")], &[("x-pan-key", key)]).await.body;
    server.wait(between(&answer, "<job>", "</job>")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_own_edits_waits_for_somebody_elses_approval_of_exactly_them() {
    let mut server = Server::start().await;
    let key = bob(&server).await;
    switch_on(&server, "commit").await;
    server.set(ADDRESSES, "<entry name='a'><fqdn>a.example</fqdn></entry>").await;
    let job = server.commit().await;
    assert!(job.contains("<result>FAIL</result>") && job.contains("approval 1 is needed"), "{job}");
    server.commit().await;
    assert_eq!(server.told("/api/v1/approvals").await["approvals"].as_array().unwrap().len(), 1, "asked for once");
    assert!(server.op(&approve("1")).await.contains("it takes somebody else"));
    server.restart().await;
    assert!(op(&server, &key, &approve("1")).await.contains("approval 1 is given"));
    assert!(op(&server, &key, &approve("1")).await.contains("approval 1 is approved already"));

    // Another edit is not what was approved.
    server.set(ADDRESSES, "<entry name='b'><fqdn>b.example</fqdn></entry>").await;
    assert!(server.commit().await.contains("approval 2 is needed"));
    let refuse = "<request><approval><refuse><id>2</id><comment>b is wrong</comment></refuse></approval></request>";
    assert!(op(&server, &key, refuse).await.contains("approval 2 is refused"));
    assert!(server.commit().await.contains("`bob` refused this commit: b is wrong"));
    // Whoever made none of the edits commits them without being asked.
    let job = commit_of(&server, &key).await;
    assert!(job.contains("<result>OK</result>"), "{job}");

    server.set(ADDRESSES, "<entry name='c'><fqdn>c.example</fqdn></entry>").await;
    assert!(server.commit().await.contains("approval 3 is needed"));
    assert_eq!(server.json_as(&key, "POST", "/api/v1/approvals/3/approve", Some(json!({}))).await.status, 204);
    let job = server.commit().await;
    assert!(job.contains("<result>OK</result>"), "{job}");
    let shown = server.op("<show><approvals/></show>").await;
    assert!(between(&shown, "<entry name=\"3\">", "</entry>").contains("<state>used</state>"), "{shown}");
    let log = server.told("/api/v1/logs/config?query=(%20admin%20eq%20bob%20)").await;
    assert!(log.to_string().contains("approve") && log.to_string().contains("b is wrong"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_not_committed_approves_nothing() {
    let server = Server::start().await;
    let key = bob(&server).await;
    switch_on(&server, "commit").await;
    server.set(ADDRESSES, "<entry name='a'><fqdn>a.example</fqdn></entry>").await;
    server.set("/config/mgt-config/users/entry[@name='bob']", "<preferences><x>1</x></preferences>").await;
    assert!(server.commit().await.contains("approval 1 is needed"));
    let refused = op(&server, &key, &approve("1")).await;
    assert!(refused.contains("the account of `bob` is new or was changed, and that is not committed"), "{refused}");
    // Nor does the account commit what it did not make.
    assert!(commit_of(&server, &key).await.contains("is needed"));
    assert!(op(&server, &key, &approve("9")).await.contains("approval 9 not found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_own_edits_waits_too() {
    let server = Server::start().await;
    let mut device = Device::join(&server).await;
    let key = bob(&server).await;
    place(&server, &device.serial).await;
    switch_on(&server, "push").await;
    let job = server.commit_all(PUSH_GROUP).await;
    assert!(job.contains("approval 1 is needed: this push has edits of admin"), "{job}");
    assert!(op(&server, &key, &approve("1")).await.contains("is given"));
    let (job, _) = tokio::join!(server.commit_all(PUSH_GROUP), device.accept_push());
    assert!(job.contains("<result>OK</result>"), "{job}");
    // An approval is good once, and another version is another push.
    rule(&server, "more").await;
    server.commit().await;
    assert!(server.commit_all(PUSH_GROUP).await.contains("approval 2 is needed"));
    let of_bob = async {
        let parameters = [("type", "commit"), ("action", "all"), ("cmd", PUSH_GROUP)];
        let answer = server.send(&parameters, &[("x-pan-key", &key)]).await.body;
        server.wait(between(&answer, "<job>", "</job>")).await
    };
    let (job, pushed) = tokio::join!(of_bob, device.accept_push());
    assert!(job.contains("<result>OK</result>") && pushed.configuration.contains("more"), "{job}");
}
