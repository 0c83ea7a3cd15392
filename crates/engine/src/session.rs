//! What does the engine remember of a conversation?
//!
//! What a packet needs is a [`Session`]: three cache lines, of which one that is not translated touches
//! two. What is only asked when it begins, ends, is shown or is judged anew is its [`Record`], elsewhere:
//! a million sessions do not fit a cache, and should fit a small machine.

use bartizan_model::device::ServiceTimeouts;
use bartizan_packet::ethernet::Mac;
use bartizan_packet::rewrite::{Change, Tuple};
use bartizan_policy::tables::{IfaceId, NatRuleId, RuleId, RuleVerdict, ZoneId};

use crate::key::Key;
use crate::nat::pool::Lease;
use crate::path::PathRef;
use crate::tcp::tracking::Tracking;
use crate::tunnel::ReturnRef;
use crate::verdict::{EndReason, SessionState, SessionView, Time};

/// One of the two directions of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ClientToServer,
    ServerToClient,
}

impl Direction {
    pub(crate) fn index(self) -> usize {
        match self {
            Self::ClientToServer => 0,
            Self::ServerToClient => 1,
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::ClientToServer => Self::ServerToClient,
            Self::ServerToClient => Self::ClientToServer,
        }
    }
}

/// Where a session's packets end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// At a host beyond an interface.
    Forward,
    /// At a host beyond the tunnel they came out of: the firewall is a wire, no hop.
    Wire,
    /// The same of a pod, whose node is beyond the tunnel, as long as the other end is in no tunnel of its own. What the
    /// one end sends may come by another port than what the other does.
    Node,
    /// At the pod beyond the tunnel they came out of, on their way to which they were: the firewall is no hop.
    /// What the pod answers goes back to its node, by the pod.
    Hairpin,
    /// At the host's own TCP, by the local link.
    LocalService,
    /// Here: the engine answers echo requests itself.
    LocalEcho,
    /// Nowhere: a rule refused it.
    Refused,
}

impl Kind {
    /// Whether somebody beyond the firewall answers.
    pub(crate) fn has_server(self) -> bool {
        match self {
            Self::Forward | Self::Wire | Self::Node | Self::Hairpin | Self::LocalService => true,
            Self::LocalEcho | Self::Refused => false,
        }
    }

    /// The directions in which packets of a new session are looked for. What has no server side must not
    /// catch packets of sessions that the other end opens, on the same ports the other way round.
    pub(crate) fn directions(self) -> &'static [Direction] {
        match self.has_server() {
            true => &[Direction::ClientToServer, Direction::ServerToClient],
            false => &[Direction::ClientToServer],
        }
    }
}

/// One direction on the wire, a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Side {
    /// The flow as it arrives.
    pub(crate) key: Key,
    /// Packets and bytes.
    pub(crate) counts: (u64, u64),
    /// The way on; [`PathRef::NONE`] until it is looked up in the tables of the session's generation.
    pub(crate) path: PathRef,
    /// What translation does to checksums.
    pub(crate) change: Change,
}

/// Both directions of a conversation, as far as packets need them.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Session {
    pub(crate) sides: [Side; 2],
    pub(crate) last: Time,
    timeout_ms: u32,
    /// Generation of the tables its rule comes from.
    pub(crate) generation: u32,
    /// Unused slots keep their last content with this off.
    pub(crate) live: bool,
    /// Whether packets leave with other addresses or ports than they came with.
    pub(crate) translated: bool,
    pub(crate) state: SessionState,
    pub(crate) kind: Kind,
    pub(crate) tcp: Tracking,
}

/// What the engine knows of a conversation beyond what its packets need.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) id: u64,
    pub(crate) start: Time,
    pub(crate) ingress: IfaceId,
    pub(crate) egress: IfaceId,
    pub(crate) from: Option<ZoneId>,
    pub(crate) to: Option<ZoneId>,
    pub(crate) rule: Option<RuleId>,
    pub(crate) nat_rule: Option<NatRuleId>,
    pub(crate) verdict: RuleVerdict,
    pub(crate) client_mac: Mac,
    pub(crate) lease: Option<Lease>,
    /// Why it will be over, when that is known before it ages out.
    pub(crate) end: Option<EndReason>,
    /// The headers by which packets go into the tunnel of the client, and of the server.
    pub(crate) tunnels: [ReturnRef; 2],
    /// Another worker was told that the server's packets belong here.
    pub(crate) steered: bool,
    /// Its destination was chosen among several and counts it.
    pub(crate) spread: bool,
    /// Idle times of its service.
    pub(crate) timeouts: ServiceTimeouts,
}

/// Nanoseconds in the unit timeouts are kept in.
const MILLISECOND: u64 = 1_000_000;

impl Session {
    /// One that begins now; the keys say what packets of each direction look like when they arrive.
    pub(crate) fn new(client: Key, server: Key, generation: u32, now: Time, timeout: u64) -> Self {
        let side = |key| Side { key, counts: (0, 0), path: PathRef::NONE, change: Change::default() };
        let mut session = Self {
            sides: [side(client), side(server)],
            last: now,
            timeout_ms: 0,
            generation,
            live: true,
            translated: false,
            state: SessionState::Opening,
            kind: Kind::Forward,
            tcp: Tracking::default(),
        };
        session.set_timeout(timeout);
        session
    }

    pub(crate) fn client(&self) -> Key {
        self.sides[0].key
    }

    pub(crate) fn server(&self) -> Key {
        self.sides[1].key
    }

    /// The server's packets look like this; what translation changes follows from it.
    pub(crate) fn set_server(&mut self, server: Key) {
        self.sides[1].key = server;
        for direction in [Direction::ClientToServer, Direction::ServerToClient] {
            let (old, new) = (self.sides[direction.index()].key.tuple(), self.leaving(direction));
            self.sides[direction.index()].change = Change::new(&old, &new);
            self.translated = old != new;
        }
    }

    /// What packets of a direction say when they leave: they are answered by those of the other one.
    #[inline]
    pub(crate) fn leaving(&self, direction: Direction) -> Tuple {
        self.sides[direction.other().index()].key.answered()
    }

    /// Nanoseconds the session may be silent, to the millisecond.
    #[inline]
    pub(crate) fn timeout(&self) -> u64 {
        u64::from(self.timeout_ms) * MILLISECOND
    }

    /// Up to 49 days.
    #[inline]
    pub(crate) fn set_timeout(&mut self, nanoseconds: u64) {
        self.timeout_ms = u32::try_from(nanoseconds / MILLISECOND).unwrap_or(u32::MAX);
    }

    #[inline]
    pub(crate) fn expires(&self) -> Time {
        self.last.after(self.timeout())
    }

    pub(crate) fn view(&self, record: &Record) -> SessionView {
        let [client, server] = &self.sides;
        SessionView {
            id: record.id,
            state: self.state,
            client: client.key.flow(),
            server: server.key.flow(),
            ingress: record.ingress,
            egress: Some(record.egress),
            learned: None,
            from: record.from,
            to: record.to,
            rule: record.rule,
            nat_rule: record.nat_rule,
            // What a rematch made of it, for a session refused later.
            action: record.verdict.action,
            start: record.start,
            last: self.last,
            expires: self.expires(),
            sent: client.counts,
            received: server.counts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_packets_need_is_where_the_cache_wants_it() {
        assert_eq!(size_of::<Side>(), 64);
        assert_eq!(std::mem::offset_of!(Session, last), 128);
        assert_eq!(size_of::<Session>(), 192, "three cache lines");
        assert!(size_of::<Record>() <= 112, "{} bytes of record a session", size_of::<Record>());
    }
}
