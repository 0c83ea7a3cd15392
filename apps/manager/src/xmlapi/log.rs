//! `type=log`: a query becomes a job, the job is collected, the job is finished.

use bartizan_model::tree::Element;

use super::element::{Build as _, element, entry, leaf};
use super::refuse_part;
use super::reply::{Reply, code};
use crate::accounts::{Caller, Right};
use crate::app::App;
use crate::http::parameters::Parameters;
use crate::logs::filter::{self, protocol_name};
use crate::logs::query::{Log, Query, ROWS_MAX, SKIP_MAX};
use crate::store::audit::{AUDIT_COMMENT, AuditLine};
use crate::store::events::EventRow;
use crate::store::traffic::TrafficRow;
use crate::times;

/// Rows of an answer when the client does not say.
const ROWS: u32 = 20;

pub(super) async fn answer(app: &App, caller: &Caller, parameters: &Parameters) -> Reply {
    match parameters.get("action") {
        None | Some("") => ask(app, caller, parameters).await,
        Some("get") => collect(app, caller, parameters).await,
        Some("finish") => finish(app, caller, parameters),
        Some(action) => Reply::bad_request(&format!("Illegal value for parameter \"action\" [{action}].")),
    }
}

async fn ask(app: &App, caller: &Caller, parameters: &Parameters) -> Reply {
    match query(app, caller, parameters).await {
        Ok(query) => {
            let id = app.queries.add(query);
            Reply::job(id, &format!("query job enqueued with jobid {id}"))
        }
        Err(reply) => reply,
    }
}

/// What is asked, and may be.
pub(crate) async fn query(app: &App, caller: &Caller, parameters: &Parameters) -> Result<Query, Reply> {
    let Some(name) = parameters.get("log-type") else {
        return Err(Reply::bad_request("Missing value for parameter \"log-type\"."));
    };
    let Some(log) = Log::named(name) else {
        let names: Vec<_> = Log::ALL.iter().map(|(name, _)| *name).collect();
        let line = format!("log-type `{name}` is not kept here; `{}` are", names.join("`, `"));
        return Err(Reply::error(code::INVALID_OBJECT, &[line]));
    };
    // What the manager tells of itself has no firewall by which it could be told apart.
    if matches!(log, Log::Config | Log::System)
        && let Some(refusal) = refuse_part(caller, "this log")
    {
        return Err(refusal);
    }
    let filter = filter::parse(parameters.get("query").unwrap_or_default(), log.fields())
        .map_err(|error| Reply::error(code::INVALID_OBJECT, &[error]))?;
    let newest = match log {
        Log::Traffic => app.store.newest_traffic().await,
        Log::System | Log::Threat | Log::IpTag => app.store.newest_event().await,
        Log::Config => Ok(i64::MAX),
    };
    let newest = newest.map_err(|error| Reply::internal(&error))?;
    let skip = number(parameters, "skip", 0)?;
    if skip > SKIP_MAX {
        let line = format!("`skip` is {skip}, at most {SKIP_MAX} can be left out: ask for another time instead");
        return Err(Reply::error(code::INVALID_OBJECT, &[line]));
    }
    Ok(Query {
        id: 0,
        admin: caller.name.clone(),
        log,
        serials: caller.role.reach(Right::Log).map(|reach| reach.devices),
        filter,
        rows: number(parameters, "nlogs", ROWS)?.min(ROWS_MAX),
        skip,
        backward: match parameters.get("dir") {
            None | Some("" | "backward") => true,
            Some("forward") => false,
            Some(other) => return Err(Reply::bad_request(&format!("Illegal value for parameter \"dir\" [{other}]."))),
        },
        newest,
        after: None,
        beyond: None,
        patience: None,
        asked_us: 0,
    })
}

fn number(parameters: &Parameters, name: &str, default: u32) -> Result<u32, Reply> {
    match parameters.get(name) {
        None | Some("") => Ok(default),
        Some(text) => {
            text.parse().map_err(|_| Reply::bad_request(&format!("Illegal value for parameter \"{name}\" [{text}].")))
        }
    }
}

