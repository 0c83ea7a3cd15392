//! The local link: the Ethernet link between the engine and this host's own TCP.
//!
//! A veth pair in the firewall's network namespace. The engine speaks on `bzl0`; the host answers on
//! `bzl1`, where it holds 198.18.0.1/15. The engine translates what it lets through to that address, so
//! the host never sees (nor answers for) the addresses of the data interfaces.

use std::net::{IpAddr, Ipv4Addr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use anyhow::{Context, Result};
use tracing::warn;

use crate::port::netdev::{Device, Netdevs};

/// The engine's end.
pub const ENGINE_END: &str = "bzl0";
/// The host's end.
pub const HOST_END: &str = "bzl1";
/// The host's address on it, from the benchmarking range of RFC 2544, which is never routed.
pub const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// Its prefix length.
pub const PREFIX: u8 = 15;

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
        self.netdevs.take_over(&self.host).await?;
        let address = IpAddr::V4(HOST_ADDRESS);
        self.netdevs
            .add_address(self.host.index, address, PREFIX)
            .await
            .with_context(|| format!("give `{HOST_END}` the address {address}/{PREFIX}"))
    }

    /// Takes the link away.
    pub async fn remove(self) {
        if let Err(error) = self.netdevs.remove(self.engine.index).await {
            warn!("the local link `{ENGINE_END}` stays behind: {error:#}");
        }
    }
}

async fn find(netdevs: &Netdevs, name: &str) -> Result<Device> {
    netdevs.find(name).await?.with_context(|| format!("`{name}` is gone right after it was made"))
}
