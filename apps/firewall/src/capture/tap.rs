//! What does a worker put aside of the packets that it handles, while there is a capture?
//!
//! A frame is copied before the engine rewrites it, and captured once it is known what became of it. Frames that
//! network cards have yet to cut are captured as they are on the wire.

use std::ops::Range;
use std::sync::Arc;

use bartizan_engine::Engine;
use bartizan_engine::look::Look;
use bartizan_engine::verdict::{DropReason, Port, SessionView, Time, Verdict};
use bartizan_packet::frame::{Frame, Meta};
use bartizan_policy::tables::{NatRuleId, RuleId};
use tokio::sync::mpsc;

use super::plan::{Plan, Stage};
use crate::port::{on_wire, tagged};

/// A captured packet.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) stage: Stage,
    /// Where it came, or left.
    pub(super) port: Port,
    pub(super) at: Time,
    /// Its bytes in the block.
    pub(super) bytes: Range<usize>,
    /// How long it was.
    pub(super) length: u32,
    pub(super) session: Option<Part>,
    pub(super) reason: Option<DropReason>,
}

/// What is told of a packet's session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) id: u64,
    pub(super) rule: Option<RuleId>,
    pub(super) nat_rule: Option<NatRuleId>,
}

/// What was captured of one burst.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    pub(super) records: Vec<Record>,
    pub(super) bytes: Vec<u8>,
}

/// A frame before it was handled.
struct Kept {
    /// Its place in the burst.
    place: usize,
    look: Look,
    meta: Meta,
    bytes: Range<usize>,
}

/// The capture, as one worker has it.
pub struct Tap {
    plan: Arc<Plan>,
    blocks: mpsc::Sender<Block>,
    block: Block,
    kept: Vec<Kept>,
    held: Vec<u8>,
    scratch: Vec<u8>,
}

impl Tap {
    pub(super) fn new(plan: Arc<Plan>, blocks: mpsc::Sender<Block>) -> Self {
        let (kept, held, scratch) = (Vec::new(), Vec::new(), Vec::new());
        Self { plan, blocks, block: Block::default(), kept, held, scratch }
    }

