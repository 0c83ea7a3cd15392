//! How do frames get from a network interface to the engine and out again?
//!
//! A port has two halves: a [`Receiver`] lends a burst of frames out of its ring, a [`Sender`] sends
//! frames straight from there. The worker knows just these traits; behind them are packet sockets
//! ([`afpacket`]), XDP sockets ([`afxdp`]) and capture files ([`pcap`]); [`backend`] chooses.

pub mod afpacket;
pub mod afxdp;
mod arrivals;
pub mod backend;
mod bpf;
pub mod claim;
pub mod ethtool;
pub mod fanout;
pub mod netdev;
pub mod pcap;
mod socket;
pub mod virtio;

use std::os::fd::RawFd;

use bartizan_packet::frame::{Checksum, Frame, Meta};
use bartizan_packet::segment::{Segments, complete};

use self::virtio::{HEADER_BYTES, decode, encode};

/// Frames taken from a port at once.
pub const BURST: usize = 64;

/// Cores whose share of the work is known: those with numbers below.
pub const CORES_MAX: usize = 256;

/// The half that lends received frames.
pub trait Receiver: Send {
    /// Appends up to [`BURST`] frames to an empty batch. They stay valid until the batch is gone.
    fn receive<'a>(&'a mut self, batch: &mut Batch<'a>);

    /// Gives the frames of the last `receive` back to the kernel.
    fn release(&mut self);

    /// Readable when frames wait; `None` where there is nothing to wait for.
    fn fd(&self) -> Option<RawFd>;

    /// Takes the error that made [`Self::fd`] report one, e.g. that the device went down.
    fn take_error(&mut self) -> Option<std::io::Error>;

    /// What was lost before the engine saw it, since the last call.
    fn losses(&mut self) -> Losses;

    /// Adds the bytes that the kernel took in since the start to those of the core that it did so on; of a port where
    /// nobody counts, nothing.
    fn add_arrivals(&self, by_core: &mut [u64; CORES_MAX]) {
        let _ = by_core;
    }
}

/// The half that sends.
pub trait Sender: Send {
    /// Sends frames that each start with a `virtio_net_hdr`; how many the kernel refused. A port without
    /// offloads does in the frame what a network card would have done.
    fn send(&mut self, frames: &mut dyn Iterator<Item = &mut [u8]>) -> usize;
}

/// The receiving half where there is nothing to receive.
#[derive(Debug)]
pub struct Idle;

impl Receiver for Idle {
    fn receive<'a>(&'a mut self, _: &mut Batch<'a>) {}

    fn release(&mut self) {}

    fn fd(&self) -> Option<RawFd> {
        None
    }

    fn take_error(&mut self) -> Option<std::io::Error> {
        None
    }

    fn losses(&mut self) -> Losses {
        Losses::default()
    }
}

/// Frames that were received but never reached the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// The kernel found no free slot in the ring.
    pub ring_full: u64,
    /// Frames longer than a slot.
    pub truncated: u64,
    /// Frames with a VLAN tag of another kind than 802.1Q.
    pub vlan_tagged: u64,
    /// Offload headers this version does not know.
    pub unknown_offload: u64,
}

impl Losses {
    /// Adds more.
    pub fn add(&mut self, more: Self) {
        self.ring_full += more.ring_full;
        self.truncated += more.truncated;
        self.vlan_tagged += more.vlan_tagged;
        self.unknown_offload += more.unknown_offload;
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.ring_full + self.truncated + self.vlan_tagged + self.unknown_offload
    }
}

/// Length of an 802.1Q tag.
pub const TAG_BYTES: usize = 4;
/// Length of the two MAC addresses, behind which a tag stands.
const ADDRESSES_BYTES: usize = 12;
/// Ethernet type of an 802.1Q tag.
const TAG_TYPE: [u8; 2] = [0x81, 0x00];
/// The VLAN in a tag, without priority.
const VLAN_MASK: u16 = 0x0fff;
/// What stands in front of a frame in memory: room for a VLAN tag, and the offload header.
pub const HEADROOM: usize = TAG_BYTES + HEADER_BYTES;

