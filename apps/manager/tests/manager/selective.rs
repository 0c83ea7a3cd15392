//! Pushes of some administrators' edits.

use serde_json::json;

use crate::common::device::Device;
use crate::common::{Server, between};
use crate::fleet::{LOCALHOST, PUSH_GROUP, PUSH_STACK, place, rule};
use crate::together::bob;

/// As [`PUSH_GROUP`], with the edits of one administrator.
fn of(admin: &str) -> String {
    PUSH_GROUP.replace("</shared-policy>", &format!("<admin><member>{admin}</member></admin></shared-policy>"))
}

/// Somebody else's rule.
async fn rule_of(server: &Server, key: &str, name: &str) {
    let xpath = format!("{LOCALHOST}/device-group/entry[@name='dg']/pre-rulebase/security/rules");
    let element = format!(
        "<entry name='{name}'><from><member>trust</member></from><to><member>untrust</member></to><source><member>any</member></source>\
         <destination><member>any</member></destination><application><member>any</member></application><service><member>any</member></service>\
         <action>deny</action></entry>"
    );
    set_of(server, key, &xpath, &element).await;
}

async fn set_of(server: &Server, key: &str, xpath: &str, element: &str) {
    let parameters = [("type", "config"), ("action", "set"), ("xpath", xpath), ("element", element)];
    let answer = server.send(&parameters, &[("x-pan-key", key)]).await.body;
    assert!(answer.contains("command succeeded"), "{answer}");
}

/// A device that has everything that is committed, and the key of another superuser.
async fn pushed() -> (Server, Device, String) {
    let server = Server::start().await;
    let mut device = Device::join(&server).await;
    let bob = bob(&server).await;
    place(&server, &device.serial).await;
    server.commit().await;
    let job = server.body(&[("type", "commit"), ("action", "all"), ("cmd", &of("bob"))]).await;
    let refused = server.wait(between(&job, "<job>", "</job>")).await;
    assert!(refused.contains("the device was never pushed, please perform a full push"), "{refused}");
    push(&server, &mut device, PUSH_GROUP).await;
    (server, device, bob)
}

