//! The rings of an XDP socket: memory that this process and the kernel both write, one end each.

#![expect(unsafe_code, reason = "rings are shared memory with the kernel")]

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// What an entry may be: plain numbers, of which any bytes are a value.
pub(super) trait Entry: Copy {}
impl Entry for u64 {}
impl Entry for libc::xdp_desc {}

/// A mapped ring. Unmapped when dropped.
struct Mapping<T> {
    memory: NonNull<u8>,
    bytes: usize,
    offsets: libc::xdp_ring_offset,
    entries: u32,
    _entry: PhantomData<T>,
}

// SAFETY: the mapping belongs to this object; the kernel's side is synchronised by the two positions.
unsafe impl<T: Entry> Send for Mapping<T> {}

impl<T: Entry> Mapping<T> {
    fn new(socket: &OwnedFd, offsets: libc::xdp_ring_offset, page_offset: i64, entries: u32) -> io::Result<Self> {
        assert!(entries.is_power_of_two(), "rings of XDP sockets have a power of two of entries");
        let bytes = offsets.desc as usize + entries as usize * size_of::<T>();
        // SAFETY: a fresh shared mapping of a ring of this socket, of the size the kernel made it.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                socket.as_raw_fd(),
                page_offset,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { memory, bytes, offsets, entries, _entry: PhantomData })
    }

    fn word(&self, offset: u64) -> &AtomicU32 {
        // SAFETY: the kernel gave the offset of an aligned 32-bit word inside the mapping, which both sides
        // access atomically.
        unsafe { self.memory.add(offset as usize).cast().as_ref() }
    }

    fn producer(&self) -> &AtomicU32 {
        self.word(self.offsets.producer)
    }

    fn consumer(&self) -> &AtomicU32 {
        self.word(self.offsets.consumer)
    }

    /// Where the entry of a position is.
    fn entry(&self, position: u32) -> NonNull<T> {
        let index = (position & (self.entries - 1)) as usize;
        // SAFETY: the index is below `entries`, which the mapping holds behind `desc`.
        unsafe { self.memory.add(self.offsets.desc as usize).cast::<T>().add(index) }
    }
}

impl<T> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made in `new`, and nothing borrows from it any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.bytes) };
    }
}

/// A ring that we fill and the kernel empties.
pub(super) struct Outbound<T> {
    ring: Mapping<T>,
    /// Our position; the kernel sees it after `submit`.
    next: u32,
}

impl<T: Entry> Outbound<T> {
    pub(super) fn map(
        socket: &OwnedFd,
        offsets: libc::xdp_ring_offset,
        page_offset: i64,
        entries: u32,
    ) -> io::Result<Self> {
        Ok(Self { ring: Mapping::new(socket, offsets, page_offset, entries)?, next: 0 })
    }

    /// Entries that fit.
    pub(super) fn room(&self) -> u32 {
        self.ring.entries - self.waiting()
    }

    /// Entries that the kernel has not taken, those not submitted among them.
    pub(super) fn waiting(&self) -> u32 {
        // Acquire: what the kernel read before it moved its position may be overwritten.
        self.next.wrapping_sub(self.ring.consumer().load(Ordering::Acquire))
    }

    /// Puts an entry in; the caller has made sure that there is room.
    pub(super) fn push(&mut self, value: T) {
        debug_assert!(self.room() > 0);
        // SAFETY: the place is inside the mapping, and it is ours: the kernel is past it and does not read
        // it before it sees our position move.
        unsafe { self.ring.entry(self.next).write(value) };
        self.next = self.next.wrapping_add(1);
    }

    /// Shows the kernel everything that was put in.
    pub(super) fn submit(&self) {
        // Release: the entries are written before the position.
        self.ring.producer().store(self.next, Ordering::Release);
    }

    /// Whether the kernel sleeps and has to be told.
    pub(super) fn needs_wakeup(&self) -> bool {
        self.ring.word(self.ring.offsets.flags).load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

/// A ring that the kernel fills and we empty.
pub(super) struct Inbound<T> {
    ring: Mapping<T>,
    next: u32,
}

impl<T: Entry> Inbound<T> {
    pub(super) fn map(
        socket: &OwnedFd,
        offsets: libc::xdp_ring_offset,
        page_offset: i64,
        entries: u32,
    ) -> io::Result<Self> {
        Ok(Self { ring: Mapping::new(socket, offsets, page_offset, entries)?, next: 0 })
    }

    /// Takes an entry out. The kernel may use its place again after `submit`.
    pub(super) fn pop(&mut self) -> Option<T> {
        // Acquire: the entry was written before the position.
        if self.ring.producer().load(Ordering::Acquire) == self.next {
            return None;
        }
        // SAFETY: the place is inside the mapping, the kernel wrote it before it moved its position, and does
        // not write it again before it sees ours move; any bytes are a value of an `Entry`.
        let value = unsafe { self.ring.entry(self.next).read() };
        self.next = self.next.wrapping_add(1);
        Some(value)
    }

    /// Gives the places of what was taken back to the kernel.
    pub(super) fn submit(&self) {
        // Release: the entries are read before the position moves.
        self.ring.consumer().store(self.next, Ordering::Release);
    }
}
