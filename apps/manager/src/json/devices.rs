//! Devices: all of them, one of them, and every value that one has with where it was written.

use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use bartizan_model::render::Effective;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::problem::{Finding, Problem};
use super::route::{Access, Answer, Call, Described, Json, Route};
use super::source::why_no_device;
use crate::accounts::Caller;
use crate::app::App;
use crate::http::parameters::Parameters;
use crate::inventory::{Known, within_reach};
use crate::store::from_db;
use crate::store::side_versions::{is_side, version_of};
use crate::times;
use crate::topology::Topology;
use crate::xmlapi::endpoints::PACKETS;
use crate::xmlapi::reply::Reply;
use crate::xmlapi::target;

/// Values of one page.
const PAGE: usize = 500;
/// Most values of one page.
const PAGE_MAX: usize = 5000;

pub(super) fn routes() -> Vec<Route> {
    let devices = Access::Command("show devices");
    vec![
        Route::new(Method::GET, "/devices", devices, "Devices with their state", all),
        Route::new(Method::GET, "/devices/{serial}", devices, "One device", one),
        Route::new(
            Method::GET,
            "/devices/{serial}/effective",
            Access::Config("get"),
            "Every value of a device, who wrote it, and what it overrides",
            effective,
        ),
        Route::new(
            Method::GET,
            "/devices/{serial}/packet-captures/{file}",
            Access::Type("export"),
            "Packets that a firewall captured, as pcapng",
            captured,
        ),
    ]
}

/// Which devices.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DevicesQuery {
    /// Only those that are connected, or that are not.
    connected: Option<bool>,
    /// Only those that are in sync, or that are not.
    in_sync: Option<bool>,
    /// Only those of this device group.
    group: Option<String>,
    /// Only those of this template stack.
    stack: Option<String>,
    /// Only those with this tag.
    tag: Option<String>,
}

/// A file of captured packets, as the XML API has it.
struct Packets(Reply);

