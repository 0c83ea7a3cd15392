//! How do frames get from a network interface to the engine and out again?
//!
//! A port has two halves: a [`Receiver`] lends a burst of frames out of its ring, a [`Sender`] sends
//! frames straight from there. The worker knows just these traits; behind them are packet sockets
//! ([`afpacket`]), XDP sockets ([`afxdp`]) and capture files ([`pcap`]); [`backend`] chooses.

pub mod afpacket;
pub mod afxdp;
pub mod backend;
pub mod claim;
pub mod ethtool;
pub mod fanout;
pub mod netdev;
pub mod pcap;
mod socket;
pub mod virtio;

use std::os::fd::RawFd;

use bartizan_packet::frame::{Frame, Meta};

use self::virtio::{HEADER_BYTES, decode, encode};

/// Frames taken from a port at once.
pub const BURST: usize = 64;

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
    /// VLAN-tagged frames; subinterfaces are not supported.
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

/// A received frame in its ring slot, with the offload header in front of it.
#[derive(Debug)]
pub struct Slot<'a> {
    bytes: &'a mut [u8],
    /// Bytes in front of the offload header, free for the engine's headers.
    room: usize,
}

impl<'a> Slot<'a> {
    /// A slot whose first bytes are the offload header; `None` when it is not even that long.
    pub fn new(bytes: &'a mut [u8]) -> Option<Self> {
        Self::with_room(bytes, 0)
    }

    /// A slot with `room` bytes in front of the offload header.
    pub fn with_room(bytes: &'a mut [u8], room: usize) -> Option<Self> {
        (bytes.len() >= room + HEADER_BYTES).then_some(Self { bytes, room })
    }

    /// The frame for the engine; `None` when the offload header is of an unknown kind.
    pub fn frame(&mut self) -> Option<Frame<'_>> {
        let meta = decode(self.bytes.get(self.room..self.room + HEADER_BYTES)?)?;
        // The offload header was read, so its place is room for the engine, too; what the first of its kind
        // takes is written again by `into_sendable`.
        let bytes = self.bytes.get_mut(HEADER_BYTES..)?;
        Some(Frame { bytes, meta: Meta { headroom: self.room as u16, ..meta } })
    }

    /// The frame's bytes, as they are now.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// Sets the offload state of a frame that did not come from a ring.
    pub fn set_meta(&mut self, meta: &Meta) {
        encode(meta, &mut self.bytes[self.room..self.room + HEADER_BYTES]);
    }

    /// Writes the frame's offload state back in front of it and yields what a [`Sender`] wants.
    pub fn into_sendable(self, meta: &Meta) -> &'a mut [u8] {
        let start = usize::from(meta.headroom);
        let Self { bytes, room } = self;
        // A frame that lost headers keeps what `encode` keeps; one that got some was never an offloaded one.
        let kind = if start >= room { bytes[room + 1] } else { 0 };
        bytes[start + 1] = kind;
        encode(meta, &mut bytes[start..start + HEADER_BYTES]);
        &mut bytes[start..]
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
