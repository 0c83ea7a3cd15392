//! Are there ports left of the addresses of a pool?

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::frames::Tuple;
use super::session::{Kind, Session, Side, has_identity};
use super::{Reference, TIMER_TICK, decision};

/// First port given out.
const FIRST: u16 = 1024;
/// Addresses of a pool that are tried for one session.
const TRIES: usize = 8;

impl Session {
    /// Address, protocol and port of a pool that it has, as far as it was seen.
    fn port(&self) -> Option<(IpAddr, u8, u16)> {
        let tuple = self.server.tuple.reversed();
        let has = self.pooled && !self.has_own_address() && has_identity(tuple.protocol);
        has.then_some((tuple.source, tuple.protocol, tuple.source_port))
    }
}

impl Reference {
    /// Whether a session may have the port that it was seen to have.
    pub(super) fn check_port(&mut self, at: usize) -> Result<(), String> {
        let Some((address, protocol, port)) = self.sessions[at].port() else { return Ok(()) };
        self.port_addresses.insert((address, protocol));
        if u32::from(port) >= u32::from(FIRST) + self.bounds.nat_ports {
            return Err(format!("port {port} is none of the first {}", self.bounds.nat_ports));
        }
        let mine = &self.sessions[at];
        // Whether the client keeps it is not known while some session's source was not seen.
        let from = |session: &Session| {
            let tuple = session.client.tuple;
            (session.nat.clone(), session.client.realm.clone(), tuple.source, tuple.source_port, tuple.protocol)
        };
        let same_client = |other: &Session| {
            let kept = other.keeper.is_some() && other.keeper == mine.keeper;
            kept || (other.client != mine.client && from(other) == from(mine))
        };
        let sharers = self.sessions.iter().filter(|other| other.port() == mine.port() && !same_client(other));
        let most = usize::from(self.config.nat.oversubscription);
        let sharers = sharers.count() + usize::from(mine.keeper.is_some());
        if sharers > most.max(1) {
            return Err(format!("port {port} of {address} is that of {sharers} sessions"));
        }
        let in_use: BTreeSet<_> = self.sessions.iter().filter_map(Session::port).collect();
        let in_use: BTreeSet<_> = in_use.into_iter().map(|(address, protocol, _)| (address, protocol)).collect();
        if in_use.len() > self.bounds.nat_addresses {
            return Err(format!("{} addresses have ports in use", in_use.len()));
        }
        Ok(())
    }

    /// How a new session may have found no port; `None` if there must have been one.
    pub(super) fn ports_run_dry(&self, at: usize, ranges: &[(IpAddr, IpAddr)]) -> Option<&'static str> {
        let session = &self.sessions[at];
        let tuple = session.server.tuple.reversed();
        // Sessions whose port was never seen, and those that the engine may still have for a moment.
        let unseen = self.sessions.iter().filter(|other| other.unlearned.is_some()).count() - 1;
        let late = self.late.iter().filter(|late| self.now < late.since + TIMER_TICK).count();
        let most = usize::from(self.config.nat.oversubscription.max(1)) * self.bounds.nat_ports as usize;
        // An address stays in the table while a port of it rests.
        let no_address = self.port_addresses.len() + self.unseen > self.bounds.nat_addresses;
        if matches!(session.kind, Kind::Host { .. }) {
            let hosts = self.sessions.iter().filter(|other| matches!(other.kind, Kind::Host { .. })).count() - 1;
            let dry = (hosts + late >= most * TRIES).then_some("pool of ports ran dry");
            return dry.or(no_address.then_some("table of pool addresses is full"));
        }
        let addresses = ranges.iter().flat_map(|range| {
            let count = decision::size(*range).min(TRIES as u128);
            (0..count).map(|offset| decision::plus(range.0, offset))
        });
        let mut how = "pool of ports ran dry";
        for address in addresses {
            let free = self.free_ports(&session.server.realm, &tuple, address);
            if free > unseen + late {
                if !no_address {
                    return None;
                }
                how = "table of pool addresses is full";
            }
        }
        Some(how)
    }

    /// Ports of an address by which packets of this tuple could leave.
    fn free_ports(&self, realm: &str, tuple: &Tuple, address: IpAddr) -> usize {
        if self.bounds.nat_ports > 64 {
            return usize::MAX;
        }
        let ports = FIRST..FIRST + self.bounds.nat_ports as u16;
        let free = |port: &u16| {
            let sessions = self.sessions.iter().filter(|other| other.port() == Some((address, tuple.protocol, *port)));
            let most = usize::from(self.config.nat.oversubscription.max(1));
            let persistent = |other: &&Session| other.keeper.is_some();
            let taken = sessions.clone().count() >= most || sessions.clone().any(|other| persistent(&other));
            let server = Tuple { source: address, source_port: *port, ..*tuple }.reversed();
            let server = Side { realm: realm.to_owned(), tuple: server };
            !taken && self.find(&server.realm, &server.tuple).is_none()
        };
        ports.filter(free).count()
    }
}