    /// Frames came by a port and are to be handled next.
    pub fn received(&mut self, engine: &mut Engine, port: Port, frames: &[Frame<'_>], now: Time) {
        self.keep(engine, port, frames);
        for kept in &self.kept {
            let seen = Seen { stage: Stage::Receive, port, at: now, session: kept.look.session, reason: None };
            let frame = self.held.get(kept.bytes.clone()).unwrap_or_default();
            self.block.add(&self.plan, &seen, (frame, kept.meta), &mut self.scratch);
        }
    }

    /// Another worker received a frame, which is to be handled next.
    pub fn handed_over(&mut self, engine: &mut Engine, port: Port, frame: &Frame<'_>) {
        self.keep(engine, port, std::slice::from_ref(frame));
    }

    /// They were handled, each with that outcome, and are as they leave.
    pub fn handled(
        &mut self,
        engine: &Engine,
        port: Port,
        frames: &[Frame<'_>],
        outcome: impl Fn(usize) -> Option<Verdict>,
        now: Time,
    ) {
        let mut kept = self.kept.drain(..).peekable();
        for (place, frame) in frames.iter().enumerate() {
            let verdict = outcome(place);
            let Some(kept) = kept.next_if(|kept| kept.place == place) else {
                if let (Some(Verdict::Transmit(to)), true) = (verdict, self.plan.has_filters()) {
                    self.block.add_leaving(
                        &self.plan,
                        engine,
                        (to, now),
                        (frame.view(), frame.meta),
                        &mut self.scratch,
                    );
                }
                continue;
            };
            let session = kept.look.session.or_else(|| {
                let arrived = kept.look.iface.map_or(port, Port::Data);
                engine.session_of(arrived, 0, kept.look.packet.as_ref()?)
            });
            let before = (self.held.get(kept.bytes).unwrap_or_default(), kept.meta);
            let mut add = |stage, port, reason, frame| {
                let seen = Seen { stage, port, at: now, session, reason };
                self.block.add(&self.plan, &seen, frame, &mut self.scratch);
            };
            match verdict {
                Some(Verdict::Drop(reason)) => add(Stage::Drop, port, Some(reason), before),
                // The owner of the session captures the rest.
                Some(Verdict::Handoff(_)) | None => {}
                Some(Verdict::Consumed | Verdict::Transmit(_)) => {
                    if session.is_some() {
                        add(Stage::Firewall, port, None, before);
                    }
                    if let Some(Verdict::Transmit(to)) = verdict {
                        add(Stage::Transmit, to, None, (frame.view(), frame.meta));
                    }
                }
            }
        }
        drop(kept);
        self.flush();
    }

    /// A frame leaves that the engine made, or had kept.
    pub fn leaves(&mut self, engine: &Engine, port: Port, frame: &[u8], meta: Meta, now: Time) {
        self.block.add_leaving(&self.plan, engine, (port, now), (frame, meta), &mut self.scratch);
        self.flush();
    }

    fn keep(&mut self, engine: &mut Engine, port: Port, frames: &[Frame<'_>]) {
        self.kept.clear();
        self.held.clear();
        if self.plan.is_over() {
            return;
        }
        for (place, frame) in frames.iter().enumerate() {
            let look = engine.look_at_arriving(port, frame.view(), frame.meta);
            if self.plan.wants(&look) {
                let start = self.held.len();
                self.held.extend_from_slice(frame.view());
                self.kept.push(Kept { place, look, meta: frame.meta, bytes: start..self.held.len() });
            }
        }
    }

    /// Sends on what there is; what has no room is counted as lost.
    fn flush(&mut self) {
        if self.block.records.is_empty() {
            return;
        }
        let block = std::mem::take(&mut self.block);
        let (packets, bytes) = (block.records.len(), block.bytes.len());
        if !self.plan.enqueue(bytes) {
            self.plan.lose(packets);
        } else if self.blocks.try_send(block).is_err() {
            self.plan.dequeue(bytes);
            self.plan.lose(packets);
        }
    }
}

/// What is known of a frame that is captured.
struct Seen {
    stage: Stage,
    port: Port,
    at: Time,
    session: Option<SessionView>,
    reason: Option<DropReason>,
}

impl Block {
    fn add_leaving(
        &mut self,
        plan: &Plan,
        engine: &Engine,
        (port, at): (Port, Time),
        (frame, meta): (&[u8], Meta),
        scratch: &mut Vec<u8>,
    ) {
        if !plan.is_open(Stage::Transmit) {
            return;
        }
        let look = engine.look_at_leaving(port, frame, meta);
        // It came by no interface.
        if plan.wants(&Look { iface: None, ..look }) {
            let seen = Seen { stage: Stage::Transmit, port, at, session: look.session, reason: None };
            self.add(plan, &seen, (frame, meta), scratch);
        }
    }

    /// Adds a frame as it is on the wire: cut, with its checksums and its tag.
    fn add(&mut self, plan: &Plan, seen: &Seen, (frame, meta): (&[u8], Meta), scratch: &mut Vec<u8>) {
        if !plan.is_open(seen.stage) {
            return;
        }
        on_wire(frame, meta, scratch, |wire| self.add_wire(plan, seen, wire, meta.vlan));
    }

    fn add_wire(&mut self, plan: &Plan, seen: &Seen, frame: &[u8], vlan: u16) {
        let start = self.bytes.len();
        tagged(frame, vlan, &mut self.bytes);
        let length = self.bytes.len() - start;
        self.bytes.truncate(start.saturating_add(plan.snaplen).min(start + length));
        let part = |view: &SessionView| Part { id: view.id, rule: view.rule, nat_rule: view.nat_rule };
        self.records.push(Record {
            stage: seen.stage,
            port: seen.port,
            at: seen.at,
            bytes: start..self.bytes.len(),
            length: length as u32,
            session: seen.session.as_ref().map(part),
            reason: seen.reason,
        });
    }
}