/// A received frame in its ring slot, with the offload header in front of it.
#[derive(Debug)]
pub struct Slot<'a> {
    bytes: &'a mut [u8],
    /// Bytes in front of the offload header, free for the engine's headers.
    room: usize,
    /// The VLAN whose tag was taken off the frame.
    vlan: u16,
}

impl<'a> Slot<'a> {
    /// A slot whose first bytes are the offload header; `None` when it is not even that long.
    pub fn new(bytes: &'a mut [u8]) -> Option<Self> {
        Self::with_room(bytes, 0)
    }

    /// A slot with `room` bytes in front of the offload header.
    pub fn with_room(bytes: &'a mut [u8], room: usize) -> Option<Self> {
        (bytes.len() >= room + HEADER_BYTES).then_some(Self { bytes, room, vlan: 0 })
    }

    /// The same, with the VLAN that the kernel took off the frame.
    #[must_use]
    pub fn in_vlan(self, vlan: u16) -> Self {
        Self { vlan, ..self }
    }

    /// A slot whose frame may have its 802.1Q tag among its bytes, where it is taken out.
    pub fn with_tag(bytes: &'a mut [u8], room: usize) -> Option<Self> {
        let at = room + HEADER_BYTES + ADDRESSES_BYTES;
        let Some([0x81, 0x00, high, low]) = bytes.get(at..at + TAG_BYTES) else { return Self::with_room(bytes, room) };
        let vlan = u16::from_be_bytes([*high, *low]) & VLAN_MASK;
        let end = bytes.len() - TAG_BYTES;
        bytes.copy_within(at + TAG_BYTES.., at);
        Self::with_room(&mut bytes[..end], room).map(|slot| slot.in_vlan(vlan))
    }

    /// The frame for the engine; `None` when the offload header is of an unknown kind.
    pub fn frame(&mut self) -> Option<Frame<'_>> {
        let meta = decode(self.bytes.get(self.room..self.room + HEADER_BYTES)?)?;
        // The offload header was read, so its place is room for the engine, too; what the first of its kind
        // takes is written again by `into_sendable`.
        let bytes = self.bytes.get_mut(HEADER_BYTES..)?;
        Some(Frame { bytes, meta: Meta { headroom: self.room as u16, vlan: self.vlan, ..meta } })
    }

    /// The frame's bytes, as they are now.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// Sets the offload state of a frame that did not come from a ring.
    pub fn set_meta(&mut self, meta: &Meta) {
        encode(meta, &mut self.bytes[self.room..self.room + HEADER_BYTES]);
        self.vlan = meta.vlan;
    }

    /// Writes the frame's offload state and tag back in front of it and yields what a [`Sender`] wants.
    pub fn into_sendable(self, meta: &Meta) -> &'a mut [u8] {
        let start = usize::from(meta.headroom);
        let Self { bytes, room, .. } = self;
        // A frame that lost headers keeps what `encode` keeps; one that got some was never an offloaded one.
        let kind = if start >= room { bytes[room + 1] } else { 0 };
        bytes[start + 1] = kind;
        match start.checked_sub(TAG_BYTES) {
            Some(front) => seal(&mut bytes[front..], meta),
            None if meta.vlan == 0 => {
                encode(meta, &mut bytes[start..start + HEADER_BYTES]);
                &mut bytes[start..]
            }
            // Without its tag the frame is none of this link's: the sender refuses what is empty.
            None => &mut [],
        }
    }
}

