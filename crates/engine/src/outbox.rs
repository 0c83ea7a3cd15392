//! What waits to be taken by the caller: frames, logs, messages?
//!
//! Bounded; what does not fit is counted and lost.

use std::collections::VecDeque;

use bartizan_packet::frame::Meta;

use crate::counters::Counters;
use crate::settings::{Limits, SECOND};
use crate::verdict::{Alarm, Event, Notice, PeerMessage, Port, SessionLog, Time, Transmit};

/// Frames and events of one engine.
pub(crate) struct Outbox {
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    transmits_max: usize,
    events_max: usize,
}

impl Outbox {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            transmits_max: limits.transmits,
            events_max: limits.events,
        }
    }

    pub(crate) fn transmit(&mut self, port: Port, bytes: Vec<u8>, meta: Meta, counters: &mut Counters) {
        if self.transmits.len() >= self.transmits_max {
            counters.transmit_overflow += 1;
            return;
        }
        counters.tx_packets += 1;
        counters.tx_bytes += bytes.len().saturating_sub(bartizan_packet::ethernet::HEADER_BYTES) as u64;
        self.transmits.push_back(Transmit { port, bytes, meta });
    }

    pub(crate) fn log(&mut self, log: SessionLog, counters: &mut Counters) {
        if self.events.len() >= self.events_max {
            counters.log_overflow += 1;
            return;
        }
        self.events.push_back(Event::Log(log));
    }

    /// Whether there was room for a notice.
    pub(crate) fn note(&mut self, notice: Notice) -> bool {
        let room = self.events.len() < self.events_max;
        if room {
            self.events.push_back(Event::Notice(notice));
        }
        room
    }

    pub(crate) fn alarm(&mut self, alarm: Alarm, counters: &mut Counters) {
        if self.events.len() >= self.events_max {
            counters.log_overflow += 1;
            return;
        }
        self.events.push_back(Event::Alarm(alarm));
    }

    pub(crate) fn tell(&mut self, to: Option<u16>, message: PeerMessage, counters: &mut Counters) {
        if self.events.len() >= self.events_max {
            counters.message_overflow += 1;
            return;
        }
        self.events.push_back(Event::Tell { to, message });
    }

    /// A reassembled datagram for another worker.
    pub(crate) fn hand_over(&mut self, to: u16, port: Port, bytes: Vec<u8>, meta: Meta, counters: &mut Counters) {
        if self.events.len() >= self.events_max {
            counters.message_overflow += 1;
            return;
        }
        self.events.push_back(Event::HandOver { to, port, bytes, meta });
    }

    pub(crate) fn has_room_for_events(&self) -> bool {
        self.events.len() < self.events_max
    }

    pub(crate) fn next_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

/// So many per second, no more.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowance {
    second: u64,
    used: u32,
}

impl Allowance {
    pub(crate) fn take(&mut self, now: Time, per_second: u32) -> bool {
        let second = now.0 / SECOND;
        if second != self.second {
            *self = Self { second, used: 0 };
        }
        if self.used >= per_second {
            return false;
        }
        self.used += 1;
        true
    }
}
