//! Frames by packet socket: a `TPACKET_V2` receive ring, transmission by `sendmmsg` from where they were received.
//!
//! V2 and not V3, because a V3 block waits for its timer (1 ms round trips at low load). A slot holds what the device's
//! MTU allows. A longer frame, which offloads let pass unsegmented (`PACKET_VNET_HDR`), waits in the socket's queue and
//! is read from there: its slot says so (`PACKET_COPY_THRESH`). So it is copied by the worker that has it next and not
//! by whoever sent it, which is another core's work often enough, and always into the same few buffers. One socket per
//! port and worker; a fanout group shares the port's frames among the workers.

#![expect(unsafe_code, reason = "packet rings are shared memory with the kernel")]

mod sender;

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use bartizan_packet::frame::HEADROOM_BYTES;
use tracing::warn;

pub use self::sender::AfPacketSender;
use super::arrivals::Arrivals;
use super::fanout::Program;
use super::socket::{Plain, get_option, set_option};
use super::virtio::HEADER_BYTES;
use super::{BURST, Batch, CORES_MAX, Losses, Receiver, Slot, VLAN_MASK};

// From linux/if_packet.h.
const PACKET_RX_RING: i32 = 5;
const PACKET_STATISTICS: i32 = 6;
const PACKET_COPY_THRESH: i32 = 7;
const PACKET_VERSION: i32 = 10;
const PACKET_VNET_HDR: i32 = 15;
const PACKET_FANOUT: i32 = 18;
const PACKET_QDISC_BYPASS: i32 = 20;
const PACKET_FANOUT_DATA: i32 = 22;
const PACKET_IGNORE_OUTGOING: i32 = 23;
const PACKET_RESERVE: i32 = 12;
const PACKET_FANOUT_CBPF: i32 = 6;
const TPACKET_V2: i32 = 1;
const TP_STATUS_KERNEL: u32 = 0;
const TP_STATUS_USER: u32 = 1;
const TP_STATUS_COPY: u32 = 1 << 1;
const TP_STATUS_VLAN_VALID: u32 = 1 << 4;
const TP_STATUS_VLAN_TPID_VALID: u32 = 1 << 6;
/// Ethernet type of an 802.1Q tag.
const VLAN_TPID: u16 = 0x8100;

/// `struct tpacket_req`
#[repr(C)]
struct RingRequest {
    block_size: u32,
    block_nr: u32,
    frame_size: u32,
    frame_nr: u32,
}

/// `struct tpacket2_hdr`; `status` is written by both sides.
#[repr(C)]
struct SlotHeader {
    status: AtomicU32,
    len: u32,
    snaplen: u32,
    mac: u16,
    net: u16,
    sec: u32,
    nsec: u32,
    vlan_tci: u16,
    vlan_tpid: u16,
    padding: [u8; 4],
}

/// `struct tpacket_stats`
#[repr(C)]
#[derive(Default)]
struct Statistics {
    packets: u32,
    drops: u32,
}

/// What the kernel writes in front of each frame: `TPACKET2_HDRLEN`.
const SLOT_HEADER_BYTES: usize = 52;
/// What the kernel leaves free in front of a frame, at most: room for an address and to align.
const SLOT_ROOM_BYTES: usize = 28;
/// Bytes of a cache line. Slots are an odd number of them, so that they do not all fall into the same sets of a cache.
const LINE_BYTES: usize = 64;
/// Ethernet header and VLAN tag.
const LINK_BYTES: usize = 18;
/// The longest IP packet that a slot is made for, however long the device's may be.
const SLOT_PACKET_BYTES_MAX: usize = 16_384;
/// A 64 KiB IP packet.
const PACKET_BYTES_MAX: usize = 65_536;
/// Bytes of a block: the kernel allocates rings block by block; slots do not cross blocks.
const BLOCK_BYTES: usize = 1 << 20;
/// Slots of a ring at most; what more memory there is, is for long frames.
const SLOTS_MAX: usize = 4096;
/// The least memory for long frames, about fifty of them. Where the kernel grants less, slots hold any frame.
const QUEUE_BYTES_MIN: usize = 4 << 20;
/// Bytes of a buffer for a long frame, with room for the headers of a tunnel.
const LONG_BYTES: usize = HEADROOM_BYTES + HEADER_BYTES + LINK_BYTES + PACKET_BYTES_MAX;
/// Long frames of a burst at most, so that what came by the other ports is not kept waiting.
const LONG_FRAMES: usize = 4;

