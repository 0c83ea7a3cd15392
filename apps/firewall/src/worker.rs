//! One worker thread: frames from the ports through its engine and out again, run to completion.
//!
//! The loop allocates nothing, locks nothing and makes no system call but batched sends, and reads of frames longer than
//! the MTU, while frames keep coming; when they stop it spins for a moment and then sleeps in `poll`. Which core it runs on
//! is looked at each hundredth of a second. Whoever wants something of an engine sends a [`Job`], which runs between two
//! bursts.

pub mod peers;
pub mod place;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bartizan_engine::Engine;
use bartizan_engine::verdict::{Alarm, Event, Notice, NoticeKind, PoolAlarm, Port, SessionLog, Time, Verdict};
use bartizan_packet::frame::{Frame, Meta};
use tracing::warn;

use self::peers::{Item, Peers};
use self::place::{Cores, Place};
use crate::capture::tap::Tap;
use crate::clock::Clock;
use crate::port::{BURST, Batch, HEADROOM, Losses, Outgoing, Receiver, Sender, Slot, TAG_BYTES, seal};
use crate::wake::{Bell, PollSet};

/// How long a worker looks for more frames before it sleeps, as a sleep and a wake-up cost as much. It keeps the core
/// meanwhile: one that is given away comes back at the next tick of the scheduler, milliseconds later, if somebody else
/// has work for it, whatever has arrived. Measured on two cores that peers share (`make bench`): 10 to 50 us are alike.
pub const SPIN: Duration = Duration::from_micros(20);
/// The same of a worker that is busy and keeps a core: to wake it is the work of whoever sends. Measured as [`SPIN`]: 50 to
/// 200 us are alike, and a tenth faster than 5 us.
const SPIN_BUSY: Duration = Duration::from_micros(50);

/// How a worker waits for frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Waiting {
    /// Looks for more for [`SPIN`], then sleeps until there are some.
    #[default]
    Adaptive,
    /// Never sleeps: a core for each worker, for the shortest round trips. It gives the core away between two looks.
    Spinning,
}

/// Something to do between two bursts.
pub type Job = Box<dyn FnOnce(&mut Inside<'_>) + Send>;

/// What a job sees of a worker.
pub struct Inside<'a> {
    /// Its engine.
    pub engine: &'a mut Engine,
    /// Frames that did not come through, and why.
    pub io: &'a IoCounters,
    /// What puts packets aside, while there is a capture.
    pub tap: &'a mut Option<Box<Tap>>,
    /// Now.
    pub now: Time,
}

/// What happened to frames outside of the engine. Only grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IoCounters {
    /// Frames received, per port.
    pub received: Vec<u64>,
    /// Frames handed to the kernel, per port.
    pub sent: Vec<u64>,
    /// Frames lost before the engine, per port.
    pub losses: Vec<Losses>,
    /// Frames the kernel did not take.
    pub send_refused: u64,
    /// Frames for a port that is not attached.
    pub port_missing: u64,
    /// Frames handed over to another worker.
    pub handed_over: u64,
    /// Frames handed over to a worker that did not own them either.
    pub ownerless: u64,
    /// Frames and messages for another worker whose ring was full.
    pub peer_ring_full: u64,
    /// DHCP replies and router advertisements that found the queue to the client full.
    pub notices_lost: u64,
}

/// A port with both halves.
pub type OpenPort = (Port, Box<dyn Receiver>, Box<dyn Sender>);

/// Everything a worker is made of.
pub struct Parts {
    /// The cores that it shares with the other workers.
    pub cores: Option<Arc<Cores>>,
    /// Its engine, with ports attached.
    pub engine: Engine,
    /// The ports with both halves, the same order on every worker.
    pub ports: Vec<OpenPort>,
    /// Rings to and from the others.
    pub peers: Peers,
    /// Where jobs come from.
    pub jobs: mpsc::Receiver<Job>,
    /// Rung when there is a job or a peer's item.
    pub bell: Arc<Bell>,
    /// Shared by all workers.
    pub clock: Clock,
    /// Where log lines go.
    pub logs: LogSink,
    /// Where messages for whoever configures the interfaces go.
    pub notices: NoticeSink,
    /// How it waits.
    pub waiting: Waiting,
    /// Set to end the worker.
    pub stop: Arc<AtomicBool>,
}