async fn collect(app: &App, caller: &Caller, parameters: &Parameters) -> Reply {
    let query = match find(app, caller, parameters) {
        Ok(query) => query,
        Err(reply) => return reply,
    };
    let entries = match rows(app, &query).await {
        Ok(entries) => entries,
        Err(error) => return Reply::internal(&error),
    };
    let asked = times::clock(query.asked_us);
    let job = element("job")
        .leaf("tenq", &asked)
        .leaf("tdeq", &asked)
        .leaf("tlast", &asked)
        .leaf("status", "FIN")
        .leaf("id", &query.id.to_string());
    let logs = element("logs").attr("count", &entries.len().to_string()).attr("progress", "100").with_all(entries);
    let devices = element("devices").with(entry("localhost.localdomain").leaf("hostname", "localhost.localdomain"));
    let result = element("result").with(job).with(element("log").with(logs)).with(element("meta").with(devices));
    Reply::result(result)
}

/// The lines that a query finds, each with its number as `logid`.
pub(crate) async fn rows(app: &App, query: &Query) -> sqlx::Result<Vec<Element>> {
    let Some(table) = query.log.table() else {
        return Ok(app.store.traffic(query).await?.iter().map(traffic_entry).collect());
    };
    let statement = query.statement(table);
    if query.log == Log::Config {
        return Ok(app.store.audit(statement).await?.iter().map(|row| config_entry(app, row)).collect());
    }
    let entry = match query.log {
        Log::Threat => threat_entry,
        Log::IpTag => tag_entry,
        _ => system_entry,
    };
    Ok(app.store.events(statement).await?.iter().map(entry).collect())
}

fn finish(app: &App, caller: &Caller, parameters: &Parameters) -> Reply {
    match find(app, caller, parameters) {
        Ok(query) => {
            app.queries.remove(query.id, &caller.name);
            Reply::line(&format!("query job {} deleted", query.id))
        }
        Err(reply) => reply,
    }
}

fn find(app: &App, caller: &Caller, parameters: &Parameters) -> Result<Query, Reply> {
    let id = parameters.get("job-id").or_else(|| parameters.get("jobid"));
    let id = id.ok_or_else(|| Reply::bad_request("Missing value for parameter \"job-id\"."))?;
    let query = id.parse().ok().and_then(|id| app.queries.find(id, &caller.name));
    query.ok_or_else(|| Reply::error(code::NOT_PRESENT, &[format!("query job {id} not found")]))
}