/// Bytes of a slot for IP packets of so many bytes: a multiple of `TPACKET_ALIGNMENT` (16).
fn slot_bytes(packet: usize) -> usize {
    let bytes = SLOT_HEADER_BYTES + SLOT_ROOM_BYTES + HEADROOM_BYTES + HEADER_BYTES + LINK_BYTES + packet;
    (bytes.div_ceil(LINE_BYTES) | 1) * LINE_BYTES
}

/// Where to open a socket and how large.
#[derive(Clone, Debug)]
pub struct Opening<'a> {
    /// Name of the network device.
    pub device: &'a str,
    /// Its index.
    pub index: u32,
    /// Its MTU, in bytes.
    pub mtu_bytes: u32,
    /// Memory of the receive ring and of the queue of long frames together, in MiB; at least 1, and 4 for the queue.
    pub ring_mib: usize,
    /// How the workers share the device, when there are several: group id and program. Sockets must be
    /// opened in worker order, since the program answers with the position in the group.
    pub fanout: Option<(u16, &'a Program)>,
}

/// Opens both halves of a port for one worker.
///
/// # Errors
/// When the kernel refuses a step, with the step and the device.
pub fn open(opening: &Opening<'_>) -> Result<(AfPacketReceiver, AfPacketSender)> {
    let device = opening.device;
    let socket = Arc::new(configured(device)?);
    // Until the socket is in its group it would receive what other workers receive too.
    refuse_all(&socket).context("attach a filter")?;
    let ring = Ring::fit(&socket, opening)
        .with_context(|| format!("make a receive ring of {} MiB for `{device}`", opening.ring_mib))?;
    bind(&socket, opening.index, libc::ETH_P_ALL).with_context(|| format!("bind a packet socket to `{device}`"))?;
    if let Some((group, program)) = opening.fanout {
        join_fanout(&socket, group, program).with_context(|| format!("share `{device}` among workers"))?;
    }
    let arrivals = Arrivals::of(&socket).ok();
    if arrivals.is_none() {
        set_option(&socket, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0_i32).context("detach the filter")?;
    }
    Ok((AfPacketReceiver::new(device, ring, arrivals), AfPacketSender::new(socket)))
}

/// Opens only the sending half.
///
/// # Errors
/// As [`open`].
pub fn open_sender(device: &str, index: u32) -> Result<AfPacketSender> {
    let socket = configured(device)?;
    // Protocol 0 receives nothing.
    bind(&socket, index, 0).with_context(|| format!("bind a packet socket to `{device}`"))?;
    Ok(AfPacketSender::new(Arc::new(socket)))
}

fn configured(device: &str) -> Result<OwnedFd> {
    let socket = super::socket::open(libc::AF_PACKET)
        .with_context(|| format!("open a packet socket for `{device}` (needs root or the capability CAP_NET_RAW)"))?;
    configure(&socket).with_context(|| format!("configure the packet socket of `{device}`"))?;
    Ok(socket)
}

/// The receive ring.
pub struct AfPacketReceiver {
    device: String,
    ring: Ring,
    /// Buffers for long frames.
    long: Box<[u8]>,
    /// Next slot to look at.
    next: usize,
    /// Slots of the last burst, the oldest at `next - taken`.
    taken: usize,
    losses: Losses,
    arrivals: Option<Arrivals>,
}

impl AfPacketReceiver {
    fn new(device: &str, ring: Ring, arrivals: Option<Arrivals>) -> Self {
        let long = vec![0; LONG_BYTES * LONG_FRAMES].into();
        Self { device: device.to_owned(), ring, long, next: 0, taken: 0, losses: Losses::default(), arrivals }
    }
}

