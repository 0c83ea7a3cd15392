//! Where does a TCP connection stand, and does this segment belong there?
//!
//! The engine does not reassemble: it follows the handshake and the farewell, and remembers how far both sides
//! have come and what they offered. A segment outside of that belongs to somebody else (the four bounds are
//! those of van Rooij, "Real Stateful TCP Packet Filtering in IP Filter"); a reset is believed if its number is
//! exactly the expected one (RFC 5961 section 3).

use bartizan_packet::parse::Tcp;

use crate::session::Direction;
use crate::settings::Timeouts;
use crate::verdict::{EndReason, SessionState};

/// How far from the expected sequence number a segment may be and still belong to the connection. A
/// larger receive window than this is possible but not met in practice.
const WINDOW_BYTES: u32 = 16 << 20;

/// Old segments and acknowledgments may be this late, whatever was offered: the largest window without shift.
const WINDOW_MIN: u32 = 66_000;

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

/// How far one side has come.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    /// Sequence number after the last byte it sent.
    next: u32,
    /// Last acknowledgment number it sent.
    acknowledgment: u32,
    /// First sequence number it must not use, because the other side did not offer to take it.
    limit: u32,
    /// The most it offered to take at once, as it was written.
    window: u16,
    /// By how much its windows are shifted; [`NO_SHIFT`] if it does not do that.
    shift: u8,
    /// What of this is known: [`SPOKE`] and its like.
    known: u8,
}

/// `next` and `window` are known.
const SPOKE: u8 = 1;
/// `acknowledgment` is known.
const ACKNOWLEDGED: u8 = 2;
/// `limit` is known.
const LIMITED: u8 = 4;
/// It finished.
const FINISHED: u8 = 8;
/// `window` is that of a SYN, which is never shifted.
const FIRST_WINDOW: u8 = 16;

/// A shift that no side can ask for.
const NO_SHIFT: u8 = 0xff;

impl Side {
    fn is(&self, what: u8) -> bool {
        self.known & what != 0
    }

    /// It must not go beyond this.
    fn limit_to(&mut self, limit: u32) {
        if !self.is(LIMITED) || is_after(limit, self.limit) {
            self.limit = limit;
        }
        self.known |= LIMITED;
    }
}

/// TCP state of one session, small because there are a million of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tracking {
    sides: [Side; 2],
    /// What an acknowledgment of the SYN says that the client sent in an open connection.
    asked_again: u32,
    phase: Phase,
    /// [`ASKED_AGAIN`] and its like.
    flags: u8,
}

/// `asked_again` is known.
const ASKED_AGAIN: u8 = 1;
/// A reset came that may be forged.
const UNVERIFIED_RESET: u8 = 2;
/// Its beginning was not seen.
const UNSEEN_BEGINNING: u8 = 4;
/// Its windows are not known.
const UNCHECKED: u8 = 8;

/// Which idle time holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    Init,
    Handshake,
    Established,
    HalfClosed,
    TimeWait,
    UnverifiedReset,
}

impl Clock {
    pub(crate) fn timeout(self, timeouts: &Timeouts) -> u64 {
        match self {
            Self::Init => timeouts.tcp_init,
            Self::Handshake => timeouts.tcp_handshake,
            Self::Established => timeouts.tcp,
            Self::HalfClosed => timeouts.tcp_half_closed,
            Self::TimeWait => timeouts.tcp_time_wait,
            Self::UnverifiedReset => timeouts.tcp_unverified_rst,
        }
    }
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
    /// Its numbers do not.
    OutOfWindow,
}

impl Tracking {
    /// Follows one segment; `checked` says whether its numbers have to fit.
    pub(crate) fn follow(&mut self, direction: Direction, tcp: &Tcp, checked: bool) -> Judgement {
        let checked = checked && self.flags & (UNSEEN_BEGINNING | UNCHECKED) == 0;
        let flags = tcp.flags;
        if flags.rst() {
            return self.reset(direction, tcp, checked);
        }
        let from_client = direction == Direction::ClientToServer;
        let opening = flags.syn() && !flags.ack();
        if self.phase == Phase::New && from_client && !opening {
            (self.phase, self.flags) = (Phase::Established, UNSEEN_BEGINNING);
        }
        if opening && self.is_closed() && from_client {
            return Judgement::Reopen;
        }
        let syn_ack = flags.syn() && flags.ack();
        let begun = self.flags & UNSEEN_BEGINNING == 0;
        if begun && ((opening && !from_client) || (syn_ack && from_client)) {
            return Judgement::Refuse;
        }
        if let Some(judgement) = self.handshake(direction, tcp) {
            return judgement;
        }
        let established = !matches!(self.phase, Phase::SynSent | Phase::SynReceived | Phase::New);
        if flags.syn() && established && begun {
            self.ask_again(direction, tcp);
            return Judgement::Pass;
        }
        if checked && !flags.syn() && !self.is_closed() && !self.fits(direction, tcp) {
            return Judgement::OutOfWindow;
        }
        if self.phase == Phase::SynReceived && from_client && flags.ack() {
            self.phase = Phase::Established;
        }
        self.remember(direction, tcp);
        self.farewell(direction, tcp)
    }