impl Answer for Packets {
    fn describe(_: &mut SchemaGenerator) -> Described {
        Described { status: StatusCode::OK, content_type: Some("application/octet-stream"), schema: None }
    }

    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

async fn captured(call: Call) -> Result<Packets, Problem> {
    let (serial, file) = (call.name("serial"), call.name("file"));
    let request = Parameters::from([("type", "export"), ("category", PACKETS), ("from", file)]);
    let reply = target::answer(&call.app, &call.caller, serial, "export", &request).await;
    match (reply.refusal, &reply.file) {
        (Some(refusal), _) => Err(refusal.into()),
        (None, Some(_)) => Ok(Packets(Reply { refusal: None, ..reply })),
        (None, None) => Err(Problem::not_found(format!("`{serial}` answered with no file"))),
    }
}

/// Some devices.
#[derive(JsonSchema, Serialize)]
struct DeviceList {
    /// By serial number.
    devices: Vec<DeviceState>,
}

/// A device.
#[derive(JsonSchema, Serialize)]
struct DeviceState {
    /// Its serial number.
    serial: String,
    /// Whether it ever enrolled; otherwise it is only configured.
    enrolled: bool,
    /// Its host name.
    hostname: String,
    /// Where it can be reached.
    address: String,
    /// Its software version.
    software_version: String,
    /// Its device group.
    group: Option<String>,
    /// Its template stack.
    stack: Option<String>,
    /// Tags that the configuration gives it.
    tags: Vec<String>,
    /// Whether it is connected.
    connected: bool,
    /// Since when it is connected.
    connected_since: Option<String>,
    /// When it was heard last.
    last_seen: Option<String>,
    /// When its certificate ends.
    certificate_expiry: Option<String>,
    /// Whether it has its device group's part of the running configuration; nothing without a device group.
    policy: Option<Part>,
    /// The same for its templates.
    templates: Option<Part>,
    /// Digest of the configuration that it accepted last.
    pushed_digest: Option<String>,
    /// Digest of the configuration that it says it enforces.
    running_digest: Option<String>,
    /// When it accepted a configuration last.
    pushed: Option<String>,
    /// What it said last of itself, while it is connected.
    health: Option<DeviceHealth>,
}

/// One part of what a device has.
#[derive(JsonSchema, Serialize)]
struct Part {
    /// Whether it is what the running configuration says.
    in_sync: bool,
    /// The version that it was pushed last.
    version: Option<u64>,
    /// Whether it has that without the edits of some administrators.
    selective: bool,
}

/// What a device says of itself.
#[derive(JsonSchema, Serialize)]
struct DeviceHealth {
    /// Seconds since its start.
    uptime_s: i64,
    /// Sessions at this moment.
    sessions: u64,
    /// Packets since its start.
    packets: u64,
    /// Packets that were dropped since its start.
    drops: u64,
    /// Log records that were lost since its start.
    logs_lost: u64,
}

impl DeviceState {
    fn of(known: &Known, tags: Vec<String>) -> Self {
        let device = &known.device;
        let time = |time: i64| (time != 0).then(|| times::rfc3339(time));
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        let part = |placed: bool, in_sync, version: Option<i64>| {
            placed.then(|| Part {
                in_sync,
                version: version.map(|number| from_db(version_of(number))),
                selective: version.is_some_and(is_side),
            })
        };
        let health = known.attached.as_ref().and_then(|attached| attached.health);
        Self {
            serial: device.serial.clone(),
            enrolled: device.enrolled_us != 0,
            hostname: device.hostname.clone(),
            address: known.address(),
            software_version: device.software_version.clone(),
            group: known.group.clone(),
            stack: known.stack.clone(),
            tags,
            connected: known.attached.is_some(),
            connected_since: known.attached.as_ref().map(|attached| times::rfc3339(attached.since_us)),
            last_seen: time(device.last_seen_us),
            certificate_expiry: time(device.certificate_expiry_us),
            policy: part(known.group.is_some(), known.state.policy, device.policy_version),
            templates: part(known.stack.is_some(), known.state.templates, device.template_version),
            pushed_digest: text(&device.pushed_digest),
            running_digest: text(&device.running_digest),
            pushed: device.pushed_us.map(times::rfc3339),
            health: health.map(|health| DeviceHealth {
                uptime_s: health.uptime_s,
                sessions: health.sessions,
                packets: health.packets,
                drops: health.drops,
                logs_lost: health.logs_lost,
            }),
        }
    }

    fn is_in_sync(&self) -> bool {
        self.policy.iter().chain(&self.templates).all(|part| part.in_sync)
    }
}

/// All devices that enrolled or are configured, as far as the caller may handle them.
async fn states(app: &App, caller: &Caller) -> Result<Vec<DeviceState>, Problem> {
    let candidate = app.configuration.snapshot().candidate.clone();
    let (_, known) = within_reach(app, caller).await?;
    let configured = candidate.descend(&["mgt-config", "devices"]);
    let tags = |serial: &str| {
        let entry = configured.and_then(|devices| devices.entry_named(serial));
        let tags = entry.and_then(|entry| entry.child("tags").or_else(|| entry.child("tag")));
        tags.map(|tags| tags.members().collect()).unwrap_or_default()
    };
    Ok(known.iter().map(|(serial, known)| DeviceState::of(known, tags(serial))).collect())
}

async fn all(call: Call<DevicesQuery>) -> Result<Json<DeviceList>, Problem> {
    let query = &call.query;
    let mut devices = states(&call.app, &call.caller).await?;
    let is = |wanted: &Option<String>, is: &Option<String>| wanted.is_none() || wanted == is;
    devices.retain(|device| {
        query.connected.is_none_or(|connected| device.connected == connected)
            && query.in_sync.is_none_or(|in_sync| device.is_in_sync() == in_sync)
            && is(&query.group, &device.group)
            && is(&query.stack, &device.stack)
            && query.tag.as_ref().is_none_or(|tag| device.tags.contains(tag))
    });
    Ok(Json(DeviceList { devices }))
}

async fn one(call: Call) -> Result<Json<DeviceState>, Problem> {
    let serial = call.name("serial");
    let found = states(&call.app, &call.caller).await?.into_iter().find(|device| device.serial == serial);
    found.map(Json).ok_or_else(|| unknown(serial))
}

/// Why there is nothing to say of a device.
pub(super) fn unknown(serial: &str) -> Problem {
    Problem::not_found(format!("`{serial}` is neither in the inventory nor in the configuration"))
}

/// Which values.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EffectiveQuery {
    /// What the candidate would give, instead of what running gives.
    #[serde(default)]
    candidate: bool,
    /// Only values whose XPath in the device's configuration begins like this.
    below: Option<String>,
    /// Values that are left out before the first.
    #[serde(default)]
    offset: usize,
    /// Values at most: 500 when absent, up to 5000.
    limit: Option<usize>,
}

