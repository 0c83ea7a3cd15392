//! Where does a TCP connection stand? Handshake, farewell and resets; no windows.

use super::super::frames::{ACK, Body, FIN, Packet, RST, SYN};

/// How far a sequence number may be off and still be of this connection.
const NEAR: u32 = 16 << 20;

/// A connection through the firewall.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    stage: Stage,
    /// Sequence number after the last byte each side sent (client, server).
    next: [Option<u32>; 2],
    /// The last byte each side acknowledged.
    acknowledged: [Option<u32>; 2],
    finished: [bool; 2],
    doubtful_reset: bool,
    /// What the server would acknowledge if it agreed to a SYN in the open connection.
    asked_again: Option<u32>,
    just_closed: bool,
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
    pub(crate) fn follow(&mut self, from_client: bool, packet: &Packet) -> Verdict {
        let Body::Tcp { flags, sequence, acknowledgment, .. } = packet.body else { return Verdict::Drop };
        let was_closed = self.stage == Stage::Closed;
        let verdict = self.segment(from_client, flags, sequence, acknowledgment, packet.payload.len() as u32);
        self.just_closed = !was_closed && self.stage == Stage::Closed;
        verdict
    }

    /// How long it may be silent.
    pub(crate) fn timeout_s(&self) -> u64 {
        match self.stage {
            Stage::Closed => 15,
            Stage::Asked => 5,
            Stage::Agreed => 10,
            _ if self.doubtful_reset => 30,
            Stage::Open => 3600,
            Stage::HalfClosed => 120,
        }
    }

    /// A closed connection is not kept longer by what still comes.
    pub(crate) fn keeps_its_end(&self) -> bool {
        self.stage == Stage::Closed && !self.just_closed
    }

    fn segment(&mut self, from_client: bool, flags: u8, sequence: u32, acknowledgment: u32, bytes: u32) -> Verdict {
        let kind = flags & (SYN | FIN | RST | ACK);
        let senseless = kind & SYN != 0 && kind & (FIN | RST) != 0 || kind == FIN || kind == 0;
        if senseless {
            return Verdict::Drop;
        }
        let (me, other) = if from_client { (0, 1) } else { (1, 0) };
        if kind & RST != 0 {
            return self.reset(me, other, kind, sequence, acknowledgment);
        }
        match (kind & (SYN | ACK), from_client) {
            (SYN, true) if self.stage == Stage::Closed => return Verdict::Reopen,
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
        } else if self.stage == Stage::Agreed && from_client && kind & ACK != 0 {
            self.stage = Stage::Open;
        }
        if kind & SYN != 0 {
            match self.stage {
                // In the handshake the last word counts.
                Stage::Asked | Stage::Agreed => (self.next[me], self.acknowledged[me]) = (None, None),
                // Later a SYN is an old one on its way, or the client starts over; what the server makes of
                // it decides.
                _ if from_client => {
                    self.asked_again = Some(sequence.wrapping_add(1 + bytes));
                    return Verdict::Pass;
                }
                Stage::Open | Stage::HalfClosed if self.asked_again == Some(acknowledgment) => {
                    *self = Self { stage: Stage::Agreed, ..Self::default() };
                    self.next[0] = Some(acknowledgment);
                }
                _ => return Verdict::Pass,
            }
        }
        self.doubtful_reset = false;
        let length = bytes + u32::from(kind & SYN != 0) + u32::from(kind & FIN != 0);
        later(&mut self.next[me], sequence.wrapping_add(length));
        if kind & ACK != 0 {
            later(&mut self.acknowledged[me], acknowledgment);
        }
        if kind & FIN != 0 && self.stage != Stage::Closed {
            self.finished[me] = true;
            self.stage = if self.finished[other] { Stage::Closed } else { Stage::HalfClosed };
        }
        Verdict::Pass
    }

    /// A reset ends the connection when its number is exactly the one to be expected; one that is only near
    /// makes the firewall doubtful; any other is forged.
    fn reset(&mut self, me: usize, other: usize, kind: u8, sequence: u32, acknowledgment: u32) -> Verdict {
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
