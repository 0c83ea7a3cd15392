//! Is a network device another firewall's already?
//!
//! Two firewalls on one device would both forward its frames. Each claims its devices by the abstract
//! socket address of the device's index: such an address is unique in a network namespace, as the index
//! is, and goes with the process however it ends.

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use anyhow::{Context, Result, bail};

use super::netdev::Device;

/// A device that is this process's own while this lives.
#[derive(Debug)]
pub struct Claim {
    _socket: UnixListener,
}

impl Claim {
    /// Claims a device.
    ///
    /// # Errors
    /// When another firewall has it.
    pub fn take(device: &Device) -> Result<Self> {
        let name = format!("bartizan/device/{}", device.index);
        match SocketAddr::from_abstract_name(&name).and_then(|address| UnixListener::bind_addr(&address)) {
            Ok(socket) => Ok(Self { _socket: socket }),
            Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
                "the network device `{0}` belongs to another bartizan firewall that runs in this network namespace \
                 (`ss -xlp` shows who holds `@{name}`): end that one, or leave `{0}` out of the ports of this one \
                 with `--port`",
                device.name
            ),
            Err(error) => Err(error).with_context(|| format!("claim the network device `{}`", device.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_belongs_to_one_firewall_until_that_ends() {
        // No device of the namespace the tests run in: the kernel gives out indices from 1.
        let device = |name: &str, index| Device {
            index,
            name: name.to_owned(),
            mac: [2, 0, 0, 0, 0, 1],
            mtu_bytes: 1500,
            up: true,
            carrier: true,
        };
        let index = 0x7000_0000 | std::process::id();
        let first = Claim::take(&device("eth7", index)).unwrap();
        let refused = Claim::take(&device("eth7", index)).unwrap_err().to_string();
        assert!(refused.starts_with("the network device `eth7` belongs to another bartizan firewall"), "{refused}");
        let other = Claim::take(&device("eth8", index ^ 0x0800_0000)).unwrap();
        drop(first);
        assert!(Claim::take(&device("eth7", index)).is_ok());
        drop(other);
    }
}
