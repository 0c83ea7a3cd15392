//! What does the manager say of itself, and by which keys do devices enrol?

use axum::http::Method;
use bartizan_model::manager;
use schemars::JsonSchema;
use serde::Serialize;

use super::problem::Problem;
use super::route::{Access, Call, Json, Route};
use crate::store::now_us;
use crate::times;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/system", Access::Command("show system info"), "The manager itself", system),
        Route::new(
            Method::GET,
            "/auth-keys",
            Access::Command("request authkey list"),
            "Keys with which devices enrol",
            auth_keys,
        ),
    ]
}

/// The manager.
#[derive(JsonSchema, Serialize)]
struct System {
    /// Its host name.
    hostname: String,
    /// Its serial number.
    serial: String,
    /// The version of Bartizan.
    version: String,
    /// The version of PAN-OS whose schema clients are to use.
    panos_version: String,
    /// The time now.
    time: String,
    /// Seconds since it was started.
    uptime_s: u64,
    /// SHA-256, hex, of the certificate of its authority.
    ca_fingerprint: String,
    /// Number of the running configuration.
    running_version: u64,
    /// Edits that are not committed.
    pending: usize,
    /// Devices that are connected.
    devices_connected: usize,
    /// What became of the firewalls' logs since the start.
    logs: LogCounters,
}

/// Records of logs since the start.
#[derive(JsonSchema, Serialize)]
struct LogCounters {
    /// Written.
    stored: u64,
    /// Sent again although they were written.
    repeated: u64,
    /// Deleted to make room.
    deleted: u64,
}

async fn system(call: Call) -> Result<Json<System>, Problem> {
    let app = &call.app;
    let snapshot = app.configuration.snapshot();
    let hostname = manager::container(&snapshot.running, "deviceconfig")
        .and_then(|device| device.descend(&["system", "hostname"]))
        .map(|hostname| hostname.text())
        .unwrap_or_default();
    let counters = app.logs.counters();
    Ok(Json(System {
        hostname,
        serial: app.serial(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        panos_version: crate::xmlapi::system::SOFTWARE_VERSION.to_owned(),
        time: times::rfc3339(now_us()),
        uptime_s: app.started.elapsed().as_secs(),
        ca_fingerprint: app.pki.fingerprint(),
        running_version: snapshot.version,
        pending: snapshot.pending,
        devices_connected: app.fleet.attached(),
        logs: LogCounters { stored: counters.stored, repeated: counters.repeated, deleted: counters.deleted },
    }))
}

/// Keys with which devices enrol.
#[derive(JsonSchema, Serialize)]
struct AuthKeys {
    /// All that are kept.
    keys: Vec<AuthKey>,
}

/// One of them, without its secret.
#[derive(JsonSchema, Serialize)]
struct AuthKey {
    /// Its name.
    name: String,
    /// The first letters of its secret.
    hint: String,
    /// When it was made.
    created: String,
    /// When it ends.
    expires: String,
    /// Devices that may still enrol with it; any number when it does not say.
    uses_left: Option<i64>,
}

async fn auth_keys(call: Call) -> Result<Json<AuthKeys>, Problem> {
    let keys = call.app.store.auth_keys().await?;
    let key = |key: crate::store::auth_keys::AuthKey| AuthKey {
        name: key.name,
        hint: key.hint,
        created: times::rfc3339(key.created_us),
        expires: times::rfc3339(key.expires_us),
        uses_left: key.uses_left,
    };
    Ok(Json(AuthKeys { keys: keys.into_iter().map(key).collect() }))
}
