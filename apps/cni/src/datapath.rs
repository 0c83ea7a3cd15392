//! How is a pod's interface tied to the firewall, and how is it set free again?
//!
//! Everything stands in the pod's own network namespace: the device [`TUNNEL`], three programs and the MTU of
//! the routes. The node's namespace is not touched. See `docs/adr/0005-pods-are-steered-by-bpf.md`.

pub(crate) mod assembler;
pub(crate) mod bpf;
pub(crate) mod netlink;
pub(crate) mod node;
pub(crate) mod offload;
pub(crate) mod program;

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use bpf::load;
use netlink::{Device, Netlink, Side, Tunnel};
use node::{Node, counters_path};
use program::{Descriptors, Direction, Near, Steering, TUNNEL_PORT};

use crate::settings::{Places, Settings};

/// The tunnel device's name, as the vendor's plugin names it.
pub(crate) const TUNNEL: &str = "vxlan0";
/// What the outer headers take: Ethernet, IPv4, UDP, VXLAN.
const OVERHEAD: u32 = 50;

const OUT: &str = "pan-cni-out";
const IN: &str = "pan-cni-in";
const FROM_TUNNEL: &str = "pan-cni-tunnel";

/// A pod that is tied to the firewall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tied {
    pub(crate) address: Ipv4Addr,
    /// Bytes of a packet that fits.
    pub(crate) mtu: u32,
    /// The queueing discipline that holds the programs is ours.
    pub(crate) made_clsact: bool,
}

/// Where a pod is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Path of the network namespace.
    pub(crate) netns: PathBuf,
    pub(crate) interface: String,
    /// Name of the pod's counters: container and interface.
    pub(crate) key: String,
}

/// Ties a pod. Doing it again gives the same.
///
/// # Errors
/// When the kernel refuses a step; the caller unties what stands.
pub(crate) fn tie(settings: &Settings, place: &Place, steering: &Steering) -> Result<Tied> {
    lift_memory_lock();
    let node = Node::open(&settings.places.bpf)?;
    let own = Netlink::open()?.addresses(None)?;
    node.add(&node::ranges(settings, &own, &[]))?;
    let flows = if steering.ports.is_empty() { None } else { Some(node.flows()?) };
    let counters = node.counters(&place.key)?;
    let maps = Descriptors {
        direct: node.direct.descriptor(),
        state: node.state.descriptor(),
        counters: counters.descriptor(),
        flows: flows.as_ref().map(bpf::Map::descriptor),
    };
    inside(&place.netns, || tie_here(settings, &place.interface, steering, maps))
}

/// Sets a pod free, as far as it and its namespace are still there.
///
/// # Errors
/// When the kernel refuses a step.
pub(crate) fn untie(places: &Places, place: &Place, made_clsact: bool) -> Result<()> {
    let freed = if is_namespace(&place.netns) {
        inside(&place.netns, || untie_here(&place.interface, made_clsact))
    } else {
        Ok(())
    };
    forget(&places.bpf, &place.key)?;
    freed
}

