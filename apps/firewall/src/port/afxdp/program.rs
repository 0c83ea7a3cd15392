//! The XDP program that hands a device's frames to our sockets: six instructions, loaded by `bpf(2)`.
//!
//! `return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_DROP)`. A frame of a queue without a socket
//! ends there: the kernel's own network stack never sees what the firewall has not allowed. The program
//! hangs on a link, which goes with this process however it ends.

#![expect(unsafe_code, reason = "bpf(2) has no counterpart in std")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result};

// From linux/bpf.h.
const MAP_CREATE: i32 = 0;
const MAP_UPDATE_ELEM: i32 = 2;
const PROG_LOAD: i32 = 5;
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

/// Bytes of `union bpf_attr` that are handed to the kernel; what it does not know must be zero.
const ATTRIBUTE_BYTES: usize = 128;

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
    let one = |code: u8, destination: u8, source: u8, offset: i16, value: i32| {
        u64::from(code)
            | u64::from(source << 4 | destination) << 8
            | u64::from(offset as u16) << 16
            | u64::from(value as u32) << 32
    };
    [
        // r2 = *(u32 *)(r1 + rx_queue_index)
        one(0x61, 2, 1, RX_QUEUE_INDEX, 0),
        // r1 = map, which takes two instructions
        one(0x18, 1, PSEUDO_MAP_FD, 0, map),
        0,
        // r3 = XDP_DROP
        one(0xb7, 3, 0, 0, XDP_DROP),
        // r0 = bpf_redirect_map(r1, r2, r3)
        one(0x85, 0, 0, 0, FUNC_REDIRECT_MAP),
        // return r0
        one(0x95, 0, 0, 0, 0),
    ]
}

/// `union bpf_attr`, field by field.
struct Attribute([u64; ATTRIBUTE_BYTES / 8]);

impl Attribute {
    fn new() -> Self {
        Self([0; ATTRIBUTE_BYTES / 8])
    }

    /// 32-bit fields from an offset in bytes on.
    fn words(&mut self, offset: usize, words: &[u32]) {
        for (at, word) in words.iter().enumerate() {
            let place = offset / 4 + at;
            let shift = if cfg!(target_endian = "little") { place % 2 * 32 } else { (1 - place % 2) * 32 };
            self.0[place / 2] |= u64::from(*word) << shift;
        }
    }

    /// A pointer at an offset in bytes, a multiple of 8. What it points to must live until the call.
    fn pointer<T>(&mut self, offset: usize, pointer: *const T) {
        self.0[offset / 8] = pointer as u64;
    }

    /// Calls; the result is a descriptor for the commands that make one.
    fn call(&mut self, command: i32) -> io::Result<RawFd> {
        // SAFETY: the attribute is a live array of the given size; the pointers in it are to objects that the
        // callers keep until this returns, as the command's layout in linux/bpf.h wants them.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), ATTRIBUTE_BYTES) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as RawFd) }
    }

    fn open(&mut self, command: i32) -> io::Result<OwnedFd> {
        let fd = self.call(command)?;
        // SAFETY: the command made this descriptor, and it belongs to nobody else.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_where_the_kernel_looks_for_them() {
        let mut attribute = Attribute::new();
        attribute.words(0, &[1, 2, 3]);
        attribute.words(68, &[4]);
        let bytes: Vec<u8> = attribute.0.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((word(0), word(4), word(8), word(12), word(68)), (1, 2, 3, 0, 4));
    }

    #[test]
    fn the_program_is_six_instructions_and_names_its_map() {
        let program = instructions(77);
        assert_eq!(program[1] >> 32, 77);
        assert_eq!(program[1] & 0xffff, 0x1118);
        assert_eq!(program[5], 0x95);
    }
}
