//! What does an unmodified PAN-OS client get for its request?
//!
//! One endpoint, told apart by `type`. Callers prove who they are by an API key (`X-PAN-KEY` or `key`) or
//! by HTTP Basic; `keygen` trades name and password for a key.

pub(crate) mod commit;
mod config;
pub(crate) mod element;
pub mod endpoints;
pub(crate) mod files;
pub(crate) mod log;
pub(crate) mod multi;
pub(crate) mod op;
pub(crate) mod reply;
pub(crate) mod report;
pub(crate) mod system;
pub(crate) mod target;
pub(crate) mod user_id;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;

use crate::accounts::{Caller, LoginError, Right, Role};
use crate::app::App;
use crate::http::Peer;
use crate::http::parameters::Parameters;
use crate::store::now_us;
use element::{Build as _, element as new, leaf};
use endpoints::{Need, TYPES, WITHIN_A_PART, need_of};
use reply::Reply;

/// A body must be there by then.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Answers one HTTP request.
pub(crate) async fn handle(app: &Arc<App>, peer: &Peer, request: Request) -> Response {
    let headers = request.headers().clone();
    let reply = match tokio::time::timeout(BODY_TIMEOUT, Parameters::read(request)).await {
        Ok(Ok(parameters)) => answer(app, peer, &headers, &parameters).await,
        Ok(Err(error)) => Reply::bad_request(&error),
        Err(_) => Reply::bad_request(&format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs())),
    };
    reply.into_response()
}

async fn answer(app: &Arc<App>, peer: &Peer, headers: &HeaderMap, parameters: &Parameters) -> Reply {
    let Some(kind) = parameters.get("type") else {
        return Reply::bad_request("Missing value for parameter \"type\".");
    };
    if kind == "keygen" {
        return keygen(app, peer, parameters).await.unwrap_or_else(refuse_login);
    }
    let caller = match authenticate(app, peer, headers, parameters).await {
        Ok(caller) => caller,
        Err(error) => return refuse_login(error),
    };
    let target = parameters.get("target").filter(|target| !target.is_empty() && *target != app.serial());
    match target {
        Some(serial) => target::answer(app, &caller, serial, kind, parameters).await,
        None => answer_caller(app, &caller, parameters).await,
    }
}

/// Answers a request of somebody who is known.
pub(crate) async fn answer_caller(app: &Arc<App>, caller: &Caller, parameters: &Parameters) -> Reply {
    let kind = parameters.get("type").unwrap_or_default();
    if let Some(refusal) = refuse_role(caller).or_else(|| refuse_type(caller, kind)) {
        return refusal;
    }
    if need_of(TYPES, kind).is_some()
        && let Some(refusal) = refuse_whole(caller, kind)
    {
        return refusal;
    }
    match kind {
        "config" => config::answer(app, caller, parameters).await,
        "commit" => commit::answer(app, caller, parameters).await,
        "op" => op::answer(app, caller, parameters).await,
        "log" => log::answer(app, caller, parameters).await,
        "version" => version(app),
        "export" => files::export(app, caller, parameters).await,
        "user-id" => user_id::answer(app, caller, parameters).await,
        "import" => files::import(app, caller, parameters).await,
        "report" => report::answer(app, caller, parameters).await,
        _ => Reply::bad_request(&format!("Illegal value for parameter \"type\" [{kind}].")),
    }
}

/// The same as an answer.
fn refuse_role(caller: &Caller) -> Option<Reply> {
    why_no_role(caller).map(|why| Reply::unauthorized(&why))
}

/// `None`, or why there is no such type for the caller. `config` and `op` go by what is asked for, and look themselves.
fn refuse_type(caller: &Caller, kind: &str) -> Option<Reply> {
    let Some(need) = need_of(TYPES, kind) else {
        let unknown = || Reply::bad_request(&format!("Illegal value for parameter \"type\" [{kind}]."));
        return (!matches!(kind, "config" | "op")).then(unknown);
    };
    let right = Right::ALL.iter().find(|right| right.tag() == kind)?;
    match need {
        Need::Reading => refuse_reading(caller, *right),
        Need::Change | Need::Editing => refuse_change(caller, *right),
    }
}

/// `None`, or why the caller may do nothing at all.
pub(crate) fn why_no_role(caller: &Caller) -> Option<String> {
    (caller.role == Role::Unsupported).then(|| {
        format!(
            "the role of `{}` is stored but not supported, or its admin role or access domain is missing",
            caller.name
        )
    })
}

