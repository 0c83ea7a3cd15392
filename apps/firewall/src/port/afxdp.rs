//! Frames by XDP sockets: a device's queue straight into this process's memory, and out again.
//!
//! Zero-copy where the driver has it, by a copy in the kernel elsewhere. Such a port takes and gives only
//! whole frames of one packet: what another port received as an offloaded frame is cut here, and an
//! unfinished checksum is finished. A frame must fit into a chunk of 4 KiB with the room for tunnel headers.

#![expect(unsafe_code, reason = "frames live in memory that is shared with the kernel")]

mod program;
mod ring;
mod umem;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use anyhow::{Context, Result};
use bartizan_packet::frame::{Checksum, Meta};
use bartizan_packet::segment::{Segments, complete, guess_checksum};

use self::program::Sockets;
pub use self::program::{Attached, Hook};
use self::ring::{Inbound, Outbound};
use self::umem::{CHUNK_BYTES, Pool, ROOM_BYTES, Umem};
use super::socket::{bind, get_option, open, set_option};
use super::virtio::{HEADER_BYTES, decode, encode};
use super::{BURST, Batch, Losses, Receiver, Sender, Slot};

/// Chunks of a port for each entry of one of its four rings: fill, receive, transmit, completion. With that
/// many, no port of a worker can leave another without memory.
const RINGS: u32 = 4;
/// Entries of a ring at least and at most.
const RING_ENTRIES: (u32, u32) = (64, 4096);
/// Calls after which transmission is left to the next burst. One call sends up to 32 frames by copy.
const KICKS_MAX: u32 = 256;
/// How long a full device is waited for, in milliseconds.
const FULL_WAIT_MS: i32 = 1;
/// The longest frame that can be received.
pub const FRAME_BYTES_MAX: usize = CHUNK_BYTES - ROOM_BYTES;

/// Memory of one worker's XDP ports.
#[derive(Clone)]
pub struct Memory {
    umem: Arc<Umem>,
    entries: u32,
    /// The first socket, which the others share the memory with.
    first: Option<Arc<Socket>>,
}

impl Memory {
    /// Memory for that many ports of `mib` MiB each.
    ///
    /// # Errors
    /// When there is not that much.
    pub fn new(ports: usize, mib: usize) -> Result<Self> {
        let chunks = (mib << 20) / CHUNK_BYTES;
        let entries = u32::try_from(chunks / RINGS as usize)?.clamp(RING_ENTRIES.0, RING_ENTRIES.1);
        let entries = 1 << entries.ilog2();
        let umem = Umem::new(entries * RINGS * u32::try_from(ports.max(1))?).context("make memory for frames")?;
        Ok(Self { umem: Arc::new(umem), entries, first: None })
    }
}

/// A socket with the memory its rings point into, which must outlive it.
struct Socket {
    fd: OwnedFd,
    umem: Arc<Umem>,
    zero_copy: bool,
}

/// Whether the kernel may copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// The driver must put frames into our memory itself.
    Zero,
    /// The kernel copies.
    ByKernel,
}

/// Where to open a socket.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Name of the network device.
    pub device: &'a str,
    /// Its index.
    pub index: u32,
    /// Its queue.
    pub queue: u32,
    /// How frames get there.
    pub copy: Copy,
}

