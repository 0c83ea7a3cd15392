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
        window: 1000,
        window_shift: None,
    }
}

const S: u8 = Flags::SYN;
const A: u8 = Flags::ACK;
const R: u8 = Flags::RST;
const F: u8 = Flags::FIN;

fn established() -> Tracking {
    let mut tracking = Tracking::default();
    assert_eq!(tracking.follow(CLIENT, &segment(S, 100, 0, 0), true), Judgement::Pass);
    assert_eq!(tracking.state(), SessionState::Opening);
    assert_eq!(tracking.follow(SERVER, &segment(S | A, 500, 101, 0), true), Judgement::Pass);
    assert_eq!(tracking.state(), SessionState::Opening);
    assert_eq!(tracking.follow(CLIENT, &segment(A, 101, 501, 0), true), Judgement::Pass);
    assert_eq!(tracking.state(), SessionState::Active);
    tracking
}

#[test]
fn a_whole_life() {
    let mut tracking = established();
    let timeouts = Timeouts::default();
    assert_eq!(tracking.clock().timeout(&timeouts), timeouts.tcp);
    assert_eq!(tracking.follow(CLIENT, &segment(A | F, 101, 501, 10), true), Judgement::Pass);
    assert_eq!(tracking.state(), SessionState::Closing);
    assert_eq!(tracking.clock().timeout(&timeouts), timeouts.tcp_half_closed);
    assert_eq!(tracking.follow(SERVER, &segment(A | F, 501, 112, 0), true), Judgement::Finished);
    assert_eq!(tracking.state(), SessionState::Closed);
    assert_eq!(tracking.follow(CLIENT, &segment(A, 112, 502, 0), true), Judgement::Pass);
    assert_eq!(tracking.follow(CLIENT, &segment(S, 9000, 0, 0), true), Judgement::Reopen);
}

#[test]
fn data_before_the_handshake_is_refused() {
    let mut tracking = Tracking::default();
    assert_eq!(tracking.follow(CLIENT, &segment(S, 100, 0, 0), true), Judgement::Pass);
    assert_eq!(tracking.follow(CLIENT, &segment(A, 101, 1, 10), true), Judgement::Refuse);
    assert_eq!(tracking.follow(SERVER, &segment(A, 1, 101, 10), true), Judgement::Refuse);
    assert_eq!(tracking.follow(SERVER, &segment(S | A, 500, 999, 0), true), Judgement::Refuse);
    assert_eq!(tracking.follow(SERVER, &segment(S | A, 500, 101, 0), true), Judgement::Pass);
    assert_eq!(tracking.follow(SERVER, &segment(S | A, 900, 999, 0), true), Judgement::Refuse, "to something else");
    assert_eq!(tracking.follow(SERVER, &segment(S | A, 500, 101, 0), true), Judgement::Pass, "sent again");
}

#[test]
fn the_server_may_refuse_with_a_reset() {
    let mut tracking = Tracking::default();
    assert_eq!(tracking.follow(CLIENT, &segment(S, 100, 0, 0), true), Judgement::Pass);
    assert_eq!(tracking.follow(SERVER, &segment(R | A, 0, 77, 0), true), Judgement::Refuse);
    assert_eq!(
        tracking.follow(SERVER, &segment(R | A, 0, 101, 0), true),
        Judgement::Reset(EndReason::TcpRstFromServer)
    );
    assert_eq!(tracking.state(), SessionState::Closed);
}

