//! Does a session survive a commit?
//!
//! Each session is asked again under the new tables: with its next packet, or by the sweep, whichever
//! comes first. The NAT mapping of a session that goes on is kept.

use std::collections::HashSet;
use std::net::IpAddr;

use bartizan_model::device::Action;
use bartizan_policy::decide::{Silent, decide_among};
use bartizan_policy::tables::{Compiled, Decision, Flow, Forward, Interface, Route};

use crate::engine::Engine;
use crate::nat::spread::Staying;
use crate::session::{Direction, Kind};
use crate::table::Slot;
use crate::verdict::{EndReason, LogKind, SessionState};

/// Sessions that one call of the sweep asks.
const SWEEP_STEP: u32 = 4096;

/// What became of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rematch {
    /// It goes on, or is refused now: either way it is in the table.
    Kept,
    /// It is out of the table.
    Gone,
}

/// How far the sweep after a commit has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sweep {
    next: Slot,
    end: Slot,
}

impl Sweep {
    pub(crate) fn restart(&mut self, slots: Slot) {
        *self = Self { next: 0, end: slots };
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.next < self.end
    }
}

/// The addresses of all interfaces, with their routers.
fn own_addresses(tables: &Compiled) -> impl Iterator<Item = (u16, IpAddr)> {
    let interfaces = tables.interfaces().filter_map(|(_, interface)| Some((interface.router?.0, interface)));
    interfaces.flat_map(|(router, interface)| interface.addresses.iter().map(move |own| (router, own.addr())))
}

impl Engine {
    /// Asks the next sessions.
    pub(crate) fn sweep_sessions(&mut self) {
        let end = self.sweep.end.min(self.sweep.next.saturating_add(SWEEP_STEP));
        for slot in self.sweep.next..end {
            let session = &self.table[slot];
            if !session.live || session.generation == self.generation {
                continue;
            }
            if session.expires() <= self.now {
                self.end(slot, EndReason::AgedOut);
            } else {
                self.rematch(slot);
            }
        }
        self.sweep.next = end;
        if !self.sweep.is_pending() {
            self.lost_addresses.clear();
        }
    }

    /// Notes which own addresses the new tables take away.
    pub(crate) fn lose_addresses(&mut self, new: &Compiled) {
        let Some(old) = &self.tables else { return };
        // One that moves to another router still leads here.
        let kept: HashSet<IpAddr> = own_addresses(new).map(|(_, address)| address).collect();
        let lost = own_addresses(old).map(|(router, address)| (router, address, self.generation));
        self.lost_addresses.extend(lost);
        self.lost_addresses.retain(|(_, address, _)| !kept.contains(address));
        self.lost_addresses.sort_unstable();
        self.lost_addresses.dedup();
    }

    /// Whether a session was opened to an own address that is gone: its client cannot reach it any more. One that
    /// was opened later goes to whoever has the address now.
    fn uses_lost_address(&self, slot: Slot) -> bool {
        if self.lost_addresses.is_empty() {
            return false;
        }
        let session = &self.table[slot];
        let client = session.client();
        let used = (client.realm(), client.flow().destination);
        self.lost_addresses
            .iter()
            .any(|(router, address, generation)| (*router, *address) == used && *generation >= session.generation)
    }

    /// Asks the rules about a session again.
    pub(crate) fn rematch(&mut self, slot: Slot) -> Rematch {
        self.counters.sessions_rematched += 1;
        let session = &self.table[slot];
        let client = session.client().flow();
        let flow = Flow {
            ingress: self.table.record(slot).ingress,
            source: client.source,
            destination: client.destination,
            protocol: client.protocol,
            source_port: client.source_port,
            destination_port: client.destination_port,
        };
        let refused = session.kind == Kind::Refused;
        if !refused && self.uses_lost_address(slot) {
            self.counters.sessions_address_lost += 1;
            self.end(slot, EndReason::AddressLost);
            return Rematch::Gone;
        }
        // Asked first: with a lease the route often goes, too, and the address is the better reason.
        if !refused && self.lost_its_address(slot) {
            self.counters.nat_address_gone += 1;
            self.end(slot, EndReason::NatAddressGone);
            return Rematch::Gone;
        }
        let session = &self.table[slot];
        let rule = self.table.record(slot).nat_rule;
        let mut staying = Staying { rule, destination: session.server().flow().source };
        let decision = match &self.tables {
            Some(tables) if self.same_realm(slot) => decide_among(tables, &flow, &mut Silent, &mut staying),
            _ => return self.gone(slot),
        };
        match decision {
            Decision::Dropped(_) => self.gone(slot),
            Decision::Ruled(forward) if forward.verdict.action == Action::Allow => {
                // A refusal that was lifted leaves the table: the next packet opens a session.
                if refused { self.gone(slot) } else { self.keep(slot, &forward) }
            }
            Decision::Ruled(forward) => {
                if !refused {
                    self.refuse_session(slot, &forward);
                    self.leave_path(slot, Direction::ClientToServer);
                    self.leave_path(slot, Direction::ServerToClient);
                }
                self.adopt(slot, &forward);
                Rematch::Kept
            }
        }
    }