/// Opens both halves of a queue for one worker.
///
/// # Errors
/// When the kernel refuses a step, with the step and the device.
pub fn open_queue(opening: &Opening<'_>, memory: &mut Memory) -> Result<(AfXdpReceiver, AfXdpSender)> {
    let Opening { device, queue, .. } = *opening;
    let fd = open(libc::AF_XDP).with_context(|| format!("open an XDP socket for `{device}`"))?;
    let share = memory.first.as_ref().map(|first| first.fd.as_raw_fd());
    if share.is_none() {
        set_option(&fd, libc::SOL_XDP, libc::XDP_UMEM_REG, &memory.umem.registration())
            .context("register memory for frames (the limit on locked memory, `ulimit -l`, may be too low)")?;
    }
    for (name, option) in [
        ("fill", libc::XDP_UMEM_FILL_RING),
        ("completion", libc::XDP_UMEM_COMPLETION_RING),
        ("receive", libc::XDP_RX_RING),
        ("transmit", libc::XDP_TX_RING),
    ] {
        set_option(&fd, libc::SOL_XDP, option, &memory.entries).with_context(|| format!("make a {name} ring"))?;
    }
    let offsets: libc::xdp_mmap_offsets =
        get_option(&fd, libc::SOL_XDP, libc::XDP_MMAP_OFFSETS).context("ask where the rings are")?;
    let fill = Outbound::map(&fd, offsets.fr, libc::XDP_UMEM_PGOFF_FILL_RING as i64, memory.entries)?;
    let done = Inbound::map(&fd, offsets.cr, libc::XDP_UMEM_PGOFF_COMPLETION_RING as i64, memory.entries)?;
    let received = Inbound::map(&fd, offsets.rx, libc::XDP_PGOFF_RX_RING, memory.entries)?;
    let transmit = Outbound::map(&fd, offsets.tx, libc::XDP_PGOFF_TX_RING, memory.entries)?;
    let how = match opening.copy {
        Copy::Zero => libc::XDP_ZEROCOPY,
        Copy::ByKernel => libc::XDP_COPY,
    };
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        // The sockets that share memory take the first one's mode.
        sxdp_flags: if share.is_some() { libc::XDP_SHARED_UMEM } else { how | libc::XDP_USE_NEED_WAKEUP },
        sxdp_ifindex: opening.index,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: share.map_or(0, |fd| fd as u32),
    };
    bind(&fd, &address).with_context(|| format!("bind an XDP socket to queue {queue} of `{device}`"))?;
    let options: Option<libc::xdp_options> = get_option(&fd, libc::SOL_XDP, libc::XDP_OPTIONS);
    let zero_copy = options.is_some_and(|options| options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0);
    let socket = Arc::new(Socket { fd, umem: Arc::clone(&memory.umem), zero_copy });
    memory.first.get_or_insert_with(|| Arc::clone(&socket));
    // Chunks go to the kernel with the first `receive`: until then the socket can be given up without a trace.
    let receiver =
        AfXdpReceiver { socket: Arc::clone(&socket), received, fill, lent: [0; BURST], taken: 0, counted: [0; 2] };
    Ok((receiver, AfXdpSender { socket, transmit, done }))
}

/// Attaches the program that gives each queue's frames to the receiver at its position.
///
/// # Errors
/// When rights are missing, or the driver does not take the program there.
pub fn attach(device_index: u32, receivers: &[&AfXdpReceiver], hook: Hook) -> Result<Attached> {
    let sockets = Sockets::new(u32::try_from(receivers.len())?)?;
    for (queue, receiver) in receivers.iter().enumerate() {
        sockets.set(queue as u32, receiver.socket.fd.as_raw_fd())?;
    }
    sockets.attach(device_index, hook)
}

/// The receiving half.
pub struct AfXdpReceiver {
    socket: Arc<Socket>,
    received: Inbound<libc::xdp_desc>,
    fill: Outbound<u64>,
    /// Chunks of the last burst.
    lent: [u32; BURST],
    taken: usize,
    /// Frames lost as of the last look: without room, and for other reasons.
    counted: [u64; 2],
}

impl AfXdpReceiver {
    /// Whether the driver puts frames into our memory itself.
    pub fn is_zero_copy(&self) -> bool {
        self.socket.zero_copy
    }

    /// Gives the kernel as many free chunks as it takes.
    fn refill(&mut self) {
        // Half a ring at a time: the position is a cache line that travels between two cores.
        if self.fill.room() < self.fill.waiting() {
            return;
        }
        let mut pool = self.socket.umem.pool();
        while self.fill.room() > 0
            && let Some(chunk) = pool.take()
        {
            self.fill.push(u64::from(chunk) * CHUNK_BYTES as u64);
        }
        drop(pool);
        self.fill.submit();
    }

