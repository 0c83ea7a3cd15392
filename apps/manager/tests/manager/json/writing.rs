//! Writing: edits, commits, pushes, and everything else that changes something.

use serde_json::{Value, json};

use super::reading::url;
use crate::common::Server;
use crate::common::api::{Told, set};
use crate::common::device::{Device, auth_key};

const OWN: &str = "/config/devices/entry[@name='localhost.localdomain']";

async fn edit(server: &Server, edits: Value) -> Told {
    server.json("POST", "/api/v1/config/edits", Some(json!({ "edits": edits }))).await
}

fn messages(told: &Told) -> String {
    told.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["message"].as_str().unwrap())
        .collect::<Vec<_>>()
        .join("; ")
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_are_made_all_or_none_in_every_form() {
    let server = Server::start().await;
    let web = "/config/shared/address/entry[@name='web']";
    let told = edit(
        &server,
        json!([
            set("/config/shared/address", "<entry name='web'><fqdn>web.example</fqdn></entry>"),
            { "action": "set", "path": "shared address dns ip-netmask", "text": "192.0.2.53" },
            { "action": "set", "path": "shared address web", "nodes": [{ "tag": "description", "text": "a < b" }] },
            { "action": "edit", "path": "shared tag red", "node": { "tag": "entry", "attributes": { "name": "red" } } },
            { "action": "clone", "path": "shared address", "from": web, "name": "copy" },
            { "action": "move", "path": "shared address copy", "place": "top" },
            { "action": "rename", "path": "shared address dns", "name": "ns" },
            { "action": "delete", "path": "shared address nobody" },
            set("/config/shared/address", "<entry name='web'><fqdn>web.example</fqdn></entry>"),
        ]),
    )
    .await;
    assert_eq!(told.status, 200, "{}", told.body);
    let results = told.body["results"].as_array().unwrap();
    assert_eq!(results.len(), 9);
    assert_eq!((&results[6], &results[7], &results[8]), (&json!("changed"), &json!("absent"), &json!("unchanged")));
    let list = server.told(&url("/config/entries", &[("path", "shared address")])).await;
    let names: Vec<&Value> = list["entries"].as_array().unwrap().iter().map(|entry| &entry["name"]).collect();
    assert_eq!(names, ["copy", "web", "ns"]);
    // The config log tells by which door they came.
    let log = server.told(&url("/logs/config", &[("query", "( client eq JSONAPI ) and ( cmd eq rename )")])).await;
    assert_eq!(log["lines"].as_array().unwrap().len(), 1, "{log}");
    let description =
        server.told(&url("/config", &[("path", "shared address web description"), ("xml", "true")])).await;
    assert_eq!(description["nodes"][0]["xml"], "<description>a &lt; b</description>");

    let before = server.told("/api/v1/candidate").await;
    let refused = edit(
        &server,
        json!([
            { "action": "delete", "path": "shared address copy" },
            { "action": "set", "path": "shared address web ip-netmask", "text": "x" },
            { "action": "rename", "path": "shared address nobody", "name": "n" },
        ]),
    )
    .await;
    assert_eq!((refused.status, &refused.body["errors"][0]["edit"]), (404, &json!(2)), "{}", refused.body);
    assert_eq!(server.told("/api/v1/candidate").await, before, "nothing of it was done");
    let long = "x".repeat(2000);
    let refused =
        edit(&server, json!([{ "action": "set", "path": "shared address web description", "text": long }])).await;
    assert_eq!(refused.status, 422);
    assert!(messages(&refused).contains("can be at most 1023 characters"), "{}", refused.body);
    let refused = edit(&server, json!([{ "action": "move", "path": "shared address web" }])).await;
    assert_eq!((refused.status, &refused.body["errors"][0]["parameter"]), (400, &json!("edits[0].place")));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_edits_and_every_wrong_one_is_told() {
    let server = Server::start().await;
    let write =
        async |lines: &[&str]| server.json("POST", "/api/v1/config/edits", Some(json!({ "lines": lines }))).await;
    let told = write(&[
        "# addresses",
        "set shared address web ip-netmask 10.0.0.1",
        "",
        "set shared address web tag [ red \"light blue\" ]",
        "set shared tag red",
        "rename shared address web to www",
        "move shared address www top",
    ])
    .await;
    assert_eq!(told.status, 409, "it is at the top already: {}", told.body);
    assert_eq!(told.body["errors"][0]["edit"], 6);
    let told = write(&[
        "set shared address web ip-netmask 10.0.0.1",
        "set shared address web tag [ red \"light blue\" ]",
        "rename shared address web to www",
    ])
    .await;
    assert_eq!((told.status, told.body["results"].as_array().unwrap().len()), (200, 3), "{}", told.body);
    let www = server.told(&url("/config", &[("path", "shared address www tag"), ("xml", "true")])).await;
    assert_eq!(www["nodes"][0]["xml"], "<tag><member>red</member><member>light blue</member></tag>");
    let wrong = write(&["set shared adress web", "set shared address a fqdn a.example", "put shared tag x"]).await;
    assert_eq!((wrong.status, wrong.body["errors"].as_array().unwrap().len()), (400, 2), "{}", wrong.body);
    assert_eq!(wrong.body["errors"][1]["parameter"], "lines[2]");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_action_does_not_take_is_refused_with_what_to_send_instead() {
    let server = Server::start().await;
    let web = "/config/shared/address/entry[@name='web']";
    let node = json!({ "tag": "entry", "attributes": { "name": "web" } });
    let told = edit(&server, json!([{ "action": "set", "xpath": web, "node": node }])).await;
    assert_eq!((told.status, &told.body["errors"][0]["parameter"]), (400, &json!("edits[0].node")), "{}", told.body);
    assert!(messages(&told).contains("`set` takes the elements below it, as `nodes`"), "{}", told.body);
    for stray in [
        json!({ "action": "edit", "xpath": web, "node": node, "nodes": [] }),
        json!({ "action": "delete", "xpath": web, "text": "x" }),
        json!({ "action": "rename", "xpath": web, "name": "www", "other": "x" }),
    ] {
        let told = edit(&server, json!([stray])).await;
        assert_eq!(told.status, 400, "{}", told.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_are_taken_back_and_that_too_but_not_over_somebody_elses() {
    let server = Server::start().await;
    server
        .set("/config/shared/address", "<entry name='a'><fqdn>a</fqdn></entry><entry name='b'><fqdn>b</fqdn></entry>")
        .await;
    let write = async |edits: Value| {
        server.json("POST", "/api/v1/config/edits", Some(json!({ "edits": edits, "undo": true }))).await
    };
    let shown = async || server.told(&url("/config", &[("path", "shared address"), ("xml", "true")])).await;
    let before = shown().await;
    let a = "/config/shared/address/entry[@name='a']";
    let told = write(json!([
        { "action": "delete", "xpath": a },
        { "action": "set", "path": "shared address b description", "text": "mine" },
    ]))
    .await;
    assert_eq!(told.status, 200, "{}", told.body);
    let undone = write(told.body["undo"].clone()).await;
    assert_eq!((undone.status, shown().await), (200, before), "{}", undone.body);
    let again = write(undone.body["undo"].clone()).await;
    assert_eq!(again.status, 200, "{}", again.body);
    // Somebody else describes it meanwhile: neither that nor the deletion is taken back then.
    server.set("/config/shared/address/entry[@name='b']", "<description>theirs</description>").await;
    let now = shown().await;
    let refused = write(again.body["undo"].clone()).await;
    assert_eq!((refused.status, shown().await), (412, now), "{}", refused.body);
    assert!(messages(&refused).contains("somebody else changed"), "{}", refused.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_overwrites_what_somebody_else_changed_meanwhile() {
    let server = Server::start().await;
    server.set("/config/shared/address", "<entry name='web'><fqdn>one.example</fqdn></entry>").await;
    let read = server.told(&url("/config", &[("path", "shared address web")])).await;
    let digest = read["nodes"][0]["digest"].clone();
    server.set("/config/shared/address/entry[@name='web']", "<fqdn>two.example</fqdn>").await;
    let mine = |digest: &Value| {
        json!([
            { "action": "set", "path": "shared tag blue" },
            { "action": "set", "path": "shared address web fqdn", "text": "mine.example" },
            { "action": "edit", "path": "shared address web", "if_digest": digest,
              "element": "<entry name='web'><fqdn>mine.example</fqdn></entry>" },
        ])
    };
    // It is compared with what the edits before it left.
    let told = edit(&server, mine(&digest)).await;
    assert_eq!(
        (told.status, &told.body["type"]),
        (412, &json!("urn:bartizan:problem:changed-meanwhile")),
        "{}",
        told.body
    );
    assert_eq!(told.body["errors"][0]["edit"], 2);
    assert!(server.get("/config/shared/address").await.contains("two.example"));
    let fresh = server.told(&url("/config", &[("path", "shared address web")])).await["nodes"][0]["digest"].clone();
    let one = json!([{ "action": "set", "path": "shared address web fqdn", "text": "mine.example" },
                     { "action": "set", "path": "shared address new fqdn", "text": "n.example", "if_digest": "" }]);
    let guarded = json!([{ "action": "delete", "path": "shared address web", "if_digest": fresh }]);
    assert_eq!(edit(&server, guarded).await.status, 200);
    assert_eq!(edit(&server, one.clone()).await.status, 200);
    assert_eq!(edit(&server, one).await.status, 412, "it is there now");
    let log = server.api(&[("type", "log"), ("log-type", "config"), ("nlogs", "50")]).await.body;
    let job = crate::common::between(&log, "<job>", "</job>").to_owned();
    let log = server.api(&[("type", "log"), ("action", "get"), ("job-id", &job)]).await.body;
    assert!(!log.contains("<cmd>expect</cmd><result>Succeeded"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_is_checked_committed_and_taken_back() {
    let server = Server::start().await;
    let group = "<entry name='web'><static><member>nobody</member></static></entry>";
    server.set("/config/shared/address-group", group).await;
    let checked = server.json("POST", "/api/v1/validate", None).await.body;
    assert_eq!(checked["valid"], false);
    let finding = &checked["findings"][0];
    assert_eq!(finding["severity"], "error");
    assert!(
        finding["xpath"].as_str().unwrap().starts_with("/config/shared/address-group/entry[@name='web']"),
        "{finding}"
    );
    let refused = server.json("POST", "/api/v1/commit?wait=20", Some(json!({ "description": "broken" }))).await;
    assert_eq!((refused.status, &refused.body["job"]["result"]), (202, &json!("failed")), "{}", refused.body);

    let mine = server.json("POST", "/api/v1/candidate/revert", Some(json!({ "only": { "admins": ["nobody"] } }))).await;
    assert_eq!(mine.status, 202, "{}", mine.body);
    assert_eq!(server.told("/api/v1/candidate").await["pending"], 1);
    assert_eq!(server.json("POST", "/api/v1/candidate/revert", None).await.status, 202);
    assert_eq!(server.told("/api/v1/candidate").await["pending"], 0);
    let nothing = server.json("POST", "/api/v1/commit", None).await;
    assert_eq!((nothing.status, &nothing.body), (202, &json!({ "job": null })));

    server.set("/config/shared/tag", "<entry name='red'/>").await;
    server.set(&format!("{OWN}/device-group"), "<entry name='branch'/>").await;
    let only = json!({ "description": "tags", "only": { "device_groups": [], "device_and_network": false } });
    let done = server.json("POST", "/api/v1/commit?wait=20", Some(only)).await.body;
    assert_eq!((&done["job"]["result"], &done["job"]["description"]), (&json!("ok"), &json!("tags")), "{done}");
    assert_eq!(server.told("/api/v1/candidate").await["pending"], 1, "the device group waits");
    let rest = server.json("POST", "/api/v1/commit?wait=20", None).await.body;
    assert_eq!(rest["job"]["state"], "done", "{rest}");

    assert_eq!(server.json("PUT", "/api/v1/saved/before", None).await.status, 204);
    server.set("/config/shared/tag", "<entry name='blue'/>").await;
    let load = |source: &str| Some(json!({ "source": source }));
    assert_eq!(server.json("POST", "/api/v1/candidate/load", load("saved:before")).await.status, 204);
    assert!(!server.get("/config/shared/tag").await.contains("blue"));
    assert_eq!(server.json("POST", "/api/v1/candidate/load", load("version:1")).await.status, 204);
    assert_eq!(server.told("/api/v1/config/diff").await["changes"][0]["kind"], "removed");
    assert_eq!(server.json("POST", "/api/v1/candidate/load", load("pushed:1")).await.status, 400);
    let foreign = Some(json!({ "configuration": "<config><shared/></config>" }));
    assert_eq!(server.json("PUT", "/api/v1/saved/foreign", foreign).await.status, 204);
    let broken = server.json("PUT", "/api/v1/saved/broken", Some(json!({ "configuration": "<shared/>" }))).await;
    assert_eq!(broken.status, 422);
    let saved = server.told("/api/v1/saved").await;
    assert_eq!((&saved["saved"][0]["name"], &saved["saved"][1]["name"]), (&json!("before"), &json!("foreign")));
    assert_eq!(server.json("DELETE", "/api/v1/saved/foreign", None).await.status, 204);
    assert_eq!(server.json("DELETE", "/api/v1/saved/foreign", None).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_keys_and_hashes_are_made_and_ended() {
    let server = Server::start().await;
    let lock = json!({ "kind": "config", "comment": "moving" });
    assert_eq!(server.json("POST", "/api/v1/locks", Some(lock.clone())).await.status, 204);
    assert_eq!(server.told("/api/v1/locks").await["locks"][0]["comment"], "moving");
    let twice = server.json("POST", "/api/v1/locks", Some(lock)).await;
    assert_eq!(twice.status, 409, "{}", twice.body);
    let wrong = server.json("POST", "/api/v1/locks", Some(json!({ "kind": "commit", "scope": "nowhere" }))).await;
    assert_eq!(wrong.status, 422, "{}", wrong.body);
    assert_eq!(server.json("DELETE", "/api/v1/locks?kind=config", None).await.status, 204);
    assert_eq!(server.json("DELETE", "/api/v1/locks?kind=config", None).await.status, 409);

    let made =
        server.json("POST", "/api/v1/auth-keys", Some(json!({ "name": "east", "minutes": 60, "count": 2 }))).await;
    assert_eq!(made.status, 201);
    assert!(made.body["key"].as_str().unwrap().contains('.'));
    let kept = server.told("/api/v1/auth-keys").await;
    assert_eq!((&kept["keys"][0]["name"], &kept["keys"][0]["uses_left"]), (&json!("east"), &json!(2)));
    let wrong = server.json("POST", "/api/v1/auth-keys", Some(json!({ "name": "east", "minutes": 1 }))).await;
    assert_eq!((wrong.status, &wrong.body["errors"][0]["parameter"]), (400, &json!("minutes")));
    assert_eq!(server.json("DELETE", "/api/v1/auth-keys/east", None).await.status, 204);
    assert_eq!(server.json("DELETE", "/api/v1/auth-keys/east", None).await.status, 404);

    let hash = server.json("POST", "/api/v1/password-hash", Some(json!({ "password": "one two three" }))).await.body;
    assert!(hash["phash"].as_str().unwrap().starts_with("$argon2id$"));
    let key = server.json("POST", "/api/v1/api-keys", None).await.body["key"].as_str().unwrap().to_owned();
    assert_eq!(server.json_as(&key, "GET", "/api/v1/session", None).await.status, 200);
    assert_eq!(server.json("DELETE", "/api/v1/api-keys?all=true", None).await.status, 204);
    assert_eq!(server.json_as(&key, "GET", "/api/v1/session", None).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_asked_for_followed_and_cancelled() {
    let server = Server::start().await;
    let mut device = Device::join(&server).await;
    let serial = device.serial.clone();
    let own = format!("<entry name='{serial}'/>");
    server.set("/config/mgt-config/devices", &own).await;
    let groups = format!("<entry name='branch'><devices>{own}</devices></entry><entry name='other'/>");
    server.set(&format!("{OWN}/device-group"), &groups).await;
    let stack = format!("<entry name='stack'><devices>{own}</devices></entry>");
    server.set(&format!("{OWN}/template-stack"), &stack).await;
    let moved = server.json("PUT", "/api/v1/device-groups/branch/parent", Some(json!({ "parent": "other" }))).await;
    assert_eq!(moved.status, 202, "{}", moved.body);
    assert_eq!(server.told("/api/v1/device-groups").await["groups"][0]["parent"], "other");
    server.commit().await;

    let unknown = server.json("POST", "/api/v1/push", Some(json!({ "device_groups": ["brunch"] }))).await;
    assert_eq!(unknown.status, 422);
    assert!(messages(&unknown).contains("did you mean `branch`?"), "{}", unknown.body);
    let both = json!({ "device_groups": ["branch"], "template_stack": "stack" });
    assert_eq!(server.json("POST", "/api/v1/push", Some(both)).await.status, 400);

    let push = json!({ "device_groups": ["branch"], "description": "first" });
    let (pushed, sent) = tokio::join!(server.json("POST", "/api/v1/push?wait=20", Some(push)), device.accept_push());
    assert_eq!(pushed.body["job"]["devices"][0]["result"], "ok", "{}", pushed.body);
    assert_eq!(pushed.body["job"]["scope"], json!({ "kind": "shared-policy", "name": "branch" }));
    assert_eq!(server.told(&format!("/api/v1/devices/{serial}")).await["running_digest"], sent.digest);

    // A job tells of every change until it has ended.
    let job = pushed.body["job"]["id"].as_u64().unwrap();
    let events =
        server.request("GET", &format!("/api/v1/jobs/{job}/events"), &[("x-pan-key", &server.key)], Vec::new()).await;
    assert_eq!(events.content_type, "text/event-stream");
    let event: Value = serde_json::from_str(events.body.trim().strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!((&event["id"], &event["state"]), (&json!(job), &json!("done")));
    let finished = server.json("DELETE", &format!("/api/v1/jobs/{job}"), None).await;
    assert_eq!(finished.status, 409, "{}", finished.body);

    let validate = json!({ "template_stack": "stack", "validate_only": true });
    let checked = server.json("POST", "/api/v1/push?wait=20", Some(validate)).await.body;
    assert_eq!(checked["job"]["kind"], "ValidateAll");
    let asked = server
        .json("POST", "/api/v1/devices/nobody/command", Some(json!({ "command": "<show><clock/></show>" })))
        .await;
    assert_eq!(asked.status, 409, "{}", asked.body);
    let placed = server.json("DELETE", &format!("/api/v1/devices/{serial}"), None).await;
    assert_eq!(placed.status, 409, "the configuration names it: {}", placed.body);
    assert_eq!(server.json("POST", &format!("/api/v1/devices/{serial}/re-enrol"), None).await.status, 204);
    assert_eq!(server.json("POST", "/api/v1/schedules/nightly/run", None).await.status, 404);
    assert!(!auth_key(&server).await.is_empty());
}
