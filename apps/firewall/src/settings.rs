//! What a firewall process is told on its command line.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::manager;
use crate::port::backend::Wish;
use crate::worker::Waiting;

/// Where state lives unless told otherwise.
pub const STATE_DIRECTORY: &str = "/var/lib/bartizan";
/// Name of the control socket in the state directory.
pub const CONTROL_NAME: &str = "control.sock";
/// Workers unless told otherwise: one per core, but no more than this.
pub const WORKERS_DEFAULT_MAX: usize = 2;
/// Workers at most: `steer` and the peer rings are made for a machine, not a cluster.
pub const WORKERS_MAX: u16 = 64;
/// Sessions unless told otherwise.
pub const SESSIONS_DEFAULT: usize = 262_144;
/// Receive ring of each data port and worker, in MiB, unless told otherwise.
pub const RING_MIB_DEFAULT: usize = 32;
/// Interface names of PAN-OS end at this port number on the largest models; more are not looked for.
const PORTS_MAX: u32 = 64;

/// All of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the configuration comes from.
    pub source: Source,
    /// Interfaces and the devices behind them; empty means `ethernet1/N` is `ethN`.
    pub ports: Vec<PortName>,
    /// Where state lives.
    pub state_directory: PathBuf,
    /// The control socket.
    pub control: PathBuf,
    /// Number of workers.
    pub workers: u16,
    /// Sessions of all workers together.
    pub sessions_max: usize,
    /// Receive ring of each data port and worker.
    pub ring_mib: usize,
    /// How frames are to come, by interface; the last wish about one counts.
    pub io: Vec<IoWish>,
    /// How workers wait for frames.
    pub waiting: Waiting,
    /// Where to append traffic log lines; `-` is standard output.
    pub traffic_log: Option<PathBuf>,
}

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file; read again on SIGHUP.
    File(PathBuf),
    /// The manager; the last one it pushed is kept.
    Manager(manager::Settings),
    /// Nobody but administrators, by the firewall's own XML API.
    Administrators,
}

/// How the frames of an interface are to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoWish {
    /// `ethernet1/1`; all of them when `None`.
    pub interface: Option<String>,
    /// By what.
    pub wish: Wish,
}

impl IoWish {
    /// Reads `ethernet1/1=af-xdp`, or `af-xdp` for all interfaces.
    ///
    /// # Errors
    /// When it does not look like that.
    pub fn parse(text: &str) -> Result<Self> {
        match text.split_once('=') {
            Some((interface, wish)) => {
                let interface = data_interface(interface)?;
                Ok(Self { interface: Some(interface), wish: Wish::parse(wish)? })
            }
            None => Ok(Self { interface: None, wish: Wish::parse(text)? }),
        }
    }
}

/// The name of a data interface.
fn data_interface(text: &str) -> Result<String> {
    let interface = bartizan_model::device::interface_name(text);
    let known = interface.strip_prefix("ethernet1/").and_then(|number| number.parse::<u32>().ok());
    if known.is_none_or(|number| number == 0) {
        bail!("`{interface}` is no data interface: they are called `ethernet1/1`, `ethernet1/2` and so on");
    }
    Ok(interface.to_string())
}

/// An interface and the device behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortName {
    /// `ethernet1/1`
    pub interface: String,
    /// `eth1`
    pub device: String,
}

impl PortName {
    /// Reads `ethernet1/1=eth1`.
    ///
    /// # Errors
    /// When it does not look like that.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((interface, device)) = text.split_once('=') else {
            bail!("`{text}` is no port: write `ethernet1/1=eth1`, the interface and the device behind it");
        };
        let interface = data_interface(interface)?;
        if device.is_empty() || device.len() > 15 || device.contains(['/', ' ']) {
            bail!("`{device}` cannot be the name of a network device");
        }
        Ok(Self { interface, device: device.to_owned() })
    }

    /// What is assumed when no port is given: `ethernet1/N` is `ethN`, and `eth0` is for management.
    pub fn defaults(devices: &[String]) -> Vec<Self> {
        (1..=PORTS_MAX)
            .map(|number| Self { interface: format!("ethernet1/{number}"), device: format!("eth{number}") })
            .filter(|port| devices.contains(&port.device))
            .collect()
    }
}

/// Workers unless told otherwise.
pub fn default_workers() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.min(WORKERS_DEFAULT_MAX) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_names_an_interface_and_a_device() {
        let port = PortName::parse("ethernet1/2=ens5").unwrap();
        assert_eq!((&*port.interface, &*port.device), ("ethernet1/2", "ens5"));
        assert_eq!(PortName::parse("eth1/2=ens5").unwrap().interface, "ethernet1/2");
        for bad in ["ethernet1/1", "ethernet1/0=eth0", "loopback.1=lo", "ethernet1/1=", "ethernet1/1=a/b", "=eth1"] {
            assert!(PortName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wish_is_about_one_interface_or_all() {
        let wish = IoWish::parse("eth1/1=af-xdp").unwrap();
        assert_eq!(wish, IoWish { interface: Some("ethernet1/1".into()), wish: Wish::AfXdp });
        assert_eq!(IoWish::parse("af-packet").unwrap(), IoWish { interface: None, wish: Wish::AfPacket });
        for bad in ["dpdk", "ethernet1/1=dpdk", "loopback.1=af-xdp", "ethernet1/1", ""] {
            assert!(IoWish::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn without_ports_each_eth_n_is_taken_but_eth0() {
        let devices = ["lo", "eth0", "eth1", "eth3", "eth100"].map(str::to_owned);
        let ports = PortName::defaults(&devices);
        let names: Vec<_> = ports.iter().map(|port| format!("{}={}", port.interface, port.device)).collect();
        assert_eq!(names, ["ethernet1/1=eth1", "ethernet1/3=eth3"]);
    }
}