/// `None`, or why the caller may not do what belongs to `right`.
pub(crate) fn why_not(caller: &Caller, right: Right, need: Need) -> Option<String> {
    let may = match need {
        Need::Reading => caller.role.may_read(right),
        Need::Change | Need::Editing => caller.role.may_change(right),
    };
    (!may).then(|| match caller.role {
        Role::Superreader => format!("`{}` may only read: the role is `superreader`", caller.name),
        _ => format!("the role of `{}` does not allow type={}", caller.name, right.tag()),
    })
}

/// `None`, or why the caller must not read what belongs to `right`.
pub(crate) fn refuse_reading(caller: &Caller, right: Right) -> Option<Reply> {
    why_not(caller, right, Need::Reading).map(|why| Reply::unauthorized(&why))
}

/// `None`, or why the caller must not change what belongs to `right`.
pub(crate) fn refuse_change(caller: &Caller, right: Right) -> Option<Reply> {
    why_not(caller, right, Need::Change).map(|why| Reply::unauthorized(&why))
}

/// `None`, or why a request about the whole manager is refused to somebody whose role is for a part of it.
pub(crate) fn refuse_whole(caller: &Caller, request: &str) -> Option<Reply> {
    why_not_whole(caller, request).map(|why| Reply::unauthorized(&why))
}

/// The same in words.
pub(crate) fn why_not_whole(caller: &Caller, request: &str) -> Option<String> {
    if WITHIN_A_PART.contains(&request) { None } else { why_not_part(caller, &format!("`{request}`")) }
}

/// The same for what is not told apart by its request.
pub(crate) fn refuse_part(caller: &Caller, what: &str) -> Option<Reply> {
    why_not_part(caller, what).map(|why| Reply::unauthorized(&why))
}

/// The same in words.
pub(crate) fn why_not_part(caller: &Caller, what: &str) -> Option<String> {
    caller.role.scope()?;
    Some(format!("{what} is about the whole manager; the role of `{}` is for a part of its configuration", caller.name))
}

/// `None`, or why a firewall is out of reach for the caller.
pub(crate) fn refuse_device(caller: &Caller, right: Right, serial: &str) -> Option<Reply> {
    why_not_device(caller, right, serial).map(|why| Reply::unauthorized(&why))
}

/// The same in words.
pub(crate) fn why_not_device(caller: &Caller, right: Right, serial: &str) -> Option<String> {
    let reach = caller.role.reach(right)?;
    (!reach.devices.contains(serial))
        .then(|| format!("`{serial}` is in no device group or template of `{}`", caller.name))
}

async fn keygen(app: &App, peer: &Peer, parameters: &Parameters) -> Result<Reply, LoginError> {
    let (Some(user), Some(password)) = (parameters.get("user"), parameters.get("password")) else {
        return Ok(Reply::bad_request("Missing value for parameter \"user\" or \"password\"."));
    };
    let candidate = app.configuration.snapshot().candidate.clone();
    let caller = app.accounts.login(&candidate, peer.address.ip(), user, password).await?;
    let key = app.accounts.make_key(&candidate, &caller).await?;
    Ok(Reply::result(new("result").leaf("key", &key)))
}

async fn authenticate(
    app: &App,
    peer: &Peer,
    headers: &HeaderMap,
    parameters: &Parameters,
) -> Result<Caller, LoginError> {
    let header = headers.get("x-pan-key").and_then(|value| value.to_str().ok());
    let caller = who(app, peer, header.or_else(|| parameters.get("key")), headers).await?;
    app.accounts.presence.note(&caller, now_us());
    Ok(caller)
}

/// Who asks, by a key or by the header for name and password.
pub(crate) async fn who(app: &App, peer: &Peer, key: Option<&str>, headers: &HeaderMap) -> Result<Caller, LoginError> {
    let snapshot = app.configuration.snapshot();
    let candidate = &snapshot.candidate;
    let host = peer.address.ip();
    if let Some(key) = key {
        return app.accounts.by_key(candidate, &snapshot.running, host, key).await;
    }
    let basic = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(basic_credentials);
    let Some((user, password)) = basic else {
        return Err(LoginError::Invalid);
    };
    app.accounts.login(candidate, host, &user, &password).await
}

/// Name and password of an `Authorization` header.
pub(crate) fn basic_credentials(header: &str) -> Option<(String, String)> {
    let (scheme, credentials) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64.decode(credentials.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn refuse_login(error: LoginError) -> Reply {
    match error {
        LoginError::Internal(error) => Reply::internal(&error),
        LoginError::Invalid | LoginError::Expired { .. } | LoginError::Throttled { .. } => {
            Reply::forbidden(&error.to_string())
        }
    }
}

fn version(app: &App) -> Reply {
    let result = new("result")
        .with(leaf("sw-version", system::SOFTWARE_VERSION))
        .with(leaf("multi-vsys", "off"))
        .with(leaf("model", system::model(app)))
        .with(leaf("serial", &app.serial()));
    Reply::result(result)
}
