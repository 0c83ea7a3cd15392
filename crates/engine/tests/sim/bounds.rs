//! How small are the tables of a scenario? In some so small that they run full within a few packets.

use bartizan_engine::Settings;
use bartizan_engine::settings::Limits;

use super::random::Random;

/// Bounds of the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) sessions: usize,
    /// Sessions out of tunnels.
    pub(crate) tunnel_sessions: usize,
    pub(crate) fragments: Fragments,
    /// Ports of each address of a pool, per protocol.
    pub(crate) nat_ports: u32,
    /// Addresses of pools with ports in use, of all protocols.
    pub(crate) nat_addresses: usize,
}

/// Bounds of the fragments that wait for others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragments {
    pub(crate) datagrams: usize,
    pub(crate) of_source: usize,
    pub(crate) of_datagram: usize,
    pub(crate) bytes: usize,
}

impl Bounds {
    /// The bounds of a scenario: each is a tight one now and then.
    pub(crate) fn some(random: &mut Random) -> Self {
        let usual = Self::usual();
        let mut tight = |chance: usize, least: usize, span: usize, usual: usize| {
            if random.percent(chance) { least + random.below(span) } else { usual }
        };
        Self {
            sessions: tight(25, 1, 6, usual.sessions),
            tunnel_sessions: tight(20, 1, 3, usual.tunnel_sessions),
            fragments: Fragments {
                datagrams: tight(25, 1, 2, usual.fragments.datagrams),
                of_source: tight(25, 1, 2, usual.fragments.of_source),
                of_datagram: tight(20, 2, 6, usual.fragments.of_datagram),
                bytes: tight(20, 100, 1200, usual.fragments.bytes),
            },
            nat_ports: tight(40, 1, 3, usual.nat_ports as usize) as u32,
            nat_addresses: tight(15, 1, 2, usual.nat_addresses),
        }
    }

    /// Those of every day.
    pub(crate) fn usual() -> Self {
        let limits = Limits::default();
        Self {
            sessions: 512,
            tunnel_sessions: limits.tunnel_sessions,
            fragments: Fragments {
                datagrams: limits.fragment_datagrams,
                of_source: limits.fragment_datagrams_per_source,
                of_datagram: limits.fragments_per_datagram,
                bytes: limits.fragment_bytes,
            },
            nat_ports: limits.nat_ports,
            nat_addresses: limits.nat_addresses,
        }
    }

    /// Settings of an engine with these bounds.
    pub(crate) fn settings(&self) -> Settings {
        let limits = Limits {
            tunnel_sessions: self.tunnel_sessions,
            fragment_datagrams: self.fragments.datagrams,
            fragment_datagrams_per_source: self.fragments.of_source,
            fragments_per_datagram: self.fragments.of_datagram,
            fragment_bytes: self.fragments.bytes,
            nat_ports: self.nat_ports,
            nat_addresses: self.nat_addresses,
            ..Limits::default()
        };
        Settings { sessions_max: self.sessions, limits, ..Settings::default() }
    }
}