/// A line of the traffic log.
pub(crate) fn traffic_entry(row: &TrafficRow) -> Element {
    // What is not translated is empty.
    let translated = |nat: &str, original: &str| !nat.is_empty() && nat != original;
    let nat = translated(&row.nat_source.0, &row.source.0) || translated(&row.nat_destination.0, &row.destination.0);
    let mut line = element("entry").attr("logid", &row.id.to_string());
    let fields = [
        ("receive_time", times::date_time(row.received_us)),
        ("serial", row.serial.clone()),
        ("type", "TRAFFIC".to_owned()),
        ("subtype", row.subtype.clone()),
        ("time_generated", times::date_time(row.generated_us)),
        ("src", row.source.0.clone()),
        ("dst", row.destination.0.clone()),
        ("natsrc", row.nat_source.0.clone()),
        ("natdst", row.nat_destination.0.clone()),
        ("rule", row.rule.clone()),
        ("nat_rule", row.nat_rule.clone()),
        ("srcuser", String::new()),
        ("dstuser", String::new()),
        ("app", row.application.clone()),
        ("vsys", "vsys1".to_owned()),
        ("from", row.from_zone.clone()),
        ("to", row.to_zone.clone()),
        ("inbound_if", row.inbound_interface.clone()),
        ("outbound_if", row.outbound_interface.clone()),
        ("logset", String::new()),
        ("sessionid", row.session_id.to_string()),
        ("repeatcnt", "1".to_owned()),
        ("sport", row.source_port.to_string()),
        ("dport", row.destination_port.to_string()),
        ("natsport", row.nat_source_port.to_string()),
        ("natdport", row.nat_destination_port.to_string()),
        ("flag-nat", if nat { "yes" } else { "no" }.to_owned()),
        ("proto", protocol_name(row.protocol)),
        ("action", row.action.clone()),
        ("bytes", row.bytes_sent.saturating_add(row.bytes_received).to_string()),
        ("bytes_sent", row.bytes_sent.to_string()),
        ("bytes_received", row.bytes_received.to_string()),
        ("packets", row.packets_sent.saturating_add(row.packets_received).to_string()),
        ("pkts_sent", row.packets_sent.to_string()),
        ("pkts_received", row.packets_received.to_string()),
        ("start", times::date_time(row.start_us)),
        ("elapsed", row.elapsed_s.to_string()),
        ("category", "any".to_owned()),
        ("session_end_reason", row.session_end_reason.clone()),
        ("action_source", "from-policy".to_owned()),
        ("vsys_name", "vsys1".to_owned()),
        ("k8s_cluster_id", if row.cluster_id == 0 { String::new() } else { row.cluster_id.to_string() }),
        ("src_tags", row.source_tags.clone()),
        ("dst_tags", row.destination_tags.clone()),
    ];
    for (name, value) in fields {
        line = line.leaf(name, &value);
    }
    line
}

/// What system and threat log begin with.
fn event_entry(row: &EventRow, kind: &str) -> Element {
    element("entry")
        .attr("logid", &row.id.to_string())
        .leaf("receive_time", &times::date_time(row.received_us))
        .leaf("serial", &row.serial)
        .leaf("type", kind)
        .leaf("subtype", &row.subtype)
        .leaf("time_generated", &times::date_time(row.generated_us))
        .leaf("severity", &row.severity)
        .leaf("vsys", "vsys1")
}

fn system_entry(row: &EventRow) -> Element {
    event_entry(row, "SYSTEM").leaf("eventid", &row.event).leaf("object", &row.object).leaf("opaque", &row.description)
}

fn threat_entry(row: &EventRow) -> Element {
    event_entry(row, "THREAT")
        .leaf("src", &row.source)
        .leaf("dst", &row.destination)
        .leaf("from", &row.from_zone)
        .leaf("threatid", &row.event)
        .leaf("action", &row.action)
        .leaf("misc", &row.description)
}

fn tag_entry(row: &EventRow) -> Element {
    event_entry(row, "IPTAG")
        .leaf("ip", &row.source)
        .leaf("tag_name", &row.object)
        .leaf("event_id", &row.event)
        .leaf("repeatcnt", "1")
        .leaf("timeout", &row.description)
        .leaf("datasource_type", "xml-api")
}

fn config_entry(app: &App, row: &AuditLine) -> Element {
    let time = times::date_time(row.time_us);
    let is_comment = row.cmd == AUDIT_COMMENT;
    element("entry")
        .attr("logid", &row.id.to_string())
        .leaf("receive_time", &time)
        .leaf("serial", &app.serial())
        .leaf("type", "CONFIG")
        .leaf("subtype", if is_comment { AUDIT_COMMENT } else { "general" })
        .leaf("config_ver", &row.config_version.to_string())
        .leaf("comment", if is_comment { &row.after } else { "" })
        .leaf("time_generated", &time)
        .leaf("host", &row.host)
        .leaf("cmd", &row.cmd)
        .leaf("admin", &row.admin)
        .leaf("client", &row.client)
        .leaf("result", &row.result)
        .leaf("path", &row.path)
        .with(leaf("full-path", &row.path))
        .leaf("before-change-preview", &row.before)
        .leaf("after-change-preview", &row.after)
}
