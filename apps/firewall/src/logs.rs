//! From what the engine says to a line an administrator reads: names for ids, wall-clock times.

pub mod events;
pub mod spool;

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result};
use bartizan_api::fleet::TrafficLog;
use bartizan_engine::verdict::{EndReason, LogKind, SessionLog, SessionView, Time};
use bartizan_policy::tables::Ids;
use jiff::Timestamp;

use crate::clock::Clock;

/// Protocol numbers of ICMP and ICMPv6.
const ICMP: [u8; 2] = [1, 58];

/// Longest text of tags, in bytes; the ones that have no room are left out.
const TAGS_TEXT_MAX: usize = 1024;

/// A record of the traffic log. `tags` tells the tags of an address.
pub fn record(
    line: &SessionLog,
    ids: &Ids,
    clock: &Clock,
    now: Time,
    tags: impl Fn(IpAddr) -> BTreeSet<String>,
) -> TrafficLog {
    let session = &line.session;
    let zone = |id: Option<bartizan_policy::tables::ZoneId>| {
        id.map_or_else(String::new, |id| ids.zones.name(id.index()).to_owned())
    };
    let interface = |id: bartizan_policy::tables::IfaceId| ids.interfaces.name(id.index()).to_owned();
    let (client, server) = (&session.client, &session.server);
    let translated = |address: IpAddr, original: IpAddr| {
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
        outbound_interface: session.egress.map_or_else(String::new, interface),
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
        k8s_cluster_id: cluster(session, ids).unwrap_or(0),
        source_tags: listed(&tags(client.source)),
        destination_tags: listed(&tags(nat_destination)),
    }
}

/// Tags as one text, as many as have room.
fn listed(tags: &BTreeSet<String>) -> String {
    let mut text = String::new();
    for tag in tags {
        if text.len() + tag.len() >= TAGS_TEXT_MAX {
            break;
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(tag);
    }
    text
}

/// The id of the Kubernetes cluster that a session is with: the client's, or else that of what it speaks to.
pub fn cluster(session: &SessionView, ids: &Ids) -> Option<u32> {
    [Some(session.ingress), session.egress, session.learned].into_iter().flatten().find_map(|id| ids.cluster(id))
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
        "k8s_cluster_id": (record.k8s_cluster_id > 0).then_some(record.k8s_cluster_id),
        "src_tags": record.source_tags,
        "dst_tags": record.destination_tags,
    })
}

#[cfg(test)]
mod tests {
    use bartizan_engine::verdict::{DropReason, FlowKey, SessionState};
    use bartizan_model::device::Action;
    use bartizan_policy::tables::{IfaceId, NatRuleId, RuleId, ZoneId};

    use super::*;

    fn ids() -> Ids {
        let mut ids = Ids::default();
        for (names, known) in [
            (&mut ids.interfaces, ["ethernet1/1", "ethernet1/2"]),
            (&mut ids.zones, ["trust", "untrust"]),
            (&mut ids.rules, ["allow-out", "deny-all"]),
            (&mut ids.nat_rules, ["outbound", "inbound"]),
        ] {
            for name in known {
                names.intern(name);
            }
        }
        ids
    }

    fn flow(source: &str, source_port: u16, destination: &str, destination_port: u16) -> FlowKey {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        FlowKey { realm: 0, source, destination, protocol: 6, source_port, destination_port }
    }

    fn line(kind: LogKind) -> SessionLog {
        let session = SessionView {
            id: 7,
            state: SessionState::Closed,
            client: flow("10.0.0.5", 40000, "192.0.2.9", 443),
            server: flow("192.0.2.9", 443, "203.0.113.1", 2000),
            ingress: IfaceId(0),
            egress: Some(IfaceId(1)),
            learned: None,
            from: Some(ZoneId(0)),
            to: Some(ZoneId(1)),
            rule: Some(RuleId(0)),
            nat_rule: Some(NatRuleId(0)),
            action: Action::Allow,
            start: Time(1_000_000_000),
            last: Time(4_500_000_000),
            expires: Time(9_000_000_000),
            sent: (3, 300),
            received: (4, 400),
        };
        SessionLog { kind, session, end_reason: Some(EndReason::TcpFin), drop_reason: None }
    }

    fn untagged(_: IpAddr) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn written(line: &SessionLog) -> TrafficLog {
        record(line, &ids(), &Clock::start(), Time(5_000_000_000), untagged)
    }

    #[test]
    fn an_ended_session_is_a_record_with_names_and_both_sides_of_the_translation() {
        let record = written(&line(LogKind::End));
        assert_eq!((&*record.subtype, &*record.rule, &*record.nat_rule), ("end", "allow-out", "outbound"));
        assert_eq!((&*record.from_zone, &*record.to_zone), ("trust", "untrust"));
        assert_eq!((&*record.nat_source, record.nat_source_port), ("203.0.113.1", 2000));
        assert_eq!((&*record.nat_destination, record.nat_destination_port), ("", 0));
        assert_eq!((record.bytes_sent, record.packets_received, record.elapsed_s), (300, 4, 3));
        assert_eq!((&*record.session_end_reason, &*record.action), ("tcp-fin", "allow"));
        let generated = record.time_generated_us;
        assert!((3_900_000..4_100_000).contains(&(generated - record.start_us)), "4 s after the start");
    }

