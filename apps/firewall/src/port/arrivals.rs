//! On which cores do a socket's frames arrive? A socket filter counts their bytes by core, where the kernel lets us.

#![expect(unsafe_code, reason = "memory that the kernel writes, too, has no counterpart in std")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use super::CORES_MAX;
use super::bpf::{Attribute, MAP_CREATE, PROG_LOAD, instruction};
use super::socket::set_option;

// From linux/bpf.h.
const MAP_TYPE_ARRAY: u32 = 2;
const MAP_MMAPABLE: u32 = 1 << 10;
const PROG_TYPE_SOCKET_FILTER: u32 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;
const FUNC_GET_SMP_PROCESSOR_ID: i32 = 8;
/// Offset of `len` in `struct __sk_buff`.
const LENGTH: i16 = 0;

/// Bytes from one core's count to the next one's: a cache line, so that cores do not wait for each other.
const STRIDE_BYTES: usize = 64;
const STRIDE_SHIFT: i32 = STRIDE_BYTES.ilog2() as i32;
const COUNTS_BYTES: usize = CORES_MAX * STRIDE_BYTES;

/// Bytes of a socket's frames, by the core that took them in.
#[derive(Debug)]
pub(super) struct Arrivals {
    counts: NonNull<u8>,
}

// SAFETY: the mapping belongs to this object alone; it is only read, by atomic loads.
unsafe impl Send for Arrivals {}

impl Arrivals {
    /// Begins to count what a socket receives. The filter takes the place of the one that the socket may have, and lets
    /// everything through.
    ///
    /// # Errors
    /// When the kernel refuses: without CAP_BPF, as in a user namespace, it does.
    pub(super) fn of(socket: &OwnedFd) -> io::Result<Self> {
        let mut attribute = Attribute::new();
        attribute.words(0, &[MAP_TYPE_ARRAY, size_of::<u32>() as u32, COUNTS_BYTES as u32, 1, MAP_MMAPABLE]);
        let map = attribute.open(MAP_CREATE)?;
        // SAFETY: a fresh shared mapping of the map's one value, of exactly its size.
        let memory = unsafe {
            libc::mmap(std::ptr::null_mut(), COUNTS_BYTES, libc::PROT_READ, libc::MAP_SHARED, map.as_raw_fd(), 0)
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let counts = NonNull::new(memory.cast()).ok_or_else(|| io::Error::other("mmap gave address 0"))?;
        let arrivals = Self { counts };
        let program = instructions(map.as_raw_fd());
        let licence = c"Apache-2.0";
        let mut attribute = Attribute::new();
        attribute.words(0, &[PROG_TYPE_SOCKET_FILTER, program.len() as u32]);
        attribute.pointer(8, program.as_ptr());
        attribute.pointer(16, licence.as_ptr());
        // The socket keeps the program, and the program the map.
        let program = attribute.open(PROG_LOAD)?;
        set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_BPF, &program.as_raw_fd())?;
        Ok(arrivals)
    }

    /// Adds the bytes that arrived since the start to those of each core.
    pub(super) fn add(&self, by_core: &mut [u64; CORES_MAX]) {
        for (core, sum) in by_core.iter_mut().enumerate() {
            // SAFETY: `core` is below `CORES_MAX`, so the count is inside the mapping, and aligned: the mapping is to a page
            // and the stride to a cache line. It is written by the kernel alone, and read by atomic loads alone.
            let count = unsafe { self.counts.add(core * STRIDE_BYTES).cast::<AtomicU64>().as_ref() };
            *sum += count.load(Ordering::Relaxed);
        }
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made in `of`, and nothing borrows from it any more.
        unsafe { libc::munmap(self.counts.as_ptr().cast(), COUNTS_BYTES) };
    }
}

/// The program, for the map behind a descriptor.
fn instructions(map: RawFd) -> [u64; 13] {
    [
        // r6 = the frame
        instruction(0xbf, 6, 1, 0, 0),
        // r0 = bpf_get_smp_processor_id()
        instruction(0x85, 0, 0, 0, FUNC_GET_SMP_PROCESSOR_ID),
        // if r0 >= CORES_MAX, go to the end
        instruction(0x35, 0, 0, 8, CORES_MAX as i32),
        // r1 = counts + (r0 << STRIDE_SHIFT); the address of counts takes two instructions
        instruction(0x67, 0, 0, 0, STRIDE_SHIFT),
        instruction(0x18, 1, PSEUDO_MAP_VALUE, 0, map),
        0,
        instruction(0x0f, 1, 0, 0, 0),
        // *r1 += length of the frame; nothing else on this core does that meanwhile
        instruction(0x61, 2, 6, LENGTH, 0),
        instruction(0x79, 3, 1, 0, 0),
        instruction(0x0f, 3, 2, 0, 0),
        instruction(0x7b, 1, 3, 0, 0),
        // return all of the frame
        instruction(0xb4, 0, 0, 0, -1),
        instruction(0x95, 0, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn what_a_socket_receives_is_counted_and_comes_through_whole() {
        let receiver = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let sender = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let socket = OwnedFd::from(receiver.try_clone().unwrap());
        let arrivals = match Arrivals::of(&socket) {
            Ok(arrivals) => arrivals,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
                return;
            }
        };
        for _ in 0..10 {
            sender.send_to(&[7; 1000], receiver.local_addr().unwrap()).unwrap();
            assert_eq!(receiver.recv(&mut [0; 2000]).unwrap(), 1000);
        }
        let mut by_core = [1; CORES_MAX];
        arrivals.add(&mut by_core);
        // Each with the header of UDP, and what was there before.
        assert_eq!(by_core.iter().sum::<u64>(), 10 * 1008 + CORES_MAX as u64);
    }

    #[test]
    fn the_jump_ends_at_the_answer() {
        let program = instructions(77);
        let jump = program[2];
        assert_eq!((jump & 0xff, jump >> 32), (0x35, CORES_MAX as u64));
        let target = 3 + (jump >> 16 & 0xffff) as usize;
        assert_eq!(program[target], instruction(0xb4, 0, 0, 0, -1));
        assert_eq!((program[4] & 0xffff, program[4] >> 32), (0x2118, 77));
    }
}
