//! Frames by packet socket: a `TPACKET_V2` receive ring, transmission by `sendmmsg` from ring memory.
//!
//! V2 and not V3, because a V3 block waits for its timer (1 ms round trips at low load). Slots hold a
//! whole 64 KiB offload frame, so that TCP passes unsegmented (`PACKET_VNET_HDR`). One socket per port
//! and worker; a fanout group shares the port's frames among the workers.

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

pub use self::sender::AfPacketSender;
use super::fanout::Program;
use super::socket::{Plain, get_option, set_option};
use super::virtio::HEADER_BYTES;
use super::{BURST, Batch, Losses, Receiver, Slot, VLAN_MASK};

// From linux/if_packet.h.
const PACKET_RX_RING: i32 = 5;
const PACKET_STATISTICS: i32 = 6;
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
/// Bytes of a slot: a 64 KiB IP packet with Ethernet and offload headers, behind the kernel's own slot
/// header, room for the headers of a tunnel, and alignment. A multiple of `TPACKET_ALIGNMENT` (16).
const SLOT_BYTES: usize = 65_536 + 160 + HEADROOM_BYTES;
/// Bytes of a block: the kernel allocates rings block by block; slots do not cross blocks.
const BLOCK_BYTES: usize = 1 << 20;
const SLOTS_PER_BLOCK: usize = BLOCK_BYTES / SLOT_BYTES;

/// Where to open a socket and how large.
#[derive(Clone, Debug)]
pub struct Opening<'a> {
    /// Name of the network device.
    pub device: &'a str,
    /// Its index.
    pub index: u32,
    /// Memory of the receive ring, in MiB; at least 1.
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
    let ring = Ring::map(Arc::clone(&socket), opening.ring_mib)
        .with_context(|| format!("make a receive ring of {} MiB for `{device}`", opening.ring_mib))?;
    bind(&socket, opening.index, libc::ETH_P_ALL).with_context(|| format!("bind a packet socket to `{device}`"))?;
    if let Some((group, program)) = opening.fanout {
        join_fanout(&socket, group, program).with_context(|| format!("share `{device}` among workers"))?;
    }
    set_option(&socket, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0_i32).context("detach the filter")?;
    Ok((AfPacketReceiver::new(ring), AfPacketSender::new(socket)))
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
    ring: Ring,
    /// Next slot to look at.
    next: usize,
    /// Slots of the last burst, the oldest at `next - taken`.
    taken: usize,
    losses: Losses,
}

impl AfPacketReceiver {
    fn new(ring: Ring) -> Self {
        Self { ring, next: 0, taken: 0, losses: Losses::default() }
    }
}

impl Receiver for AfPacketReceiver {
    fn receive<'a>(&'a mut self, batch: &mut Batch<'a>) {
        debug_assert_eq!(self.taken, 0, "the last burst was released");
        while self.taken < BURST.min(self.ring.slots) {
            let slot = self.ring.slot(self.next);
            // SAFETY: `slot` points at a slot inside the mapping, which lives as long as `self.ring`; the
            // kernel writes only `status` while it is ours, and that is atomic.
            let header = unsafe { slot.cast::<SlotHeader>().as_ref() };
            // Acquire: what the kernel wrote before it set the status is visible.
            let status = header.status.load(Ordering::Acquire);
            if status & TP_STATUS_USER == 0 {
                break;
            }
            self.next = (self.next + 1) % self.ring.slots;
            self.taken += 1;
            let vlan = if status & TP_STATUS_VLAN_VALID != 0 { header.vlan_tci & VLAN_MASK } else { 0 };
            if status & TP_STATUS_VLAN_TPID_VALID != 0 && header.vlan_tpid != VLAN_TPID {
                self.losses.vlan_tagged += 1;
                continue;
            }
            let (start, length) = (usize::from(header.mac), header.snaplen as usize);
            let room = start.checked_sub(SLOT_HEADER_BYTES + HEADER_BYTES);
            let Some(room) = room.filter(|_| header.snaplen == header.len && start + length <= SLOT_BYTES) else {
                self.losses.truncated += 1;
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
        losses.ring_full = statistics(&self.ring.socket).map_or(0, |statistics| u64::from(statistics.drops));
        losses
    }
}

/// The mapped ring. Unmapped when dropped.
struct Ring {
    memory: NonNull<u8>,
    bytes: usize,
    slots: usize,
    socket: Arc<OwnedFd>,
}

// SAFETY: the mapping belongs to this object alone; the kernel's side is synchronised by `status`.
unsafe impl Send for Ring {}

impl Ring {
    fn map(socket: Arc<OwnedFd>, mib: usize) -> Result<Self> {
        let blocks = (mib.max(1) << 20) / BLOCK_BYTES;
        let request = RingRequest {
            block_size: BLOCK_BYTES as u32,
            block_nr: u32::try_from(blocks)?,
            frame_size: SLOT_BYTES as u32,
            frame_nr: u32::try_from(blocks * SLOTS_PER_BLOCK)?,
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
        Ok(Self { memory, bytes, slots: blocks * SLOTS_PER_BLOCK, socket })
    }

    fn slot(&self, index: usize) -> NonNull<u8> {
        debug_assert!(index < self.slots);
        let offset = index / SLOTS_PER_BLOCK * BLOCK_BYTES + index % SLOTS_PER_BLOCK * SLOT_BYTES;
        // SAFETY: for an index below `slots` the offset is inside the mapping.
        unsafe { self.memory.add(offset) }
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
