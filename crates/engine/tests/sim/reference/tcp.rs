//! Where does a TCP connection stand? Handshake, farewell, resets, and windows that nobody shifts.

use super::super::frames::{ACK, Body, FIN, Packet, RST, SYN};

/// How far a sequence number may be off and still be of this connection.
const NEAR: u32 = 16 << 20;

/// The window of every segment of the simulation.
const WINDOW: u32 = 0xffff;

/// Older than this nothing is.
const OLD: u32 = 66_000;

/// A connection through the firewall.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    stage: Stage,
    /// Sequence number after the last byte each side sent (client, server).
    next: [Option<u32>; 2],
    /// The last byte each side acknowledged.
    acknowledged: [Option<u32>; 2],
    finished: [bool; 2],
    /// How far each side may go.
    edge: [Option<u32>; 2],
    /// A connection in the place of another: its windows are not known.
    unsure: bool,
    doubtful_reset: bool,
    /// What the server would acknowledge if it agreed to a SYN in the open connection.
    asked_again: Option<u32>,
    just_closed: bool,
    /// It was picked up in its midst.
    unseen: bool,
}

/// Which of its idle times holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    Asked,
    Agreed,
    Open,
    HalfClosed,
    Closed,
    Doubtful,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// The client asked.
    #[default]
    Asked,
    /// The server agreed.
    Agreed,
    /// The client confirmed.
    Open,
    /// One side finished.
    HalfClosed,
    /// Both finished, or one was reset.
    Closed,
}

/// What becomes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Drop,
    /// It asks for a new connection in the place of a closed one.
    Reopen,
}

impl Connection {
    /// Follows a segment, whose numbers have to fit if they are `checked`.
    pub(crate) fn follow(&mut self, from_client: bool, packet: &Packet, checked: bool) -> Verdict {
        let Body::Tcp { flags, sequence, acknowledgment, .. } = packet.body else { return Verdict::Drop };
        let was_closed = self.stage == Stage::Closed;
        let bytes = packet.payload.len() as u32;
        let verdict = self.segment(from_client, flags, (sequence, acknowledgment), bytes, checked);
        self.just_closed = !was_closed && self.stage == Stage::Closed;
        verdict
    }

    /// Which idle time holds.
    pub(crate) fn clock(&self) -> Clock {
        match self.stage {
            Stage::Closed => Clock::Closed,
            Stage::Asked => Clock::Asked,
            Stage::Agreed => Clock::Agreed,
            _ if self.doubtful_reset => Clock::Doubtful,
            Stage::Open => Clock::Open,
            Stage::HalfClosed => Clock::HalfClosed,
        }
    }