impl Receiver for AfPacketReceiver {
    fn receive<'a>(&'a mut self, batch: &mut Batch<'a>) {
        debug_assert_eq!(self.taken, 0, "the last burst was released");
        let Self { device, ring, long, next, taken, losses, .. } = self;
        let mut long = long.chunks_exact_mut(LONG_BYTES);
        while *taken < BURST.min(ring.slots) {
            let slot = ring.slot(*next);
            // SAFETY: `slot` points at a slot inside the mapping, which lives as long as `self.ring`; the
            // kernel writes only `status` while it is ours, and that is atomic.
            let header = unsafe { slot.cast::<SlotHeader>().as_ref() };
            // Acquire: what the kernel wrote before it set the status is visible.
            let status = header.status.load(Ordering::Acquire);
            if status & TP_STATUS_USER == 0 {
                break;
            }
            let is_whole = header.snaplen == header.len;
            let is_queued = !is_whole && status & TP_STATUS_COPY != 0;
            if is_queued && long.len() == 0 {
                // The next burst's.
                break;
            }
            *next = (*next + 1) % ring.slots;
            *taken += 1;
            let length = header.len as usize;
            let queued = if is_queued { long.next() } else { None };
            // Before anything else that may become of it: the queue has to go on with the ring.
            let queued = queued.and_then(|buffer| ring.fetch(buffer, length, device, losses));
            let vlan = if status & TP_STATUS_VLAN_VALID != 0 { header.vlan_tci & VLAN_MASK } else { 0 };
            if status & TP_STATUS_VLAN_TPID_VALID != 0 && header.vlan_tpid != VLAN_TPID {
                losses.vlan_tagged += 1;
                continue;
            }
            if let Some(slot) = queued {
                batch.push(slot.in_vlan(vlan));
                continue;
            }
            if !is_whole {
                // One that was queued could not be read, which is counted.
                if !ring.has_queue() {
                    losses.truncated += 1;
                } else if !is_queued {
                    losses.ring_full += 1;
                }
                continue;
            }
            let start = usize::from(header.mac);
            let room = start.checked_sub(SLOT_HEADER_BYTES + HEADER_BYTES);
            let Some(room) = room.filter(|_| start + length <= ring.slot_bytes) else {
                losses.truncated += 1;
                continue;
            };
            let begin = SLOT_HEADER_BYTES;
            // SAFETY: the range is inside this slot (checked above); the slot belongs to us until
            // `release`, which the borrow of `self` keeps away while the batch lives; no other reference
            // into it exists, since each slot is visited once per burst (`taken` <= `slots`) and the
            // header reference does not overlap bytes from `TPACKET2_HDRLEN` on.
            let bytes =
                unsafe { std::slice::from_raw_parts_mut(slot.add(begin).as_ptr(), room + HEADER_BYTES + length) };
            if let Some(slot) = Slot::with_room(bytes, room) {
                batch.push(slot.in_vlan(vlan));
            }
        }
    }

    fn release(&mut self) {
        let slots = self.ring.slots;
        for back in (1..=self.taken).rev() {
            let slot = self.ring.slot((self.next + slots - back) % slots);
            // SAFETY: as in `receive`; nothing borrows the slot any more, since `&mut self` is exclusive.
            let header = unsafe { slot.cast::<SlotHeader>().as_ref() };
            // Release: our reads and writes of the slot end before the kernel may reuse it.
            header.status.store(TP_STATUS_KERNEL, Ordering::Release);
        }
        self.taken = 0;
    }

    fn fd(&self) -> Option<RawFd> {
        Some(self.ring.socket.as_raw_fd())
    }

    fn take_error(&mut self) -> Option<io::Error> {
        let code: i32 = get_option(&self.ring.socket, libc::SOL_SOCKET, libc::SO_ERROR)?;
        (code != 0).then(|| io::Error::from_raw_os_error(code))
    }

    fn losses(&mut self) -> Losses {
        let mut losses = mem::take(&mut self.losses);
        losses.ring_full += statistics(&self.ring.socket).map_or(0, |statistics| u64::from(statistics.drops));
        losses
    }

    fn add_arrivals(&self, by_core: &mut [u64; CORES_MAX]) {
        if let Some(arrivals) = &self.arrivals {
            arrivals.add(by_core);
        }
    }
}

