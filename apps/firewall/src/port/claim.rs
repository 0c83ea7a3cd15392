//! Is a network device another firewall's already, and will it stay so?
//!
//! Two firewalls on one device would both forward its frames. Each claims its devices by the abstract
//! socket address of the device's index: such an address is unique in a network namespace, as the index
//! is, and goes with the process however it ends.

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::netdev::Device;

/// A device that is this process's own while this lives.
#[derive(Debug)]
pub struct Claim {
    _socket: UnixListener,
}

/// Something belongs to another firewall; says what, and which way out there is.
#[derive(Debug)]
pub struct Taken(pub String);

impl fmt::Display for Taken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Error for Taken {}

/// How long a firewall that was killed may take to end. The kernel frees its memory first: tables of hundreds of
/// MiB, on a machine that has other work.
const LAST_WAIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// Takes what another firewall may have that is about to end, e.g. since its supervisor killed it.
///
/// # Errors
/// [`Taken`] when the other one keeps it, and at once for every other reason.
pub async fn once_free<T>(take: impl Fn() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match take() {
            Err(error) if error.is::<Taken>() && start.elapsed() < LAST_WAIT => tokio::time::sleep(PAUSE).await,
            other => return other,
        }
    }
}

impl Claim {
    /// Claims a device.
    ///
    /// # Errors
    /// [`Taken`] when another firewall has it.
    pub fn take(device: &Device) -> Result<Self> {
        let name = format!("bartizan/device/{}", device.index);
        match SocketAddr::from_abstract_name(&name).and_then(|address| UnixListener::bind_addr(&address)) {
            Ok(socket) => Ok(Self { _socket: socket }),
            Err(error) if error.kind() == ErrorKind::AddrInUse => Err(Taken(format!(
                "the network device `{0}` belongs to another bartizan firewall that runs in this network namespace \
                 (`ss -xlp` shows who holds `@{name}`): end that one, or leave `{0}` out of the ports of this one \
                 with `--port`",
                device.name
            ))
            .into()),
            Err(error) => Err(error).with_context(|| format!("claim the network device `{}`", device.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, index: u32) -> Device {
        Device { index, name: name.to_owned(), mac: [2, 0, 0, 0, 0, 1], mtu_bytes: 1500, up: true, carrier: true }
    }

    #[test]
    fn a_device_belongs_to_one_firewall_until_that_ends() {
        // No device of the namespace the tests run in: the kernel gives out indices from 1.
        let index = 0x7000_0000 | std::process::id();
        let first = Claim::take(&device("eth7", index)).unwrap();
        let refused = Claim::take(&device("eth7", index)).unwrap_err().to_string();
        assert!(refused.starts_with("the network device `eth7` belongs to another bartizan firewall"), "{refused}");
        let other = Claim::take(&device("eth8", index ^ 0x0800_0000)).unwrap();
        drop(first);
        assert!(Claim::take(&device("eth7", index)).is_ok());
        drop(other);
    }

    #[tokio::test]
    async fn a_firewall_that_is_about_to_end_is_waited_for() {
        let device = device("eth9", 0x6000_0000 | std::process::id());
        let first = Claim::take(&device).unwrap();
        let (second, ()) = tokio::join!(once_free(|| Claim::take(&device)), async move {
            tokio::time::sleep(PAUSE).await;
            drop(first);
        });
        assert!(second.is_ok());
        let error = once_free(|| -> Result<()> { anyhow::bail!("something else") }).await.unwrap_err();
        assert_eq!(error.to_string(), "something else", "nothing to wait for");
    }
}
