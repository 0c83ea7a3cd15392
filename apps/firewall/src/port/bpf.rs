//! How is `bpf(2)` called? Its attribute, and the instructions of a program.

#![expect(unsafe_code, reason = "bpf(2) has no counterpart in std")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

// Commands, from linux/bpf.h.
pub(super) const MAP_CREATE: i32 = 0;
pub(super) const PROG_LOAD: i32 = 5;

/// Bytes of `union bpf_attr` that are handed to the kernel; what it does not know must be zero.
const ATTRIBUTE_BYTES: usize = 128;

/// One instruction, `struct bpf_insn`.
pub(super) fn instruction(code: u8, destination: u8, source: u8, offset: i16, value: i32) -> u64 {
    u64::from(code)
        | u64::from(source << 4 | destination) << 8
        | u64::from(offset as u16) << 16
        | u64::from(value as u32) << 32
}

/// `union bpf_attr`, field by field.
pub(super) struct Attribute([u64; ATTRIBUTE_BYTES / 8]);

impl Attribute {
    pub(super) fn new() -> Self {
        Self([0; ATTRIBUTE_BYTES / 8])
    }

    /// 32-bit fields from an offset in bytes on.
    pub(super) fn words(&mut self, offset: usize, words: &[u32]) {
        for (at, word) in words.iter().enumerate() {
            let place = offset / 4 + at;
            let shift = if cfg!(target_endian = "little") { place % 2 * 32 } else { (1 - place % 2) * 32 };
            self.0[place / 2] |= u64::from(*word) << shift;
        }
    }

    /// A pointer at an offset in bytes, a multiple of 8. What it points to must live until the call.
    pub(super) fn pointer<T>(&mut self, offset: usize, pointer: *const T) {
        self.0[offset / 8] = pointer as u64;
    }

    /// Calls; the result is a descriptor for the commands that make one.
    pub(super) fn call(&mut self, command: i32) -> io::Result<RawFd> {
        // SAFETY: the attribute is a live array of the given size; the pointers in it are to objects that the
        // callers keep until this returns, as the command's layout in linux/bpf.h wants them.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), ATTRIBUTE_BYTES) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as RawFd) }
    }

    pub(super) fn open(&mut self, command: i32) -> io::Result<OwnedFd> {
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
}
