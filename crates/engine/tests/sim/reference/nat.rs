//! Which source may a new session leave with? The engine chooses; this judges the choice.

use std::net::IpAddr;

use super::super::frames::{Body, Packet, Tuple};
use super::decision;
use super::session::{Kind, Session, Side, has_identity};
use super::{Expected, Forward, Reference, TIMER_TICK};

/// What a new source may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unlearned {
    pub(super) ranges: Vec<(IpAddr, IpAddr)>,
    /// Where clients go that find no address of their own.
    pub(super) fallback: Option<Vec<(IpAddr, IpAddr)>>,
    /// The client keeps it for its sessions of this rule.
    pub(super) keeper: Option<String>,
    /// The address is the client's alone, and the port stays.
    pub(super) own: bool,
    /// Addresses that are not the client's alone are an interface's.
    pub(super) of_interface: bool,
}

impl Unlearned {
    pub(super) fn port(ranges: Vec<(IpAddr, IpAddr)>, keeper: Option<String>) -> Self {
        Self { ranges, fallback: None, keeper, own: false, of_interface: false }
    }

    /// Whether the client has the address to itself.
    pub(super) fn is_own(&self) -> bool {
        self.own
    }

    /// Whether the client keeps it.
    pub(super) fn is_kept(&self) -> bool {
        self.keeper.is_some()
    }

    /// Whether it may be this address.
    fn holds(&self, ip: IpAddr) -> bool {
        holds(&self.ranges, ip) || self.falls_back(ip)
    }

    fn falls_back(&self, ip: IpAddr) -> bool {
        self.fallback.as_ref().is_some_and(|ranges| holds(ranges, ip))
    }
}

fn holds(ranges: &[(IpAddr, IpAddr)], ip: IpAddr) -> bool {
    ranges.iter().any(|(first, last)| *first <= ip && ip <= *last)
}

impl Session {
    pub(super) fn has_own_address(&self) -> bool {
        let unseen = self.unlearned.as_ref().is_some_and(|may| may.own);
        unseen || self.keeper.as_ref().is_some_and(|(_, own)| *own)
    }
}

impl Reference {
    /// The source that was seen on the first packet of a new session; why it must not be that one.
    pub(crate) fn learn(&mut self, forward: &Forward, seen: &Packet) -> Result<(), String> {
        let Some(may) = &forward.source else { return Ok(()) };
        let mut tuple = forward.packet.tuple();
        let (source, port) = (seen.source, seen.tuple().source_port);
        let kept = self.kept(forward.session, may);
        // An address of both pools is one of the fallback's if the port is another, or if there is no other.
        let other = if has_identity(tuple.protocol) {
            port != tuple.source_port
        } else {
            self.may_be_dry(forward.session, may)
        };
        let falls_back = may.falls_back(source) && other;
        let own = may.own && (kept.is_some() || (holds(&may.ranges, source) && !falls_back));
        if let Some((address, kept_port)) = kept {
            let same = address == source && (may.own || port == kept_port);
            if !same {
                return Err(format!(
                    "source {source} port {port} instead of {address} port {kept_port}, which it keeps"
                ));
            }
        } else if !may.holds(source) {
            return Err(format!("source {source} is not in the pool {may:?}"));
        }
        if own && kept.is_none() && self.is_anothers(forward.session, source) {
            return Err(format!("source {source} is another client's"));
        }
        if may.own && !own && !self.may_be_dry(forward.session, may) {
            return Err(format!("source {source} is the fallback's, but there are addresses left"));
        }
        if own || !has_identity(tuple.protocol) {
            if port != tuple.source_port {
                return Err(format!("the port became {port}, which may not be"));
            }
        } else if port < 1024 {
            return Err(format!("source port {port} is below 1024"));
        }
        let column = self.sessions[forward.session].column;
        if may.own && !own {
            self.met.push(("address of the fallback", column));
        }
        if kept.is_some() {
            self.met.push(("source that the client keeps", column));
        }
        (tuple.source, tuple.source_port) = (source, port);
        let keeps = own || (!may.own && has_identity(tuple.protocol) && !self.is_murky(forward.session, may));
        let keeper = may.keeper.clone().filter(|_| keeps).map(|rule| (rule, own));
        let server = Side { realm: self.sessions[forward.session].server.realm.clone(), tuple: tuple.reversed() };
        let session = &mut self.sessions[forward.session];
        (session.server, session.unlearned, session.keeper) = (server.clone(), None, keeper);
        session.pooled = true;
        self.unseen -= 1;
        session.of_interface = may.of_interface && !own;
        let met = |other: &Session| other.client == server || other.is_server(&server.realm, &server.tuple);
        let refused = |other: &Session| matches!(other.kind, Kind::Refused { .. });
        let home = self.home(&self.sessions[forward.session].client.tuple);
        // Workers share out ports: only what has one of a pool is told apart from another worker's.
        let apart = |other: &Session| other.pooled && has_identity(tuple.protocol) && other.client != server;
        let elsewhere = |other: &Session| met(other) && !apart(other) && self.home(&other.client.tuple) != home;
        if self.sessions.iter().any(elsewhere) {
            self.ambiguous = true;
            return Ok(());
        }
        let client = self.sessions[forward.session].client.clone();
        // What is only remembered as refused makes way.
        self.sessions.retain(|other| !(met(other) && refused(other)));
        if self.sessions.iter().filter(|other| met(other)).count() > 1 {
            return Err(format!("{tuple:?} is in use by another session"));
        }
        let at = self.sessions.iter().position(|other| other.client == client && !refused(other));
        at.map_or(Ok(()), |at| self.check_port(at))
    }

