//! The sending half of a packet socket: bursts by `sendmmsg`, straight from where the frames are.
//!
//! The socket bypasses queueing disciplines, and with them the kernel's own segmentation: a device without
//! segmentation offload refuses an offloaded frame. Such a frame is cut here, and after the first one so
//! are all that follow, without being refused before.

#![expect(unsafe_code, reason = "sendmmsg has no counterpart in std")]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use bartizan_packet::frame::Segmentation;
use bartizan_packet::segment::Segments;

use super::super::virtio::{HEADER_BYTES, decode};
use super::super::{BURST, Sender};

/// The longest segment: a packet of the largest MTU that the engine knows, with the headers around it.
const SEGMENT_BYTES_MAX: usize = HEADER_BYTES + 65_536 + 32;

/// Sends on a packet socket.
pub struct AfPacketSender {
    socket: Arc<OwnedFd>,
    vectors: Box<[libc::iovec; BURST]>,
    messages: Box<[libc::mmsghdr; BURST]>,
    /// The device has no segmentation offload.
    cuts: bool,
    segment: Box<[u8; SEGMENT_BYTES_MAX]>,
}

// SAFETY: the pointers in `vectors` and `messages` are scratch of `send`, dead outside of it.
unsafe impl Send for AfPacketSender {}

impl AfPacketSender {
    pub(super) fn new(socket: Arc<OwnedFd>) -> Self {
        // SAFETY: iovec and mmsghdr are plain C structures for which all zeroes is a valid value.
        let (vectors, messages) = unsafe { (Box::new(mem::zeroed()), Box::new(mem::zeroed())) };
        Self { socket, vectors, messages, cuts: false, segment: Box::new([0; SEGMENT_BYTES_MAX]) }
    }

    /// Sends the first `count` prepared messages; how many were refused.
    fn flush(&mut self, count: usize) -> usize {
        let (mut done, mut refused) = (0, 0);
        while done < count {
            // SAFETY: messages `done..count` point at vectors of this object and those at frames that the
            // caller of `send` keeps borrowed; the kernel only reads them.
            let sent = unsafe {
                libc::sendmmsg(
                    self.socket.as_raw_fd(),
                    self.messages.as_mut_ptr().add(done),
                    (count - done) as u32,
                    libc::MSG_DONTWAIT,
                )
            };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => done += sent,
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                // The frame at the front is the one refused: device down, queue full, too long, or not cut.
                _ => {
                    let vector = self.vectors[done];
                    // SAFETY: as above; nothing else refers to the frame while the caller of `send` lends it.
                    let frame = unsafe { std::slice::from_raw_parts(vector.iov_base.cast::<u8>(), vector.iov_len) };
                    refused += self.cut(frame).unwrap_or(1);
                    done += 1;
                }
            }
        }
        refused
    }

    /// Sends an offloaded frame in segments; how many were refused. `None` for a frame that is not to be cut.
    fn cut(&mut self, frame: &[u8]) -> Option<usize> {
        let (header, frame) = frame.split_at_checked(HEADER_BYTES)?;
        let mut segments = Segments::of(frame, decode(header)?)?;
        let mut refused = 0;
        // Without a word in its offload header, a segment is sent as it is.
        while let Some(length) = segments.write(&mut self.segment[HEADER_BYTES..]) {
            // SAFETY: the bytes live across the call, and the length is inside them.
            let sent = unsafe {
                libc::send(
                    self.socket.as_raw_fd(),
                    self.segment.as_ptr().cast(),
                    HEADER_BYTES + length,
                    libc::MSG_DONTWAIT,
                )
            };
            if sent < 0 {
                refused += 1;
            } else {
                self.cuts = true;
            }
        }
        Some(refused)
    }
}

impl Sender for AfPacketSender {
    fn send(&mut self, frames: &mut dyn Iterator<Item = &mut [u8]>) -> usize {
        let (mut count, mut refused) = (0, 0);
        for frame in frames {
            if self.cuts && is_offloaded(frame) {
                // What came before it leaves before it.
                refused += self.flush(count) + self.cut(frame).unwrap_or(1);
                count = 0;
                continue;
            }
            self.vectors[count] = libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() };
            let header = &mut self.messages[count].msg_hdr;
            header.msg_iov = &raw mut self.vectors[count];
            header.msg_iovlen = 1;
            count += 1;
            if count == BURST {
                refused += self.flush(count);
                count = 0;
            }
        }
        refused + self.flush(count)
    }
}

fn is_offloaded(frame: &[u8]) -> bool {
    let meta = frame.get(..HEADER_BYTES).and_then(decode);
    meta.is_some_and(|meta| meta.segmentation != Segmentation::None)
}
