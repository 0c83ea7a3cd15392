//! Which ports does a service stand for, and how long do its sessions live?

use crate::diagnostic::Origin;

/// A service object.
#[derive(Clone, Debug)]
pub struct Service {
    /// Name.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// TCP, UDP or (our extension for Kubernetes) SCTP.
    pub protocol: ServiceProtocol,
    /// Destination ports, inclusive ranges.
    pub ports: Vec<(u16, u16)>,
    /// Source ports, inclusive ranges; empty means any.
    pub source_ports: Vec<(u16, u16)>,
    /// How long silent sessions of it live.
    pub timeouts: ServiceTimeouts,
}

/// Idle times of a service's sessions in seconds; 0 where those of the device hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceTimeouts {
    /// Of an open session.
    pub idle: u32,
    /// TCP, one side finished.
    pub half_closed: u32,
    /// TCP, both sides finished.
    pub time_wait: u32,
}

/// Layer-4 protocol of a service object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceProtocol {
    /// 6
    Tcp,
    /// 17
    Udp,
    /// 132
    Sctp,
}

/// A service group.
#[derive(Clone, Debug)]
pub struct ServiceGroup {
    /// Name.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// Names of services or groups.
    pub members: Vec<String>,
}