#[test]
fn resets_are_believed_by_their_sequence_number() {
    let timeouts = Timeouts::default();
    let mut tracking = established();
    let beyond = 501 + 1000;
    assert_eq!(tracking.follow(SERVER, &segment(R, beyond + 1, 0, 0), true), Judgement::OutOfWindow);
    assert_eq!(tracking.follow(SERVER, &segment(R, 500, 0, 0), true), Judgement::OutOfWindow);
    assert_eq!(tracking.follow(SERVER, &segment(R, 501 + WINDOW_BYTES + 1, 0, 0), false), Judgement::OutOfWindow);
    assert_eq!(tracking.clock().timeout(&timeouts), timeouts.tcp);
    assert_eq!(tracking.follow(SERVER, &segment(R, 600, 0, 0), true), Judgement::Pass);
    assert_eq!(tracking.clock().timeout(&timeouts), timeouts.tcp_unverified_rst);
    assert_eq!(tracking.follow(CLIENT, &segment(A, 101, 501, 5), true), Judgement::Pass);
    assert_eq!(
        tracking.clock().timeout(&timeouts),
        timeouts.tcp,
        "traffic afterwards shows the reset was not believed"
    );
    assert_eq!(tracking.follow(CLIENT, &segment(R, 106, 0, 0), true), Judgement::Reset(EndReason::TcpRstFromClient));
}

#[test]
fn sequence_numbers_wrap() {
    let mut tracking = Tracking::default();
    assert_eq!(tracking.follow(CLIENT, &segment(S, u32::MAX - 1, 0, 0), true), Judgement::Pass);
    assert_eq!(tracking.follow(SERVER, &segment(S | A, 500, u32::MAX, 0), true), Judgement::Pass);
    assert_eq!(tracking.follow(CLIENT, &segment(A, u32::MAX, 501, 10), true), Judgement::Pass);
    assert_eq!(tracking.follow(CLIENT, &segment(R, 9, 0, 0), true), Judgement::Reset(EndReason::TcpRstFromClient));
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
    assert_eq!(tracking.follow(CLIENT, &segment(S, 100, 0, 0), true), Judgement::Pass);
    assert_eq!(tracking.follow(SERVER, &segment(A, 7000, 4000, 0), true), Judgement::Pass, "the challenge");
    assert_eq!(
        tracking.follow(CLIENT, &segment(R, 400_000_000, 0, 0), true),
        Judgement::OutOfWindow,
        "not what was challenged"
    );
    assert_eq!(tracking.follow(CLIENT, &segment(R, 4000, 0, 0), true), Judgement::Pass, "the reset of the older one");
    assert_eq!(tracking.state(), SessionState::Opening);
    assert_eq!(tracking.follow(CLIENT, &segment(S, 100, 0, 0), true), Judgement::Pass);
    assert_eq!(tracking.follow(SERVER, &segment(S | A, 500, 101, 0), true), Judgement::Pass);
    assert_eq!(tracking.follow(CLIENT, &segment(A, 101, 501, 0), true), Judgement::Pass);
    assert_eq!(tracking.state(), SessionState::Active);
}

#[test]
fn a_client_that_starts_over_is_followed_once_the_server_agrees() {
    let mut tracking = established();
    assert_eq!(tracking.follow(CLIENT, &segment(S, 70_000_000, 0, 0), true), Judgement::Pass);
    assert_eq!(tracking.state(), SessionState::Active);
    // An old SYN-ACK still on its way changes nothing.
    assert_eq!(tracking.follow(SERVER, &segment(S | A, 500, 101, 0), true), Judgement::Pass);
    assert_eq!(tracking.state(), SessionState::Active);
    assert_eq!(tracking.follow(SERVER, &segment(S | A, 9_000, 70_000_001, 0), true), Judgement::Pass);
    assert_eq!(tracking.state(), SessionState::Opening);
    assert_eq!(tracking.follow(CLIENT, &segment(A, 70_000_001, 9_001, 0), true), Judgement::Pass);
    assert_eq!(tracking.state(), SessionState::Active);
    assert_eq!(tracking.follow(SERVER, &segment(R, 9_001, 0, 0), true), Judgement::Reset(EndReason::TcpRstFromServer));
}