    /// What that is called.
    pub(crate) fn clock_name(&self) -> &'static str {
        match self.clock() {
            Clock::Asked => "connection asked for",
            Clock::Agreed => "connection agreed to",
            Clock::Open if self.unseen => "connection picked up",
            Clock::Open => "connection open",
            Clock::HalfClosed => "connection half closed",
            Clock::Closed => "connection closed",
            Clock::Doubtful => "connection with a doubtful reset",
        }
    }

    /// A closed connection is not kept longer by what still comes.
    pub(crate) fn keeps_its_end(&self) -> bool {
        self.stage == Stage::Closed && !self.just_closed
    }

    fn segment(
        &mut self,
        from_client: bool,
        flags: u8,
        (sequence, acknowledgment): (u32, u32),
        bytes: u32,
        checked: bool,
    ) -> Verdict {
        let kind = flags & (SYN | FIN | RST | ACK);
        let senseless = kind & SYN != 0 && kind & (FIN | RST) != 0 || kind == FIN || kind == 0;
        if senseless {
            return Verdict::Drop;
        }
        let (me, other) = if from_client { (0, 1) } else { (1, 0) };
        let checked = checked && !self.unseen;
        if kind & RST != 0 {
            return self.reset((me, other), kind, (sequence, acknowledgment), checked);
        }
        if from_client && self.stage == Stage::Asked && self.next == [None; 2] && kind & (SYN | ACK) != SYN {
            (self.stage, self.unseen) = (Stage::Open, true);
        }
        match (kind & (SYN | ACK), from_client) {
            (SYN, true) if self.stage == Stage::Closed => return Verdict::Reopen,
            _ if self.unseen => {}
            (SYN, false) => return Verdict::Drop,
            (both, true) if both == SYN | ACK => return Verdict::Drop,
            _ => {}
        }
        if self.stage == Stage::Asked {
            match (from_client, kind & SYN != 0) {
                (true, true) => {}
                (true, false) => return Verdict::Drop,
                (false, true) if Some(acknowledgment) == self.next[0] => self.stage = Stage::Agreed,
                (false, true) => return Verdict::Drop,
                // A server that remembers an older connection challenges with a bare ACK; the client resets
                // that connection by the number it is told.
                (false, false) if kind & FIN == 0 && bytes == 0 => {
                    self.acknowledged[1] = Some(acknowledgment);
                    return Verdict::Pass;
                }
                (false, false) => return Verdict::Drop,
            }
        } else if self.stage == Stage::Agreed && !from_client && kind & SYN != 0 && Some(acknowledgment) != self.next[0]
        {
            return Verdict::Drop;
        }
        if kind & SYN != 0 {
            match self.stage {
                // In the handshake the last word counts.
                Stage::Asked | Stage::Agreed => {
                    (self.next[me], self.acknowledged[me], self.edge[me]) = (None, None, None);
                }
                // Of a connection whose beginning was not seen nobody knows what an old one is.
                _ if self.unseen => {
                    (self.next[me], self.edge[me]) = (None, None);
                    if kind & ACK != 0 {
                        self.acknowledged[me] = None;
                    }
                }
                // Later a SYN is an old one on its way, or the client starts over; what the server makes of
                // it decides.
                _ if from_client => {
                    self.asked_again = Some(sequence.wrapping_add(1 + bytes));
                    return Verdict::Pass;
                }
                Stage::Open | Stage::HalfClosed if self.asked_again == Some(acknowledgment) => {
                    *self = Self { stage: Stage::Agreed, unsure: true, ..Self::default() };
                    self.next[0] = Some(acknowledgment);
                }
                _ => return Verdict::Pass,
            }
        }
        let length = bytes + u32::from(kind & SYN != 0) + u32::from(kind & FIN != 0);
        let end = sequence.wrapping_add(length);
        let strange = checked && self.is_strange(me, other, sequence, end, (kind & ACK != 0).then_some(acknowledgment));
        if kind & SYN == 0 && self.stage != Stage::Closed && strange {
            return Verdict::Drop;
        }
        if self.stage == Stage::Agreed && from_client && kind & ACK != 0 {
            self.stage = Stage::Open;
        }
        self.doubtful_reset = false;
        if self.next[me].is_none() && self.next[other].is_some() {
            self.edge[me] = Some(end.wrapping_add(WINDOW));
        }
        later(&mut self.next[me], end);
        if kind & ACK != 0 {
            later(&mut self.acknowledged[me], acknowledgment);
            let edge = acknowledgment.wrapping_add(WINDOW);
            if self.edge[other].is_none_or(|known| after(edge, known)) {
                self.edge[other] = Some(edge);
            }
        }
        if kind & FIN != 0 && self.stage != Stage::Closed {
            self.finished[me] = true;
            self.stage = if self.finished[other] { Stage::Closed } else { Stage::HalfClosed };
        }
        Verdict::Pass
    }

    /// Whether a segment cannot be of this connection.
    fn is_strange(&self, me: usize, other: usize, sequence: u32, end: u32, acknowledgment: Option<u32>) -> bool {
        let Some(received) = self.next[other].filter(|_| !self.unsure) else { return false };
        let far = self.edge[me].is_some_and(|edge| after(sequence, edge));
        let old = self.next[me].is_some_and(|next| after(next.wrapping_sub(OLD), end));
        let answers_nothing =
            acknowledgment.is_some_and(|number| after(number, received) || after(received.wrapping_sub(OLD), number));
        far || old || answers_nothing
    }

    /// A reset ends the connection when its number is exactly the one to be expected; one that is only near
    /// makes the firewall doubtful; any other is forged.
    fn reset(
        &mut self,
        (me, other): (usize, usize),
        kind: u8,
        (sequence, acknowledgment): (u32, u32),
        checked: bool,
    ) -> Verdict {
        let told = self.acknowledged[other] == Some(sequence);
        if self.stage == Stage::Asked && me == 0 && told && self.next[0] != Some(sequence) {
            return Verdict::Pass;
        }
        let exact = if self.stage == Stage::Asked && me == 1 {
            let refusal = kind & ACK != 0 && Some(acknowledgment) == self.next[0];
            if !refusal {
                return Verdict::Drop;
            }
            true
        } else {
            self.next[me] == Some(sequence) || told
        };
        if exact {
            self.stage = Stage::Closed;
            return Verdict::Pass;
        }
        let expected = self.acknowledged[other].or(self.next[me]).unwrap_or(0);
        // The receiver asks again about one that is in its window.
        if let (Some(_), Some(edge), false, true) = (self.acknowledged[other], self.edge[me], self.unsure, checked) {
            if after(expected, sequence) || after(sequence, edge) {
                return Verdict::Drop;
            }
            self.doubtful_reset = true;
            return Verdict::Pass;
        }
        if sequence.wrapping_sub(expected).min(expected.wrapping_sub(sequence)) > NEAR {
            return Verdict::Drop;
        }
        self.doubtful_reset = true;
        Verdict::Pass
    }
}

/// Keeps the later of two sequence numbers; one that is too far ahead is of some other connection.
fn later(known: &mut Option<u32>, number: u32) {
    if known.is_none_or(|known| number.wrapping_sub(known) <= NEAR) {
        *known = Some(number);
    }
}

/// Whether one sequence number comes after another.
fn after(number: u32, other: u32) -> bool {
    (1..1 << 31).contains(&number.wrapping_sub(other))
}