/// What workers have to say.
#[derive(Clone, Debug)]
pub enum Line {
    /// A line for the traffic log.
    Session(SessionLog),
    /// An alarm.
    Alarm(Alarm),
    /// A NAT pool runs dry, or has ports again.
    Pool(PoolAlarm),
}

/// The bounded way of log lines out of the workers.
#[derive(Clone, Debug)]
pub struct LogSink {
    /// The queue.
    pub lines: tokio::sync::mpsc::Sender<Line>,
    /// Lines that found it full.
    pub lost: Arc<AtomicU64>,
}

impl LogSink {
    fn write(&self, line: Line) {
        if self.lines.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The bounded ways of messages from the network to whoever configures the interfaces.
#[derive(Clone, Debug)]
pub struct NoticeSink {
    /// DHCP replies.
    pub dhcp: tokio::sync::mpsc::Sender<Notice>,
    /// Router advertisements.
    pub advertisements: tokio::sync::mpsc::Sender<Notice>,
    /// Answers to the firewall's own echo requests.
    pub echoes: tokio::sync::mpsc::Sender<Notice>,
}

/// A worker.
pub struct Worker {
    cores: Option<Arc<Cores>>,
    receivers: Vec<Box<dyn Receiver>>,
    core: Core,
    jobs: mpsc::Receiver<Job>,
    waiting: Waiting,
    stop: Arc<AtomicBool>,
}

/// What handles frames; apart from the receivers, whose rings the frames are borrowed from.
struct Core {
    engine: Engine,
    ports: Vec<Port>,
    senders: Vec<Box<dyn Sender>>,
    peers: Peers,
    bell: Arc<Bell>,
    clock: Clock,
    logs: LogSink,
    notices: NoticeSink,
    io: IoCounters,
    tap: Option<Box<Tap>>,
    scratch: Vec<u8>,
}

impl Worker {
    /// Puts a worker together.
    pub fn new(parts: Parts) -> Self {
        let (mut ports, mut receivers, mut senders) = (Vec::new(), Vec::new(), Vec::new());
        for (port, receiver, sender) in parts.ports {
            ports.push(port);
            receivers.push(receiver);
            senders.push(sender);
        }
        let count = ports.len();
        let io = IoCounters {
            received: vec![0; count],
            sent: vec![0; count],
            losses: vec![Losses::default(); count],
            ..IoCounters::default()
        };
        let core = Core {
            engine: parts.engine,
            ports,
            senders,
            peers: parts.peers,
            bell: parts.bell,
            clock: parts.clock,
            logs: parts.logs,
            notices: parts.notices,
            io,
            tap: None,
            scratch: Vec::new(),
        };
        let Parts { cores, jobs, waiting, stop, .. } = parts;
        Self { cores, receivers, core, jobs, waiting, stop }
    }

    /// Runs until told to stop; sessions that are still open then are logged as ended.
    pub fn run(mut self) {
        let mut poll =
            PollSet::new(self.receivers.iter().filter_map(|receiver| receiver.fd()).chain([self.core.bell.fd()]));
        let mut last_work = Instant::now();
        let mut place = Place::new(self.cores.take(), last_work);
        while !self.stop.load(Ordering::Relaxed) {
            let worked = self.turn();
            let now = Instant::now();
            place.look(now, |by_core| self.receivers.iter().for_each(|receiver| receiver.add_arrivals(by_core)));
            if worked {
                last_work = now;
                continue;
            }
            let spin = if place.is_kept() { SPIN_BUSY } else { SPIN };
            match self.waiting {
                Waiting::Spinning => std::thread::yield_now(),
                Waiting::Adaptive if now - last_work < spin => std::hint::spin_loop(),
                Waiting::Adaptive => {
                    self.sleep(&mut poll, place.is_kept().then_some(place::WINDOW));
                    place.slept(now.elapsed());
                }
            }
        }
        let now = self.core.clock.now();
        self.core.engine.shutdown(now);
        self.core.say();
    }

    /// One round over everything that may have work; whether there was any.
    fn turn(&mut self) -> bool {
        let mut worked = self.run_jobs();
        worked |= self.core.hear_peers();
        for position in 0..self.receivers.len() {
            worked |= self.burst(position);
        }
        self.core.tick();
        worked
    }

    fn burst(&mut self, position: usize) -> bool {
        let receiver = &mut self.receivers[position];
        let mut batch = Batch::new();
        receiver.receive(&mut batch);
        let count = batch.len();
        // Even without a frame for the engine there may be slots of unusable ones to give back.
        if count > 0 {
            // What a peer said before these frames were sent has arrived by now: a reply must not meet an
            // engine that does not yet know whom it belongs to.
            self.core.hear_peers();
            self.core.io.received[position] += count as u64;
            self.core.handle(position, batch);
        }
        receiver.release();
        count > 0
    }

    fn run_jobs(&mut self) -> bool {
        let mut worked = false;
        while let Ok(job) = self.jobs.try_recv() {
            for (receiver, total) in self.receivers.iter_mut().zip(&mut self.core.io.losses) {
                total.add(receiver.losses());
            }
            let Core { engine, io, tap, clock, .. } = &mut self.core;
            job(&mut Inside { engine, io, tap, now: clock.now() });
            self.core.say();
            worked = true;
        }
        worked
    }

    /// Sleeps until there is something to do, or for this time.
    fn sleep(&mut self, poll: &mut PollSet, at_most: Option<Duration>) {
        let bell = Arc::clone(&self.core.bell);
        bell.announce_sleep();
        // Something that came before the announcement rang no bell.
        let idle = !self.core.hear_peers() && !self.run_jobs() && !self.stop.load(Ordering::Relaxed);
        if idle {
            let limit = self
                .core
                .engine
                .poll_timeout()
                .map(|(time, _)| Duration::from_nanos(time.0.saturating_sub(self.core.clock.now().0)));
            poll.wait([limit, at_most].into_iter().flatten().min());
        }
        bell.awake();
        if poll.take_readable(bell.fd()) {
            bell.clear();
        }
        while let Some(fd) = poll.take_failed() {
            for (receiver, port) in self.receivers.iter_mut().zip(&self.core.ports) {
                if receiver.fd() == Some(fd)
                    && let Some(error) = receiver.take_error()
                {
                    warn!("{port:?}: {error}");
                }
            }
        }
    }
}

impl Core {
    /// Takes what the other workers sent.
    fn hear_peers(&mut self) -> bool {
        let mut worked = false;
        while let Some(item) = self.peers.hear() {
            worked = true;
            match item {
                Item::Message(message) => self.engine.handle_peer(message, self.clock.now()),
                Item::Frame { port, meta, mut bytes } => self.handle_copy(port, meta, &mut bytes),
            }
        }
        if worked {
            self.say();
        }
        worked
    }

    fn handle(&mut self, position: usize, mut batch: Batch<'_>) {
        let outcomes = self.decide(position, &mut batch);
        let port = self.ports[position];
        let mut outgoing = Outgoing::new();
        for (slot, outcome) in batch.into_slots().zip(outcomes) {
            let Some((verdict, meta)) = outcome else { continue };
            match verdict {
                Verdict::Transmit(to) => match self.position(to) {
                    Some(to) => {
                        self.io.sent[to] += 1;
                        outgoing.push(to, slot.into_sendable(&meta));
                    }
                    None => self.io.port_missing += 1,
                },
                Verdict::Handoff(owner) => self.hand_over(owner, port, meta, slot.bytes()),
                Verdict::Consumed | Verdict::Drop(_) => {}
            }
        }
        // Peers hear of a session before its first packet is on the wire, and so before the reply.
        self.tell();
        self.io.send_refused += outgoing.send(&mut self.senders) as u64;
        self.transmit();
    }

    /// What becomes of each frame of a burst; `None` for one that cannot be shown to the engine.
    fn decide(&mut self, position: usize, batch: &mut Batch<'_>) -> [Option<(Verdict, Meta)>; BURST] {
        let now = self.clock.now();
        let mut frames: [Frame<'_>; BURST] = std::array::from_fn(|_| Frame::new(&mut []));
        let mut places = [0; BURST];
        let mut count = 0;
        for (place, slot) in batch.slots_mut().enumerate() {
            match slot.frame() {
                Some(frame) => {
                    (frames[count], places[count]) = (frame, place);
                    count += 1;
                }
                None => self.io.losses[position].unknown_offload += 1,
            }
        }
        let mut outcomes = [None; BURST];
        let (frames, port) = (&mut frames[..count], self.ports[position]);
        if let Some(tap) = &mut self.tap {
            tap.received(&mut self.engine, port, frames, now);
        }
        self.engine.handle_burst(port, frames, now, |at, frame, verdict| {
            outcomes[places[at]] = Some((verdict, frame.meta));
        });
        if let Some(tap) = &mut self.tap {
            tap.handled(&self.engine, port, frames, |at| outcomes[places[at]].map(|(verdict, _)| verdict), now);
        }
        outcomes
    }

    /// A frame that another worker received.
    fn handle_copy(&mut self, port: Port, meta: Meta, bytes: &mut [u8]) {
        let Some(mut slot) = Slot::with_room(bytes, usize::from(meta.headroom)) else { return };
        slot.set_meta(&meta);
        let Some(mut frame) = slot.frame() else { return };
        // A reassembled datagram; the offload header has no place for this.
        frame.meta.fragment_bytes = meta.fragment_bytes;
        frame.meta.inner_fragment_bytes = meta.inner_fragment_bytes;
        let now = self.clock.now();
        if let Some(tap) = &mut self.tap {
            tap.handed_over(&mut self.engine, port, &frame);
        }
        let verdict = self.engine.handle_frame(port, &mut frame, now);
        if let Some(tap) = &mut self.tap {
            tap.handled(&self.engine, port, std::slice::from_ref(&frame), |_| Some(verdict), now);
        }
        match verdict {
            Verdict::Transmit(to) => {
                let meta = frame.meta;
                let frame = slot.into_sendable(&meta);
                self.tell();
                self.send(to, frame);
            }
            // Owners that do not agree would pass a frame around for ever: the second opinion is final.
            Verdict::Handoff(_) => self.io.ownerless += 1,
            Verdict::Consumed | Verdict::Drop(_) => {}
        }
    }

    fn hand_over(&mut self, owner: u16, port: Port, meta: Meta, frame: &[u8]) {
        let mut bytes = Vec::with_capacity(HEADROOM + frame.len());
        bytes.resize(HEADROOM, 0);
        bytes.extend_from_slice(frame);
        // The room for a tag is in front of what the frame has.
        let meta = Meta { headroom: meta.headroom + TAG_BYTES as u16, ..meta };
        if self.peers.tell(owner, Item::Frame { port, meta, bytes }) {
            self.io.handed_over += 1;
        } else {
            self.io.peer_ring_full += 1;
        }
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        if self.engine.poll_timeout().is_some_and(|(due, _)| due <= now) {
            self.engine.handle_timeout(now);
            self.say();
        }
    }

    /// Carries out what the engine wants told and sent, in this order.
    fn say(&mut self) {
        self.tell();
        self.transmit();
    }

    fn transmit(&mut self) {
        while let Some(transmit) = self.engine.poll_transmit() {
            if let Some(tap) = &mut self.tap {
                tap.leaves(&self.engine, transmit.port, &transmit.bytes, transmit.meta, self.clock.now());
            }
            let mut scratch = std::mem::take(&mut self.scratch);
            scratch.clear();
            scratch.resize(HEADROOM, 0);
            scratch.extend_from_slice(&transmit.bytes);
            self.send(transmit.port, seal(&mut scratch, &transmit.meta));
            self.scratch = scratch;
        }
    }

    fn tell(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            match event {
                Event::Log(line) => self.logs.write(Line::Session(line)),
                Event::Alarm(alarm) => self.logs.write(Line::Alarm(alarm)),
                Event::Notice(notice) => {
                    let queue = match notice.kind {
                        NoticeKind::Dhcp => &self.notices.dhcp,
                        NoticeKind::RouterAdvertisement => &self.notices.advertisements,
                        NoticeKind::EchoReply => &self.notices.echoes,
                    };
                    self.io.notices_lost += u64::from(queue.try_send(notice).is_err());
                }
                Event::Pool(alarm) => self.logs.write(Line::Pool(alarm)),
                Event::HandOver { to, port, bytes, meta } => self.hand_over(to, port, meta, &bytes),
                Event::Tell { to, message } => {
                    self.io.peer_ring_full += self.peers.tell_message(to, message);
                }
            }
        }
    }

    fn send(&mut self, port: Port, frame: &mut [u8]) {
        let Some(position) = self.position(port) else {
            self.io.port_missing += 1;
            return;
        };
        self.io.sent[position] += 1;
        self.io.send_refused += self.senders[position].send(&mut std::iter::once(frame)) as u64;
    }

    /// Ports are few: a scan of a dozen entries is cheaper than any map.
    fn position(&self, port: Port) -> Option<usize> {
        self.ports.iter().position(|known| *known == port)
    }
}
