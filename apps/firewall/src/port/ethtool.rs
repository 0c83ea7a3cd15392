//! What does a device's driver call itself, and how many queues does it have?

#![expect(unsafe_code, reason = "ioctls have no counterpart in std")]

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

use tracing::warn;

const SIOCETHTOOL: libc::c_ulong = 0x8946;
// From linux/ethtool.h.
const GET_DRIVER: u32 = 0x03;
const GET_CHANNELS: u32 = 0x3c;
const SET_CHANNELS: u32 = 0x3d;

/// `struct ethtool_drvinfo`, of which the name is read.
#[repr(C)]
struct Driver {
    command: u32,
    name: [u8; 32],
    rest: [u8; 160],
}

/// `struct ethtool_channels`
#[repr(C)]
#[derive(Default)]
struct Channels {
    command: u32,
    max_receive: u32,
    max_transmit: u32,
    max_other: u32,
    max_combined: u32,
    receive: u32,
    transmit: u32,
    other: u32,
    combined: u32,
}

/// Name of the device's driver, e.g. `veth`; `None` when it does not say.
pub fn driver(device: &str) -> Option<String> {
    let mut answer = Driver { command: GET_DRIVER, name: [0; 32], rest: [0; 160] };
    ask(device, &mut answer).ok()?;
    let name = answer.name.split(|byte| *byte == 0).next().unwrap_or_default();
    let _ = (answer.command, answer.rest);
    Some(String::from_utf8_lossy(name).into_owned())
}

/// Receive queues of the device; `None` when it does not say.
pub fn queues(device: &str) -> Option<u32> {
    let mut answer = Channels { command: GET_CHANNELS, ..Channels::default() };
    ask(device, &mut answer).ok()?;
    let queues = answer.receive + answer.combined;
    (queues > 0).then_some(queues)
}

/// Gives the device that many queues.
///
/// # Errors
/// When the driver does not take it.
pub fn set_queues(device: &str, count: u32) -> io::Result<()> {
    let mut channels = Channels { command: GET_CHANNELS, ..Channels::default() };
    ask(device, &mut channels)?;
    channels.command = SET_CHANNELS;
    if channels.combined > 0 {
        channels.combined = count;
    } else {
        (channels.receive, channels.transmit) = (count, count);
    }
    ask(device, &mut channels)
}

/// A device whose number of queues was changed; it gets its own back when this is dropped.
#[derive(Debug)]
pub struct Requeued {
    device: String,
    before: u32,
}

impl Requeued {
    /// Gives the device `count` queues instead of the `before` it has.
    ///
    /// # Errors
    /// As [`set_queues`].
    pub fn new(device: &str, before: u32, count: u32) -> io::Result<Self> {
        set_queues(device, count)?;
        Ok(Self { device: device.to_owned(), before })
    }
}

impl Drop for Requeued {
    fn drop(&mut self) {
        if let Err(error) = set_queues(&self.device, self.before) {
            warn!(
                "`{0}` keeps another number of queues than the {1} it had: {error} (`ethtool -L {0}` sets it)",
                self.device, self.before
            );
        }
    }
}

/// Structures of `SIOCETHTOOL`: they begin with a command, and any bytes are a value of them.
trait Request {}
impl Request for Driver {}
impl Request for Channels {}

fn ask<T: Request>(device: &str, request: &mut T) -> io::Result<()> {
    // Any socket does, and this kind can always be made.
    let socket = UnixDatagram::unbound()?;
    // SAFETY: all zeroes are a value of this plain C structure.
    let mut interface: libc::ifreq = unsafe { std::mem::zeroed() };
    let name = device.as_bytes();
    if name.len() >= interface.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (place, byte) in interface.ifr_name.iter_mut().zip(name) {
        *place = *byte as libc::c_char;
    }
    interface.ifr_ifru.ifru_data = std::ptr::from_mut(request).cast();
    // SAFETY: the request names a live structure of the layout that its command has in linux/ethtool.h.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut interface) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_kernels_sizes() {
        assert_eq!((size_of::<Driver>(), size_of::<Channels>()), (196, 36));
    }

    #[test]
    fn a_device_that_is_not_there_says_nothing() {
        assert_eq!((driver("no-such-device"), queues("no-such-device")), (None, None));
        assert!(set_queues("a-name-that-is-far-too-long", 1).is_err());
    }
}