/// Writes offload state and tag of a frame with [`HEADROOM`] in front of it; what a [`Sender`] wants. The ECN bit
/// of the offload header that was there is kept.
pub fn seal<'a>(bytes: &'a mut [u8], meta: &Meta) -> &'a mut [u8] {
    if meta.vlan == 0 || bytes.len() < HEADROOM + ADDRESSES_BYTES {
        encode(meta, &mut bytes[TAG_BYTES..HEADROOM]);
        return &mut bytes[TAG_BYTES..];
    }
    bytes[1] = bytes[TAG_BYTES + 1];
    bytes.copy_within(HEADROOM..HEADROOM + ADDRESSES_BYTES, HEADER_BYTES);
    let tag = HEADER_BYTES + ADDRESSES_BYTES;
    bytes[tag..tag + 2].copy_from_slice(&TAG_TYPE);
    bytes[tag + 2..tag + TAG_BYTES].copy_from_slice(&meta.vlan.to_be_bytes());
    // The kernel counts from the start of the frame, which the tag makes longer.
    let shift = TAG_BYTES as u16;
    let checksum = match meta.checksum {
        Checksum::Complete => Checksum::Complete,
        Checksum::Partial { start, offset } => Checksum::Partial { start: start.saturating_add(shift), offset },
    };
    encode(
        &Meta { checksum, header_bytes: meta.header_bytes.saturating_add(shift), ..*meta },
        &mut bytes[..HEADER_BYTES],
    );
    bytes
}

/// Longest frame: an offloaded one of 64 KiB with all its headers.
const FRAME_BYTES_MAX: usize = 65_536 + 256;

/// Hands a frame over as network cards put it on the wire: cut, and with its checksums. `scratch` is room for that.
pub fn on_wire(frame: &[u8], mut meta: Meta, scratch: &mut Vec<u8>, mut each: impl FnMut(&[u8])) {
    if let Some(mut segments) = Segments::of(frame, meta) {
        scratch.resize(FRAME_BYTES_MAX, 0);
        while let Some(length) = segments.write(scratch) {
            each(&scratch[..length]);
        }
        return;
    }
    scratch.clear();
    scratch.extend_from_slice(frame);
    complete(scratch, &mut meta);
    each(scratch);
}

/// Appends a frame as it is on the wire in a VLAN; 0 is for none.
pub fn tagged(frame: &[u8], vlan: u16, bytes: &mut Vec<u8>) {
    match frame.split_at_checked(ADDRESSES_BYTES) {
        Some((addresses, rest)) if vlan != 0 => {
            for part in [addresses, &TAG_TYPE, &vlan.to_be_bytes(), rest] {
                bytes.extend_from_slice(part);
            }
        }
        _ => bytes.extend_from_slice(frame),
    }
}

/// Frames of one burst, on the stack.
#[derive(Debug)]
pub struct Batch<'a> {
    slots: [Option<Slot<'a>>; BURST],
    length: usize,
}

impl<'a> Batch<'a> {
    /// An empty batch.
    pub fn new() -> Self {
        Self { slots: [const { None }; BURST], length: 0 }
    }

    /// Adds a frame; a full batch ignores it.
    pub fn push(&mut self, slot: Slot<'a>) {
        if let Some(place) = self.slots.get_mut(self.length) {
            *place = Some(slot);
            self.length += 1;
        }
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing was received.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The frames in the order of arrival, for the engine to work on.
    pub fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot<'a>> {
        self.slots.iter_mut().take(self.length).flatten()
    }

    /// The frames in the order of arrival.
    pub fn into_slots(self) -> impl Iterator<Item = Slot<'a>> {
        self.slots.into_iter().take(self.length).flatten()
    }
}

