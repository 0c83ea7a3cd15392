//! Which interval is an IPv4 address in, in three steps whatever the number of intervals?
//!
//! The upper half of the address leads to a page of 256 entries, its next byte to the value or, where the
//! block of 256 addresses holds several intervals, to a page for the last byte. Equal values of a whole
//! page need none.

/// Entries of a page.
const PAGE: usize = 256;
/// Entries of the first step.
const TOP: usize = 1 << 16;
/// Set in an entry that is the number of a page and not a value.
const LINK: u32 = 1 << 31;
/// Fewer intervals are found as quickly by comparing.
const INTERVALS_MIN: usize = 33;
/// No more memory than that: 32 MiB, which a hundred thousand networks that lie close together do not need,
/// and thirty thousand single hosts far from one another do not fit.
const PAGES_MAX: usize = 1 << 15;

/// Values of all IPv4 addresses.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    top: Vec<u32>,
    pages: Vec<[u32; PAGE]>,
}

impl Pages {
    /// From the start and value of each interval in rising order, the first at 0; `None` when there are few, when
    /// it would take too many pages, or a value does not fit.
    pub(super) fn new(starts: &[u32], values: &[u32]) -> Option<Self> {
        if starts.len() < INTERVALS_MIN || values.iter().any(|value| is_link(*value)) {
            return None;
        }
        let mut pages = Self { top: Vec::with_capacity(TOP), pages: Vec::new() };
        let mut walk = Walk { starts, values, at: 0 };
        for high in 0..TOP as u32 {
            let entry = pages.block(&mut walk, high << 16, 8)?;
            pages.top.push(entry);
        }
        Some(pages)
    }

    /// The entry of a block of two to the power of `8 + shift` addresses.
    fn block(&mut self, walk: &mut Walk<'_>, start: u32, shift: u32) -> Option<u32> {
        let last = start | (((PAGE as u32) << shift) - 1);
        if let Some(value) = walk.constant(start, last) {
            return Some(value);
        }
        let number = self.pages.len();
        if number >= PAGES_MAX {
            return None;
        }
        self.pages.push([0; PAGE]);
        for entry in 0..PAGE as u32 {
            let first = start | entry << shift;
            let value = if shift == 0 { walk.constant(first, first)? } else { self.block(walk, first, 0)? };
            self.pages[number][entry as usize] = value;
        }
        Some(LINK | number as u32)
    }

    /// The value of an address.
    #[inline]
    pub(super) fn find(&self, address: u32) -> u32 {
        let mut entry = self.top.get((address >> 16) as usize).copied().unwrap_or(u32::MAX);
        for byte in [address >> 8, address] {
            if !is_link(entry) {
                break;
            }
            let page = self.pages.get((entry & !LINK) as usize);
            entry = page.map_or(u32::MAX, |page| page[byte as usize % PAGE]);
        }
        entry
    }

    /// Memory it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.top) + size_of_val(&*self.pages)
    }
}

/// `u32::MAX`, which says that there is none, is a value.
#[inline]
fn is_link(entry: u32) -> bool {
    entry & LINK != 0 && entry != u32::MAX
}

/// The intervals, from left to right.
struct Walk<'a> {
    starts: &'a [u32],
    values: &'a [u32],
    at: usize,
}

impl Walk<'_> {
    /// The value of all of `first..=last`, if it is one; whoever asks goes from left to right.
    fn constant(&mut self, first: u32, last: u32) -> Option<u32> {
        while self.starts.get(self.at + 1).is_some_and(|next| *next <= first) {
            self.at += 1;
        }
        let ends_within = self.starts.get(self.at + 1).is_some_and(|next| *next <= last);
        if ends_within { None } else { self.values.get(self.at).copied() }
    }
}
