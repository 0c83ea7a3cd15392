//! The JSON API: does it say what its document says, and all that the XML API knows?

mod logs;
mod reading;
mod writing;

use serde_json::json;

use crate::common::{PASSWORD, Server, basic};

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_in_the_document_and_every_schema_is_one() {
    let server = Server::start().await;
    let document = server.document().await;
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let mut count = 0;
    let mut ids = std::collections::BTreeSet::new();
    for (method, path, _) in bartizan_manager::json_endpoints() {
        let operation = &paths[&path][method.to_ascii_lowercase()];
        assert!(operation["responses"].as_object().is_some_and(|responses| responses.len() >= 2), "{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{operation}");
        assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()));
        count += 1;
    }
    let described: usize = paths.values().map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(described, count, "the document has a route that is not there");
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let mut schema = schema.clone();
        schema["components"] = document["components"].clone();
        jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_a_token_that_ends() {
    let server = Server::start().await;
    let wrong =
        server.json_as("", "POST", "/api/v1/session", Some(json!({ "user": "admin", "password": "wrong" }))).await;
    assert_eq!((wrong.status, &wrong.body["type"]), (401, &json!("urn:bartizan:problem:unauthenticated")));
    let right = json!({ "user": "admin", "password": PASSWORD });
    let session = server.json_as("", "POST", "/api/v1/session", Some(right)).await;
    assert_eq!((session.status, &session.body["role"]), (201, &json!("superuser")));
    let token = session.body["token"].as_str().unwrap();
    let who = server.json_as(token, "GET", "/api/v1/session", None).await;
    assert_eq!((who.status, &who.body["user"]), (200, &json!("admin")));
    assert!(
        who.body["rights"].as_array().unwrap().contains(&json!({ "part": "config", "read": true, "change": true }))
    );
    // The same token as a bearer, and a password instead of a token.
    for header in [format!("Bearer {token}"), basic("admin", PASSWORD)] {
        let answer = server.request("GET", "/api/v1/session", &[("authorization", &header)], Vec::new()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert_eq!(server.json_as(token, "DELETE", "/api/v1/session", None).await.status, 204);
    assert_eq!(server.json_as(token, "GET", "/api/v1/session", None).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_there_is_told_and_one_key_ends_alone() {
    let server = Server::start().await;
    let login = json!({ "user": "admin", "password": PASSWORD });
    let session = server.json_as("", "POST", "/api/v1/session", Some(login)).await;
    let token = session.body["token"].as_str().unwrap();
    let present = server.json_as(token, "GET", "/api/v1/administrators/present", None).await.body;
    let there = present["present"].as_array().unwrap();
    let page = there.iter().find(|one| one["client"] == "JSONAPI").unwrap();
    assert_eq!((&page["name"], &page["host"]), (&json!("admin"), &json!("127.0.0.1")));
    let admins = server.body(&[("type", "op"), ("cmd", "<show><admins/></show>")]).await;
    assert!(admins.contains("<type>JSONAPI</type>") && admins.contains("<self/>"), "{admins}");
    let keys = server.json_as(token, "GET", "/api/v1/api-keys", None).await.body;
    let own = keys["keys"].as_array().unwrap().iter().find(|key| key["own"] == json!(true)).unwrap();
    assert!(!keys.to_string().contains(token));
    let path = format!("/api/v1/api-keys/{}", own["id"].as_str().unwrap());
    assert_eq!(server.json("DELETE", "/api/v1/api-keys/no-such-key", None).await.status, 404);
    assert_eq!(server.json("DELETE", &path, None).await.status, 204);
    assert_eq!(server.json_as(token, "GET", "/api/v1/session", None).await.status, 401);
    assert_eq!(server.json("GET", "/api/v1/session", None).await.status, 200, "the other key is still good");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_told_in_one_form() {
    let server = Server::start().await;
    let key = [("x-pan-key", server.key.as_str())];
    for (method, path, status, part) in [
        ("GET", "/api/v1/no-such-thing", 404, "there is no such endpoint"),
        ("PATCH", "/api/v1/session", 405, "does not take PATCH"),
        ("GET", "/api/v1/jobs?stat=done", 400, "unknown field `stat`"),
        ("GET", "/api/v1/jobs/first", 404, "`first` is no number"),
        ("GET", "/api/v1/config?source=yesterday", 400, "`yesterday` is no configuration"),
        ("GET", "/api/v1/config?xpath=//entry", 400, "xpath"),
        ("GET", "/api/v1/config?path=shared+adress", 400, "did you mean `address`?"),
    ] {
        let answer = server.request(method, path, &key, Vec::new()).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert_eq!(answer.content_type, "application/problem+json", "{path}");
        assert!(answer.body.contains(part), "{path}: {}", answer.body);
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = server.request("POST", "/api/v1/session", &form, b"user=admin".to_vec()).await;
    assert_eq!(answer.status, 415, "a form of a foreign page is no request");
    let broken = server.json("POST", "/api/v1/session", Some(json!({ "user": 1 }))).await;
    assert_eq!((broken.status, &broken.body["errors"][0]["parameter"]), (400, &json!("body")));
}