    /// Whether a packet answers, or an error is about, a session whose source was never seen, because its first
    /// packet did not leave: what becomes of it nobody can say.
    pub(crate) fn concerns_unseen(&self, packet: &Packet) -> bool {
        let (tuple, error) = match &packet.body {
            Body::Error { quoted, .. } => (quoted.tuple().reversed(), true),
            _ => (packet.tuple(), false),
        };
        self.sessions.iter().any(|session| {
            let Some(may) = &session.unlearned else { return false };
            let server = &session.server.tuple;
            let answers = |tuple: &Tuple| {
                (server.source, server.protocol, server.source_port)
                    == (tuple.source, tuple.protocol, tuple.source_port)
                    && may.holds(tuple.destination)
            };
            let to_pod = self.header.is_some_and(|header| header.pod.is_some());
            let returns = to_pod && (answers(&tuple.reversed()) || session.client.tuple == tuple.reversed());
            answers(&tuple) || returns || (error && session.client.tuple == tuple)
        })
    }

    /// The other sessions that have the same source by the same rule, as far as it was seen.
    fn bound<'s>(&'s self, at: usize, may: &'s Unlearned) -> impl Iterator<Item = (IpAddr, u16)> + 's {
        let mine = &self.sessions[at].client;
        let of_client = move |other: &&Session| {
            let port = may.own
                || (other.client.tuple.source_port, other.client.tuple.protocol)
                    == (mine.tuple.source_port, mine.tuple.protocol);
            let keeper = may.keeper.as_ref().map(|rule| (rule.clone(), may.own));
            keeper.is_some()
                && other.keeper == keeper
                && other.client.realm == mine.realm
                && other.client.tuple.source == mine.tuple.source
                && port
        };
        let sessions = self.sessions.iter().filter(of_client);
        sessions.map(|other| (other.server.tuple.destination, other.server.tuple.reversed().source_port))
    }

    /// The source that the client keeps.
    fn kept(&self, at: usize, may: &Unlearned) -> Option<(IpAddr, u16)> {
        self.bound(at, may).next().filter(|(address, _)| may.own || may.holds(*address))
    }

