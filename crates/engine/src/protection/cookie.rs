//! Which answer to a SYN needs no memory of it?
//!
//! A SYN cookie is the sequence number of the answer. It holds when it was made and the client's segment
//! size, under a keyed hash of both and of the flow; the client's acknowledgment brings it back. The key
//! of each period is drawn from the secret of the engine, so that what leaks of one is worth nothing in
//! the next.
//!
//! ```text
//! bit 31: the period, even or odd; bits 30 and 29: segment size; bits 28 to 0: hash
//! ```

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::key::Key;
use crate::settings::SECOND;
use crate::verdict::Time;

/// How long one key is in use; a cookie is good in its period and the next.
const PERIOD: u64 = 64 * SECOND;

const HASH_BITS: u32 = 29;

/// Segment sizes that fit into a cookie; a client's is rounded down.
const SIZES_V4: [u16; 4] = [536, 1300, 1440, 1460];
const SIZES_V6: [u16; 4] = [536, 1220, 1420, 1440];

/// Makes and checks cookies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cookies {
    secret: [u64; 2],
}

impl Cookies {
    pub(crate) fn new(secret: [u64; 2]) -> Self {
        Self { secret }
    }

    /// The sequence number that answers a SYN with this sequence number and segment size.
    pub(crate) fn make(&self, flow: &Key, sequence: u32, mss: u16, now: Time) -> u32 {
        let sizes = sizes(flow);
        let size = sizes.iter().rposition(|size| *size <= mss).unwrap_or(0) as u32;
        self.cookie(flow, sequence, size, now.0 / PERIOD)
    }

    /// The segment size behind a cookie that came back, if it is one of the last two periods.
    pub(crate) fn check(&self, flow: &Key, sequence: u32, cookie: u32, now: Time) -> Option<u16> {
        let size = cookie >> HASH_BITS & 3;
        let period = now.0 / PERIOD;
        // Only one of the two is even where the cookie is, or odd.
        let made = if period & 1 == u64::from(cookie >> 31) { period } else { period.checked_sub(1)? };
        (self.cookie(flow, sequence, size, made) == cookie).then(|| sizes(flow)[size as usize])
    }

    fn cookie(&self, flow: &Key, sequence: u32, size: u32, period: u64) -> u32 {
        let [first, second] = self.secret;
        let half = |number: u64| {
            let mut hasher = SipHasher24::new_with_keys(first, second);
            hasher.write_u64(period);
            hasher.write_u64(number);
            hasher.finish()
        };
        let mut hasher = SipHasher24::new_with_keys(half(0), half(1));
        std::hash::Hash::hash(flow, &mut hasher);
        hasher.write_u32(sequence);
        hasher.write_u32(size);
        let hash = (hasher.finish() >> (64 - HASH_BITS)) as u32;
        ((period & 1) as u32) << 31 | size << HASH_BITS | hash
    }
}

fn sizes(flow: &Key) -> [u16; 4] {
    if flow.flow().source.is_ipv4() { SIZES_V4 } else { SIZES_V6 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::FlowKey;

    fn flow(port: u16, v6: bool) -> Key {
        let (source, destination) = match v6 {
            false => ("10.0.0.5".parse().unwrap(), "192.0.2.9".parse().unwrap()),
            true => ("2001:db8::5".parse().unwrap(), "2001:db8::9".parse().unwrap()),
        };
        let flow = FlowKey { realm: 0, source, destination, protocol: 6, source_port: port, destination_port: 443 };
        Key::new(&flow, false)
    }

    #[test]
    fn a_cookie_is_good_for_its_flow_and_for_a_while() {
        let cookies = Cookies::new([1, 2]);
        for v6 in [false, true] {
            for start in [0, 64, 100, 6400] {
                let made = Time(start * SECOND);
                let cookie = cookies.make(&flow(1, v6), 77, 1440, made);
                let good = |flow: &Key, sequence, after: u64| {
                    cookies.check(flow, sequence, cookie, Time((start + after) * SECOND)).is_some()
                };
                assert!(good(&flow(1, v6), 77, 0) && good(&flow(1, v6), 77, 63));
                assert!(!good(&flow(1, v6), 77, 128) && !good(&flow(1, v6), 77, 192));
                assert!(!good(&flow(2, v6), 77, 0) && !good(&flow(1, v6), 78, 0) && !good(&flow(1, !v6), 77, 0));
            }
        }
    }

    #[test]
    fn a_cookie_remembers_the_segment_size() {
        let cookies = Cookies::new([1, 2]);
        let back = |v6: bool, mss: u16| {
            let cookie = cookies.make(&flow(1, v6), 77, mss, Time(0));
            cookies.check(&flow(1, v6), 77, cookie, Time(0))
        };
        for (mss, v4, v6) in
            [(0, 536, 536), (1299, 536, 1220), (1450, 1440, 1440), (1460, 1460, 1440), (9000, 1460, 1440)]
        {
            assert_eq!((back(false, mss), back(true, mss)), (Some(v4), Some(v6)));
        }
    }

    #[test]
    fn other_secrets_make_other_cookies_and_guesses_fail() {
        let made = |secret| Cookies::new(secret).make(&flow(1, false), 77, 1460, Time(0));
        assert_ne!(made([1, 2]), made([1, 3]));
        assert_ne!(made([1, 2]), made([2, 2]));
        let cookies = Cookies::new([1, 2]);
        let lucky = (0..100_000_u32)
            .filter(|guess| cookies.check(&flow(1, false), 77, guess.wrapping_mul(0x9e37_79b9), Time(0)).is_some());
        assert_eq!(lucky.count(), 0);
    }
}
