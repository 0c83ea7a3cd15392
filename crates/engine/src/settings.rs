//! What is an engine told when it starts, and which limits does it keep?

use bartizan_model::device::{ServiceTimeouts, SessionTimeouts};

use crate::nat::shared::PORTS;
pub use crate::nat::shared::SharedPools;
use crate::verdict::Time;

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// What one worker's engine is told when it starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This worker's number, from 0.
    pub worker: u16,
    /// How many workers there are; 0 counts as 1.
    pub workers: u16,
    /// Sessions this worker holds at most.
    pub sessions_max: usize,
    /// Secret of the hash tables and of port choice: random in production, fixed in tests.
    pub seed: u64,
    /// Secret of SYN cookies: random in production, fixed in tests.
    pub secret: [u64; 2],
    /// The link to the host's own TCP; without it health checks are not answered.
    pub local: Option<LocalLink>,
    /// How long silent sessions live, where the configuration says nothing.
    pub timeouts: Timeouts,
    /// Bounds of queues and side tables.
    pub limits: Limits,
    /// Ports of NAT pools: the same for all workers of a firewall.
    pub nat: SharedPools,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            worker: 0,
            workers: 1,
            sessions_max: 65_536,
            seed: 0,
            secret: [0; 2],
            local: None,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            nat: SharedPools::default(),
        }
    }
}

/// The host behind [`crate::verdict::Port::Local`]. It holds `198.18.0.1/15` and, unless it has no IPv6,
/// `2001:2::1/48`; the engine is everyone else in these networks (the benchmarking ranges of RFC 2544
/// and RFC 5180, which are never routed).
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalLink {
    /// MAC of the host's end; asked for by ARP when it is not known.
    pub host_mac: Option<[u8; 6]>,
    /// Where HTTP health checks are answered on the host.
    pub http_port: u16,
    /// Where HTTPS health checks are answered on the host.
    pub https_port: u16,
    /// They are answered over IPv6, too.
    pub ipv6: bool,
}

/// Idle times in nanoseconds. The defaults are those of PAN-OS (`show session info`).
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// TCP, both sides spoke.
    pub tcp: u64,
    /// TCP, SYN answered but not yet acknowledged.
    pub tcp_handshake: u64,
    /// TCP, SYN not yet answered.
    pub tcp_init: u64,
    /// TCP, one side finished.
    pub tcp_half_closed: u64,
    /// TCP, both sides finished or a verified reset.
    pub tcp_time_wait: u64,
    /// TCP, a reset whose sequence number is only near the expected one.
    pub tcp_unverified_rst: u64,
    /// UDP.
    pub udp: u64,
    /// ICMP echo.
    pub icmp: u64,
    /// Other protocols.
    pub other: u64,
    /// A datagram of which fragments are missing.
    pub fragments: u64,
    /// Refused TCP.
    pub discard_tcp: u64,
    /// Refused UDP.
    pub discard_udp: u64,
    /// Refused others.
    pub discard_other: u64,
    /// A translated TCP port after its session, before another one gets it: as long as Linux keeps a
    /// connection in TIME-WAIT (`TCP_TIMEWAIT_LEN`).
    pub nat_rest: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp: 3600 * SECOND,
            tcp_handshake: 10 * SECOND,
            tcp_init: 5 * SECOND,
            tcp_half_closed: 120 * SECOND,
            tcp_time_wait: 15 * SECOND,
            tcp_unverified_rst: 30 * SECOND,
            udp: 30 * SECOND,
            icmp: 6 * SECOND,
            other: 30 * SECOND,
            // RFC 791 starts with 15 s, RFC 8200 has hosts wait 60 s: who only passes on need not wait longer than
            // the host that the datagram is for.
            fragments: 30 * SECOND,
            discard_tcp: 90 * SECOND,
            discard_udp: 60 * SECOND,
            discard_other: 60 * SECOND,
            nat_rest: 60 * SECOND,
        }
    }
}

impl Timeouts {
    /// These for a session of a service that has its own.
    #[must_use]
    pub fn of_service(&self, service: &ServiceTimeouts) -> Self {
        let or = |own: u32, default| if own == 0 { default } else { u64::from(own) * SECOND };
        let idle = |default| or(service.idle, default);
        Self {
            tcp: idle(self.tcp),
            tcp_half_closed: or(service.half_closed, self.tcp_half_closed),
            tcp_time_wait: or(service.time_wait, self.tcp_time_wait),
            udp: idle(self.udp),
            other: idle(self.other),
            ..*self
        }
    }

