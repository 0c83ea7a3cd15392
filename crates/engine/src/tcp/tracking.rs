//! Where does a TCP connection stand, and does this segment belong there?
//!
//! The engine does not reassemble: it follows the handshake and the farewell, and remembers the last
//! sequence numbers of both sides so that a forged reset does not end a session.

use bartizan_packet::parse::Tcp;

use crate::session::Direction;
use crate::settings::Timeouts;
use crate::verdict::{EndReason, SessionState};

/// How far from the expected sequence number a segment may be and still belong to the connection. A
/// larger receive window than this is possible but not met in practice.
const WINDOW_BYTES: u32 = 16 << 20;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No segment yet.
    #[default]
    New,
    /// SYN from the client.
    SynSent,
    /// SYN-ACK from the server.
    SynReceived,
    /// Acknowledged by the client.
    Established,
    /// One side finished.
    HalfClosed,
    /// Both finished.
    TimeWait,
    /// A reset that belongs to the connection.
    Reset,
}

/// What one side sent last.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    spoke: bool,
    /// Sequence number after the last byte it sent.
    next: u32,
    acknowledged: bool,
    /// Last acknowledgment number it sent.
    acknowledgment: u32,
    finished: bool,
}

/// TCP state of one session.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tracking {
    phase: Phase,
    unverified_reset: bool,
    /// What an acknowledgment of the SYN says that the client sent in an open connection.
    asked_again: Option<u32>,
    sides: [Side; 2],
}

/// What becomes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It passes.
    Pass,
    /// It ends the connection and passes.
    Reset(EndReason),
    /// Both sides have finished with it; it passes.
    Finished,
    /// It opens a new connection on the ports of a closed one.
    Reopen,
    /// It does not belong here.
    Refuse,
}

impl Tracking {
    /// Follows one segment.
    pub(crate) fn follow(&mut self, direction: Direction, tcp: &Tcp) -> Judgement {
        let flags = tcp.flags;
        if flags.rst() {
            return self.reset(direction, tcp);
        }
        let opening = flags.syn() && !flags.ack();
        if opening && self.is_closed() && direction == Direction::ClientToServer {
            return Judgement::Reopen;
        }
        if opening && direction == Direction::ServerToClient {
            return Judgement::Refuse;
        }
        let syn_ack = flags.syn() && flags.ack();
        if syn_ack && direction == Direction::ClientToServer {
            return Judgement::Refuse;
        }
        match (self.phase, direction) {
            (Phase::New, Direction::ClientToServer) if opening => self.phase = Phase::SynSent,
            (Phase::New, _) => return Judgement::Refuse,
            // Before the server agreed, the client has nothing else to say.
            (Phase::SynSent, Direction::ClientToServer) if !opening => return Judgement::Refuse,
            (Phase::SynSent, Direction::ServerToClient) => {
                if syn_ack && tcp.acknowledgment == self.sides[0].next {
                    self.sides[1] = Side::default();
                    self.phase = Phase::SynReceived;
                } else if syn_ack || flags.fin() || tcp.payload_bytes > 0 {
                    return Judgement::Refuse;
                } else {
                    // A challenge ACK from a server that remembers an older connection (RFC 5961); the
                    // client answers it with a reset of that one, and then tries again.
                    self.sides[1].acknowledged = true;
                    self.sides[1].acknowledgment = tcp.acknowledgment;
                    return Judgement::Pass;
                }
            }
            (Phase::SynReceived, Direction::ClientToServer) if flags.ack() => self.phase = Phase::Established,
            _ => {}
        }
        let established = !matches!(self.phase, Phase::SynSent | Phase::SynReceived | Phase::New);
        if flags.syn() && established {
            self.ask_again(direction, tcp);
            return Judgement::Pass;
        }
        self.remember(direction, tcp);
        self.farewell(direction, tcp)
    }

    /// A SYN in a connection that is up is an old one still on its way, or the client has forgotten the
    /// connection and wants a new one. If the server agrees to that, the new one is followed.
    fn ask_again(&mut self, direction: Direction, tcp: &Tcp) {
        if direction == Direction::ClientToServer {
            self.asked_again = Some(tcp.sequence.wrapping_add(tcp.sequence_length()));
        } else if self.asked_again == Some(tcp.acknowledgment) && !self.is_closed() {
            let client = Side { spoke: true, next: tcp.acknowledgment, ..Side::default() };
            *self = Self { phase: Phase::SynReceived, sides: [client, Side::default()], ..Self::default() };
            self.remember(direction, tcp);
        }
    }

    fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::TimeWait | Phase::Reset)
    }

    /// What the session browser calls the phase.
    pub(crate) fn state(&self) -> SessionState {
        match self.phase {
            Phase::New | Phase::SynSent | Phase::SynReceived => SessionState::Opening,
            Phase::Established => SessionState::Active,
            Phase::HalfClosed => SessionState::Closing,
            Phase::TimeWait | Phase::Reset => SessionState::Closed,
        }
    }

    /// How long the connection may be silent now.
    pub(crate) fn timeout(&self, timeouts: &Timeouts) -> u64 {
        match self.phase {
            Phase::TimeWait | Phase::Reset => timeouts.tcp_time_wait,
            Phase::New | Phase::SynSent => timeouts.tcp_init,
            Phase::SynReceived => timeouts.tcp_handshake,
            _ if self.unverified_reset => timeouts.tcp_unverified_rst,
            Phase::Established => timeouts.tcp,
            Phase::HalfClosed => timeouts.tcp_half_closed,
        }
    }

    /// Sequence and acknowledgment number of a reset that this side would accept, if both are known.
    pub(crate) fn reset_towards(&self, receiver: Direction) -> Option<(u32, u32)> {
        // `receiver` names the direction whose sender is told.
        let told = &self.sides[receiver.index()];
        let other = &self.sides[receiver.other().index()];
        if !told.spoke {
            return None;
        }
        let sequence = if told.acknowledged { told.acknowledgment } else { other.next };
        Some((sequence, told.next))
    }

    fn reset(&mut self, direction: Direction, tcp: &Tcp) -> Judgement {
        let side = self.sides[direction.index()];
        let other = self.sides[direction.other().index()];
        let reason = match direction {
            Direction::ClientToServer => EndReason::TcpRstFromClient,
            Direction::ServerToClient => EndReason::TcpRstFromServer,
        };
        let refusal = self.phase == Phase::SynSent && direction == Direction::ServerToClient;
        let exact = if refusal {
            tcp.flags.ack() && tcp.acknowledgment == other.next
        } else {
            (side.spoke && tcp.sequence == side.next) || (other.acknowledged && tcp.sequence == other.acknowledgment)
        };
        let challenge_answered = self.phase == Phase::SynSent
            && direction == Direction::ClientToServer
            && other.acknowledged
            && tcp.sequence == other.acknowledgment
            && tcp.sequence != side.next;
        if challenge_answered {
            return Judgement::Pass;
        }
        if exact {
            if self.is_closed() {
                return Judgement::Pass;
            }
            self.phase = Phase::Reset;
            return Judgement::Reset(reason);
        }
        let expected = if other.acknowledged { other.acknowledgment } else { side.next };
        if refusal || !near(tcp.sequence, expected) {
            return Judgement::Refuse;
        }
        self.unverified_reset = true;
        Judgement::Pass
    }

    fn remember(&mut self, direction: Direction, tcp: &Tcp) {
        self.unverified_reset = false;
        let side = &mut self.sides[direction.index()];
        let end = tcp.sequence.wrapping_add(tcp.sequence_length());
        let ahead = end.wrapping_sub(side.next);
        if !side.spoke || tcp.flags.syn() || ahead <= WINDOW_BYTES {
            side.next = end;
        }
        side.spoke = true;
        if tcp.flags.ack() {
            let ahead = tcp.acknowledgment.wrapping_sub(side.acknowledgment);
            if !side.acknowledged || tcp.flags.syn() || ahead <= WINDOW_BYTES {
                side.acknowledgment = tcp.acknowledgment;
            }
            side.acknowledged = true;
        }
    }

    fn farewell(&mut self, direction: Direction, tcp: &Tcp) -> Judgement {
        if !tcp.flags.fin() || self.is_closed() {
            return Judgement::Pass;
        }
        self.sides[direction.index()].finished = true;
        if self.sides[direction.other().index()].finished {
            self.phase = Phase::TimeWait;
            return Judgement::Finished;
        }
        self.phase = Phase::HalfClosed;
        Judgement::Pass
    }
}

/// Whether the flags make sense together at all.
pub(crate) fn flags_are_sane(tcp: &Tcp) -> bool {
    let flags = tcp.flags;
    let opening_and_closing = flags.syn() && (flags.fin() || flags.rst());
    let farewell_without_ack = flags.fin() && !flags.ack();
    let nothing = !(flags.syn() || flags.ack() || flags.rst());
    !(opening_and_closing || farewell_without_ack || nothing)
}

fn near(sequence: u32, expected: u32) -> bool {
    sequence.wrapping_sub(expected.wrapping_sub(WINDOW_BYTES)) <= 2 * WINDOW_BYTES
}

#[cfg(test)]
mod tests;