    #[test]
    fn a_drop_before_the_rules_says_why() {
        let mut line = line(LogKind::Drop);
        (line.end_reason, line.drop_reason) = (None, Some(DropReason::NoRoute));
        (line.session.rule, line.session.to) = (None, None);
        let record = written(&line);
        assert_eq!((&*record.subtype, &*record.action, &*record.rule), ("drop", "drop", ""));
        assert_eq!((&*record.session_end_reason, &*record.application), ("no-route", "not-applicable"));
    }

    #[test]
    fn a_session_has_the_id_of_the_cluster_that_it_is_with() {
        let network = "<network><logical-router>lr</logical-router><zone-ingress>a</zone-ingress>\
                       <zone-egress>a</zone-egress></network>";
        let mut ids = ids();
        let mut compile = |kind: &str| {
            let text = format!(
                "<config><devices><entry name='localhost.localdomain'><network><logical-router><entry name='lr'><vrf>\
                 <entry name='default'/></vrf></entry></logical-router></network><vsys><entry name='vsys1'><zone>\
                 <entry name='a'><network><layer3/></network></entry></zone><traffic-object><entry name='red'>{kind}\
                 </entry></traffic-object></entry></vsys></entry></devices></config>"
            );
            let root = bartizan_model::xml::parse(&text).unwrap();
            let read = bartizan_model::device::read(&root, bartizan_model::device::Scope::Device);
            let config = read.config.unwrap_or_else(|| panic!("{:#?}", read.diagnostics));
            let facts = bartizan_policy::facts::Facts::default();
            bartizan_policy::compile::compile(&config, &facts, &mut ids, 1).unwrap().ids().clone()
        };
        let ids = compile(&format!("<k8s-cluster><cluster-id>7</cluster-id>{network}</k8s-cluster>"));
        let side = |name: &str| ids.interfaces.position(name).map(|at| IfaceId(at as u16));
        let told = |ids: &Ids, ingress, egress, learned| {
            let mut line = line(LogKind::End);
            (line.session.ingress, line.session.egress, line.session.learned) = (ingress, egress, learned);
            let record = record(&line, ids, &Clock::start(), Time(0), untagged);
            (record.k8s_cluster_id, json(&record)["k8s_cluster_id"].clone())
        };
        let port = IfaceId(0);
        for name in ["red.ingress", "red.hairpin"] {
            assert_eq!(told(&ids, side(name).unwrap(), Some(port), None), (7, 7.into()), "{name}");
        }
        assert_eq!(told(&ids, port, side("red.egress"), None).0, 7);
        assert_eq!(told(&ids, port, Some(port), side("red.egress")).0, 7, "a pod that was found behind a port");
        assert_eq!(told(&ids, port, Some(port), None), (0, serde_json::Value::Null));
        assert_eq!(told(&ids, port, None, None).0, 0);
        // An object that is none of a cluster any more has no id; one that is gone keeps it for what is still to be said.
        let other = compile(&format!("<vpc><vpce-id>vpce-0123456789abcdef0</vpce-id>{network}</vpc>"));
        assert_eq!(told(&other, side("red.ingress").unwrap(), None, None).0, 0);
    }

    #[test]
    fn a_session_has_the_tags_of_its_source_and_of_where_it_really_goes() {
        let mut line = line(LogKind::End);
        line.session.client = flow("10.0.0.5", 40000, "198.51.100.1", 443);
        let tags = |address: IpAddr| {
            let tags: &[&str] = match address.to_string().as_str() {
                "10.0.0.5" => &["web", "k8s.cl_blue.ns_shop"],
                "192.0.2.9" => &["db"],
                _ => &["no end of this session"],
            };
            tags.iter().map(|tag| (*tag).to_owned()).collect()
        };
        let told = record(&line, &ids(), &Clock::start(), Time(0), tags);
        assert_eq!((&*told.source_tags, &*told.destination_tags), ("k8s.cl_blue.ns_shop,web", "db"));
        let json = json(&told);
        assert_eq!((&json["src_tags"], &json["dst_tags"]), (&"k8s.cl_blue.ns_shop,web".into(), &"db".into()));
        let many = |_| (0..200).map(|number| format!("tag-{number:03}")).collect();
        let told = record(&line, &ids(), &Clock::start(), Time(0), many).source_tags;
        assert!(told.len() <= TAGS_TEXT_MAX && told.ends_with("tag-127"), "{told}");
    }

    #[test]
    fn a_line_of_the_file_is_one_json_object() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("traffic.log");
        for _ in 0..2 {
            let mut writer = LineWriter::open(&path).unwrap();
            writer.write(&written(&line(LogKind::End))).unwrap();
            writer.flush().unwrap();
        }
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "appended, not replaced");
        assert_eq!((&lines[1]["natsrc"], &lines[1]["dport"]), (&"203.0.113.1".into(), &443.into()));
    }
}
