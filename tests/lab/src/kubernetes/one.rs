//! What becomes of one object that a client reads, makes, changes or removes?
//!
//! As at the real server: who changes an object by a version that is not the last one has a conflict, a status is changed
//! by itself where the kind says so, and a merge leaves what it does not name.

use http_body_util::combinators::BoxBody;
use hyper::body::Bytes;
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::{Shared, say, status};

/// Kinds with a status of their own.
const WITH_STATUS: [&str; 2] = ["firewallpolicystates", "clusterfirewallpolicystates"];

/// Which object; without a name the one in the request's body.
pub(super) struct Which<'a> {
    pub(super) plural: &'a str,
    pub(super) namespace: &'a str,
    pub(super) name: Option<&'a str>,
    /// Only its status.
    pub(super) is_status: bool,
}

pub(super) fn answer(
    shared: &Shared,
    method: &Method,
    which: &Which<'_>,
    body: &[u8],
) -> Response<BoxBody<Bytes, std::io::Error>> {
    let Which { plural, namespace, name, is_status } = *which;
    let sent: Value = serde_json::from_slice(body).unwrap_or_default();
    let name = name.or_else(|| sent["metadata"]["name"].as_str()).unwrap_or_default().to_owned();
    let key = (plural.to_owned(), namespace.to_owned(), name.clone());
    let known = shared.world().objects.get(&key).cloned();
    let has_status = WITH_STATUS.contains(&plural);
    match (method, known) {
        (&Method::GET, Some(known)) => say(StatusCode::OK, &known),
        (&Method::POST, None) => {
            let mut object = sent;
            object["metadata"]["name"] = json!(name);
            if !namespace.is_empty() {
                object["metadata"]["namespace"] = json!(namespace);
            }
            if has_status && let Some(fields) = object.as_object_mut() {
                fields.remove("status");
            }
            say(StatusCode::CREATED, &shared.put(plural, object))
        }
        (&Method::PUT, Some(known)) if sent["metadata"]["resourceVersion"] == known["metadata"]["resourceVersion"] => {
            say(StatusCode::OK, &shared.put(plural, sent))
        }
        (&Method::POST | &Method::PUT, Some(_)) => {
            status(StatusCode::CONFLICT, "Conflict", "the object has been modified")
        }
        (&Method::PATCH, Some(mut known)) => {
            let before = known.clone();
            if has_status && is_status {
                merge(&mut known["status"], &sent["status"]);
            } else {
                merge(&mut known, &sent);
                if has_status {
                    known["status"] = before["status"].clone();
                }
            }
            let after = if known == before { known } else { shared.put(plural, known) };
            say(StatusCode::OK, &after)
        }
        (&Method::DELETE, Some(known)) => {
            shared.delete(plural, namespace, &name);
            say(StatusCode::OK, &known)
        }
        _ => status(StatusCode::NOT_FOUND, "NotFound", &format!("{plural} \"{name}\" not found")),
    }
}

/// A JSON merge patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(target) = target.as_object_mut() else { return };
    for (name, value) in fields {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}
