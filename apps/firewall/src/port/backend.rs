//! Which way do the frames of a port take, and why that one?
//!
//! Packet sockets carry offloaded frames whole, which is what makes TCP fast on virtual links. XDP sockets
//! are for network cards whose driver hands over frames without a copy and whose queues can be dealt out
//! to the workers. Left to itself a port is the second kind only where both hold.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use bartizan_engine::verdict::Port;
use serde::Serialize;
use tracing::info;

use super::afpacket;
use super::afxdp::{self, AfXdpReceiver, Attached, Copy, Hook, Memory};
use super::ethtool::{self, Requeued};
use super::fanout::Program;
use super::{Idle, Receiver, Sender};
use crate::dataplane::Attachment;
use crate::worker::OpenPort;

/// The local link carries health checks: its ring need not hold bursts.
const LOCAL_RING_MIB_MAX: usize = 4;

/// What the operator wants for a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// The best for the device.
    #[default]
    Auto,
    /// Packet sockets.
    AfPacket,
    /// XDP sockets, by copy if need be.
    AfXdp,
}

impl Wish {
    /// Reads `auto`, `af-packet` or `af-xdp`.
    ///
    /// # Errors
    /// For anything else.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "af-packet" => Ok(Self::AfPacket),
            "af-xdp" => Ok(Self::AfXdp),
            other => bail!("`{other}` is no way for frames: write `auto`, `af-packet` or `af-xdp`"),
        }
    }
}

/// What a port can do, and how it came to that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// `af-packet`, or `af-xdp` with its mode.
    pub backend: &'static str,
    /// Why this one.
    pub reason: String,
    /// Offloaded frames come and go whole.
    pub gso: bool,
    /// Unfinished checksums come and go as they are.
    pub checksum_offload: bool,
    /// The driver puts frames into our memory itself.
    pub zero_copy: bool,
    /// Queues or sockets that the workers share.
    pub queues: u32,
}

const AF_PACKET: &str = "af-packet";
const ZERO_COPY: &str = "af-xdp zero-copy";
const NATIVE: &str = "af-xdp native";
const GENERIC: &str = "af-xdp generic";

/// The ports, open.
pub struct Opened {
    /// The ports of each worker.
    pub ports: Vec<Vec<OpenPort>>,
    /// What each attachment can do.
    pub capabilities: Vec<Capabilities>,
    /// To be kept while frames are to come.
    pub programs: Vec<Attached>,
    /// To be dropped after the programs: devices that get back the queues they had.
    pub requeued: Vec<Requeued>,
}

/// How to open ports.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// Number of workers.
    pub workers: u16,
    /// Memory of each port and worker.
    pub ring_mib: usize,
}

/// Opens every port on every worker.
///
/// # Errors
/// When a port cannot be opened in any way it may be.
pub fn open(opening: Opening, attachments: &[Attachment], wish: impl Fn(&Attachment) -> Wish) -> Result<Opened> {
    let mut opener = Opener::new(opening, attachments.len());
    for attachment in attachments {
        let name = &attachment.device.name;
        let (halves, capabilities) = opener.port(attachment, wish(attachment))?;
        if matches!(attachment.port, Port::Data(_)) {
            info!("`{name}` is driven by {}: {}", capabilities.backend, capabilities.reason);
        }
        for (ports, (receiver, sender)) in opener.opened.ports.iter_mut().zip(halves) {
            ports.push((attachment.port, receiver, sender));
        }
        opener.opened.capabilities.push(capabilities);
    }
    Ok(opener.opened)
}

/// Both halves of a port on one worker.
type Halves = (Box<dyn Receiver>, Box<dyn Sender>);

struct Opener {
    opening: Opening,
    program: Program,
    /// Memory of the XDP sockets of each worker, by whether the kernel may copy; made when it is needed.
    memories: [Vec<Memory>; 2],
    ports: usize,
    opened: Opened,
}