    fn gone(&mut self, slot: Slot) -> Rematch {
        self.end(slot, EndReason::ConfigurationChange);
        Rematch::Gone
    }

    /// An allowed session goes on, if it still has a way and ends in the zone the rule spoke of.
    fn keep(&mut self, slot: Slot, forward: &Forward) -> Rematch {
        let session = &self.table[slot];
        let survives = match session.kind {
            Kind::Forward | Kind::Wire | Kind::Node | Kind::Hairpin => {
                matches!(forward.route, Route::Via { .. })
                    && match self.find_path(slot, Direction::ClientToServer) {
                        Ok(()) => self.zone_of_egress(slot) == Some(forward.to),
                        Err(_) => return Rematch::Gone,
                    }
            }
            Kind::LocalService => matches!(forward.route, Route::Local { iface }
                if self.local_port(iface, &session.client()) == Some(session.server().flow().source_port)),
            Kind::LocalEcho => matches!(forward.route, Route::Local { iface }
                if self.may_ping(iface, session.client().flow().source)),
            Kind::Refused => false,
        };
        if !survives {
            return self.gone(slot);
        }
        if matches!(self.table[slot].kind, Kind::Wire | Kind::Node) {
            self.table[slot].kind = self.wire_from(self.table.record(slot).ingress);
        }
        // Looked up again when the server next speaks.
        self.leave_path(slot, Direction::ServerToClient);
        self.adopt(slot, forward);
        Rematch::Kept
    }

    /// Whether the session leaves with an address that an interface had and has no more: by DHCP, or by a
    /// commit. Its replies would go to whoever has the address now.
    fn lost_its_address(&self, slot: Slot) -> bool {
        let Some(lease) = self.table.record(slot).lease.filter(|lease| lease.own) else { return false };
        let holds = |interface: &Interface| interface.addresses.iter().any(|own| own.addr() == lease.address);
        !self.tables.as_ref().is_some_and(|tables| tables.interfaces().any(|(_, interface)| holds(interface)))
    }

    /// The session ends for the log, and stays in the table to refuse what is still on its way.
    fn refuse_session(&mut self, slot: Slot, forward: &Forward) {
        self.reset_session(slot, forward.verdict.action);
        if self.table.record(slot).verdict.log_end {
            self.log_session(slot, LogKind::End, Some(EndReason::PolicyDeny));
        }
        let timeout = self.discard_timeout(self.table[slot].client().protocol());
        self.refused += 1;
        self.leave_server(slot);
        let session = &mut self.table[slot];
        session.kind = Kind::Refused;
        session.state = SessionState::Discard;
        session.set_timeout(timeout);
        session.last = self.now;
        let expires = session.expires();
        self.wheel.schedule(slot, expires);
    }

    /// The session is the new rule's from now on.
    fn adopt(&mut self, slot: Slot, forward: &Forward) {
        self.table[slot].generation = self.generation;
        let record = self.table.record_mut(slot);
        record.from = Some(forward.from);
        record.to = Some(forward.to);
        record.rule = Some(forward.rule);
        record.verdict = forward.verdict;
        record.timeouts = forward.timeouts;
    }

    fn same_realm(&self, slot: Slot) -> bool {
        let realm = self.links.get(self.table.record(slot).ingress.index()).and_then(|link| link.realm);
        realm == Some(self.table[slot].client().realm())
    }

    fn zone_of_egress(&self, slot: Slot) -> Option<bartizan_policy::tables::ZoneId> {
        self.tables.as_ref()?.interface(self.table.record(slot).egress)?.zone
    }
}
