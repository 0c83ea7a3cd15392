//! The memory that frames of XDP sockets live in, and who owns which piece of it.
//!
//! One area per worker, cut into chunks of 4 KiB, shared by the worker's ports, so that a frame received by
//! one leaves by another without a copy. A chunk belongs to the pool, to the kernel (in a fill or transmit
//! ring) or to the worker (lent in a burst). The lock is taken once per burst, by one thread.

#![expect(unsafe_code, reason = "the memory is shared with the kernel")]

use std::io;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bartizan_packet::frame::HEADROOM_BYTES;

use super::super::virtio::HEADER_BYTES;

/// Bytes of a chunk: the largest that the kernel takes, a page.
pub(super) const CHUNK_BYTES: usize = 4096;
/// Bytes of a cache line (x86-64, and most of arm64).
const LINE_BYTES: usize = 64;
/// Bytes in front of a received frame: for the headers of a tunnel, and the offload header. A frame begins with a
/// cache line, so that a small one is in one line: another core wrote it, and each further line is waited for once
/// more when it is sent (measured: 6 % of what a worker spends on a frame of 60 bytes).
pub(super) const ROOM_BYTES: usize = (HEADROOM_BYTES + HEADER_BYTES).next_multiple_of(LINE_BYTES);
/// `XDP_PACKET_HEADROOM`
const XDP_HEADROOM_BYTES: usize = 256;

/// The area. Unmapped when dropped, after every socket that uses it.
pub(super) struct Umem {
    memory: NonNull<u8>,
    bytes: usize,
    pool: Mutex<Pool>,
}

// SAFETY: the mapping belongs to this object; which chunk belongs to whom is kept by the pool and the rings.
unsafe impl Send for Umem {}
// SAFETY: as above; references into the memory are made only of chunks that the caller owns.
unsafe impl Sync for Umem {}

/// Chunks nobody uses, and those that are being sent.
pub(super) struct Pool {
    free: Vec<u32>,
    in_flight: Vec<bool>,
}

impl Umem {
    /// An area of that many chunks.
    pub(super) fn new(chunks: u32) -> io::Result<Self> {
        let bytes = chunks as usize * CHUNK_BYTES;
        // SAFETY: fresh anonymous memory that nobody else knows of.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let pool = Pool { free: (0..chunks).rev().collect(), in_flight: vec![false; chunks as usize] };
        Ok(Self { memory, bytes, pool: Mutex::new(pool) })
    }

    /// What `XDP_UMEM_REG` is told.
    pub(super) fn registration(&self) -> libc::xdp_umem_reg {
        libc::xdp_umem_reg {
            addr: self.memory.as_ptr() as u64,
            len: self.bytes as u64,
            chunk_size: CHUNK_BYTES as u32,
            // The kernel adds what XDP programs may need.
            headroom: (ROOM_BYTES - XDP_HEADROOM_BYTES) as u32,
            flags: 0,
            tx_metadata_len: 0,
        }
    }