/// The mapped ring. Unmapped when dropped.
struct Ring {
    memory: NonNull<u8>,
    bytes: usize,
    slots: usize,
    slot_bytes: usize,
    socket: Arc<OwnedFd>,
}

// SAFETY: the mapping belongs to this object alone; the kernel's side is synchronised by `status`.
unsafe impl Send for Ring {}

impl Ring {
    /// A ring of slots as the device's MTU asks for, and memory for frames that are longer. Of slots for any frame, if
    /// there is no such memory: who has no rights over the host gets no more than `net.core.rmem_max`.
    fn fit(socket: &Arc<OwnedFd>, opening: &Opening<'_>) -> Result<Self> {
        let bytes = opening.ring_mib.max(1) << 20;
        let slot = slot_bytes((opening.mtu_bytes as usize).min(SLOT_PACKET_BYTES_MAX));
        let blocks = SLOTS_MAX.div_ceil(BLOCK_BYTES / slot).min(bytes / BLOCK_BYTES);
        let queue = (bytes - blocks * BLOCK_BYTES).max(QUEUE_BYTES_MIN);
        if queue_memory(socket, queue) < QUEUE_BYTES_MIN {
            return Self::map(Arc::clone(socket), slot_bytes(PACKET_BYTES_MAX), bytes / BLOCK_BYTES);
        }
        set_option(socket, libc::SOL_PACKET, PACKET_COPY_THRESH, &1_i32).context("PACKET_COPY_THRESH")?;
        Self::map(Arc::clone(socket), slot, blocks)
    }

    fn map(socket: Arc<OwnedFd>, slot_bytes: usize, blocks: usize) -> Result<Self> {
        let slots = blocks * (BLOCK_BYTES / slot_bytes);
        let request = RingRequest {
            block_size: BLOCK_BYTES as u32,
            block_nr: u32::try_from(blocks)?,
            frame_size: slot_bytes as u32,
            frame_nr: u32::try_from(slots)?,
        };
        set_option(&socket, libc::SOL_PACKET, PACKET_RX_RING, &request).context("PACKET_RX_RING")?;
        let bytes = blocks * BLOCK_BYTES;
        // SAFETY: a fresh shared mapping of the socket's ring, of exactly the size just configured.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                socket.as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            bail!("mmap: {}", io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).context("mmap gave address 0")?;
        Ok(Self { memory, bytes, slots, slot_bytes, socket })
    }

    /// Whether a frame that is longer than a slot is queued, as long as there is memory.
    fn has_queue(&self) -> bool {
        self.slot_bytes < slot_bytes(PACKET_BYTES_MAX)
    }

    fn slot(&self, index: usize) -> NonNull<u8> {
        debug_assert!(index < self.slots);
        let per_block = BLOCK_BYTES / self.slot_bytes;
        let offset = index / per_block * BLOCK_BYTES + index % per_block * self.slot_bytes;
        // SAFETY: for an index below `slots` the offset is inside the mapping.
        unsafe { self.memory.add(offset) }
    }

    /// Reads a long frame from the socket's queue, where frames are in the order of their slots. One that cannot be read
    /// is counted.
    fn fetch<'a>(&self, buffer: &'a mut [u8], length: usize, device: &str, losses: &mut Losses) -> Option<Slot<'a>> {
        let wanted = HEADER_BYTES + length;
        let room = buffer.len() - HEADROOM_BYTES;
        // Each try takes a frame or an error away.
        for _ in 0..BURST {
            // SAFETY: the kernel writes at most `room` bytes behind the headroom, which is where the buffer ends.
            let read = unsafe {
                libc::recv(
                    self.socket.as_raw_fd(),
                    buffer.as_mut_ptr().add(HEADROOM_BYTES).cast(),
                    room,
                    libc::MSG_DONTWAIT | libc::MSG_TRUNC,
                )
            };
            match usize::try_from(read) {
                Ok(read) if read == wanted && read <= room => {
                    return Slot::with_room(&mut buffer[..HEADROOM_BYTES + wanted], HEADROOM_BYTES);
                }
                // Too long for an IP packet, and so for the buffer.
                Ok(read) if read == wanted => break,
                Ok(_) => losses.truncated += 1,
                Err(_) => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    error if error.kind() == io::ErrorKind::WouldBlock => break,
                    // Of the device, e.g. that it went down.
                    error => warn!("`{device}`: {error}"),
                },
            }
        }
        losses.truncated += 1;
        None
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made in `map`, and nothing borrows from it any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.bytes) };
    }
}

