//! Audit comments, and what was done to a rule.

use serde_json::{Value, json};

use crate::common::{Server, between};
use crate::fleet::LOCALHOST;
use crate::together::bob;

fn list() -> String {
    format!("{LOCALHOST}/device-group/entry[@name='dg']/pre-rulebase/security/rules")
}

fn rule_body(action: &str) -> String {
    let any = ["from", "to", "source", "destination", "application", "service"];
    let any: String = any.iter().map(|tag| format!("<{tag}><member>any</member></{tag}>")).collect();
    format!("{any}<action>{action}</action>")
}

async fn comment(server: &Server, name: &str, text: &str) -> String {
    let xpath = format!("{}/entry[@name='{name}']", list());
    server
        .op(&format!("<set><audit-comment><xpath>{xpath}</xpath><comment>{text}</comment></audit-comment></set>"))
        .await
}

async fn history(server: &Server, name: &str) -> Vec<Value> {
    let path = format!("device-group%20dg%20pre-rulebase%20security%20rules%20{name}");
    server.told(&format!("/api/v1/rules/history?path={path}")).await["events"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_changes_needs_a_comment_when_it_is_asked_for() {
    let server = Server::start().await;
    let setting = format!("{LOCALHOST}/deviceconfig/setting/management");
    server.set(&setting, "<rule-require-audit-comment>yes</rule-require-audit-comment>").await;
    let job = server.commit().await;
    assert!(job.contains("<result>OK</result>") && !job.contains("rule-require"), "{job}");
    server.set(&list(), &format!("<entry name='web'>{}</entry>", rule_body("allow"))).await;
    let job = server.commit().await;
    let missing = format!("<line> {}/entry[@name='web']</line>", list()).replace('\'', "&apos;");
    let details = between(&job, "<details>", "</details>").replace('\'', "&apos;");
    assert!(details.contains("an audit comment is required") && details.contains(&missing), "{job}");
    assert!(comment(&server, "nobody", "x").await.contains("No such node"));
    assert!(comment(&server, "web", &"x".repeat(257)).await.contains("1 to 256 characters"));
    assert!(comment(&server, "web", "ticket 1").await.contains("command succeeded"));
    assert!(server.commit().await.contains("<result>OK</result>"));
    // Another place is no other rule.
    server.set(&list(), &format!("<entry name='dns'>{}</entry>", rule_body("allow"))).await;
    comment(&server, "dns", "ticket 2").await;
    server.commit().await;
    let parameters = [("type", "config"), ("action", "move"), ("where", "top")];
    let xpath = format!("{}/entry[@name='dns']", list());
    server.body(&[&parameters[..], &[("xpath", &*xpath)]].concat()).await;
    assert!(server.commit().await.contains("<result>OK</result>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_go_with_their_authors_edits_and_into_the_log_and_the_history() {
    let mut server = Server::start().await;
    let key = bob(&server).await;
    server
        .set(
            &list(),
            &format!("<entry name='web'>{}</entry><entry name='dns'>{}</entry>", rule_body("allow"), rule_body("deny")),
        )
        .await;
    comment(&server, "web", "for the shop").await;
    comment(&server, "web", "for the new shop").await;
    let of_bob = json!({ "path": "device-group dg pre-rulebase security rules dns", "comment": "by bob" });
    assert_eq!(server.json_as(&key, "POST", "/api/v1/rules/comment", Some(of_bob)).await.status, 204);
    server.restart().await;
    let xpath = format!("{}/entry[@name='web']", list());
    let command =
        format!("<show><config><list><audit-comments><xpath>{xpath}</xpath></audit-comments></list></config></show>");
    let shown = server.op(&command).await;
    assert_eq!(shown.matches("<entry>").count(), 2, "{shown}");
    assert!(shown.find("for the new shop").unwrap() < shown.find("for the shop").unwrap(), "{shown}");
    let cmd = "<commit><partial><admin><member>admin</member></admin></partial></commit>";
    let job = server.body(&[("type", "commit"), ("action", "partial"), ("cmd", cmd)]).await;
    let job = server.wait(between(&job, "<job>", "</job>")).await;
    assert!(job.contains("<result>OK</result>"), "{job}");
    assert!(!server.op(&command).await.contains("<entry>"));

    let query = "( subtype eq audit-comment ) and ( path contains '\\'web\\'' ) and ( path contains pre-rulebase )";
    let job = server.body(&[("type", "log"), ("log-type", "config"), ("query", query)]).await;
    let job = between(&job, "<job>", "</job>").to_owned();
    let log = server.body(&[("type", "log"), ("action", "get"), ("job-id", &job)]).await;
    assert!(log.contains("<comment>for the new shop</comment>") && log.contains("<config_ver>3</config_ver>"), "{log}");
    assert!(!log.contains("by bob"), "{log}");
    let intact = server.op("<show><config-log-integrity/></show>").await;
    assert!(intact.contains("<intact>yes</intact>"), "{intact}");

    let parameters = [("type", "config"), ("action", "rename"), ("xpath", &*xpath), ("newname", "www")];
    server.body(&parameters).await;
    server.set(&format!("{}/entry[@name='www']", list()), "<description>d</description>").await;
    let events = history(&server, "www").await;
    let told: Vec<_> =
        events.iter().map(|event| (event["action"].as_str().unwrap(), event["version"].clone())).collect();
    let three = json!(3);
    let expected = [
        ("set", Value::Null),
        ("rename", Value::Null),
        ("comment", three.clone()),
        ("comment", three.clone()),
        ("set", three),
    ];
    assert_eq!(told, expected, "{events:?}");
    assert_eq!((&events[2]["text"], &events[2]["admin"]), (&json!("for the new shop"), &json!("admin")));
    let dns = history(&server, "dns").await;
    assert_eq!((&dns[0]["admin"], &dns[0]["version"]), (&json!("bob"), &Value::Null), "{dns:?}");
}
