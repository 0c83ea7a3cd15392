//! The local link: the Ethernet link between the engine and this host's own TCP.
//!
//! A veth pair in the firewall's network namespace. The engine speaks on `bzl0`; the host answers on
//! `bzl1`, where it holds 198.18.0.1/15 and 2001:2::1/48. The engine translates what it lets through to that address, so
//! the host never sees (nor answers for) the addresses of the data interfaces.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use anyhow::{Context, Result};
use tracing::{debug, warn};

use crate::port::netdev::{Device, Netdevs};

/// The engine's end.
pub const ENGINE_END: &str = "bzl0";
/// The host's end.
pub const HOST_END: &str = "bzl1";
/// The host's address on it, from the benchmarking range of RFC 2544, which is never routed.
pub const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// Its prefix length.
pub const PREFIX: u8 = 15;
/// The host's IPv6 address on it, from the benchmarking range of RFC 5180.
pub const HOST_ADDRESS_V6: Ipv6Addr = bartizan_engine::engine::LOCAL_HOST_V6;
/// Its prefix length.
const PREFIX_V6: u8 = 48;

/// The link, while it stands.
pub struct Link {
    /// The engine's end.
    pub engine: Device,
    /// The host's end.
    pub host: Device,
    netdevs: Netdevs,
    /// An abstract socket address is unique in a network namespace and goes with the process: whoever
    /// holds this one owns the pair.
    _lock: UnixListener,
}

impl Link {
    /// Makes the link; one left behind by a process that was killed is replaced.
    ///
    /// # Errors
    /// When another firewall runs in this network namespace, or rights are missing.
    pub async fn make(netdevs: &Netdevs) -> Result<Self> {
        let name = SocketAddr::from_abstract_name("bartizan/local-link")?;
        let lock = UnixListener::bind_addr(&name)
            .context("another bartizan firewall holds the local link of this network namespace")?;
        if let Some(stale) = netdevs.find(ENGINE_END).await? {
            netdevs.remove(stale.index).await.with_context(|| format!("remove the stale `{ENGINE_END}`"))?;
        }
        netdevs.add_veth(ENGINE_END, HOST_END).await?;
        let (engine, host) = (find(netdevs, ENGINE_END).await?, find(netdevs, HOST_END).await?);
        let link = Self { engine, host, netdevs: netdevs.clone(), _lock: lock };
        match link.configure().await {
            Ok(()) => Ok(link),
            Err(error) => {
                link.remove().await;
                Err(error)
            }
        }
    }

    async fn configure(&self) -> Result<()> {
        self.netdevs.take_over(&self.engine).await?;
        self.netdevs.up(self.host.index).await?;
        let address = IpAddr::V4(HOST_ADDRESS);
        self.netdevs
            .add_address(self.host.index, address, PREFIX)
            .await
            .with_context(|| format!("give `{HOST_END}` the address {address}/{PREFIX}"))?;
        // A host without IPv6 answers over IPv4: the responder says so.
        quiet_ipv6();
        if let Err(error) = self.netdevs.add_address(self.host.index, HOST_ADDRESS_V6.into(), PREFIX_V6).await {
            debug!("`{HOST_END}` has no IPv6: {error:#}");
        }
        Ok(())
    }

    /// Takes the link away.
    pub async fn remove(self) {
        if let Err(error) = self.netdevs.remove(self.engine.index).await {
            warn!("the local link `{ENGINE_END}` stays behind: {error:#}");
        }
    }
}

/// No duplicate-address check (the engine is the only neighbour) and no autoconfiguration on the host's end.
fn quiet_ipv6() {
    for (setting, value) in [("disable_ipv6", "0"), ("accept_dad", "0"), ("accept_ra", "0")] {
        let path = format!("/proc/sys/net/ipv6/conf/{HOST_END}/{setting}");
        if let Err(error) = std::fs::write(&path, value) {
            debug!("{path}: {error}");
        }
    }
}

async fn find(netdevs: &Netdevs, name: &str) -> Result<Device> {
    netdevs.find(name).await?.with_context(|| format!("`{name}` is gone right after it was made"))
}
