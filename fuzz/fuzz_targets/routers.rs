//! Can anybody on the link make the listener to router advertisements panic, or keep more than it may?
//!
//! Steps: a wait, and an advertisement whose bytes are the input's.
#![no_main]

use bartizan_engine::settings::SECOND;
use bartizan_engine::verdict::Time;
use bartizan_firewall::autoconf::link::Link;
use bartizan_packet::ndp::RouterAdvertisement;
use libfuzzer_sys::fuzz_target;

/// Networks and routers that may be kept.
const KEPT_MAX: usize = 8;

/// A message with a head that is right and the options of the input.
fn message(kind: u8, options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![134, 0, 0, 0, 64, 0, kind, kind, 0, 0, 0, 0, 0, 0, 0, 0];
    if kind & 1 == 0 {
        bytes.extend([3, 4, 64, 0xc0]);
    }
    bytes.extend(options);
    bytes
}

fuzz_target!(|data: &[u8]| {
    let mut link = Link::new([2, 0, 0, 0, 0, 5], Time(SECOND));
    let mut now = Time(SECOND);
    let mut rest = data;
    while let Some((&[kind, wait, length], tail)) = rest.split_first_chunk::<3>() {
        let (options, tail) = tail.split_at(usize::from(length).min(tail.len()));
        rest = tail;
        now = now.after(u64::from(wait) * u64::from(wait) * SECOND);
        link.tick(now);
        let message = message(kind, options);
        if let Some(said) = RouterAdvertisement::read(&message) {
            assert!(said.prefixes.len() * 32 <= message.len());
            link.hear(format!("fe80::{}", kind & 31).parse().expect("an address"), &said, now);
        }
        let (own, routers) = link.learned();
        assert!(own.len() <= KEPT_MAX && routers.len() <= KEPT_MAX);
        for address in own {
            let ip = address.addr();
            assert!(!ip.is_multicast() && !ip.is_unicast_link_local(), "{address}");
            assert_eq!(ip.octets()[8..], [0, 0, 0, 0xff, 0xfe, 0, 0, 5], "{address} is somebody else's");
        }
        assert!(link.due().is_none_or(|due| due > now || link.tick(now)), "due and nothing to do");
    }
});