    /// Tells a driver that ran out of chunks that there are some again.
    fn wake(&self) {
        if self.fill.needs_wakeup() {
            // SAFETY: a system call with empty buffers.
            unsafe {
                libc::recvfrom(
                    self.socket.fd.as_raw_fd(),
                    std::ptr::null_mut(),
                    0,
                    libc::MSG_DONTWAIT,
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                )
            };
        }
    }
}

impl Receiver for AfXdpReceiver {
    fn receive<'a>(&'a mut self, batch: &mut Batch<'a>) {
        debug_assert_eq!(self.taken, 0, "the last burst was released");
        self.refill();
        let mut descriptors = [libc::xdp_desc { addr: 0, len: 0, options: 0 }; BURST];
        while self.taken < BURST
            && let Some(descriptor) = self.received.pop()
        {
            // Another core wrote the frame: its first line is on the way while the next ones are looked at.
            self.socket.umem.prefetch(descriptor.addr);
            self.lent[self.taken] = (descriptor.addr / CHUNK_BYTES as u64) as u32;
            descriptors[self.taken] = descriptor;
            self.taken += 1;
        }
        for descriptor in &descriptors[..self.taken] {
            // SAFETY: the kernel gave the chunk with this descriptor, and each is taken out once; it goes back
            // in `release`, which the borrow of `self` keeps away while the batch lives.
            let lent = unsafe { self.socket.umem.lend(descriptor.addr, descriptor.len) };
            let Some((bytes, start)) = lent else { continue };
            let room = start - HEADER_BYTES;
            let (header, frame) = bytes[room..].split_at_mut(HEADER_BYTES);
            // Without a network card in between nobody finished the sender's checksums, and nobody says so.
            let checksum = if self.socket.zero_copy { Checksum::Complete } else { guess_checksum(frame) };
            header.fill(0);
            encode(&Meta { checksum, ..Meta::default() }, header);
            if let Some(slot) = Slot::with_tag(bytes, room) {
                batch.push(slot);
            }
        }
        if self.taken == 0 {
            self.wake();
        }
    }

    fn release(&mut self) {
        if self.taken == 0 {
            return;
        }
        self.received.submit();
        let mut pool = self.socket.umem.pool();
        self.lent[..self.taken].iter().for_each(|chunk| pool.give(*chunk));
        self.taken = 0;
    }

    fn fd(&self) -> Option<RawFd> {
        Some(self.socket.fd.as_raw_fd())
    }

    fn take_error(&mut self) -> Option<io::Error> {
        let code: i32 = get_option(&self.socket.fd, libc::SOL_SOCKET, libc::SO_ERROR)?;
        (code != 0).then(|| io::Error::from_raw_os_error(code))
    }

    fn losses(&mut self) -> Losses {
        let Some(now) = get_option::<libc::xdp_statistics>(&self.socket.fd, libc::SOL_XDP, libc::XDP_STATISTICS) else {
            return Losses::default();
        };
        // A frame that found no free chunk is in both counters; the rest of the first did not fit into one.
        let found = [
            now.rx_ring_full + now.rx_fill_ring_empty_descs,
            now.rx_dropped.saturating_sub(now.rx_fill_ring_empty_descs),
        ];
        let before = std::mem::replace(&mut self.counted, found);
        Losses {
            ring_full: found[0].saturating_sub(before[0]),
            truncated: found[1].saturating_sub(before[1]),
            ..Losses::default()
        }
    }
}

/// The sending half.
pub struct AfXdpSender {
    socket: Arc<Socket>,
    transmit: Outbound<libc::xdp_desc>,
    done: Inbound<u64>,
}