/// Pushes; the configuration that came.
async fn push(server: &Server, device: &mut Device, command: &str) -> String {
    let (job, push) = tokio::join!(server.commit_all(command), device.accept_push());
    assert!(job.contains("<result>OK</result>"), "{job}");
    push.configuration
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_gets_the_edits_of_those_who_are_named_and_the_others_later() {
    let (mut server, mut device, bob) = pushed().await;
    rule(&server, "of-admin").await;
    rule_of(&server, &bob, "of-bob").await;
    server.commit().await;

    let scope = server.told("/api/v1/push/scope").await;
    assert_eq!(scope["device_groups"][0]["devices"], json!([device.serial]));
    let admins = json!([{ "admin": "admin", "changes": 1 }, { "admin": "bob", "changes": 1 }]);
    assert_eq!((&scope["device_groups"][0]["admins"], &scope["template_stacks"]), (&admins, &json!([])), "{scope}");
    let shown =
        server.op("<show><config><push-scope><admin><member>bob</member></admin></push-scope></config></show>").await;
    let object = "<entry name=\"dg\" loc-type=\"device-group\" loc=\"dg\"><admin>bob</admin><action>set</action>";
    assert!(shown.contains(object) && !shown.contains("<admin>admin</admin>"), "{shown}");

    let got = push(&server, &mut device, &of("bob")).await;
    assert!(got.contains("of-bob") && !got.contains("of-admin"), "{got}");
    server.restart().await;
    let mut device = Device::attach(&server, device.identity.clone(), &device.serial, "").await.unwrap();
    device.wait_until_known(&server).await;
    let state = server.told(&format!("/api/v1/devices/{}", device.serial)).await;
    assert_eq!(state["policy"], json!({ "in_sync": false, "version": 4, "selective": true }), "{state}");
    let scope = server.told("/api/v1/push/scope").await;
    assert_eq!((&scope["total"], &scope["changes"][0]["admin"]), (&json!(1), &json!("admin")), "{scope}");

    // What is not pushed stays: the templates bring nothing of the policy.
    let got = push(&server, &mut device, PUSH_STACK).await;
    assert!(got.contains("of-bob") && !got.contains("of-admin"), "{got}");
    // Later edits of others stay out, too.
    rule_of(&server, &bob, "of-bob-too").await;
    rule(&server, "of-admin-too").await;
    server.commit().await;
    let body = json!({ "device_groups": ["dg"], "include_templates": false, "admins": ["admin"] });
    let pushing = server.json("POST", "/api/v1/push?wait=30", Some(body));
    let (told, pushed) = tokio::join!(pushing, device.accept_push());
    assert_eq!(told.body["job"]["result"], "ok", "{}", told.body);
    let got = pushed.configuration;
    assert!(got.contains("of-admin\"") && got.contains("of-admin-too") && !got.contains("of-bob-too"), "{got}");
    // With the last ones it has what is running.
    push(&server, &mut device, &of("bob")).await;
    let state = server.told(&format!("/api/v1/devices/{}", device.serial)).await;
    assert_eq!(state["policy"], json!({ "in_sync": true, "version": 5, "selective": false }), "{state}");
    assert_eq!(server.told("/api/v1/push/scope").await["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_apart_is_refused_and_nothing_is_sent() {
    let (server, mut device, bob) = pushed().await;
    rule(&server, "of-admin").await;
    let moved =
        format!("{LOCALHOST}/device-group/entry[@name='dg']/pre-rulebase/security/rules/entry[@name='of-admin']");
    let parameters = [("type", "config"), ("action", "rename"), ("xpath", &*moved), ("newname", "of-both")];
    server.send(&parameters, &[("x-pan-key", &bob)]).await;
    server.commit().await;
    let refused = server.commit_all(&of("bob")).await;
    assert!(refused.contains("by `bob` in version 4 depends on an edit of somebody else"), "{refused}");
    assert!(refused.contains("<result>FAIL</result>"), "{refused}");
    let unknown = server.body(&[("type", "commit"), ("action", "all"), ("cmd", &of("bop"))]).await;
    assert!(unknown.contains("there is no administrator `bop`; did you mean `bob`?"), "{unknown}");

    // Who is away gets the edits of the same administrators when it is back.
    push(&server, &mut device, PUSH_GROUP).await;
    rule(&server, "left-out").await;
    rule_of(&server, &bob, "wanted").await;
    server.commit().await;
    let (identity, serial) = (device.identity.clone(), device.serial.clone());
    drop(device);
    while server.op("<show><devices><connected/></devices></show>").await.contains(&serial) {
        tokio::task::yield_now().await;
    }
    assert!(server.commit_all(&of("bob")).await.contains("is pending"));
    let mut device = Device::attach(&server, identity, &serial, "").await.unwrap();
    let got = device.accept_push().await.configuration;
    assert!(got.contains("wanted") && !got.contains("left-out"), "{got}");

    // A load takes the place of everybody's edits.
    while server.op("<show><devices><all/></devices></show>").await.contains("<pending-push>") {
        tokio::task::yield_now().await;
    }
    server.op("<load><config><version>4</version></config></load>").await;
    server.commit().await;
    let refused = server.commit_all(&of("bob")).await;
    assert!(
        refused.contains("Selective push is blocked since a load was performed, please perform a full push"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_summary_of_pending_edits_names_the_parts() {
    let server = Server::start().await;
    let summary =
        |inner: &str| format!("<show><config><list><change-summary>{inner}</change-summary></list></config></show>");
    assert!(!server.op(&summary("")).await.contains("<summary>"));
    server.set("/config/shared/tag", "<entry name='t'/>").await;
    server.set(&format!("{LOCALHOST}/device-group/entry[@name='dg']/tag"), "<entry name='t'/>").await;
    let shown = server.op(&summary("<partial><admin><member>admin</member></admin></partial>")).await;
    assert_eq!(
        between(&shown, "<summary>", "</summary>"),
        "<device-group><member>dg</member></device-group><template/><template-stack/><shared-object/>"
    );
    assert!(!server.op(&summary("<partial><admin><member>bob</member></admin></partial>")).await.contains("<summary>"));
}
