//! Connections, segment by segment.

use super::*;
use bartizan_packet::parse::Flags;

const CLIENT: Direction = Direction::ClientToServer;
const SERVER: Direction = Direction::ServerToClient;

fn segment(flags: u8, sequence: u32, acknowledgment: u32, payload_bytes: u32) -> Tcp {
    Tcp {
        source_port: 1,
        destination_port: 2,
        sequence,
        acknowledgment,
        flags: Flags(flags),
        payload_bytes,
        header_bytes: 20,
    }
}

const S: u8 = Flags::SYN;
const A: u8 = Flags::ACK;
const R: u8 = Flags::RST;
const F: u8 = Flags::FIN;

fn established() -> Tracking {
    let mut tracking = Tracking::default();
    assert_eq!(tracking.follow(CLIENT, &segment(S, 100, 0, 0)), Judgement::Pass);
    assert_eq!(tracking.state(), SessionState::Opening);
    assert_eq!(tracking.follow(SERVER, &segment(S | A, 500, 101, 0)), Judgement::Pass);
    assert_eq!(tracking.state(), SessionState::Opening);
    assert_eq!(tracking.follow(CLIENT, &segment(A, 101, 501, 0)), Judgement::Pass);
    assert_eq!(tracking.state(), SessionState::Active);
    tracking
}

#[test]
fn a_whole_life() {
    let mut tracking = established();
    let timeouts = Timeouts::default();
    assert_eq!(tracking.timeout(&timeouts), timeouts.tcp);
    assert_eq!(tracking.follow(CLIENT, &segment(A | F, 101, 501, 10)), Judgement::Pass);
    assert_eq!(tracking.state(), SessionState::Closing);
    assert_eq!(tracking.timeout(&timeouts), timeouts.tcp_half_closed);
    assert_eq!(tracking.follow(SERVER, &segment(A | F, 501, 112, 0)), Judgement::Finished);
    assert_eq!(tracking.state(), SessionState::Closed);
    assert_eq!(tracking.follow(CLIENT, &segment(A, 112, 502, 0)), Judgement::Pass);
    assert_eq!(tracking.follow(CLIENT, &segment(S, 9000, 0, 0)), Judgement::Reopen);
}

#[test]
fn data_before_the_handshake_is_refused() {
    let mut tracking = Tracking::default();
    assert_eq!(tracking.follow(CLIENT, &segment(S, 100, 0, 0)), Judgement::Pass);
    assert_eq!(tracking.follow(CLIENT, &segment(A, 101, 1, 10)), Judgement::Refuse);
    assert_eq!(tracking.follow(SERVER, &segment(A, 1, 101, 10)), Judgement::Refuse);
    assert_eq!(tracking.follow(SERVER, &segment(S | A, 500, 999, 0)), Judgement::Refuse);
}

#[test]
fn the_server_may_refuse_with_a_reset() {
    let mut tracking = Tracking::default();
    assert_eq!(tracking.follow(CLIENT, &segment(S, 100, 0, 0)), Judgement::Pass);
    assert_eq!(tracking.follow(SERVER, &segment(R | A, 0, 77, 0)), Judgement::Refuse);
    assert_eq!(tracking.follow(SERVER, &segment(R | A, 0, 101, 0)), Judgement::Reset(EndReason::TcpRstFromServer));
    assert_eq!(tracking.state(), SessionState::Closed);
}

#[test]
fn resets_are_believed_by_their_sequence_number() {
    let timeouts = Timeouts::default();
    let mut tracking = established();
    assert_eq!(tracking.follow(SERVER, &segment(R, 501 + WINDOW_BYTES + 1, 0, 0)), Judgement::Refuse);
    assert_eq!(tracking.timeout(&timeouts), timeouts.tcp);
    assert_eq!(tracking.follow(SERVER, &segment(R, 600, 0, 0)), Judgement::Pass);
    assert_eq!(tracking.timeout(&timeouts), timeouts.tcp_unverified_rst);
    assert_eq!(tracking.follow(CLIENT, &segment(A, 101, 501, 5)), Judgement::Pass);
    assert_eq!(tracking.timeout(&timeouts), timeouts.tcp, "traffic afterwards shows the reset was not believed");
    assert_eq!(tracking.follow(CLIENT, &segment(R, 106, 0, 0)), Judgement::Reset(EndReason::TcpRstFromClient));
}

#[test]
fn sequence_numbers_wrap() {
    let mut tracking = Tracking::default();
    assert_eq!(tracking.follow(CLIENT, &segment(S, u32::MAX - 1, 0, 0)), Judgement::Pass);
    assert_eq!(tracking.follow(SERVER, &segment(S | A, 500, u32::MAX, 0)), Judgement::Pass);
    assert_eq!(tracking.follow(CLIENT, &segment(A, u32::MAX, 501, 10)), Judgement::Pass);
    assert_eq!(tracking.follow(CLIENT, &segment(R, 9, 0, 0)), Judgement::Reset(EndReason::TcpRstFromClient));
}

#[test]
fn senseless_flags() {
    for (flags, sane) in [
        (S, true),
        (S | A, true),
        (A, true),
        (R, true),
        (F | A, true),
        (S | F, false),
        (S | R, false),
        (F, false),
        (0, false),
        (F | 0x20 | Flags::PSH, false),
    ] {
        assert_eq!(flags_are_sane(&segment(flags, 1, 1, 0)), sane, "flags {flags:#04x}");
    }
}

#[test]
fn a_server_that_remembers_an_older_connection_is_told_and_tried_again() {
    let mut tracking = Tracking::default();
    assert_eq!(tracking.follow(CLIENT, &segment(S, 100, 0, 0)), Judgement::Pass);
    assert_eq!(tracking.follow(SERVER, &segment(A, 7000, 4000, 0)), Judgement::Pass, "the challenge");
    assert_eq!(tracking.follow(CLIENT, &segment(R, 400_000_000, 0, 0)), Judgement::Refuse, "not what was challenged");
    assert_eq!(tracking.follow(CLIENT, &segment(R, 4000, 0, 0)), Judgement::Pass, "the reset of the older one");
    assert_eq!(tracking.state(), SessionState::Opening);
    assert_eq!(tracking.follow(CLIENT, &segment(S, 100, 0, 0)), Judgement::Pass);
    assert_eq!(tracking.follow(SERVER, &segment(S | A, 500, 101, 0)), Judgement::Pass);
    assert_eq!(tracking.follow(CLIENT, &segment(A, 101, 501, 0)), Judgement::Pass);
    assert_eq!(tracking.state(), SessionState::Active);
}

#[test]
fn a_client_that_starts_over_is_followed_once_the_server_agrees() {
    let mut tracking = established();
    assert_eq!(tracking.follow(CLIENT, &segment(S, 70_000_000, 0, 0)), Judgement::Pass);
    assert_eq!(tracking.state(), SessionState::Active);
    // An old SYN-ACK still on its way changes nothing.
    assert_eq!(tracking.follow(SERVER, &segment(S | A, 500, 101, 0)), Judgement::Pass);
    assert_eq!(tracking.state(), SessionState::Active);
    assert_eq!(tracking.follow(SERVER, &segment(S | A, 9_000, 70_000_001, 0)), Judgement::Pass);
    assert_eq!(tracking.state(), SessionState::Opening);
    assert_eq!(tracking.follow(CLIENT, &segment(A, 70_000_001, 9_001, 0)), Judgement::Pass);
    assert_eq!(tracking.state(), SessionState::Active);
    assert_eq!(tracking.follow(SERVER, &segment(R, 9_001, 0, 0)), Judgement::Reset(EndReason::TcpRstFromServer));
}