impl AfXdpSender {
    /// One frame into the transmit ring; how many frames it would have been that did not fit.
    fn one(&mut self, bytes: &mut [u8], pool: &mut Pool) -> usize {
        let Some((header, frame)) = bytes.split_at_mut_checked(HEADER_BYTES) else { return 1 };
        let Some(mut meta) = decode(header) else { return 1 };
        if let Some(segments) = Segments::of(frame, meta) {
            return self.cut(segments, pool);
        }
        complete(frame, &mut meta);
        let ours = self.socket.umem.chunk_of(frame);
        if !self.has_room(pool) {
            return 1;
        }
        if let Some(chunk) = ours
            && pool.depart(chunk)
        {
            let address = self.socket.umem.address_of(frame);
            self.transmit.push(descriptor(address, frame.len()));
            return 0;
        }
        self.copy(pool, frame.len(), |out| out.copy_from_slice(frame))
    }

    fn cut(&mut self, mut segments: Segments<'_>, pool: &mut Pool) -> usize {
        let mut refused = 0;
        while let Some(length) = segments.next_bytes() {
            if length > CHUNK_BYTES {
                return refused + 1;
            }
            if !self.has_room(pool) {
                return refused + 1;
            }
            refused += self.copy(pool, length, |out| {
                segments.write(out);
            });
        }
        refused
    }

    /// A frame that is written into a chunk of its own.
    fn copy(&mut self, pool: &mut Pool, length: usize, write: impl FnOnce(&mut [u8])) -> usize {
        if length > CHUNK_BYTES {
            return 1;
        }
        let Some(chunk) = pool.take() else { return 1 };
        // SAFETY: the chunk was just taken from the pool, so nobody else has it.
        let bytes = unsafe { self.socket.umem.chunk(chunk) };
        write(&mut bytes[..length]);
        pool.depart(chunk);
        self.transmit.push(descriptor(u64::from(chunk) * CHUNK_BYTES as u64, length));
        0
    }

    /// Makes room in the transmit ring if there is none.
    fn has_room(&mut self, pool: &mut Pool) -> bool {
        if self.transmit.room() == 0 {
            self.flush();
            self.reap(pool);
        }
        self.transmit.room() > 0
    }

    /// Takes back what was sent.
    fn reap(&mut self, pool: &mut Pool) {
        while let Some(address) = self.done.pop() {
            pool.arrive((address / CHUNK_BYTES as u64) as u32);
        }
        self.done.submit();
    }

    /// Shows the kernel what is to be sent, and makes it send.
    fn flush(&mut self) {
        self.transmit.submit();
        let mut waited = false;
        for _ in 0..KICKS_MAX {
            if self.transmit.waiting() == 0 || !self.transmit.needs_wakeup() {
                return;
            }
            // SAFETY: a system call with an empty buffer.
            let sent = unsafe {
                libc::sendto(self.socket.fd.as_raw_fd(), std::ptr::null(), 0, libc::MSG_DONTWAIT, std::ptr::null(), 0)
            };
            if sent >= 0 {
                continue;
            }
            match io::Error::last_os_error().raw_os_error() {
                // Its share of one call is done.
                Some(libc::EAGAIN | libc::EINTR | libc::EBUSY) => {}
                Some(libc::ENOBUFS) if !waited => {
                    waited = true;
                    self.wait();
                }
                _ => return,
            }
        }
    }

    /// Waits a moment for room in the device.
    fn wait(&self) {
        let mut entry = libc::pollfd { fd: self.socket.fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        // SAFETY: one live entry.
        unsafe { libc::poll(&raw mut entry, 1, FULL_WAIT_MS) };
    }
}

impl Sender for AfXdpSender {
    fn send(&mut self, frames: &mut dyn Iterator<Item = &mut [u8]>) -> usize {
        let socket = Arc::clone(&self.socket);
        let mut pool = socket.umem.pool();
        self.reap(&mut pool);
        let refused = frames.map(|frame| self.one(frame, &mut pool)).sum();
        drop(pool);
        self.flush();
        refused
    }
}

fn descriptor(address: u64, length: usize) -> libc::xdp_desc {
    libc::xdp_desc { addr: address, len: length as u32, options: 0 }
}
