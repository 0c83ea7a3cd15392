//! What is said about a packet of a replay, and about all of them?

use std::collections::BTreeMap;
use std::fmt;

use bartizan_engine::verdict::{SessionView, Time};
use bartizan_packet::arp::{Arp, Operation};
use bartizan_packet::ethernet;
use bartizan_packet::frame::{Meta, Segmentation};
use bartizan_packet::parse::{Embedded, Flags, Layer4, Packet, Parsed, parse};
use bartizan_policy::tables::Compiled;
use jiff::Timestamp;
use serde::Serialize;

use crate::port::pcap::Record;

/// What became of one packet.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Number of the packet over all captures, from 1.
    pub number: u64,
    /// When it was captured.
    pub time: String,
    /// Microseconds since the first packet.
    pub since_start_us: u64,
    /// The interface that received it.
    pub interface: String,
    /// The packet.
    pub packet: String,
    /// Bytes it had on the wire.
    pub bytes: usize,
    /// `sent`, `dropped`, `consumed` (it ended in the firewall) or `own` (the firewall had sent it itself, so
    /// it was not replayed).
    pub verdict: &'static str,
    /// Counter of the drop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The reason in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'static str>,
    /// Session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
    /// Security rule of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// NAT rule of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat_rule: Option<String>,
    /// Source zone of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Destination zone of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What left in consequence, neighbour questions left out.
    pub sent: Vec<Sent>,
    /// The command that follows the flow of a dropped packet step by step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<String>,
}

/// A packet that left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// By which interface; `host` for the firewall's own services.
    pub interface: String,
    /// The packet as it left.
    pub packet: String,
}

impl Line {
    pub(super) fn new(number: u64, record: Record, now: Time, interface: &str) -> Self {
        let time = Timestamp::from_nanosecond(i128::from(record.at_ns)).unwrap_or_default();
        Self {
            number,
            time: time.to_string(),
            since_start_us: now.0 / 1000,
            interface: interface.to_owned(),
            packet: String::new(),
            bytes: record.original_bytes,
            verdict: "consumed",
            reason: None,
            description: None,
            session: None,
            rule: None,
            nat_rule: None,
            from: None,
            to: None,
            sent: Vec::new(),
            explain: None,
        }
    }

    pub(super) fn belongs_to(&mut self, session: &SessionView, tables: &Compiled) {
        self.session = Some(session.id);
        self.rule = session.rule.map(|rule| tables.rule_name(rule).to_owned());
        self.nat_rule = session.nat_rule.map(|rule| tables.nat_rule_name(rule).to_owned());
        self.from = session.from.map(|zone| tables.zone_name(zone).to_owned());
        self.to = session.to.map(|zone| tables.zone_name(zone).to_owned());
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.since_start_us / 1_000_000, self.since_start_us % 1_000_000);
        write!(f, "{} {seconds}.{micros:06} {} {}: ", self.number, self.interface, self.packet)?;
        match self.verdict {
            "dropped" => write!(f, "dropped, {}", self.reason.unwrap_or_default())?,
            "own" => f.write_str("sent by the firewall itself, not replayed")?,
            verdict => f.write_str(verdict)?,
        }
        for (at, sent) in self.sent.iter().enumerate() {
            let joint = if at > 0 || self.verdict == "dropped" { "; sent" } else { "" };
            write!(f, "{joint} by {}: {}", sent.interface, sent.packet)?;
        }
        let named = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} `{value}`"));
        let session = self.session.map(|id| format!("session {id}"));
        let details: Vec<String> =
            [session, named("rule", &self.rule), named("NAT rule", &self.nat_rule)].into_iter().flatten().collect();
        if !details.is_empty() {
            write!(f, " ({})", details.join(", "))?;
        }
        Ok(())
    }
}

/// What became of all packets.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Packets in the captures.
    pub packets: u64,
    /// Those that were sent on or answered.
    pub sent: u64,
    /// Those that ended in the firewall.
    pub consumed: u64,
    /// Those the firewall had sent itself.
    pub own: u64,
    /// Dropped ones, by reason.
    pub dropped: BTreeMap<&'static str, DropSummary>,
}

/// The packets dropped for one reason.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DropSummary {
    /// How many.
    pub packets: u64,
    /// The reason in a sentence.
    pub description: &'static str,
    /// Number of the first.
    pub first: u64,
    /// The command that follows the first one's flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<String>,
}

