//! Network devices as the kernel sees them: which exist, and what must be set before the engine owns one?

use std::net::IpAddr;

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::{Handle, LinkUnspec, LinkVeth};
use tracing::warn;

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Kernel's index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Hardware address; zero for devices that have none.
    pub mac: [u8; 6],
    /// Largest IP packet.
    pub mtu_bytes: u32,
    /// Administratively up.
    pub up: bool,
    /// The other end is up too.
    pub carrier: bool,
}

/// A netlink connection.
#[derive(Clone)]
pub struct Netdevs(Handle);

impl Netdevs {
    /// Connects. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the kernel gives no netlink socket.
    pub fn connect() -> Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection().context("open a netlink socket")?;
        tokio::spawn(connection);
        Ok(Self(handle))
    }

    /// All devices, by index.
    ///
    /// # Errors
    /// When the kernel refuses to list them.
    pub async fn list(&self) -> Result<Vec<Device>> {
        let links: Vec<LinkMessage> =
            self.0.link().get().execute().try_collect().await.context("list network devices")?;
        Ok(links.iter().map(device).collect())
    }

    /// A device by name.
    ///
    /// # Errors
    /// When the kernel refuses to list devices.
    pub async fn find(&self, name: &str) -> Result<Option<Device>> {
        Ok(self.list().await?.into_iter().find(|device| device.name == name))
    }

    /// Addresses the kernel holds on a device, link-local IPv6 left out.
    ///
    /// # Errors
    /// When the kernel refuses to list them.
    pub async fn addresses(&self, index: u32) -> Result<Vec<IpNet>> {
        let messages: Vec<_> = self
            .0
            .address()
            .get()
            .set_link_index_filter(index)
            .execute()
            .try_collect()
            .await
            .context("list addresses")?;
        let mut addresses = Vec::new();
        for message in messages {
            for attribute in &message.attributes {
                if let AddressAttribute::Address(address) = attribute
                    && !is_link_local(*address)
                    && let Ok(network) = IpNet::new(*address, message.header.prefix_len)
                {
                    addresses.push(network);
                }
            }
        }
        Ok(addresses)
    }

    /// Sets a device up.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn up(&self, index: u32) -> Result<()> {
        let message = LinkUnspec::new_with_index(index).up().build();
        self.0.link().set(message).execute().await.context("set the device up")
    }

    /// Makes a veth pair.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn add_veth(&self, name: &str, peer: &str) -> Result<()> {
        let message = LinkVeth::new(name, peer).build();
        self.0.link().add(message).execute().await.with_context(|| format!("make the veth pair `{name}`-`{peer}`"))
    }

    /// Removes a device.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn remove(&self, index: u32) -> Result<()> {
        self.0.link().del(index).execute().await.context("remove the device")
    }

    /// Gives a device an address.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn add_address(&self, index: u32, address: IpAddr, prefix: u8) -> Result<()> {
        let mut request = self.0.address().add(index, address, prefix);
        if address.is_ipv6() {
            // It can be listened at from now on, not only once nobody else turned out to have it.
            request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        request.execute().await.context("add the address")
    }

    /// Makes a device the engine's own: no IPv6 autoconfiguration by the kernel, up.
    ///
    /// # Errors
    /// When the device cannot be set up.
    pub async fn take_over(&self, device: &Device) -> Result<()> {
        disable_ipv6(&device.name);
        if !device.up {
            self.up(device.index).await.with_context(|| format!("set `{}` up", device.name))?;
        }
        for address in self.addresses(device.index).await? {
            warn!(
                "the kernel holds the address {address} on the data port `{0}` and will answer for it behind the \
                 firewall's back (TCP resets, ICMP): remove it with `ip address del {address} dev {0}`",
                device.name
            );
        }
        Ok(())
    }
}

/// Keeps the kernel from taking part in IPv6 on a device.
fn disable_ipv6(device: &str) {
    let path = format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6");
    match std::fs::write(&path, "1") {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            warn!("cannot switch off the kernel's own IPv6 on `{device}` ({path}: {error}): it may answer neighbours");
        }
        // Not found: this kernel has no IPv6.
        Ok(()) | Err(_) => {}
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

fn device(message: &LinkMessage) -> Device {
    let mut device = Device {
        index: message.header.index,
        name: String::new(),
        mac: [0; 6],
        mtu_bytes: 1500,
        up: message.header.flags.contains(LinkFlags::Up),
        carrier: message.header.flags.contains(LinkFlags::LowerUp),
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => device.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => device.mtu_bytes = *mtu,
            LinkAttribute::Address(bytes) => device.mac = bytes.as_slice().try_into().unwrap_or_default(),
            _ => {}
        }
    }
    device
}