    /// These, but for what is configured.
    #[must_use]
    pub fn configured(self, seconds: &SessionTimeouts) -> Self {
        let or = |configured: Option<u32>, default| configured.map_or(default, |seconds| u64::from(seconds) * SECOND);
        Self {
            tcp: or(seconds.tcp, self.tcp),
            tcp_handshake: or(seconds.tcp_handshake, self.tcp_handshake),
            tcp_init: or(seconds.tcp_init, self.tcp_init),
            tcp_half_closed: or(seconds.tcp_half_closed, self.tcp_half_closed),
            tcp_time_wait: or(seconds.tcp_time_wait, self.tcp_time_wait),
            tcp_unverified_rst: or(seconds.tcp_unverified_rst, self.tcp_unverified_rst),
            udp: or(seconds.udp, self.udp),
            icmp: or(seconds.icmp, self.icmp),
            other: or(seconds.other, self.other),
            fragments: self.fragments,
            discard_tcp: or(seconds.discard_tcp, self.discard_tcp),
            discard_udp: or(seconds.discard_udp, self.discard_udp),
            discard_other: or(seconds.discard_other, self.discard_other),
            nat_rest: self.nat_rest,
        }
    }
}

/// Bounds of what the network can make grow; hitting one is counted.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Frames of our own waiting to be taken by `poll_transmit`.
    pub transmits: usize,
    /// Logs and messages waiting to be taken by `poll_event`.
    pub events: usize,
    /// Neighbours known or asked for.
    pub neighbors: usize,
    /// Frames waiting for one neighbour.
    pub waiting_per_neighbor: usize,
    /// Bytes of all frames waiting for neighbours.
    pub waiting_bytes: usize,
    /// Flows that are handed to another worker although their hash says otherwise.
    pub steered: usize,
    /// Datagrams of which fragments are missing.
    pub fragment_datagrams: usize,
    /// Those of one source.
    pub fragment_datagrams_per_source: usize,
    /// Fragments of one datagram.
    pub fragments_per_datagram: usize,
    /// Bytes of all fragments kept.
    pub fragment_bytes: usize,
    /// Addresses of NAT pools with ports in use, per protocol.
    pub nat_addresses: usize,
    /// Ports of each address of a NAT pool that are given out, per protocol, from 1024 on; at most 64512. The workers
    /// share them in blocks of 64.
    pub nat_ports: u32,
    /// Percent of a pool address's ports in use that raise the alarm (RFC 7659
    /// `natv2PoolThresholdUsageHigh`; the MIB leaves the number to the operator).
    pub nat_alarm_percent: u32,
    /// Sessions of which the headers of their tunnel are remembered.
    pub tunnel_sessions: usize,
    /// Tunnels without a traffic object that are remembered.
    pub unmapped_tunnels: usize,
    /// Log lines per second and drop reason for packets that no rule saw.
    pub drop_logs_per_second: u32,
    /// ICMP errors and resets made per second.
    pub answers_per_second: u32,
    /// DHCP replies and router advertisements taken in per second.
    pub notices_per_second: u32,
    /// Possible scanners counted at a time.
    pub scan_sources: usize,
    /// Ports and hosts of all possible scanners.
    pub scan_targets: usize,
    /// Sources that are blocked at a time.
    pub blocked_sources: usize,
    /// Alarms raised per second.
    pub alarms_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            transmits: 4096,
            events: 65_536,
            neighbors: 4096,
            waiting_per_neighbor: 16,
            waiting_bytes: 4 << 20,
            steered: 65_536,
            fragment_datagrams: 1024,
            fragment_datagrams_per_source: 64,
            // 64 KiB over the smallest MTU of IPv6 are 54.
            fragments_per_datagram: 64,
            fragment_bytes: 4 << 20,
            nat_addresses: 4096,
            nat_ports: PORTS,
            nat_alarm_percent: 80,
            tunnel_sessions: 262_144,
            unmapped_tunnels: 64,
            drop_logs_per_second: 10,
            answers_per_second: 1000,
            notices_per_second: 100,
            scan_sources: 16_384,
            scan_targets: 65_536,
            blocked_sources: 16_384,
            alarms_per_second: 10,
        }
    }
}

impl Time {
    /// This much later.
    #[must_use]
    pub fn after(self, nanoseconds: u64) -> Self {
        Self(self.0.saturating_add(nanoseconds))
    }

    /// Nanoseconds since an earlier time.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