impl Default for Batch<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// Frames to send, each with the position of the port it leaves by.
#[derive(Debug)]
pub struct Outgoing<'a> {
    frames: [(usize, &'a mut [u8]); BURST],
    length: usize,
}

impl<'a> Outgoing<'a> {
    /// Nothing to send.
    pub fn new() -> Self {
        Self { frames: std::array::from_fn(|_| (0, &mut [][..])), length: 0 }
    }

    /// Adds a frame; a burst brings no more than fit.
    pub fn push(&mut self, port: usize, frame: &'a mut [u8]) {
        if let Some(place) = self.frames.get_mut(self.length) {
            *place = (port, frame);
            self.length += 1;
        }
    }

    /// Sends everything, port by port, in order within each port; how many were refused.
    pub fn send(&mut self, senders: &mut [Box<dyn Sender>]) -> usize {
        let frames = &mut self.frames[..self.length];
        let mut refused = 0;
        for (position, sender) in senders.iter_mut().enumerate() {
            if frames.iter().any(|(port, _)| *port == position) {
                let mut ours = frames.iter_mut().filter(|(port, _)| *port == position).map(|(_, frame)| &mut **frame);
                refused += sender.send(&mut ours);
            }
        }
        refused
    }
}

impl Default for Outgoing<'_> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use bartizan_packet::frame::Segmentation;

    use super::*;

    #[test]
    fn a_tag_is_put_behind_the_addresses_and_offsets_move_with_it() {
        let frame: Vec<u8> = (0..60).collect();
        let meta = Meta {
            checksum: Checksum::Partial { start: 34, offset: 16 },
            segmentation: Segmentation::TcpV4,
            segment_bytes: 1400,
            header_bytes: 54,
            ..Meta::default()
        };
        let sendable = |room: usize, vlan: u16| {
            let mut bytes = [vec![0; room + HEADER_BYTES], frame.clone()].concat();
            let meta = Meta { headroom: room as u16, vlan, ..meta };
            Slot::with_room(&mut bytes, room).unwrap().into_sendable(&meta).to_vec()
        };
        for room in [0, 4, 50] {
            let untagged = sendable(room, 0);
            assert_eq!((decode(&untagged), &untagged[HEADER_BYTES..]), (Some(meta), &frame[..]), "{room}");
        }
        for room in [4, 50] {
            let tagged = sendable(room, 0x123);
            let expected = Meta { checksum: Checksum::Partial { start: 38, offset: 16 }, header_bytes: 58, ..meta };
            assert_eq!(decode(&tagged), Some(expected));
            assert_eq!(&tagged[HEADER_BYTES..], [&frame[..12], &[0x81, 0, 0x01, 0x23], &frame[12..]].concat());
        }
        assert!(sendable(0, 0x123).is_empty(), "never without its tag");
    }

    #[test]
    fn a_frame_is_written_with_its_tag() {
        let frame: Vec<u8> = (0..60).collect();
        let (mut with, mut without) = (vec![9], vec![9]);
        tagged(&frame, 0x123, &mut with);
        tagged(&frame, 0, &mut without);
        assert_eq!(with, [&[9], &frame[..12], &[0x81, 0, 0x01, 0x23], &frame[12..]].concat());
        assert_eq!(without, [&[9], &frame[..]].concat());
    }

    #[test]
    fn a_tag_among_the_bytes_is_taken_out() {
        let frame: Vec<u8> = (0..60).collect();
        let tagged = [&frame[..12], &[0x81, 0, 0xa1, 0x23], &frame[12..]].concat();
        let mut bytes = [vec![0; HEADER_BYTES], tagged].concat();
        let mut slot = Slot::with_tag(&mut bytes, 0).unwrap();
        let found = slot.frame().unwrap();
        assert_eq!((&*found.bytes, found.meta), (&frame[..], Meta { vlan: 0x123, ..Meta::default() }));
        let mut bytes = [vec![0; HEADER_BYTES], frame.clone()].concat();
        assert_eq!(Slot::with_tag(&mut bytes, 0).unwrap().frame().unwrap().meta.vlan, 0);
    }

    #[test]
    fn the_vlan_of_a_slot_reaches_the_engine() {
        let mut bytes = vec![0; HEADER_BYTES + 60];
        let mut slot = Slot::new(&mut bytes).unwrap().in_vlan(7);
        assert_eq!(slot.frame().unwrap().meta.vlan, 7);
        slot.set_meta(&Meta { vlan: 9, ..Meta::default() });
        assert_eq!(slot.frame().unwrap().meta.vlan, 9);
        assert!(Slot::new(&mut bytes[..HEADER_BYTES - 1]).is_none());
    }
}