    /// Follows a segment that is neither the beginning nor the end of anything, of an open connection. `false`
    /// for what has to be looked at by [`Self::follow`]: nothing has been changed then.
    #[inline]
    pub(crate) fn carry_on(&mut self, direction: Direction, tcp: &Tcp, checked: bool) -> bool {
        let checked = checked && self.flags & (UNSEEN_BEGINNING | UNCHECKED) == 0;
        let usual = self.phase == Phase::Established && self.flags & UNVERIFIED_RESET == 0;
        if !usual || (checked && !self.fits(direction, tcp)) {
            return false;
        }
        self.remember(direction, tcp);
        true
    }

    /// Until the server agreed; `None` for what has to be looked at further.
    fn handshake(&mut self, direction: Direction, tcp: &Tcp) -> Option<Judgement> {
        let flags = tcp.flags;
        let opening = flags.syn() && !flags.ack();
        let syn_ack = flags.syn() && flags.ack();
        match (self.phase, direction) {
            (Phase::New, Direction::ClientToServer) => self.phase = Phase::SynSent,
            (Phase::New, Direction::ServerToClient) => return Some(Judgement::Refuse),
            // Before the server agreed, the client has nothing else to say.
            (Phase::SynSent, Direction::ClientToServer) if !opening => return Some(Judgement::Refuse),
            (Phase::SynSent, Direction::ServerToClient) => {
                if syn_ack && tcp.acknowledgment == self.sides[0].next {
                    self.sides[1] = Side::default();
                    self.phase = Phase::SynReceived;
                } else if syn_ack || flags.fin() || tcp.payload_bytes > 0 {
                    return Some(Judgement::Refuse);
                } else {
                    // A challenge ACK from a server that remembers an older connection (RFC 5961); the
                    // client answers it with a reset of that one, and then tries again.
                    self.sides[1].known |= ACKNOWLEDGED;
                    self.sides[1].acknowledgment = tcp.acknowledgment;
                    return Some(Judgement::Pass);
                }
            }
            // One that agrees to something else is of another connection.
            (Phase::SynReceived, Direction::ServerToClient) if syn_ack && tcp.acknowledgment != self.sides[0].next => {
                return Some(Judgement::Refuse);
            }
            _ => {}
        }
        None
    }

    /// Whether a segment is of this connection: not beyond what the other side takes, not older than what it
    /// can still want, and acknowledging neither what was never sent nor what is long past.
    fn fits(&self, direction: Direction, tcp: &Tcp) -> bool {
        let me = &self.sides[direction.index()];
        let other = &self.sides[direction.other().index()];
        if !other.is(SPOKE) {
            return true;
        }
        let end = tcp.sequence.wrapping_add(tcp.sequence_length());
        let (of_me, of_other) = (self.window(direction), self.window(direction.other()));
        let early = me.is(LIMITED) && is_after(tcp.sequence, me.limit);
        let late = me.is(SPOKE) && is_after(me.next.wrapping_sub(of_other.max(WINDOW_MIN)), end);
        let unsent = is_after(tcp.acknowledgment, other.next);
        let past = is_after(other.next.wrapping_sub(of_me.max(WINDOW_MIN)), tcp.acknowledgment);
        !(early || late || (tcp.flags.ack() && (unsent || past)))
    }

