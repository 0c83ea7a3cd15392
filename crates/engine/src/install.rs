//! How does a session enter the table, and how does it leave?

use std::net::IpAddr;

use bartizan_packet::frame::Frame;
use bartizan_packet::parse::Packet;
use bartizan_packet::rewrite::Tuple;
use bartizan_policy::tables::{DestinationNat, IfaceId, Route};

use crate::decide::Ruled;
use crate::engine::{Engine, local_host};
use crate::ingress::Arrival;
use crate::key::{Key, reverse};
use crate::nat::pool::Lease;
use crate::path::{NextHop, PathRef};
use crate::pipeline::{Staged, drop};
use crate::relay::PATIENCE;
use crate::session::{Direction, Kind, Record, Session};
use crate::table::Slot;
use crate::tunnel::ReturnRef;
use crate::verdict::{DropReason, EndReason, LogKind, Port, SessionState, Verdict};

/// One in so many sessions may be a refused one; further refused flows are asked about packet by packet.
const REFUSED_SHARE: usize = 2;

/// How a session that is allowed goes on.
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) egress: IfaceId,
    /// What the client's packets say when they leave.
    pub(crate) tuple: Tuple,
    pub(crate) lease: Option<Lease>,
    pub(crate) exit: Exit,
    /// Realm by which the server's packets come in.
    pub(crate) server_realm: u16,
}

/// Where the client's packets leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// By the egress interface to this neighbour.
    Neighbor(IpAddr),
    /// To the host's own TCP.
    Local,
    /// They do not.
    Nowhere,
}

impl Engine {
    /// What the decision means for this flow: addresses, ports and exit.
    pub(crate) fn plan(&mut self, ingress: IfaceId, packet: &Packet, key: &Key, ruled: &Ruled) -> Staged<Plan> {
        if self.table.is_full() {
            return drop(DropReason::SessionTableFull);
        }
        if self.tunnels.is_inside() && self.tunnels.is_full() {
            return drop(DropReason::TunnelTableFull);
        }
        // Only the pod whose tunnel it is may get it.
        let moves = |nat: DestinationNat| nat.address != key.flow().destination;
        if self.tunnels.is_hairpin() && ruled.0.destination_nat.is_some_and(moves) {
            return drop(DropReason::HairpinTranslated);
        }
        match ruled.0.route {
            Route::Local { iface: owner } => {
                // Destination NAT to an own address other than the packet's is not a local service.
                if ruled.0.destination_nat.is_some() || ruled.0.source_nat.is_some() {
                    return drop(DropReason::LocalService);
                }
                self.plan_local(owner, packet, key)
            }
            Route::Via { iface: egress, next_hop, .. } => {
                let Some(realm) = self.links.get(egress.index()).and_then(|link| link.realm) else {
                    return drop(DropReason::NoRoute);
                };
                let translation = self.translate(key, &ruled.0, realm)?;
                Ok(Plan {
                    kind: match self.is_tunnel(Port::Data(egress)) {
                        true if self.tunnels.is_hairpin() => Kind::Hairpin,
                        true => self.wire_from(ingress),
                        false => Kind::Forward,
                    },
                    egress,
                    tuple: translation.tuple,
                    lease: translation.lease,
                    exit: Exit::Neighbor(next_hop),
                    server_realm: realm,
                })
            }
            // Decisions never carry these; a flow without a way is dropped all the same.
            Route::Discard => drop(DropReason::RouteDiscard),
            Route::None => drop(DropReason::NoRoute),
            Route::Loop => drop(DropReason::RouterLoop),
        }
    }

    /// Puts an allowed session into the table.
    pub(crate) fn install_session(
        &mut self,
        arrival: &Arrival,
        iface: IfaceId,
        packet: &Packet,
        key: &Key,
        ruled: &Ruled,
        plan: Plan,
    ) -> Slot {
        let (mut session, mut record) = self.new_session(arrival, iface, packet, key, ruled);
        session.kind = plan.kind;
        session.set_server(reverse(plan.server_realm, key.protocol(), &plan.tuple));
        record.egress = plan.egress;
        record.lease = plan.lease;
        if let Some(destination) = ruled.0.destination_nat.filter(|destination| destination.spread.is_some()) {
            self.spreads.add(destination.address);
            record.spread = true;
        }
        // Who sent a packet to a pod is not behind the pod's tunnel.
        record.tunnels[usize::from(self.tunnels.is_hairpin())] = self.tunnels.keep();
        session.sides[0].path = match plan.exit {
            Exit::Neighbor(next_hop) => {
                let next_hop = self.next_hop(plan.egress, next_hop);
                self.paths.take(Port::Data(plan.egress), next_hop)
            }
            Exit::Local => self.paths.take(Port::Local, NextHop::Address(local_host(packet.destination))),
            Exit::Nowhere => PathRef::NONE,
        };
        let log_start = record.verdict.log_start;
        let slot = self.insert(session, record);
        if log_start {
            self.log_session(slot, LogKind::Start, None);
        }
        slot
    }

