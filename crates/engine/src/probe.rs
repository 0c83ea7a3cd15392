//! Does a host answer the firewall's own ping?
//!
//! The caller makes and sends the requests (see `Engine::originate`) and says here whose replies it waits
//! for; those come out as bounded events. A reply may reach another worker than the one that asked, so
//! every worker is told.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use bartizan_packet::frame::Frame;
use bartizan_packet::parse::{Layer4, Packet};

use crate::engine::Engine;
use crate::ingress::Arrival;
use crate::verdict::{DropReason, Notice, NoticeKind, Port, Verdict};

/// Identifiers of the firewall's own requests end before this. Source translation gives out none below
/// it (RFC 6056 section 3.2 keeps ports below 1024 out of the range), so a translated host's reply is
/// never taken for one of ours.
pub const IDENTIFIERS_END: u16 = 1024;

/// Type, code, checksum, identifier and sequence number of an ICMP echo message (RFC 792, RFC 4443).
const ECHO_BYTES: usize = 8;

impl Engine {
    /// From now on replies with one of these identifiers from its address come out as
    /// [`Notice`]s. Identifiers are below [`IDENTIFIERS_END`]; others
    /// are never heard.
    pub fn watch_echoes(&mut self, watched: Arc<BTreeMap<u16, IpAddr>>) {
        self.watched = watched;
    }

    /// Takes a reply that is waited for out of the stream; `None` when the packet is something else.
    pub(crate) fn hear_echo(&mut self, arrival: &Arrival, frame: &Frame<'_>, packet: &Packet) -> Option<Verdict> {
        let (Layer4::Echo { reply: true, identifier }, Port::Data(iface)) = (packet.layer4, arrival.port) else {
            return None;
        };
        if identifier >= IDENTIFIERS_END || self.watched.get(&identifier) != Some(&packet.source) {
            return None;
        }
        let message = frame.bytes.get(packet.transport..packet.transport + ECHO_BYTES)?.to_vec();
        let notice = Notice { kind: NoticeKind::EchoReply, iface, source: packet.source, bytes: message };
        if !self.outbox.note(notice) {
            return Some(Verdict::Drop(DropReason::QueueFull));
        }
        self.counters.echoes_heard += 1;
        Some(Verdict::Consumed)
    }
}
