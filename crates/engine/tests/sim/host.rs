//! What is behind the firewall's local link? A host that answers health checks, in some scenarios.

use std::net::IpAddr;

use super::frames::Mac;
use super::random::Random;

/// The host's MAC.
pub(crate) const MAC: Mac = [2, 0xaa, 0, 0, 0, 1];
/// The number of the local link among the interfaces, and its name.
pub(crate) const NUMBER: usize = 10;
pub(crate) const NAME: &str = "host";

/// Ports on the host for what clients know as 80 and 443.
pub(crate) const PORTS: [(u16, u16); 2] = [(80, 8080), (443, 8443)];

/// A host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    /// It has IPv6, too.
    pub(crate) v6: bool,
    /// The engine was told its MAC; otherwise it has to ask.
    pub(crate) known: bool,
}

impl Host {
    pub(crate) fn some(random: &mut Random) -> Option<Self> {
        let host = Self { v6: random.percent(80), known: random.percent(50) };
        random.percent(80).then_some(host)
    }
}

/// The host's address of a family.
pub(crate) fn address(v4: bool) -> IpAddr {
    if v4 { [198, 18, 0, 1].into() } else { [0x2001, 2, 0, 0, 0, 0, 0, 1].into() }
}

/// The networks of the local link without the host and what is below: its clients are in there.
pub(crate) fn clients(v4: bool) -> (IpAddr, IpAddr) {
    match v4 {
        true => ([198, 18, 0, 2].into(), [198, 19, 255, 255].into()),
        false => {
            let last = [0x2001, 2, 0, u16::MAX, u16::MAX, u16::MAX, u16::MAX, u16::MAX];
            ([0x2001, 2, 0, 0, 0, 0, 0, 2].into(), last.into())
        }
    }
}
