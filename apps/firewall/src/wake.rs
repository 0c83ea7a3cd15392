//! How does one thread wake another that sleeps in `poll`? An eventfd, written only when it is needed.

#![expect(unsafe_code, reason = "eventfd and poll have no counterpart in std")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

/// The bell of one worker.
#[derive(Debug)]
pub struct Bell {
    event: File,
    asleep: AtomicBool,
}

impl Bell {
    /// A bell.
    ///
    /// # Errors
    /// When the process is out of file descriptors.
    pub fn new() -> io::Result<Self> {
        // SAFETY: a system call without pointers; the descriptor is owned from here on.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and belongs to nobody else.
        let event = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { event: File::from(event), asleep: AtomicBool::new(false) })
    }

    /// Wakes the sleeper, if it sleeps. What was queued before is seen by it.
    pub fn ring(&self) {
        // Pairs with the fence in `announce_sleep`: either we see that it sleeps, or it sees our item.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) {
            // A full counter means that it is rung already.
            let _ = (&self.event).write(&1_u64.to_ne_bytes());
        }
    }

    /// Says that the caller is about to sleep. It must look at its queues once more before it does.
    pub fn announce_sleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Says that the caller is awake.
    pub fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Takes the pending ring, if there is one.
    pub fn clear(&self) {
        let _ = (&self.event).read(&mut [0; 8]);
    }

    /// Readable when rung.
    pub fn fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}

/// What a thread sleeps on.
#[derive(Debug)]
pub struct PollSet(Vec<libc::pollfd>);

impl PollSet {
    /// Descriptors to become readable.
    pub fn new(descriptors: impl IntoIterator<Item = RawFd>) -> Self {
        Self(descriptors.into_iter().map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect())
    }

    /// Sleeps until one is readable or the time is over; `None` sleeps without limit.
    pub fn wait(&mut self, limit: Option<Duration>) {
        let limit = limit.map(|limit| libc::timespec {
            tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(i32::try_from(limit.subsec_nanos()).unwrap_or(0)),
        });
        let pointer = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the array and the optional timespec live across the call, the count is the array's. An
        // interrupted call just ends the sleep early.
        unsafe { libc::ppoll(self.0.as_mut_ptr(), self.0.len() as libc::nfds_t, pointer, std::ptr::null()) };
    }

    /// Whether the last [`Self::wait`] ended for this descriptor.
    pub fn take_readable(&mut self, fd: RawFd) -> bool {
        let entry = self.0.iter_mut().find(|entry| entry.fd == fd);
        entry.is_some_and(|entry| std::mem::take(&mut entry.revents) & libc::POLLIN != 0)
    }

    /// Whether a descriptor reported an error, which `poll` would report again at once.
    pub fn take_failed(&mut self) -> Option<RawFd> {
        let failed = libc::POLLERR | libc::POLLNVAL;
        let entry = self.0.iter_mut().find(|entry| entry.revents & failed != 0)?;
        entry.revents = 0;
        Some(entry.fd)
    }
}
