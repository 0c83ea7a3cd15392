//! How might a packet come in fragments? In any order, twice, contradictory, or not all of them.

use super::frames::{Body, Mac, Packet, fragments};
use super::random::Random;

/// What becomes of the fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Their datagram is whole once the last frame is in.
    Whole,
    /// It never is.
    Incomplete,
}

/// A packet in fragments, in the order they come; now and then, and if it is long enough.
pub(crate) fn cut(
    random: &mut Random,
    destination: Mac,
    station: Mac,
    packet: &Packet,
    id: u16,
) -> Option<(Shape, Vec<Vec<u8>>)> {
    if !random.percent(20) {
        return None;
    }
    let (header, extra) = if packet.source.is_ipv4() { (20, 0) } else { (40, 8) };
    // The first one has to hold the transport's header.
    let least = match packet.body {
        Body::Tcp { .. } => 3,
        Body::Other(132) => 2,
        _ => 1,
    };
    let eights = (packet.bytes().len() - header).div_ceil(8);
    if eights <= least {
        return None;
    }
    let room = (least + random.below(eights - least)).max(eights / 40);
    let mut frames = fragments(destination, station, packet, header + extra + room * 8, id);
    for at in (1..frames.len()).rev() {
        frames.swap(at, random.below(at + 1));
    }
    let shape = match random.below(10) {
        0 => {
            frames.remove(random.below(frames.len()));
            Shape::Incomplete
        }
        1 => {
            // The same place with other bytes.
            let mut other = frames[0].clone();
            let last = other.len() - 1;
            other[last] ^= 1;
            frames.insert(1, other);
            Shape::Incomplete
        }
        2 => {
            let copy = frames[0].clone();
            frames.insert(1, copy);
            Shape::Whole
        }
        _ => Shape::Whole,
    };
    Some((shape, frames))
}