impl Opener {
    fn new(opening: Opening, ports: usize) -> Self {
        let nothing = (0..opening.workers).map(|_| Vec::new()).collect();
        Self {
            opening,
            program: Program::steering(opening.workers),
            memories: [Vec::new(), Vec::new()],
            ports,
            opened: Opened { ports: nothing, capabilities: Vec::new(), programs: Vec::new(), requeued: Vec::new() },
        }
    }

    fn port(&mut self, attachment: &Attachment, wish: Wish) -> Result<(Vec<Halves>, Capabilities)> {
        let ways: &[Way] = match (attachment.port, wish) {
            (Port::Local, _) => return self.by_packet(attachment, "the link is ours, and offloaded frames pass whole"),
            (_, Wish::AfPacket) => return self.by_packet(attachment, "asked for"),
            (_, Wish::Auto) => &WAYS[..1],
            (_, Wish::AfXdp) => WAYS,
        };
        let mut refused = Vec::new();
        for way in ways {
            match self.by_xdp(attachment, way) {
                Ok((halves, queues)) => {
                    let reason = match wish {
                        Wish::Auto => {
                            format!("the driver has zero-copy, {queues} queues for {} workers", self.opening.workers)
                        }
                        _ if refused.is_empty() => "asked for".to_owned(),
                        _ => format!("asked for; {}", refused.join("; ")),
                    };
                    let zero_copy = way.copy == Copy::Zero;
                    let (gso, checksum_offload) = (false, false);
                    return Ok((
                        halves,
                        Capabilities { backend: way.name, reason, gso, checksum_offload, zero_copy, queues },
                    ));
                }
                Err(error) => refused.push(format!("no {}: {error:#}", way.name)),
            }
        }
        self.by_packet(attachment, &refused.join("; "))
    }

    fn by_packet(&self, attachment: &Attachment, reason: &str) -> Result<(Vec<Halves>, Capabilities)> {
        let Opening { workers, ring_mib } = self.opening;
        let device = &attachment.device;
        let mut all = Vec::new();
        for _ in 0..workers {
            let (receiver, sender) = afpacket::open(&afpacket::Opening {
                device: &device.name,
                index: device.index,
                mtu_bytes: device.mtu_bytes,
                ring_mib: match attachment.port {
                    Port::Data(_) => ring_mib,
                    Port::Local => ring_mib.min(LOCAL_RING_MIB_MAX),
                },
                // Indices are unique in a network namespace, which is as far as group ids reach.
                fanout: (workers > 1).then_some((device.index as u16, &self.program)),
            })?;
            all.push((Box::new(receiver) as Box<dyn Receiver>, Box::new(sender) as Box<dyn Sender>));
        }
        let capabilities = Capabilities {
            backend: AF_PACKET,
            reason: reason.to_owned(),
            gso: true,
            checksum_offload: true,
            zero_copy: false,
            queues: u32::from(workers),
        };
        Ok((all, capabilities))
    }

    /// XDP sockets on the device's queues, one for each worker as far as there are queues.
    fn by_xdp(&mut self, attachment: &Attachment, way: &Way) -> Result<(Vec<Halves>, u32)> {
        let device = &attachment.device;
        let workers = u32::from(self.opening.workers);
        // A frame that is too long for a chunk would only be lost.
        let longest = usize::try_from(device.mtu_bytes)? + LINK_BYTES;
        if longest > afxdp::FRAME_BYTES_MAX && way.hook == Hook::Native {
            bail!("an MTU of {} bytes needs frames of {longest}, {} fit", device.mtu_bytes, afxdp::FRAME_BYTES_MAX);
        }
        let (queues, requeued) =
            if way.copy == Copy::Zero { zero_copy_queues(attachment, workers)? } else { queues(attachment, workers)? };
        let memories = &mut self.memories[usize::from(way.copy == Copy::Zero)];
        if memories.is_empty() {
            for _ in 0..workers {
                memories.push(Memory::new(self.ports, self.opening.ring_mib)?);
            }
        }
        // Kept only when everything has worked: a socket that was given up must be gone before the next try.
        let mut tried = memories.clone();
        let mut opened = Vec::new();
        for (queue, memory) in (0..queues).zip(&mut tried) {
            opened.push(open_queue(attachment, queue, way.copy, memory)?);
        }
        let receivers: Vec<&AfXdpReceiver> = opened.iter().map(|(receiver, _)| receiver).collect();
        let program = afxdp::attach(device.index, &receivers, way.hook)?;
        let mut halves: Vec<Halves> = Vec::new();
        for (receiver, sender) in opened {
            halves.push((Box::new(receiver), Box::new(sender)));
        }
        // Workers without a queue have nothing to receive here, but may have to send.
        while halves.len() < workers as usize {
            halves.push((Box::new(Idle), Box::new(afpacket::open_sender(&device.name, device.index)?)));
        }
        self.memories[usize::from(way.copy == Copy::Zero)] = tried;
        self.opened.programs.push(program);
        self.opened.requeued.extend(requeued);
        Ok((halves, queues))
    }
}

