//! The XDP program that hands a device's frames to our sockets: six instructions, loaded by `bpf(2)`.
//!
//! `return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_DROP)`. A frame of a queue without a socket
//! ends there: the kernel's own network stack never sees what the firewall has not allowed. The program
//! hangs on a link, which goes with this process however it ends.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result};

use crate::port::bpf::{Attribute, MAP_CREATE, PROG_LOAD, instruction};

// From linux/bpf.h.
const MAP_UPDATE_ELEM: i32 = 2;
const LINK_CREATE: i32 = 28;
const MAP_TYPE_XSKMAP: u32 = 17;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_TYPE_XDP: u32 = 37;
const FUNC_REDIRECT_MAP: i32 = 51;
const PSEUDO_MAP_FD: u8 = 1;
const XDP_DROP: i32 = 1;
// From linux/if_link.h.
const FLAGS_SKB_MODE: u32 = 1 << 1;
const FLAGS_DRV_MODE: u32 = 1 << 2;
/// Offset of `rx_queue_index` in `struct xdp_md`.
const RX_QUEUE_INDEX: i16 = 16;

/// Where in the kernel the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// In the driver, before there is a socket buffer.
    Native,
    /// In the kernel's generic code, for any driver.
    Generic,
}

/// The sockets of a device by queue: what the program looks into.
pub(super) struct Sockets {
    map: OwnedFd,
}

/// The attached program; detached when dropped.
pub struct Attached {
    _link: OwnedFd,
    _sockets: Sockets,
}

impl Sockets {
    /// Room for the sockets of that many queues.
    pub(super) fn new(queues: u32) -> Result<Self> {
        let mut attribute = Attribute::new();
        attribute.words(0, &[MAP_TYPE_XSKMAP, 4, 4, queues]);
        let map = attribute.open(MAP_CREATE).context("make a map of XDP sockets (needs CAP_BPF and CAP_NET_ADMIN)")?;
        Ok(Self { map })
    }

    /// Sets the socket of a queue.
    pub(super) fn set(&self, queue: u32, socket: RawFd) -> Result<()> {
        let (key, value) = (queue, socket);
        let mut attribute = Attribute::new();
        attribute.words(0, &[self.map.as_raw_fd() as u32]);
        attribute.pointer(8, &raw const key);
        attribute.pointer(16, &raw const value);
        attribute.call(MAP_UPDATE_ELEM).map(drop).context("put a socket into the map of XDP sockets")
    }

    /// Attaches the program that hands frames to these sockets.
    pub(super) fn attach(self, device_index: u32, hook: Hook) -> Result<Attached> {
        let program = self.load().context("load the XDP program")?;
        let flags = match hook {
            Hook::Native => FLAGS_DRV_MODE,
            Hook::Generic => FLAGS_SKB_MODE,
        };
        let mut attribute = Attribute::new();
        attribute.words(0, &[program.as_raw_fd() as u32, device_index, ATTACH_TYPE_XDP, flags]);
        let link = attribute.open(LINK_CREATE).context("attach the XDP program")?;
        Ok(Attached { _link: link, _sockets: self })
    }

    fn load(&self) -> io::Result<OwnedFd> {
        let program = instructions(self.map.as_raw_fd());
        let licence = c"Apache-2.0";
        let mut attribute = Attribute::new();
        attribute.words(0, &[PROG_TYPE_XDP, program.len() as u32]);
        attribute.pointer(8, program.as_ptr());
        attribute.pointer(16, licence.as_ptr());
        attribute.words(68, &[ATTACH_TYPE_XDP]);
        attribute.open(PROG_LOAD)
    }
}

/// The program, for the map behind a descriptor.
fn instructions(map: RawFd) -> [u64; 6] {
    [
        // r2 = *(u32 *)(r1 + rx_queue_index)
        instruction(0x61, 2, 1, RX_QUEUE_INDEX, 0),
        // r1 = map, which takes two instructions
        instruction(0x18, 1, PSEUDO_MAP_FD, 0, map),
        0,
        // r3 = XDP_DROP
        instruction(0xb7, 3, 0, 0, XDP_DROP),
        // r0 = bpf_redirect_map(r1, r2, r3)
        instruction(0x85, 0, 0, 0, FUNC_REDIRECT_MAP),
        // return r0
        instruction(0x95, 0, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_six_instructions_and_names_its_map() {
        let program = instructions(77);
        assert_eq!(program[1] >> 32, 77);
        assert_eq!(program[1] & 0xffff, 0x1118);
        assert_eq!(program[5], 0x95);
    }
}