    /// The client may keep a source that its rule does not translate to any more: this session has one of its
    /// own then.
    fn is_murky(&self, at: usize, may: &Unlearned) -> bool {
        let same = |other: &Session| {
            let rule = other.unlearned.as_ref().map(|unlearned| &unlearned.keeper);
            rule == Some(&may.keeper) && other.client.tuple.source == self.sessions[at].client.tuple.source
        };
        let unseen = self.sessions.iter().enumerate().any(|(other, session)| other != at && same(session));
        unseen || self.bound(at, may).next().is_some_and(|(address, _)| !may.holds(address))
    }

    fn is_anothers(&self, at: usize, address: IpAddr) -> bool {
        let others = self.sessions.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, session)| session);
        let mut own = others.filter(|other| other.keeper.as_ref().is_some_and(|(_, own)| *own));
        own.any(|other| other.server.tuple.destination == address)
    }

    /// Whether there may be no address left of those that clients have to themselves.
    fn may_be_dry(&self, at: usize, may: &Unlearned) -> bool {
        let unseen = |other: &Session| other.unlearned.as_ref().is_some_and(|other| other.own);
        let others = self.sessions.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, session)| session);
        // The engine's timers are that late, and until then an address is its client's.
        let late = self.now < self.own_until + TIMER_TICK;
        late || others.clone().any(unseen) || {
            let mut taken: Vec<_> = others
                .filter(|other| other.keeper.as_ref().is_some_and(|(_, own)| *own))
                .map(|other| other.server.tuple.destination)
                .filter(|address| holds(&may.ranges, *address))
                .collect();
            taken.sort();
            taken.dedup();
            taken.len() as u128 >= may.ranges.iter().map(|range| decision::size(*range)).sum::<u128>()
        }
    }

    /// The new session an expectation is about, if its source was still to be seen.
    fn opened(&self, expected: &Expected) -> Option<(usize, Unlearned)> {
        let at = match expected {
            Expected::Forward(forward) => forward.session,
            Expected::Drop(_) if self.opens => self.sessions.len().checked_sub(1)?,
            Expected::Drop(_) | Expected::EchoReply(_) | Expected::Cookie(_) | Expected::Handshake(_) => return None,
        };
        Some((at, self.sessions[at].unlearned.clone()?))
    }

    /// The engine found no address for a new session; whether that may be.
    pub(crate) fn run_dry(&mut self, expected: &Expected) -> bool {
        let Some((at, may)) = self.opened(expected) else { return false };
        let kept = self.kept(at, &may).is_some() && !self.is_murky(at, &may);
        let dry = match (may.own, &may.fallback) {
            (true, None) => self.may_be_dry(at, &may).then_some("pool of addresses ran dry"),
            (true, Some(ranges)) => self.ports_run_dry(at, ranges).filter(|_| self.may_be_dry(at, &may)),
            (false, _) => self.ports_run_dry(at, &may.ranges),
        };
        let dry = dry.filter(|_| !kept);
        if let Some(how) = dry {
            self.note(how);
        }
        self.sessions.remove(at);
        dry.is_some()
    }

    /// The engine found no free source for a new session; whether that may be. Only what cannot have
    /// another port may meet another session.
    pub(crate) fn collide(&mut self, expected: &Expected) -> bool {
        let Some((at, may)) = self.opened(expected) else { return false };
        let session = self.sessions.remove(at);
        let tuple = session.server.tuple.reversed();
        if may.keeper.is_none() && has_identity(tuple.protocol) {
            return false;
        }
        let answers = |side: &Side| {
            side.tuple.protocol == tuple.protocol
                && side.tuple.source == tuple.destination
                && may.holds(side.tuple.destination)
        };
        let in_the_way =
            |other: &Session| answers(&other.client) || answers(&other.server) || other.unlearned.is_some();
        // It may even meet itself, when it is turned back to where it came from.
        answers(&session.client) || self.sessions.iter().any(in_the_way)
    }
}
