//! How does a worker's session table get large pages?
//!
//! Every packet touches it at a place of its own. With pages of 4 KiB the processor misses the translation
//! of nearly each one as well, and walks the page table for it: with a million sessions that is as much time
//! as the packet itself takes.

#![expect(unsafe_code, reason = "madvise has no counterpart in std")]

use std::ops::Range;

use bartizan_engine::Engine;
use tracing::debug;

/// Asks the kernel for large pages under an engine's large tables, before they are first written to.
/// Without them everything works, slower.
pub fn advise(engine: &Engine) {
    for range in engine.large_tables() {
        if let Err(error) = advise_range(&range) {
            debug!("no large pages for {} bytes of table: {error}", range.len());
        }
    }
}

fn advise_range(range: &Range<usize>) -> std::io::Result<()> {
    // SAFETY: `sysconf` has no pointers.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let (start, end) = (range.start.next_multiple_of(page), range.end / page * page);
    if start >= end {
        return Ok(());
    }
    // SAFETY: the pages lie whole within memory that the engine owns, and the advice changes no content.
    let result = unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
