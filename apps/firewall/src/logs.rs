//! From what the engine says to a line an administrator reads: names for ids, wall-clock times.

pub mod spool;

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use bartizan_api::fleet::TrafficLog;
use bartizan_engine::verdict::{EndReason, LogKind, SessionLog, Time};
use bartizan_policy::tables::Ids;
use jiff::Timestamp;

use crate::clock::Clock;

/// Protocol numbers of ICMP and ICMPv6.
const ICMP: [u8; 2] = [1, 58];

/// A record of the traffic log.
pub fn record(line: &SessionLog, ids: &Ids, clock: &Clock, now: Time) -> TrafficLog {
    let session = &line.session;
    let zone = |id: Option<bartizan_policy::tables::ZoneId>| {
        id.map_or_else(String::new, |id| ids.zones.name(id.index()).to_owned())
    };
    let interface = |id: bartizan_policy::tables::IfaceId| ids.interfaces.name(id.index()).to_owned();
    let (client, server) = (&session.client, &session.server);
    let translated = |address: std::net::IpAddr, original: std::net::IpAddr| {
        if address == original { String::new() } else { address.to_string() }
    };
    // The server's side of the session, seen as the client's packet after translation.
    let (nat_source, nat_destination) = (server.destination, server.source);
    TrafficLog {
        time_generated_us: clock.wall(now).as_microsecond(),
        subtype: subtype(line.kind).to_owned(),
        source: client.source.to_string(),
        destination: client.destination.to_string(),
        nat_source: translated(nat_source, client.source),
        nat_destination: translated(nat_destination, client.destination),
        rule: session.rule.map_or_else(String::new, |id| ids.rules.name(id.index()).to_owned()),
        nat_rule: session.nat_rule.map_or_else(String::new, |id| ids.nat_rules.name(id.index()).to_owned()),
        application: application(line).to_owned(),
        from_zone: zone(session.from),
        to_zone: zone(session.to),
        inbound_interface: interface(session.ingress),
        outbound_interface: interface(session.egress),
        session_id: session.id,
        source_port: client.source_port.into(),
        destination_port: client.destination_port.into(),
        nat_source_port: if nat_source == client.source { 0 } else { server.destination_port.into() },
        nat_destination_port: if nat_destination == client.destination { 0 } else { server.source_port.into() },
        protocol: client.protocol.into(),
        action: if line.kind == LogKind::Drop { "drop" } else { session.action.as_str() }.to_owned(),
        bytes_sent: session.sent.1,
        bytes_received: session.received.1,
        packets_sent: session.sent.0,
        packets_received: session.received.0,
        start_us: clock.wall(session.start).as_microsecond(),
        elapsed_s: i64::try_from(session.last.0.saturating_sub(session.start.0) / 1_000_000_000).unwrap_or(i64::MAX),
        session_end_reason: end_reason(line).to_owned(),
    }
}

fn subtype(kind: LogKind) -> &'static str {
    match kind {
        LogKind::Start => "start",
        LogKind::End => "end",
        LogKind::Deny => "deny",
        LogKind::Drop => "drop",
    }
}

fn end_reason(line: &SessionLog) -> &'static str {
    match (line.kind, line.end_reason, line.drop_reason) {
        (_, Some(reason), _) => reason.as_str(),
        (LogKind::Deny, ..) => EndReason::PolicyDeny.as_str(),
        (_, _, Some(reason)) => reason.as_str(),
        _ => "n/a",
    }
}

/// Applications are not identified yet; what can be said without looking at payload is said in the
/// spelling of PAN-OS.
fn application(line: &SessionLog) -> &'static str {
    let session = &line.session;
    match (line.kind, session.client.protocol) {
        (LogKind::Deny | LogKind::Drop, _) => "not-applicable",
        (_, protocol) if ICMP.contains(&protocol) => "ping",
        // A TCP session that ends without a byte from the server never told what it is.
        (LogKind::End, 6) if session.received.0 <= 2 => "incomplete",
        (LogKind::End, 6 | 17) => "unknown",
        _ => "not-applicable",
    }
}

/// Writes records as lines of JSON, for a firewall without a manager.
pub struct LineWriter {
    out: BufWriter<Box<dyn Write + Send>>,
}

impl LineWriter {
    /// Appends to a file; `-` is standard output.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let out: Box<dyn Write + Send> = if path == Path::new("-") {
            Box::new(std::io::stdout())
        } else {
            let file = OpenOptions::new().create(true).append(true).open(path);
            Box::new(file.with_context(|| format!("open the traffic log `{}`", path.display()))?)
        };
        Ok(Self { out: BufWriter::new(out) })
    }

    /// Writes one line; [`Self::flush`] makes it visible.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, record: &TrafficLog) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.out, &json(record))?;
        self.out.write_all(b"\n")
    }

    /// Makes what was written visible.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// A record with the field names of the log API.
fn json(record: &TrafficLog) -> serde_json::Value {
    let time = |microseconds: i64| {
        Timestamp::from_microsecond(microseconds).map_or_else(|_| String::new(), |time| time.to_string())
    };
    serde_json::json!({
        "time_generated": time(record.time_generated_us),
        "type": "TRAFFIC",
        "subtype": record.subtype,
        "src": record.source,
        "dst": record.destination,
        "natsrc": record.nat_source,
        "natdst": record.nat_destination,
        "rule": record.rule,
        "nat_rule": record.nat_rule,
        "app": record.application,
        "from": record.from_zone,
        "to": record.to_zone,
        "inbound_if": record.inbound_interface,
        "outbound_if": record.outbound_interface,
        "sessionid": record.session_id,
        "sport": record.source_port,
        "dport": record.destination_port,
        "natsport": record.nat_source_port,
        "natdport": record.nat_destination_port,
        "proto": record.protocol,
        "action": record.action,
        "bytes_sent": record.bytes_sent,
        "bytes_received": record.bytes_received,
        "pkts_sent": record.packets_sent,
        "pkts_received": record.packets_received,
        "start": time(record.start_us),
        "elapsed": record.elapsed_s,
        "session_end_reason": record.session_end_reason,
    })
}