/// Ethernet header and one VLAN tag, in bytes.
const LINK_BYTES: usize = 18;

/// One way for XDP sockets to get at frames.
struct Way {
    name: &'static str,
    copy: Copy,
    hook: Hook,
}

/// All of them, the best first.
const WAYS: &[Way] = &[
    Way { name: ZERO_COPY, copy: Copy::Zero, hook: Hook::Native },
    Way { name: NATIVE, copy: Copy::ByKernel, hook: Hook::Native },
    Way { name: GENERIC, copy: Copy::ByKernel, hook: Hook::Generic },
];

/// How long the kernel may take to let go of a queue that was ours a moment ago.
const BUSY_LIMIT: Duration = Duration::from_secs(1);

fn open_queue(
    attachment: &Attachment,
    queue: u32,
    copy: Copy,
    memory: &mut Memory,
) -> Result<(AfXdpReceiver, afxdp::AfXdpSender)> {
    let device = &attachment.device;
    let opening = afxdp::Opening { device: &device.name, index: device.index, queue, copy };
    let start = Instant::now();
    loop {
        match afxdp::open_queue(&opening, memory) {
            Err(error)
                if start.elapsed() < BUSY_LIMIT
                    && error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error)
                        == Some(libc::EBUSY) =>
            {
                sleep(Duration::from_millis(20));
            }
            other => return other,
        }
    }
}

/// Whether the driver has zero-copy, asked for by a socket that is thrown away; then the queues.
fn zero_copy_queues(attachment: &Attachment, workers: u32) -> Result<(u32, Option<Requeued>)> {
    let driver = ethtool::driver(&attachment.device.name).unwrap_or_else(|| "of unknown name".to_owned());
    let mut memory = Memory::new(1, 1)?;
    open_queue(attachment, 0, Copy::Zero, &mut memory).map_err(|error| match os_error(&error) {
        Some(libc::EOPNOTSUPP | libc::EINVAL) => anyhow!("the driver `{driver}` does not have it"),
        _ => error,
    })?;
    let (queues, requeued) = queues(attachment, workers)?;
    if queues < workers {
        bail!("the device has {queues} queues for {workers} workers");
    }
    Ok((queues, requeued))
}

fn os_error(error: &anyhow::Error) -> Option<i32> {
    error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>()?.raw_os_error())
}

/// The device's queues, brought down to the number of workers where there are more: a queue that nobody
/// serves would swallow its frames.
fn queues(attachment: &Attachment, workers: u32) -> Result<(u32, Option<Requeued>)> {
    let name = &attachment.device.name;
    let queues = ethtool::queues(name).unwrap_or(1);
    if queues <= workers {
        return Ok((queues, None));
    }
    let requeued = Requeued::new(name, queues, workers)
        .with_context(|| format!("bring the {queues} queues of `{name}` down to one for each of {workers} workers"))?;
    info!("`{name}` has {workers} queues instead of {queues} while the firewall runs, one for each worker");
    Ok((workers, Some(requeued)))
}