/// Removes what is kept of a pod outside of its namespace.
pub(crate) fn forget(bpf_directory: &Path, key: &str) -> Result<()> {
    let path = counters_path(bpf_directory, key);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// What is missing of a tied pod; empty when all stands.
///
/// # Errors
/// When the namespace cannot be looked at.
pub(crate) fn missing(place: &Place) -> Result<Vec<String>> {
    inside(&place.netns, || {
        let mut netlink = Netlink::open()?;
        let mut missing = Vec::new();
        match netlink.device(&place.interface)? {
            None => missing.push(format!("the interface `{}`", place.interface)),
            Some(device) => {
                for (side, name) in [(Side::Out, OUT), (Side::In, IN)] {
                    if !netlink.has_filter(device.index, side, name)? {
                        missing.push(format!("the program `{name}` at `{}`", place.interface));
                    }
                }
            }
        }
        match netlink.device(TUNNEL)? {
            Some(device) if device.tunnel_port == Some(TUNNEL_PORT) => {
                if !netlink.has_filter(device.index, Side::In, FROM_TUNNEL)? {
                    missing.push(format!("the program `{FROM_TUNNEL}` at `{TUNNEL}`"));
                }
            }
            _ => missing.push(format!("the tunnel device `{TUNNEL}`")),
        }
        Ok(missing)
    })
}

fn tie_here(settings: &Settings, interface: &str, steering: &Steering, maps: Descriptors) -> Result<Tied> {
    let mut netlink = Netlink::open()?;
    let device = netlink.device(interface)?;
    let device = device.with_context(|| format!("the pod has no interface `{interface}`"))?;
    let Some(address) = netlink.addresses(Some(device.index))?.first().copied() else {
        bail!("the pod's interface `{interface}` has no IPv4 address, and the tunnel goes over IPv4");
    };
    let mtu = settings.override_mtu.unwrap_or_else(|| device.mtu.saturating_sub(OVERHEAD));
    let tunnel = tunnel_device(&mut netlink, &device, mtu)?;
    let near = Near { index: device.index, address };
    let made_clsact = attach(&mut netlink, near, tunnel.index, steering, maps)?;
    netlink.set_route_mtu(device.index, Some(mtu))?;
    Ok(Tied { address, mtu, made_clsact })
}

/// The tunnel device: kept when it is as it should be, else made anew.
fn tunnel_device(netlink: &mut Netlink, device: &Device, mtu: u32) -> Result<Device> {
    let there = netlink.device(TUNNEL)?;
    let fits = |found: &Device| found.tunnel_port == Some(TUNNEL_PORT) && found.mac == device.mac && found.mtu == mtu;
    if let Some(found) = there {
        if fits(&found) {
            return Ok(found);
        }
        netlink.remove_device(found.index)?;
    }
    netlink.add_tunnel(&Tunnel { name: TUNNEL, mac: &device.mac, mtu, port: TUNNEL_PORT })?;
    // The device has no address, and says nothing of its own. A kernel without IPv6 has no such switch.
    let _without_ipv6 = std::fs::write(format!("/proc/sys/net/ipv6/conf/{TUNNEL}/disable_ipv6"), "1");
    offload::off(TUNNEL)?;
    netlink.device(TUNNEL)?.context("the tunnel device went away")
}

fn attach(
    netlink: &mut Netlink,
    near: Near,
    tunnel_index: u32,
    steering: &Steering,
    maps: Descriptors,
) -> Result<bool> {
    let from_tunnel =
        load(&program::tunnel(steering.cluster_id, near, maps)).context("the program at the tunnel device")?;
    let inwards =
        load(&program::interface(Direction::In, tunnel_index, steering, maps)).context("the program inwards")?;
    let outwards =
        load(&program::interface(Direction::Out, tunnel_index, steering, maps)).context("the program outwards")?;
    netlink.add_clsact(tunnel_index)?;
    netlink.set_filter(tunnel_index, Side::In, &from_tunnel, FROM_TUNNEL)?;
    let made_clsact = netlink.add_clsact(near.index)?;
    netlink.set_filter(near.index, Side::In, &inwards, IN)?;
    netlink.set_filter(near.index, Side::Out, &outwards, OUT)?;
    Ok(made_clsact)
}

/// Removes what is ours; a pod that was never tied keeps everything.
fn untie_here(interface: &str, made_clsact: bool) -> Result<()> {
    let mut netlink = Netlink::open()?;
    let tunnel = netlink.device(TUNNEL)?.filter(|device| device.tunnel_port == Some(TUNNEL_PORT));
    let mut tied = tunnel.is_some();
    if let Some(device) = netlink.device(interface)? {
        for (side, name) in [(Side::Out, OUT), (Side::In, IN)] {
            if netlink.has_filter(device.index, side, name)? {
                netlink.remove_filter(device.index, side)?;
                tied = true;
            }
        }
        if made_clsact {
            netlink.remove_clsact(device.index)?;
        }
        if tied {
            netlink.set_route_mtu(device.index, None)?;
        }
    }
    match tunnel {
        Some(tunnel) => netlink.remove_device(tunnel.index),
        None => Ok(()),
    }
}

/// Whether the path is a network namespace and not what is left of one.
fn is_namespace(path: &Path) -> bool {
    const NAMESPACE_FILE_SYSTEM: i64 = 0x6e73_6673;
    !path.as_os_str().is_empty() && rustix::fs::statfs(path).is_ok_and(|found| found.f_type == NAMESPACE_FILE_SYSTEM)
}

/// Runs in a thread that has moved into the namespace, so that nobody else does.
fn inside<T: Send>(netns: &Path, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let file = File::open(netns).with_context(|| format!("open the network namespace `{}`", netns.display()))?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .with_context(|| format!("enter the network namespace `{}`", netns.display()))?;
            work()
        });
        thread.join().unwrap_or_else(|_| bail!("the thread in the pod's network namespace panicked"))
    })
}

/// Kernels before 5.11 charge maps to the limit of locked memory.
fn lift_memory_lock() {
    let unlimited = rustix::process::Rlimit { current: None, maximum: None };
    let _refused_where_not_needed = rustix::process::setrlimit(rustix::process::Resource::Memlock, unlimited);
}