fn configure(socket: &OwnedFd) -> Result<()> {
    for (name, option, value) in [
        ("PACKET_VERSION", PACKET_VERSION, TPACKET_V2),
        ("PACKET_VNET_HDR", PACKET_VNET_HDR, 1),
        ("PACKET_QDISC_BYPASS", PACKET_QDISC_BYPASS, 1),
        ("PACKET_IGNORE_OUTGOING", PACKET_IGNORE_OUTGOING, 1),
        ("PACKET_RESERVE", PACKET_RESERVE, HEADROOM_BYTES as i32),
    ] {
        set_option(socket, libc::SOL_PACKET, option, &value).context(name)?;
    }
    Ok(())
}

fn bind(socket: &OwnedFd, index: u32, protocol: i32) -> Result<()> {
    // SAFETY: sockaddr_ll is a plain C structure for which all zeroes is a valid value.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (protocol as u16).to_be();
    address.sll_ifindex = i32::try_from(index)?;
    Ok(super::socket::bind(socket, &address)?)
}

fn join_fanout(socket: &OwnedFd, group: u16, program: &Program) -> Result<()> {
    let argument: i32 = i32::from(group) | (PACKET_FANOUT_CBPF << 16);
    set_option(socket, libc::SOL_PACKET, PACKET_FANOUT, &argument).context("PACKET_FANOUT")?;
    set_program(socket, libc::SOL_PACKET, PACKET_FANOUT_DATA, program).context("PACKET_FANOUT_DATA")
}

/// Asks for so many bytes of memory for frames in the socket's queue; how many it has then.
fn queue_memory(socket: &OwnedFd, bytes: usize) -> usize {
    // The kernel doubles what is asked for, as it counts its own structures.
    let half = i32::try_from(bytes / 2).unwrap_or(i32::MAX / 2);
    if set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &half).is_err() {
        // What is more than the limit becomes the limit.
        let _ = set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, &half);
    }
    let has: i32 = get_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF).unwrap_or_default();
    usize::try_from(has).unwrap_or_default()
}

/// Attaches a filter that accepts no frame.
fn refuse_all(socket: &OwnedFd) -> Result<()> {
    set_program(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &Program::constant(0))
}

fn set_program(socket: &OwnedFd, level: i32, option: i32, program: &Program) -> Result<()> {
    let mut filters: Vec<libc::sock_filter> = program
        .instructions()
        .iter()
        .map(|one| libc::sock_filter { code: one.code, jt: one.jump_true, jf: one.jump_false, k: one.value })
        .collect();
    let program = libc::sock_fprog { len: u16::try_from(filters.len())?, filter: filters.as_mut_ptr() };
    Ok(set_option(socket, level, option, &program)?)
}

/// Counts since the last call: the kernel resets them when they are read.
fn statistics(socket: &OwnedFd) -> Option<Statistics> {
    get_option(socket, libc::SOL_PACKET, PACKET_STATISTICS)
}

impl Plain for Statistics {}

/// Index of a network device.
pub fn index_of(device: &str) -> Option<u32> {
    let name = CString::new(device).ok()?;
    // SAFETY: a NUL-terminated string that lives across the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_hold_what_the_mtu_allows_and_are_an_odd_number_of_lines() {
        for packet in [68, 1500, 1501, 3900, 9001, SLOT_PACKET_BYTES_MAX, PACKET_BYTES_MAX] {
            let bytes = slot_bytes(packet);
            assert!(bytes >= SLOT_HEADER_BYTES + HEADROOM_BYTES + HEADER_BYTES + LINK_BYTES + packet, "{packet}");
            assert_eq!((bytes % LINE_BYTES, bytes / LINE_BYTES % 2), (0, 1), "{packet}");
            assert!(bytes <= BLOCK_BYTES, "{packet}");
        }
    }
}
