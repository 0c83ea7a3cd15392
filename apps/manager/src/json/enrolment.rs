//! Who may enrol, who is let go, what a firewall is asked, and whose keys end.

use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::orders::{job_of, order, within};
use super::problem::Problem;
use super::route::{Access, Call, Created, Done, Json, Nothing, Route};
use crate::accounts::hash_password;
use crate::http::parameters::Parameters;
use crate::times;
use crate::xmlapi::element::{Build as _, element, leaf};
use crate::xmlapi::op::authkey::{COUNT_MAX, MINUTES, made};
use crate::xmlapi::{target, user_id};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::POST,
            "/auth-keys",
            Access::Command("request authkey add"),
            "Make a key with which devices enrol",
            add_key,
        ),
        Route::new(
            Method::DELETE,
            "/auth-keys/{name}",
            Access::Command("request authkey delete"),
            "End keys of that name",
            delete_key,
        ),
        Route::new(
            Method::DELETE,
            "/devices/{serial}",
            Access::Command("request device remove"),
            "Forget a device",
            remove,
        ),
        Route::new(
            Method::POST,
            "/devices/{serial}/re-enrol",
            Access::Command("request device re-enrol"),
            "Let the next device of that serial number enrol, once",
            re_enrol,
        ),
        Route::new(
            Method::POST,
            "/devices/{serial}/renew-certificate",
            Access::Command("request device renew-certificate"),
            "Have a connected device make itself a new key",
            renew,
        ),
        Route::new(Method::POST, "/devices/{serial}/command", Access::Known, "Ask a firewall", command),
        Route::new(Method::POST, "/user-id", Access::Type("user-id"), "Register tags of addresses", register),
        Route::new(Method::POST, "/api-keys", Access::Known, "Make another API key for the caller", make_key),
        Route::new(Method::DELETE, "/api-keys", Access::Command("request api-key expire"), "End API keys", end_keys),
        Route::new(
            Method::POST,
            "/password-hash",
            Access::Command("request password-hash"),
            "The hash that an administrator's entry needs",
            hash,
        ),
    ]
}

/// A key with which devices enrol.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct KeyBody {
    /// Its name.
    name: String,
    /// Minutes that it is good for, 5 to 525600; a day when absent.
    minutes: Option<i64>,
    /// Devices that it is good for, 1 to 10000; any number when absent.
    count: Option<i64>,
}

/// The key, which is shown only now.
#[derive(JsonSchema, Serialize)]
struct KeyMade {
    /// What the firewall is started with.
    key: String,
    /// When it ends.
    expires: String,
}

async fn add_key(call: Call<Nothing, KeyBody>) -> Result<Created<KeyMade>, Problem> {
    let KeyBody { name, minutes, count } = &call.body;
    let minutes = minutes.unwrap_or(1440);
    if name.is_empty() || name.chars().count() > 63 {
        return Err(Problem::parameter("name", "a name has 1 to 63 characters"));
    }
    if !MINUTES.contains(&minutes) {
        return Err(Problem::parameter(
            "minutes",
            format!("a key is good for {} to {} minutes", MINUTES.start(), MINUTES.end()),
        ));
    }
    if count.is_some_and(|count| !(1..=COUNT_MAX).contains(&count)) {
        return Err(Problem::parameter("count", format!("a key is good for 1 to {COUNT_MAX} devices")));
    }
    let (key, expires_us) = made(&call.app, name, minutes, *count).await?;
    Ok(Created(KeyMade { key, expires: times::rfc3339(expires_us) }))
}

async fn delete_key(call: Call) -> Result<Done, Problem> {
    order(&call.app, &call.caller, within(&["request", "authkey", "delete"], leaf("name", call.name("name")))).await?;
    Ok(Done)
}

async fn remove(call: Call) -> Result<Done, Problem> {
    order(&call.app, &call.caller, within(&["request", "device", "remove"], leaf("serial", call.name("serial"))))
        .await?;
    Ok(Done)
}

async fn re_enrol(call: Call) -> Result<Done, Problem> {
    order(&call.app, &call.caller, within(&["request", "device", "re-enrol"], leaf("serial", call.name("serial"))))
        .await?;
    Ok(Done)
}

async fn renew(call: Call) -> Result<Done, Problem> {
    let command = within(&["request", "device", "renew-certificate"], leaf("serial", call.name("serial")));
    order(&call.app, &call.caller, command).await?;
    Ok(Done)
}

/// What a firewall is asked.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CommandBody {
    /// An operational command, as XML: `<show><session><all/></session></show>`.
    command: String,
}

/// What it answered.
#[derive(JsonSchema, Serialize)]
struct CommandAnswer {
    /// The answer of the XML API.
    xml: String,
}

async fn command(call: Call<Nothing, CommandBody>) -> Result<Json<CommandAnswer>, Problem> {
    let (serial, command) = (call.name("serial"), &call.body.command);
    bartizan_model::xml::parse(command).map_err(|diagnostic| Problem::parameter("command", diagnostic.message))?;
    let request = Parameters::from([("type", "op"), ("cmd", command)]);
    let reply = target::answer(&call.app, &call.caller, serial, "op", &request).await;
    match reply.refusal {
        Some(refusal) => Err(refusal.into()),
        None => Ok(Json(CommandAnswer { xml: reply.into_text() })),
    }
}

/// What is registered.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RegisterBody {
    /// A `uid-message`, as XML.
    message: String,
    /// With this firewall alone; with the manager when absent, which tells the firewalls that are to know.
    serial: Option<String>,
}

async fn register(call: Call<Nothing, RegisterBody>) -> Result<Done, Problem> {
    let RegisterBody { message, serial } = &call.body;
    let request = Parameters::from([("type", "user-id"), ("cmd", message.as_str())]);
    let reply = match serial {
        Some(serial) => target::answer(&call.app, &call.caller, serial, "user-id", &request).await,
        None => user_id::answer(&call.app, &call.caller, &request).await,
    };
    job_of(reply)?;
    Ok(Done)
}

/// An API key.
#[derive(JsonSchema, Serialize)]
struct ApiKey {
    /// The key, which is shown only now.
    key: String,
}

async fn make_key(call: Call) -> Result<Created<ApiKey>, Problem> {
    let candidate = call.app.configuration.snapshot().candidate.clone();
    let key = call.app.accounts.make_key(&candidate, &call.caller).await?;
    Ok(Created(ApiKey { key }))
}

/// Whose keys end.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EndQuery {
    /// Those of this administrator.
    admin: Option<String>,
    /// Those of everybody.
    #[serde(default)]
    all: bool,
}

async fn end_keys(call: Call<EndQuery>) -> Result<Done, Problem> {
    let whose = call.query.admin.iter().fold(element("expire"), |expire, admin| expire.leaf("admin", admin));
    let whose = if call.query.all { whose.with(element("all")) } else { whose };
    order(&call.app, &call.caller, within(&["request", "api-key"], whose)).await?;
    Ok(Done)
}

/// A password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HashBody {
    /// The password.
    password: String,
}

/// Its hash.
#[derive(JsonSchema, Serialize)]
struct Hash {
    /// The text of `phash`.
    phash: String,
}

async fn hash(call: Call<Nothing, HashBody>) -> Result<Json<Hash>, Problem> {
    let phash =
        hash_password(&call.body.password).map_err(|error| Problem::parameter("password", error.to_string()))?;
    Ok(Json(Hash { phash }))
}
