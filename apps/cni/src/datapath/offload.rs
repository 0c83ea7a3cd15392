//! Who finishes checksums and cuts segments of packets that go into the tunnel? The kernel, before.
//!
//! A firewall on the same node gets frames from a virtual link, where nobody would do it: the tunnel device
//! is told that it can do neither.

#![expect(unsafe_code, reason = "ethtool's ioctl has no counterpart in std")]

use std::io;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};

/// `ETHTOOL_STXCSUM` of linux/ethtool.h; segmentation offload needs it and goes with it.
const SET_TX_CHECKSUM: u32 = 0x17;
const SIOCETHTOOL: libc::c_ulong = 0x8946;

/// `struct ethtool_value`
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// `struct ifreq`, as far as this request reads it.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    value: *mut Value,
    rest: [u64; 2],
}

/// Turns transmit checksum offload off, and with it segmentation offload.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn off(device: &str) -> Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").context("open a socket")?;
    let mut value = Value { command: SET_TX_CHECKSUM, data: 0 };
    let mut request = Request { name: [0; libc::IFNAMSIZ], value: &raw mut value, rest: [0; 2] };
    request.name[..device.len().min(libc::IFNAMSIZ - 1)]
        .copy_from_slice(&device.as_bytes()[..device.len().min(libc::IFNAMSIZ - 1)]);
    // SAFETY: the request is as large as `struct ifreq` and lives through the call, and so does the value it
    // points to, which has the layout that SIOCETHTOOL reads for this command.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error()).with_context(|| format!("turn checksum offload of `{device}` off"));
    }
    Ok(())
}