    /// Puts a refused flow into the table, so that its next packets are refused without asking again.
    pub(crate) fn refuse(
        &mut self,
        arrival: &Arrival,
        iface: IfaceId,
        frame: &mut Frame<'_>,
        packet: &Packet,
        key: &Key,
        ruled: &Ruled,
    ) -> Staged<Verdict> {
        let (mut session, mut record) = self.new_session(arrival, iface, packet, key, ruled);
        // Where the packet would have left; decisions with another route never get here.
        if let Route::Local { iface } | Route::Via { iface, .. } = ruled.0.route {
            record.egress = iface;
        }
        session.kind = Kind::Refused;
        session.state = SessionState::Discard;
        session.set_timeout(self.discard_timeout(packet.protocol));
        // Whoever sends what is refused must not fill the table for those whose traffic is allowed.
        if self.table.is_full() || self.refused >= self.settings.sessions_max.div_ceil(REFUSED_SHARE) {
            self.log_refusal_within_limit(&session, &record, arrival.wire);
            self.answer_refusal(&record.verdict, arrival, frame, packet);
            return drop(DropReason::Policy);
        }
        self.log_refusal(&session, &record, arrival.wire);
        let slot = self.insert(session, record);
        self.refused += 1;
        self.counters.sessions_refused += 1;
        self.reject(slot, Direction::ClientToServer, arrival, frame, packet)
    }

    /// Takes a session out of the table and logs its end.
    pub(crate) fn end(&mut self, slot: Slot, reason: EndReason) {
        let session = &self.table[slot];
        let record = self.table.record(slot);
        let server = session.server();
        let client = session.client();
        let (kind, lease, steered) = (session.kind, record.lease, record.steered);
        let nat_rule = record.nat_rule;
        let tunnels = record.tunnels;
        let reason = record.end.unwrap_or(reason);
        if kind != Kind::Refused && record.verdict.log_end {
            self.log_session(slot, LogKind::End, Some(reason));
        }
        if let Some(lease) = lease {
            self.release(lease, &client, nat_rule);
        }
        self.leave_server(slot);
        if steered {
            self.unsteer(&server);
        }
        self.refused -= usize::from(kind == Kind::Refused);
        tunnels.into_iter().for_each(|tunnel| self.tunnels.give_back(tunnel));
        self.relays.remove(&slot);
        self.leave_path(slot, Direction::ClientToServer);
        self.leave_path(slot, Direction::ServerToClient);
        self.wheel.cancel(slot);
        self.table.remove(slot);
        self.counters.sessions_closed += 1;
        self.counters.sessions_active = self.table.len() as u64;
    }

    /// A session does not go to its server any more, if that was one of several.
    pub(crate) fn leave_server(&mut self, slot: Slot) {
        if std::mem::take(&mut self.table.record_mut(slot).spread) {
            self.spreads.remove(self.table[slot].server().flow().source);
        }
    }

    pub(crate) fn expire_sessions(&mut self) {
        while let Some(slot) = self.wheel.pop_due(self.now) {
            let expires = self.table[slot].expires();
            if expires <= self.now {
                self.end(slot, EndReason::AgedOut);
            } else {
                self.ask_again(slot);
                let next = if self.is_asking(slot) { self.now.after(PATIENCE) } else { expires };
                self.wheel.schedule(slot, next.min(expires));
            }
        }
    }

    /// The largest IP packet a port takes; 0 without a limit.
    pub(crate) fn mtu(&self, port: Port) -> u16 {
        match port {
            Port::Data(iface) => self.links.get(iface.index()).map_or(0, |link| link.mtu_bytes),
            Port::Local => 0,
        }
    }

    pub(crate) fn discard_timeout(&self, protocol: u8) -> u64 {
        match protocol {
            6 => self.timeouts.discard_tcp,
            17 => self.timeouts.discard_udp,
            _ => self.timeouts.discard_other,
        }
    }

    fn insert(&mut self, session: Session, mut record: Record) -> Slot {
        let expires = session.expires();
        record.steered = session.kind.has_server() && self.steer(&session.server());
        let slot = self.table.insert(session, record);
        self.wheel.schedule(slot, expires);
        self.counters.sessions_created += 1;
        self.counters.sessions_active = self.table.len() as u64;
        slot
    }

    /// Short for people, and no other worker's: worker `w` of `n` gives out `w + 1`, `w + 1 + n`, and so on.
    fn next_session_id(&mut self) -> u64 {
        let id = self.session_serial * u64::from(self.settings.workers.max(1)) + u64::from(self.settings.worker) + 1;
        self.session_serial += 1;
        id
    }

    fn new_session(
        &mut self,
        arrival: &Arrival,
        iface: IfaceId,
        packet: &Packet,
        key: &Key,
        Ruled(forward): &Ruled,
    ) -> (Session, Record) {
        let timeouts = self.timeouts.of_service(&forward.timeouts);
        let timeout = match packet.protocol {
            6 => timeouts.tcp_init,
            17 => timeouts.udp,
            1 | 58 => timeouts.icmp,
            _ => timeouts.other,
        };
        let server = reverse(key.realm(), key.protocol(), &key.tuple());
        let session = Session::new(*key, server, self.generation, self.now, timeout);
        let record = Record {
            id: self.next_session_id(),
            start: self.now,
            ingress: iface,
            egress: iface,
            from: Some(forward.from),
            to: Some(forward.to),
            rule: Some(forward.rule),
            nat_rule: forward.nat_rule,
            verdict: forward.verdict,
            client_mac: arrival.station,
            lease: None,
            end: None,
            tunnels: [ReturnRef::NONE; 2],
            steered: false,
            spread: false,
            timeouts: forward.timeouts,
        };
        (session, record)
    }
}