    /// A SYN in a connection that is up is an old one still on its way, or the client has forgotten the
    /// connection and wants a new one. If the server agrees to that, the new one is followed; its windows are
    /// not, because nobody knows which of the SYNs counts.
    fn ask_again(&mut self, direction: Direction, tcp: &Tcp) {
        if direction == Direction::ClientToServer {
            self.asked_again = tcp.sequence.wrapping_add(tcp.sequence_length());
            self.flags |= ASKED_AGAIN;
        } else if self.flags & ASKED_AGAIN != 0 && self.asked_again == tcp.acknowledgment && !self.is_closed() {
            let client = Side { known: SPOKE, next: tcp.acknowledgment, ..Side::default() };
            let sides = [client, Side::default()];
            *self = Self { phase: Phase::SynReceived, sides, flags: UNCHECKED, ..Self::default() };
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

    /// Which idle time holds now.
    pub(crate) fn clock(&self) -> Clock {
        match self.phase {
            Phase::TimeWait | Phase::Reset => Clock::TimeWait,
            Phase::New | Phase::SynSent => Clock::Init,
            Phase::SynReceived => Clock::Handshake,
            _ if self.flags & UNVERIFIED_RESET != 0 => Clock::UnverifiedReset,
            Phase::Established => Clock::Established,
            Phase::HalfClosed => Clock::HalfClosed,
        }
    }

    /// Sequence and acknowledgment number of a reset that this side would accept, if both are known.
    pub(crate) fn reset_towards(&self, receiver: Direction) -> Option<(u32, u32)> {
        // `receiver` names the direction whose sender is told.
        let told = &self.sides[receiver.index()];
        let other = &self.sides[receiver.other().index()];
        if !told.is(SPOKE) {
            return None;
        }
        let sequence = if told.is(ACKNOWLEDGED) { told.acknowledgment } else { other.next };
        Some((sequence, told.next))
    }

    fn reset(&mut self, direction: Direction, tcp: &Tcp, checked: bool) -> Judgement {
        let side = self.sides[direction.index()];
        let other = self.sides[direction.other().index()];
        let reason = match direction {
            Direction::ClientToServer => EndReason::TcpRstFromClient,
            Direction::ServerToClient => EndReason::TcpRstFromServer,
        };
        let refusal = self.phase == Phase::SynSent && direction == Direction::ServerToClient;
        let told = other.is(ACKNOWLEDGED) && tcp.sequence == other.acknowledgment;
        let exact = if refusal {
            tcp.flags.ack() && tcp.acknowledgment == other.next
        } else {
            (side.is(SPOKE) && tcp.sequence == side.next) || told
        };
        let challenge_answered =
            self.phase == Phase::SynSent && direction == Direction::ClientToServer && told && tcp.sequence != side.next;
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
        if refusal {
            return Judgement::Refuse;
        }
        let expected = if other.is(ACKNOWLEDGED) { other.acknowledgment } else { side.next };
        // Its receiver challenges one within the window (RFC 5961 section 3.2) and ignores any other.
        let possible = if checked && side.is(LIMITED) && other.is(ACKNOWLEDGED) {
            !is_after(expected, tcp.sequence) && !is_after(tcp.sequence, side.limit)
        } else {
            near(tcp.sequence, expected)
        };
        if !possible {
            return Judgement::OutOfWindow;
        }
        self.flags |= UNVERIFIED_RESET;
        Judgement::Pass
    }

    fn remember(&mut self, direction: Direction, tcp: &Tcp) {
        self.flags &= !UNVERIFIED_RESET;
        let syn = tcp.flags.syn();
        if syn {
            self.sides[direction.index()].shift = tcp.window_shift.unwrap_or(NO_SHIFT);
        }
        let of_other = self.window(direction.other());
        let [client, server] = &mut self.sides;
        let (side, other) = match direction {
            Direction::ClientToServer => (client, server),
            Direction::ServerToClient => (server, client),
        };
        let end = tcp.sequence.wrapping_add(tcp.sequence_length());
        if syn || !side.is(SPOKE) {
            (side.next, side.window) = (end, tcp.window);
            side.known = side.known & !(LIMITED | FIRST_WINDOW) | SPOKE | if syn { FIRST_WINDOW } else { 0 };
            if other.is(SPOKE) {
                side.limit_to(end.wrapping_add(of_other));
            }
        } else {
            if end.wrapping_sub(side.next) <= WINDOW_BYTES {
                side.next = end;
            }
            side.window = if side.is(FIRST_WINDOW) { tcp.window } else { side.window.max(tcp.window) };
            side.known &= !FIRST_WINDOW;
        }
        if tcp.flags.ack() {
            let ahead = tcp.acknowledgment.wrapping_sub(side.acknowledgment);
            if !side.is(ACKNOWLEDGED) || syn || ahead <= WINDOW_BYTES {
                side.acknowledgment = tcp.acknowledgment;
            }
            side.known |= ACKNOWLEDGED;
            // A closed window is probed with one byte.
            let offered = u32::from(tcp.window.max(1)) << if syn { 0 } else { self.shift(direction) };
            self.sides[direction.other().index()].limit_to(tcp.acknowledgment.wrapping_add(offered));
        }
    }

    /// The most a side offered to take at once, in bytes.
    fn window(&self, direction: Direction) -> u32 {
        let side = &self.sides[direction.index()];
        u32::from(side.window) << if side.is(FIRST_WINDOW) { 0 } else { self.shift(direction) }
    }

    /// By how much a side's windows are shifted: only if both said so.
    fn shift(&self, direction: Direction) -> u8 {
        let [client, server] = self.sides.map(|side| side.shift);
        if client == NO_SHIFT || server == NO_SHIFT { 0 } else { self.sides[direction.index()].shift }
    }

    fn farewell(&mut self, direction: Direction, tcp: &Tcp) -> Judgement {
        if !tcp.flags.fin() || self.is_closed() {
            return Judgement::Pass;
        }
        self.sides[direction.index()].known |= FINISHED;
        if self.sides[direction.other().index()].is(FINISHED) {
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

/// Whether a sequence number comes after another one.
fn is_after(sequence: u32, other: u32) -> bool {
    (sequence.wrapping_sub(other) as i32) > 0
}

fn near(sequence: u32, expected: u32) -> bool {
    sequence.wrapping_sub(expected.wrapping_sub(WINDOW_BYTES)) <= 2 * WINDOW_BYTES
}

#[cfg(test)]
mod tests;
