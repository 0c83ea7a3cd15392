//! What a stack or a group has in the place of something that it inherits.

use serde_json::json;

use crate::common::{Server, between};
use crate::fleet::LOCALHOST;

const SERIAL: &str = "BZT000000000001";
const SYSTEM: &str = "config/devices/entry[@name='localhost.localdomain']/deviceconfig/system";

/// A template with name servers and times, in a stack that has a device.
async fn stacked() -> Server {
    let server = Server::start().await;
    server.set("/config/mgt-config/devices", &format!("<entry name='{SERIAL}'/>")).await;
    let ntp = "<ntp-servers><primary-ntp-server><ntp-server-address>ntp.example</ntp-server-address></primary-ntp-server></ntp-servers>";
    let base = format!("{LOCALHOST}/template/entry[@name='base']/{SYSTEM}");
    server.set(&base, &format!("<timezone>UTC</timezone>{ntp}")).await;
    let stack = format!("<templates><member>base</member></templates><devices><entry name='{SERIAL}'/></devices>");
    server.set(&format!("{LOCALHOST}/template-stack/entry[@name='stack']"), &stack).await;
    server
}

async fn overriding(server: &Server, xpath: &str, element: &str) -> String {
    server.body(&[("type", "config"), ("action", "override"), ("xpath", xpath), ("element", element)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_has_its_own_until_it_is_deleted_and_the_preview_says_so() {
    let mut server = stacked().await;
    let own = format!("{LOCALHOST}/template-stack/entry[@name='stack']/{SYSTEM}");
    let answer = overriding(&server, &own, "<ntp-servers><secondary-ntp-server/></ntp-servers>").await;
    assert!(answer.contains("command succeeded"), "{answer}");
    let log = server.told("/api/v1/logs/config?query=(%20cmd%20eq%20override%20)").await;
    assert_eq!(log["lines"].as_array().unwrap().len(), 1, "{log}");
    server.restart().await;
    server.commit().await;
    let path = format!("/api/v1/devices/{SERIAL}/effective?below=/config/devices");
    let values = server.told(&path).await;
    let found: Vec<_> = values["values"].as_array().unwrap().iter().map(|value| value["owner"].clone()).collect();
    assert_eq!(found, ["template stack `stack`", "template `base`"], "{values}");
    assert_eq!(values["values"][0]["overrides"][0]["owner"], "template `base`", "{values}");

    let node = json!({ "tag": "timezone", "text": "Europe/Berlin" });
    let edits = json!([
        { "action": "override", "xpath": format!("{own}/timezone"), "node": node },
        { "action": "delete", "xpath": format!("{own}/ntp-servers") },
    ]);
    let told = server.json("POST", "/api/v1/config/edits", Some(json!({ "edits": edits }))).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let values = server.told(&format!("{path}&candidate=true")).await;
    let found = values.to_string();
    assert!(
        found.contains("ntp.example") && found.contains("Europe/Berlin") && !found.contains("secondary"),
        "{found}"
    );
    let lost = json!([{ "action": "override", "xpath": format!("{own}/domain"), "element": "<domain>x</domain>" }]);
    let told = server.json("POST", "/api/v1/config/edits", Some(json!({ "edits": lost }))).await;
    assert_eq!((told.status, &told.body["errors"][0]["edit"]), (422, &json!(0)), "{}", told.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_fixed_is_overridden_in_no_way() {
    let server = Server::start().await;
    let group = format!("{LOCALHOST}/device-group/entry[@name='branch']");
    server.set(&group, "<description>b</description>").await;
    let shared = "<entry name='web'><fqdn>web.example</fqdn></entry>\
        <entry name='dns'><fqdn>dns.example</fqdn><disable-override>yes</disable-override></entry>";
    server.set("/config/shared/address", shared).await;
    let multi = |name: &str| {
        format!(
            "<multi-config><override xpath=\"{group}/address\"><entry name='{name}'><fqdn>own.example</fqdn></entry></override></multi-config>"
        )
    };
    let answer = server.body(&[("type", "config"), ("action", "multi-config"), ("element", &multi("web"))]).await;
    assert!(answer.contains("status=\"success\""), "{answer}");
    let answer = server.body(&[("type", "config"), ("action", "multi-config"), ("element", &multi("dns"))]).await;
    assert!(answer.contains("code=\"12\" id=\"1\"") && answer.contains("Object cannot be overridden"), "{answer}");

    server.set(&format!("{group}/address"), "<entry name='dns'><fqdn>own.example</fqdn></entry>").await;
    let job = server.commit().await;
    assert!(between(&job, "<details>", "</details>").contains("[override-disabled]"), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_is_read_with_its_templates_each_node_with_its_owner() {
    let server = stacked().await;
    let own = format!("{LOCALHOST}/template-stack/entry[@name='stack']/{SYSTEM}");
    server.set(&own, "<hostname>fw</hostname>").await;
    let read = |stack: &str| format!("/api/v1/config?source=candidate-stack:{stack}&path=deviceconfig%20system");
    let found = server.told(&read("stack")).await;
    let node = found["nodes"][0]["node"].clone();
    let owners: Vec<_> = node["children"].as_array().unwrap().iter().map(|child| &child["attributes"]).collect();
    let (stack, base) = (json!({ "ptpl": "stack", "src": "stack" }), json!({ "ptpl": "base" }));
    assert_eq!((&node["attributes"], owners), (&stack, vec![&stack, &base, &base]), "{node}");
    let none = server.json("GET", &read("stuck"), None).await;
    assert_eq!(none.status, 404);
    assert!(none.body.to_string().contains("did you mean `stack`?"), "{}", none.body);
}