    /// The pool, for one burst.
    pub(super) fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A received frame with everything that is in front of it in its chunk, and how much that is; `None` when
    /// the descriptor makes no sense.
    ///
    /// # Safety
    /// The chunk was received from the kernel and not yet given back, and this is called once for it.
    pub(super) unsafe fn lend<'a>(&self, address: u64, length: u32) -> Option<(&'a mut [u8], usize)> {
        let (address, length) = (usize::try_from(address).ok()?, length as usize);
        let room = address % CHUNK_BYTES;
        let fits = room >= HEADER_BYTES && room + length <= CHUNK_BYTES && address < self.bytes;
        if !fits {
            return None;
        }
        // SAFETY: the range is inside one chunk of the mapping (checked above) that the caller owns.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.memory.add(address - room).as_ptr(), room + length) };
        Some((bytes, room))
    }

    /// Asks for the first line of the frame at an address, without waiting for it.
    pub(super) fn prefetch(&self, address: u64) {
        #[cfg(target_arch = "x86_64")]
        if address < self.bytes as u64 {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: an address inside the mapping (checked above), of which nothing is read.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.memory.add(address as usize).as_ptr().cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = address;
    }

    /// The chunk that a slice is inside of.
    pub(super) fn chunk_of(&self, bytes: &[u8]) -> Option<u32> {
        let offset = (bytes.as_ptr() as usize).checked_sub(self.memory.as_ptr() as usize)?;
        (offset + bytes.len() <= self.bytes).then_some((offset / CHUNK_BYTES) as u32)
    }

    /// Where a slice inside the area begins, for a descriptor.
    pub(super) fn address_of(&self, bytes: &[u8]) -> u64 {
        (bytes.as_ptr() as usize - self.memory.as_ptr() as usize) as u64
    }

    /// The bytes of a chunk that was just taken from the pool.
    ///
    /// # Safety
    /// The caller owns the chunk and holds no other reference into it.
    pub(super) unsafe fn chunk<'a>(&self, chunk: u32) -> &'a mut [u8] {
        let start = chunk as usize * CHUNK_BYTES;
        assert!(start < self.bytes, "chunks are numbered by the pool");
        // SAFETY: inside the mapping, and the caller's own.
        unsafe { std::slice::from_raw_parts_mut(self.memory.add(start).as_ptr(), CHUNK_BYTES) }
    }
}

impl Drop for Umem {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made in `new`; the kernel keeps its pages for itself while it needs them.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.bytes) };
    }
}

impl Pool {
    /// Takes a chunk.
    pub(super) fn take(&mut self) -> Option<u32> {
        self.free.pop()
    }

    /// Gives a chunk back that is not being sent.
    pub(super) fn give(&mut self, chunk: u32) {
        if !self.in_flight.get(chunk as usize).copied().unwrap_or(true) {
            self.free.push(chunk);
        }
    }

    /// The chunk goes to the kernel to be sent; false when it is there already.
    pub(super) fn depart(&mut self, chunk: u32) -> bool {
        match self.in_flight.get_mut(chunk as usize) {
            Some(in_flight) => !std::mem::replace(in_flight, true),
            None => false,
        }
    }

    /// The kernel has sent the chunk.
    pub(super) fn arrive(&mut self, chunk: u32) {
        if let Some(in_flight) = self.in_flight.get_mut(chunk as usize)
            && std::mem::replace(in_flight, false)
        {
            self.free.push(chunk);
        }
    }

    /// Chunks nobody uses.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_has_one_owner() {
        let umem = Umem::new(4).unwrap();
        let mut pool = umem.pool();
        let chunk = pool.take().unwrap();
        assert!(pool.depart(chunk));
        assert!(!pool.depart(chunk), "it is being sent already");
        pool.give(chunk);
        assert_eq!(pool.free(), 3, "a chunk that is being sent comes back when it was sent");
        pool.arrive(chunk);
        pool.arrive(chunk);
        assert_eq!(pool.free(), 4);
    }

    #[test]
    fn a_descriptor_outside_of_its_chunk_lends_nothing() {
        let umem = Umem::new(2).unwrap();
        let end = CHUNK_BYTES as u64;
        for (address, length) in [(0, 60), (256, CHUNK_BYTES as u32 - 255), (2 * end + 256, 60), (u64::MAX, 1)] {
            // SAFETY: nothing is lent.
            assert!(unsafe { umem.lend(address, length) }.is_none(), "{address}+{length}");
        }
        // SAFETY: this test owns the whole area.
        let (frame, room) = unsafe { umem.lend(end + 256, 60) }.unwrap();
        assert_eq!((frame.len(), room, umem.chunk_of(frame)), (316, 256, Some(1)));
        assert_eq!(umem.address_of(&frame[room..]), end + 256);
        assert_eq!(umem.chunk_of(&[0; 4]), None);
    }
}
