//! What does the reference know of a session, and how long may it be silent?

use std::net::IpAddr;

use bartizan_model::device::{Action, DeviceConfig, ServiceTimeouts};

use super::super::frames::{Mac, Tuple};
use super::super::tally::Column;
use super::super::tunnels::Header;
use super::cookies::Relay;
use super::hairpin::Learned;
use super::nat::Unlearned;
use super::tcp::{Clock, Connection};
use super::{SECOND, Time};

/// One direction of a session: its realm and what its packets say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) realm: String,
    pub(super) tuple: Tuple,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Forward {
        exit: String,
        next_hop: IpAddr,
    },
    Echo,
    /// The host answers, on this port of its own.
    Host {
        port: u16,
    },
    Refused {
        action: Action,
        icmp_unreachable: bool,
    },
}

/// A session as the reference knows it.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) kind: Kind,
    pub(super) client: Side,
    pub(super) server: Side,
    pub(super) ingress: String,
    pub(super) station: Mac,
    /// What was around the client's last packet.
    pub(super) header: Option<Header>,
    pub(super) rule: String,
    /// From which zone to which, when it was last asked about.
    pub(super) zones: [String; 2],
    /// Packets and their bytes, by client and server.
    pub(super) counts: [(u64, u64); 2],
    /// The NAT rule it was opened by.
    pub(super) nat: Option<String>,
    /// It counts as one of its server's.
    pub(super) spread: bool,
    pub(super) expires: Time,
    /// How long it may be silent: what was configured when it came to where it is.
    pub(super) idle: Time,
    /// The idle times of its service by its rule.
    pub(super) service: ServiceTimeouts,
    pub(super) tcp: Option<Connection>,
    pub(super) generation: usize,
    /// The source is one of these; which one was not seen yet.
    pub(super) unlearned: Option<Unlearned>,
    /// Its source is of a pool, and was seen.
    pub(super) pooled: bool,
    /// Its source was an interface's.
    pub(super) of_interface: bool,
    /// The headers of its tunnel are remembered.
    pub(super) keeps_header: bool,
    /// Tunnels of client and server that it got to know.
    pub(super) learned: [Option<Learned>; 2],
    pub(super) column: Column,
    pub(super) relay: Option<Relay>,
    /// The rule by which the client keeps the source, and whether other clients have others.
    pub(super) keeper: Option<(String, bool)>,
    /// There is nobody at the other end: the firewall answers itself, or refused the flow at once.
    pub(super) one_way: bool,
}

/// What the session table should show of one session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct View {
    pub(crate) client: Tuple,
    /// `None` while the reference has not seen the source the engine chose.
    pub(crate) server: Option<Tuple>,
    pub(crate) refused: bool,
    pub(crate) rule: String,
    pub(crate) expires: Time,
    pub(crate) zones: [String; 2],
    pub(crate) counts: [(u64, u64); 2],
}

impl Session {
    /// Headers of tunnels that are remembered.
    pub(super) fn tunnels(&self) -> usize {
        usize::from(self.keeps_header) + self.learned.iter().flatten().count()
    }

    pub(super) fn is_client(&self, realm: &str, tuple: &Tuple) -> bool {
        self.client.realm == realm && self.client.tuple == *tuple
    }

    pub(super) fn is_server(&self, realm: &str, tuple: &Tuple) -> bool {
        !self.one_way && self.unlearned.is_none() && self.server.realm == realm && self.server.tuple == *tuple
    }
}

/// Protocols whose flows can be told apart by a port or identifier that the firewall may change.
pub(super) fn has_identity(protocol: u8) -> bool {
    matches!(protocol, 1 | 6 | 17 | 58)
}

/// How long a refused flow is remembered.
pub(super) fn discard_timeout(config: &DeviceConfig, protocol: u8) -> Time {
    let seconds = &config.session.timeouts;
    let (configured, default) = match protocol {
        6 => (seconds.discard_tcp, 90),
        17 => (seconds.discard_udp, 60),
        _ => (seconds.discard_other, 60),
    };
    Time::from(configured.unwrap_or(default)) * SECOND
}

/// How long what is not TCP may be silent.
pub(super) fn idle_timeout(config: &DeviceConfig, protocol: u8, service: &ServiceTimeouts) -> Time {
    let seconds = &config.session.timeouts;
    let (configured, default, own) = match protocol {
        1 | 58 => (seconds.icmp, 6, 0),
        17 => (seconds.udp, 30, service.idle),
        _ => (seconds.other, 30, service.idle),
    };
    Time::from(if own > 0 { own } else { configured.unwrap_or(default) }) * SECOND
}

/// How long a connection may be silent.
pub(super) fn tcp_timeout(config: &DeviceConfig, clock: Clock, service: &ServiceTimeouts) -> Time {
    let seconds = &config.session.timeouts;
    let (configured, default, own) = match clock {
        Clock::Asked => (seconds.tcp_init, 5, 0),
        Clock::Agreed => (seconds.tcp_handshake, 10, 0),
        Clock::Open => (seconds.tcp, 3600, service.idle),
        Clock::HalfClosed => (seconds.tcp_half_closed, 120, service.half_closed),
        Clock::Closed => (seconds.tcp_time_wait, 15, service.time_wait),
        Clock::Doubtful => (seconds.tcp_unverified_rst, 30, 0),
    };
    Time::from(if own > 0 { own } else { configured.unwrap_or(default) }) * SECOND
}