/// Values of a device.
#[derive(JsonSchema, Serialize)]
struct Values {
    /// How many there are.
    total: usize,
    /// A page of them, in the order of the device's configuration.
    values: Vec<Value>,
}

/// One value of a device.
#[derive(JsonSchema, Serialize)]
struct Value {
    /// Where it stands in the device's configuration.
    xpath: String,
    /// The text; empty for an element that only is there.
    value: String,
    /// Who wrote it: ``template `T` ``, ``template stack `S` ``, ``device-group `G` `` or `shared`.
    owner: Option<String>,
    /// Where it was written, in the manager's configuration.
    written: Option<String>,
    /// The variable that gave it.
    variable: Option<Variable>,
    /// What farther templates or groups say there, the nearest first.
    overrides: Vec<Overridden>,
}

/// A variable.
#[derive(JsonSchema, Serialize)]
struct Variable {
    /// Its name, with the `$`.
    name: String,
    /// Where it is defined.
    xpath: String,
}

/// A value that does not count.
#[derive(JsonSchema, Serialize)]
struct Overridden {
    /// Who wrote it.
    owner: String,
    /// Where.
    xpath: String,
    /// The text there; nothing when another object of the name hides the whole one.
    value: Option<String>,
}

async fn effective(call: Call<EffectiveQuery>) -> Result<Json<Values>, Problem> {
    let serial = call.name("serial").to_owned();
    let EffectiveQuery { candidate, below, offset, limit } = call.query;
    let snapshot = call.app.configuration.snapshot();
    let root = if candidate { snapshot.candidate.clone() } else { snapshot.running.clone() };
    if let Some(why) = why_no_device(&call.caller, &serial) {
        return Err(Problem::forbidden(why));
    }
    if !Topology::read(&root).devices.contains_key(&serial) {
        return Err(unknown(&serial));
    }
    let read = move || {
        let effective = Effective::new(&root, &root, &serial)?;
        Ok(effective.values(below.as_deref().unwrap_or_default(), offset, limit.unwrap_or(PAGE).min(PAGE_MAX)))
    };
    let read: Result<_, Vec<bartizan_model::diagnostic::Diagnostic>> =
        tokio::task::spawn_blocking(read).await.map_err(anyhow::Error::from)?;
    match read {
        Ok((total, values)) => Ok(Json(Values { total, values: values.into_iter().map(value).collect() })),
        Err(findings) => Err(Problem::of_findings(findings.iter().map(Finding::from).collect())),
    }
}

fn value(value: bartizan_model::render::Value) -> Value {
    let hidden = value.overrides.into_iter();
    Value {
        xpath: value.xpath,
        value: value.text,
        owner: value.owner,
        written: Some(value.written).filter(|written| !written.is_empty()),
        variable: value.variable.map(|variable| Variable { name: variable.name, xpath: variable.xpath }),
        overrides: hidden.map(|one| Overridden { owner: one.owner, xpath: one.xpath, value: one.text }).collect(),
    }
}
