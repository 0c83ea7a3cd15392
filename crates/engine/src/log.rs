//! What is told to the traffic log?
//!
//! Sessions by their rule's settings. Packets that no rule saw by their reason, so many a second: a
//! flood must not become a flood of log lines.

use bartizan_model::device::Action;
use bartizan_packet::parse::{Packet, Parsed};

use crate::engine::Engine;
use crate::ingress::is_group;
use crate::key::{Key, reverse};
use crate::outbox::Allowance;
use crate::session::{Record, Session};
use crate::table::Slot;
use crate::verdict::{DropReason, EndReason, LogKind, Port, SessionLog, SessionState, SessionView, Time};

/// How many lines each drop reason may still write this second.
pub(crate) struct DropLogs([Allowance; DropReason::ALL.len()]);

impl Default for DropLogs {
    fn default() -> Self {
        Self([Allowance::default(); DropReason::ALL.len()])
    }
}

impl DropLogs {
    fn take(&mut self, reason: DropReason, now: Time, per_second: u32) -> bool {
        self.0[reason as usize].take(now, per_second)
    }
}

impl Engine {
    pub(crate) fn log_session(&mut self, slot: Slot, kind: LogKind, end_reason: Option<EndReason>) {
        let session = self.view(slot);
        self.outbox.log(SessionLog { kind, session, end_reason, drop_reason: None }, &mut self.counters);
    }

    /// A flow that a rule refuses, before it enters the table: with the packets and bytes of its first frame.
    pub(crate) fn log_refusal(&mut self, session: &Session, record: &Record, first: (u64, u64)) {
        if !(record.verdict.log_start || record.verdict.log_end) {
            return;
        }
        let log = SessionLog {
            kind: LogKind::Deny,
            session: SessionView { sent: first, ..session.view(record) },
            end_reason: Some(EndReason::PolicyDeny),
            drop_reason: None,
        };
        self.outbox.log(log, &mut self.counters);
    }

    /// The same for a flow that finds no room in the table and would be logged with each packet.
    pub(crate) fn log_refusal_within_limit(&mut self, session: &Session, record: &Record, first: (u64, u64)) {
        if self.drop_logs.take(DropReason::Policy, self.now, self.settings.limits.drop_logs_per_second) {
            self.log_refusal(session, record, first);
        } else {
            self.counters.drop_logs_suppressed += 1;
        }
    }

    /// A packet that was dropped for another reason than a rule's refusal.
    pub(crate) fn log_drop(&mut self, reason: DropReason, port: Port, parsed: &Parsed, wire: (u64, u64)) {
        let (Parsed::Ip(packet), Port::Data(ingress)) = (parsed, port) else { return };
        // Groups are spoken to on every quiet link (router discovery, listener reports, mDNS, DHCP): counted only.
        let to_group = reason == DropReason::Multicast || is_group(packet.destination);
        if reason == DropReason::Policy || to_group {
            return;
        }
        if !self.drop_logs.take(reason, self.now, self.settings.limits.drop_logs_per_second) {
            self.counters.drop_logs_suppressed += 1;
            return;
        }
        let realm = self.links.get(ingress.index()).and_then(|link| link.realm).unwrap_or(0);
        let key = Key::of(packet, realm);
        let from = self.tables.as_ref().and_then(|tables| tables.interface(ingress)?.zone);
        let session = SessionView {
            id: 0,
            state: SessionState::Discard,
            client: key.flow(),
            server: answer_of(packet, &key),
            ingress,
            egress: None,
            learned: None,
            from,
            to: None,
            rule: None,
            nat_rule: None,
            action: Action::Drop,
            start: self.now,
            last: self.now,
            expires: self.now,
            sent: wire,
            received: (0, 0),
        };
        let log = SessionLog { kind: LogKind::Drop, session, end_reason: None, drop_reason: Some(reason) };
        self.outbox.log(log, &mut self.counters);
    }
}

fn answer_of(packet: &Packet, key: &Key) -> crate::verdict::FlowKey {
    reverse(key.realm(), packet.protocol, &key.tuple()).flow()
}
