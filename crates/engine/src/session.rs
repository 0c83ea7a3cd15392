//! What does the engine remember of a conversation?

use std::net::IpAddr;

use bartizan_model::device::Action;
use bartizan_packet::ethernet::Mac;
use bartizan_packet::rewrite::Rewrite;
use bartizan_policy::tables::{IfaceId, NatRuleId, RuleId, RuleVerdict, ZoneId};

use crate::key::Key;
use crate::nat::pool::Lease;
use crate::neighbor::NeighborRef;
use crate::tcp::tracking::Tracking;
use crate::verdict::{EndReason, Port, SessionState, SessionView, Time};

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
            Self::Forward | Self::LocalService => true,
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

/// One direction on the wire: two cache lines, the first to find it, the second to send it on.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Side {
    /// The flow as it arrives.
    pub(crate) key: Key,
    /// Packets and bytes.
    pub(crate) counts: (u64, u64),
    /// Generation of the tables that `port` and the next hop come from.
    pub(crate) generation: u32,
    /// Where it leaves.
    pub(crate) port: Port,
    pub(crate) neighbor: NeighborRef,
    pub(crate) mtu_bytes: u16,
    pub(crate) rewrite: Rewrite,
}

/// Whom a frame is sent to on its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextHop {
    /// Whoever has this address.
    Address(IpAddr),
    /// This station: where the client's own packets came from, when no route leads back there.
    Station(Mac),
}

/// Both directions of a conversation. What each packet needs comes first, a cache line for the session
/// and two for the packet's direction; a million sessions do not fit a cache.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Session {
    /// Unused slots keep their last content with this off.
    pub(crate) live: bool,
    pub(crate) state: SessionState,
    pub(crate) kind: Kind,
    /// Generation of the tables its rule comes from.
    pub(crate) generation: u32,
    pub(crate) last: Time,
    pub(crate) timeout: u64,
    pub(crate) tcp: Tracking,
    pub(crate) sides: [Side; 2],
    pub(crate) next_hops: [NextHop; 2],
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
    /// Another worker was told that the server's packets belong here.
    pub(crate) steered: bool,
}

impl Session {
    pub(crate) fn client(&self) -> Key {
        self.sides[0].key
    }

    pub(crate) fn server(&self) -> Key {
        self.sides[1].key
    }

    pub(crate) fn expires(&self) -> Time {
        self.last.after(self.timeout)
    }

    /// The rule's action; what a rematch made of it, for a session refused later.
    pub(crate) fn action(&self) -> Action {
        self.verdict.action
    }

    pub(crate) fn view(&self) -> SessionView {
        let [client, server] = &self.sides;
        SessionView {
            id: self.id,
            state: self.state,
            client: client.key.flow(),
            server: server.key.flow(),
            ingress: self.ingress,
            egress: Some(self.egress),
            from: self.from,
            to: self.to,
            rule: self.rule,
            nat_rule: self.nat_rule,
            action: self.action(),
            start: self.start,
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
        assert_eq!(std::mem::offset_of!(Session, sides), 64);
        assert_eq!(size_of::<Side>(), 128);
        assert!(size_of::<Session>() <= 512, "{} bytes a session", size_of::<Session>());
    }
}