#[test]
fn segments_outside_of_the_window_do_not_belong_to_the_connection() {
    let mut tracking = established();
    assert_eq!(tracking.follow(CLIENT, &segment(A, 101, 501, 900), true), Judgement::Pass);
    assert_eq!(tracking.follow(CLIENT, &segment(A, 1101, 501, 1), true), Judgement::Pass, "a probe at the edge");
    for (direction, strange, why) in [
        (CLIENT, segment(A, 1103, 501, 10), "beyond what the server takes"),
        (CLIENT, segment(A, 1102_u32.wrapping_sub(70_000), 501, 10), "long past"),
        (CLIENT, segment(A, 1002, 502, 0), "acknowledges what was never sent"),
        (CLIENT, segment(A, 1002, 501_u32.wrapping_sub(70_000), 0), "acknowledges what is long past"),
        (SERVER, segment(A, 1502, 1002, 10), "beyond what the client takes"),
        (SERVER, segment(A | F, 501, 1103, 0), "a farewell that acknowledges what was never sent"),
    ] {
        let before = format!("{tracking:?}");
        assert_eq!(tracking.follow(direction, &strange, true), Judgement::OutOfWindow, "{why}");
        assert_eq!(format!("{tracking:?}"), before, "{why}: it changes nothing");
        let mut unchecked = tracking;
        assert_eq!(unchecked.follow(direction, &strange, false), Judgement::Pass, "{why}, and nobody minds");
    }
    assert_eq!(tracking.follow(CLIENT, &segment(A, 101, 501, 100), true), Judgement::Pass, "sent again");
    assert_eq!(tracking.follow(SERVER, &segment(A, 501, 1102, 0), true), Judgement::Pass);
    assert_eq!(tracking.follow(CLIENT, &segment(A, 1102, 501, 1000), true), Judgement::Pass, "the window moved");
}

fn scaled(segment: Tcp, window: u16, window_shift: Option<u8>) -> Tcp {
    Tcp { window, window_shift, ..segment }
}

#[test]
fn windows_are_shifted_if_both_sides_say_so() {
    for (server_shift, edge) in [(Some(7), 501 + (1000 << 7)), (None, 501 + 1000)] {
        let mut tracking = Tracking::default();
        let mut pass = |direction, segment| {
            assert_eq!(tracking.follow(direction, &segment, true), Judgement::Pass, "{segment:?}");
        };
        pass(CLIENT, scaled(segment(S, 100, 0, 0), 60_000, Some(7)));
        // The window of a SYN is never shifted.
        pass(SERVER, scaled(segment(S | A, 500, 101, 0), 1000, server_shift));
        pass(CLIENT, scaled(segment(A, 101, 501, 0), 1000, None));
        let limit = 501 + 60_000;
        pass(SERVER, scaled(segment(A, limit, 101, 0), 1000, None));
        let edge: u32 = edge;
        let expected = if edge > limit { Judgement::Pass } else { Judgement::OutOfWindow };
        let mut other = tracking;
        assert_eq!(other.follow(SERVER, &segment(A, edge.max(limit + 1), 101, 0), true), expected, "{server_shift:?}");
        assert_eq!(other.follow(SERVER, &segment(A, edge.max(limit) + 1, 101, 0), true), Judgement::OutOfWindow);
    }
}

#[test]
fn a_connection_is_picked_up_in_its_midst() {
    let mut tracking = Tracking::default();
    assert_eq!(tracking.follow(CLIENT, &segment(A, 100_000, 7, 10), true), Judgement::Pass);
    assert_eq!(tracking.state(), SessionState::Active);
    assert_eq!(tracking.clock(), Clock::Established);
    assert_eq!(tracking.follow(SERVER, &segment(A, 900_000, 100_010, 10), true), Judgement::Pass);
    assert_eq!(tracking.follow(CLIENT, &segment(A | F, 100_010, 900_010, 0), true), Judgement::Pass);
    assert_eq!(tracking.follow(SERVER, &segment(A | F, 900_010, 100_011, 0), true), Judgement::Finished);
    // The first thing that is seen may be the server's part of the handshake.
    let mut tracking = Tracking::default();
    assert_eq!(tracking.follow(CLIENT, &segment(S | A, 500, 101, 0), true), Judgement::Pass);
    assert_eq!(tracking.follow(CLIENT, &segment(A, 501, 101, 10), true), Judgement::Pass);
}
