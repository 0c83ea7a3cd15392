//! Reading: configurations, differences, devices, and what the manager says of itself.

use serde_json::{Value, json};

use crate::common::Server;
use crate::common::device::Device;

const OWN: &str = "/config/devices/entry[@name='localhost.localdomain']";

/// A path with parameters, encoded.
pub(super) fn url(path: &str, parameters: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("/api/v1{path}?{query}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_read_by_its_xpath_or_by_words_and_loses_nothing() {
    let server = Server::start().await;
    let entry =
        "<entry name='web'><ip-netmask>10.0.0.1</ip-netmask><tag><member>b</member><member>a</member></tag></entry>";
    server.set("/config/shared/address", entry).await;
    let by_xpath = server.told(&url("/config", &[("xpath", "/config/shared/address/entry[@name='web']")])).await;
    let by_words = server.told(&url("/config", &[("path", "shared address web")])).await;
    assert_eq!(by_xpath, by_words);
    let found = &by_xpath["nodes"][0];
    assert_eq!(found["path"], "shared address web");
    let members = json!([{ "tag": "member", "text": "b" }, { "tag": "member", "text": "a" }]);
    let children = json!([{ "tag": "ip-netmask", "text": "10.0.0.1" }, { "tag": "tag", "children": members }]);
    assert_eq!(found["node"], json!({ "tag": "entry", "attributes": { "name": "web" }, "children": children }));
    let shallow = server.told(&url("/config", &[("path", "shared address"), ("depth", "0")])).await;
    assert_eq!(shallow["nodes"][0]["node"], json!({ "tag": "address", "more": 1 }));
    let xml = server.told(&url("/config", &[("path", "shared address web tag"), ("xml", "true")])).await;
    assert_eq!(xml["nodes"][0]["xml"], "<tag><member>b</member><member>a</member></tag>");
    let running = server.told(&url("/config", &[("path", "shared address web"), ("source", "version:1")])).await;
    assert_eq!(running, json!({ "nodes": [] }), "it is not committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_come_in_pages_and_are_searched() {
    let server = Server::start().await;
    let entries: String =
        (0..250).map(|n| format!("<entry name='a{n:03}'><fqdn>h{n}.example</fqdn></entry>")).collect();
    server.set("/config/shared/address", &entries).await;
    let list = [("path", "shared address"), ("offset", "200"), ("limit", "20")];
    let page = server.told(&url("/config/entries", &list)).await;
    assert_eq!((&page["total"], &page["matching"]), (&json!(250), &json!(250)));
    assert_eq!(page["entries"].as_array().unwrap().len(), 20);
    assert_eq!((&page["entries"][0]["name"], &page["entries"][0]["position"]), (&json!("a200"), &json!(200)));
    let found = server.told(&url("/config/entries", &[("path", "shared address"), ("search", "H24")])).await;
    let names: Vec<&Value> = found["entries"].as_array().unwrap().iter().map(|entry| &entry["name"]).collect();
    assert_eq!(names.len(), 11, "h24 and h240 to h249: {names:?}");
    let none = server.json("GET", &url("/config/entries", &[("xpath", "/config/shared/service")]), None).await;
    assert_eq!(none.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_knows_its_fields_their_ranges_and_the_names_that_fit() {
    let server = Server::start().await;
    server.set("/config/shared/address", "<entry name='web'><fqdn>web.example</fqdn></entry>").await;
    let address = server.told(&url("/config/schema", &[("path", "shared address")])).await;
    assert_eq!((&address["known"], &address["holds"]["kind"]), (&json!(true), &json!("list")));
    let field = |facts: &Value, tag: &str| {
        facts["fields"].as_array().unwrap().iter().find(|field| field["tag"] == tag).cloned().unwrap()
    };
    assert_eq!(field(&address, "fqdn")["branch"], true);
    assert_eq!(field(&address, "description")["holds"]["most"], 1023.0);
    assert_eq!(address["names"], json!(["web"]));
    let rule = "/config/shared/pre-rulebase/security/rules/entry[@name='r']";
    let action = server.told(&url("/config/schema", &[("xpath", &format!("{rule}/action"))])).await;
    assert!(action["holds"]["words"].as_array().unwrap().contains(&json!("drop")), "{action}");
    let source = server.told(&url("/config/schema", &[("xpath", &format!("{rule}/source"))])).await;
    assert_eq!((&source["holds"]["kind"], &source["names"]), (&json!("members"), &json!(["web"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_of_an_object_and_the_differences_are_told() {
    let server = Server::start().await;
    server.set("/config/shared/address", "<entry name='web'><fqdn>web.example</fqdn></entry>").await;
    server.set("/config/shared/address-group", "<entry name='all'><static><member>web</member></static></entry>").await;
    let users = server.told(&url("/config/users", &[("path", "shared address web")])).await;
    assert_eq!(users["users"][0]["path"], "shared address-group all static web");
    let state = server.told("/api/v1/candidate").await;
    assert_eq!((&state["pending"], &state["authors"], &state["version"]), (&json!(2), &json!(["admin"]), &json!(1)));
    let changes = server.told("/api/v1/candidate/changes").await;
    assert_eq!((&changes["total"], &changes["changes"][1]["action"]), (&json!(2), &json!("set")));
    let tree = server.told("/api/v1/config/diff").await;
    assert_eq!((&tree["total"], &tree["changes"][0]["kind"]), (&json!(2), &json!("added")));
    assert_eq!(tree["changes"][1]["new"]["tag"], "address-group");
    let set = server.told("/api/v1/config/diff?form=set").await;
    assert_eq!(set["changes"][0]["text"], "set shared address web fqdn web.example");
    let xml = server.told("/api/v1/config/diff?form=xml&limit=1").await;
    assert!(xml["changes"][0]["text"].as_str().unwrap().starts_with("@@ /config/shared/address (added)\n+"));
    let side = server.told("/api/v1/config/diff?form=side").await;
    assert_eq!((side["changes"][0]["left"].clone(), &side["changes"][0]["right"][0]), (json!([]), &json!("<address>")));
    server.commit().await;
    let before = server.told(&url("/config/diff", &[("from", "version:2"), ("to", "version:1")])).await;
    assert_eq!(before["changes"][0]["kind"], "removed");
    let versions = server.told("/api/v1/versions").await;
    assert_eq!((&versions["versions"][0]["version"], &versions["versions"][0]["author"]), (&json!(2), &json!("admin")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_shown_with_its_state_and_where_its_values_come_from() {
    let server = Server::start().await;
    let mut device = Device::join(&server).await;
    let serial = device.serial.clone();
    let own = format!("<entry name='{serial}'/>");
    server
        .set("/config/mgt-config/devices", &format!("<entry name='{serial}'><tags><member>lab</member></tags></entry>"))
        .await;
    let group = format!(
        "<entry name='branch'><devices>{own}</devices><address><entry name='web'><fqdn>near.example</fqdn></entry></address></entry>"
    );
    server.set(&format!("{OWN}/device-group"), &group).await;
    server.set("/config/shared/address", "<entry name='web'><fqdn>far.example</fqdn></entry>").await;
    let template = "<entry name='edge'><config><devices><entry name='localhost.localdomain'><deviceconfig><system><hostname>fw</hostname></system></deviceconfig></entry></devices></config></entry>";
    server.set(&format!("{OWN}/template"), template).await;
    let stack =
        format!("<entry name='stack'><templates><member>edge</member></templates><devices>{own}</devices></entry>");
    server.set(&format!("{OWN}/template-stack"), &stack).await;
    server.commit().await;
    let path = format!("/api/v1/devices/{serial}");
    let state = server.told(&path).await;
    assert_eq!((&state["connected"], &state["policy"]["in_sync"]), (&json!(true), &json!(false)), "{state}");
    assert_eq!(
        (&state["group"], &state["stack"], &state["tags"]),
        (&json!("branch"), &json!("stack"), &json!(["lab"]))
    );
    let nothing = server.json("GET", &url("/config", &[("source", &format!("pushed:{serial}"))]), None).await;
    assert_eq!(nothing.status, 404, "{}", nothing.body);

    let values = server.told(&format!("{path}/effective")).await;
    let value = |end: &str| {
        let values = values["values"].as_array().unwrap();
        values.iter().find(|value| value["xpath"].as_str().unwrap().ends_with(end)).cloned().unwrap()
    };
    assert_eq!(value("/hostname")["owner"], "template `edge`");
    let web = value("/address/entry[@name='web']/fqdn");
    assert_eq!((&web["value"], &web["owner"]), (&json!("near.example"), &json!("device-group `branch`")));
    assert_eq!(web["overrides"][0]["value"], "far.example");
    assert_eq!(web["written"], format!("{OWN}/device-group/entry[@name='branch']/address/entry[@name='web']/fqdn"));

    let push = "<commit-all><shared-policy><device-group><entry name='branch'/></device-group><include-template>yes</include-template></shared-policy></commit-all>";
    let (job, push) = tokio::join!(server.commit_all(push), device.accept_push());
    assert!(job.contains("<result>OK</result>"), "{job}");
    let state = server.told(&path).await;
    assert_eq!((&state["policy"]["in_sync"], &state["policy"]["version"]), (&json!(true), &json!(2)));
    assert_eq!(state["pushed_digest"], push.digest);
    assert_eq!(server.told("/api/v1/devices?in_sync=false").await["devices"], json!([]));
    assert_eq!(server.told("/api/v1/devices?connected=true&tag=lab").await["devices"][0]["serial"], serial);
    let pending = [("from", &*format!("pushed:{serial}")), ("to", &*format!("device:{serial}"))];
    assert_eq!(server.told(&url("/config/diff", &pending)).await["total"], 0);

    let jobs = server.told("/api/v1/jobs").await;
    assert_eq!((&jobs["jobs"][0]["kind"], &jobs["jobs"][0]["result"]), (&json!("CommitAll"), &json!("ok")));
    let id = jobs["jobs"][0]["id"].as_u64().unwrap();
    let job = server.told(&format!("/api/v1/jobs/{id}?wait=5")).await;
    assert_eq!((&job["devices"][0]["serial"], &job["devices"][0]["result"]), (&json!(serial), &json!("ok")));
    assert_eq!(server.told("/api/v1/device-groups").await["groups"][0]["devices"], json!([serial]));
    assert_eq!(server.told("/api/v1/templates").await["stacks"][0]["templates"], json!(["edge"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_are_empty_have_their_form_too() {
    let server = Server::start().await;
    assert_eq!(server.told("/api/v1/locks").await, json!({ "locks": [] }));
    assert_eq!(server.told("/api/v1/saved").await, json!({ "saved": [] }));
    assert_eq!(server.told("/api/v1/schedules").await, json!({ "schedules": [] }));
    assert_eq!(server.told("/api/v1/auth-keys").await, json!({ "keys": [] }));
    let administrators = server.told("/api/v1/administrators").await;
    assert_eq!(administrators["administrators"][0]["role"], "superuser");
    let system = server.told("/api/v1/system").await;
    assert_eq!((&system["hostname"], &system["devices_connected"]), (&json!("bartizan"), &json!(0)));
}