impl Summary {
    pub(super) fn count(&mut self, line: &Line) {
        self.packets += 1;
        match (line.verdict, line.reason) {
            ("dropped", Some(reason)) => {
                let entry = self.dropped.entry(reason).or_insert_with(|| DropSummary {
                    packets: 0,
                    description: line.description.unwrap_or_default(),
                    first: line.number,
                    explain: line.explain.clone(),
                });
                entry.packets += 1;
            }
            ("sent", _) => self.sent += 1,
            ("own", _) => self.own += 1,
            _ => self.consumed += 1,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dropped: u64 = self.dropped.values().map(|one| one.packets).sum();
        writeln!(
            f,
            "{} packets: {} sent, {dropped} dropped, {} consumed, {} of the firewall's own",
            self.packets, self.sent, self.consumed, self.own
        )?;
        for (reason, one) in &self.dropped {
            writeln!(f, "{reason}: {} (first: {}). {}", one.packets, one.first, one.description)?;
            if let Some(explain) = &one.explain {
                writeln!(f, "  {explain}")?;
            }
        }
        Ok(())
    }
}

/// The words that ask `bartizan explain` about a packet's flow.
pub(super) fn explain(interface: &str, packet: &Packet) -> Option<String> {
    if packet.fragment || matches!(packet.layer4, Layer4::IcmpError) {
        return None;
    }
    let (source_port, destination_port) = match packet.layer4 {
        Layer4::Tcp(_) | Layer4::Ports { .. } => packet.ports(),
        _ => (0, 0),
    };
    let mut words = format!(
        "bartizan explain ingress {interface} source {} destination {} protocol {}",
        packet.source, packet.destination, packet.protocol
    );
    if destination_port != 0 {
        words.push_str(&format!(" source-port {source_port} destination-port {destination_port}"));
    }
    Some(words)
}

/// A frame in a few words.
pub(super) fn describe(frame: &[u8], meta: Meta) -> String {
    match parse(frame, meta) {
        Ok(Parsed::Arp) => arp(frame),
        Ok(Parsed::Other(kind)) => format!("ethernet type {kind:#06x}"),
        Ok(Parsed::Ip(packet)) => {
            let text = ip(frame, &packet);
            if meta.segmentation == Segmentation::None {
                return text;
            }
            format!("{text} x{}", packet.wire(meta).0)
        }
        Err(_) if frame.len() < ethernet::HEADER_BYTES => "no whole Ethernet header".to_owned(),
        Err(_) => format!("unreadable, ethernet type {:#06x}", ethernet::kind(frame)),
    }
}

fn arp(frame: &[u8]) -> String {
    match Arp::read(frame) {
        Some(arp) if arp.operation == Operation::Request => format!("arp who has {}, tell {}", arp.target, arp.sender),
        Some(arp) => format!("arp {} is at {}", arp.sender, mac(arp.sender_mac)),
        None => "arp, unreadable".to_owned(),
    }
}

fn mac([a, b, c, d, e, f]: ethernet::Mac) -> String {
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

fn ip(frame: &[u8], packet: &Packet) -> String {
    let (source, destination) = (packet.source, packet.destination);
    if packet.fragment {
        return format!("fragment of protocol {} {source} > {destination}", packet.protocol);
    }
    let (source_port, destination_port) = packet.ports();
    let ends = || {
        let socket = |address, port| std::net::SocketAddr::new(address, port);
        format!("{} > {}", socket(source, source_port), socket(destination, destination_port))
    };
    match packet.layer4 {
        Layer4::Tcp(tcp) => format!("tcp {} {}", ends(), flags(tcp.flags)),
        Layer4::Ports { .. } if packet.protocol == bartizan_packet::parse::UDP => format!("udp {}", ends()),
        Layer4::Ports { .. } => format!("sctp {}", ends()),
        Layer4::Echo { reply, identifier } => {
            let kind = if reply { "reply" } else { "request" };
            format!("echo {kind} {source} > {destination} id {identifier}")
        }
        Layer4::IcmpError => {
            let about = Embedded::read(frame, packet).ok().map(|quoted| {
                format!(" about protocol {} {} > {}", quoted.protocol, quoted.source, quoted.destination)
            });
            format!("icmp error {source} > {destination}{}", about.unwrap_or_default())
        }
        Layer4::IcmpOther { kind } => format!("icmp type {kind} {source} > {destination}"),
        Layer4::Other => format!("protocol {} {source} > {destination}", packet.protocol),
    }
}

fn flags(flags: Flags) -> String {
    let letters = [(Flags::SYN, 'S'), (Flags::FIN, 'F'), (Flags::RST, 'R'), (Flags::PSH, 'P'), (Flags::ACK, 'A')];
    letters.iter().filter(|(bit, _)| flags.0 & bit != 0).map(|(_, letter)| letter).collect()
}
