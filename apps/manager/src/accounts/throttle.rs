//! How often may one address guess a password?

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Failures that are free.
const FAILURES_MAX: u32 = 10;
/// They are forgotten after this time without a further one; so long does a full count refuse.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; the one that failed longest ago makes room.
const ADDRESSES_MAX: usize = 4096;

/// Failed logins by address.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    failures: HashMap<IpAddr, Failures>,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Throttle {
    /// A login failed.
    pub(super) fn failed(&mut self, address: IpAddr, now: Instant) {
        let address = network(address);
        if !self.failures.contains_key(&address) && self.failures.len() >= ADDRESSES_MAX {
            let oldest = self.failures.iter().min_by_key(|(_, failures)| failures.last).map(|(address, _)| *address);
            if let Some(oldest) = oldest {
                self.failures.remove(&oldest);
            }
        }
        let failures = self.failures.entry(address).or_insert(Failures { count: 0, last: now });
        if now.duration_since(failures.last) >= WINDOW {
            failures.count = 0;
        }
        failures.count += 1;
        failures.last = now;
    }

    /// A login succeeded: the address is in good standing again.
    pub(super) fn succeeded(&mut self, address: IpAddr) {
        self.failures.remove(&network(address));
    }

    /// How long the address must wait before it may try.
    pub(super) fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let failures = self.failures.get(&network(address))?;
        let passed = now.duration_since(failures.last);
        (failures.count >= FAILURES_MAX && passed < WINDOW).then(|| WINDOW - passed)
    }
}

/// An IPv6 host has a /64 to itself.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => IpAddr::V4(address),
            None => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_wrong_passwords_make_the_address_wait_a_minute() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let guesser: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        for _ in 0..FAILURES_MAX {
            assert_eq!(throttle.wait(guesser, start), None);
            throttle.failed(guesser, start);
        }
        assert_eq!(throttle.wait(neighbour, start + Duration::from_secs(20)), Some(Duration::from_secs(40)));
        assert_eq!(throttle.wait("192.0.2.1".parse().unwrap(), start), None);
        assert_eq!(throttle.wait(guesser, start + WINDOW), None);
    }

    #[test]
    fn the_table_stays_within_its_bound() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        for number in 0..=u32::try_from(ADDRESSES_MAX).unwrap() {
            throttle.failed(IpAddr::V4(number.into()), start + Duration::from_millis(number.into()));
        }
        assert_eq!(throttle.failures.len(), ADDRESSES_MAX);
        assert!(!throttle.failures.contains_key(&IpAddr::V4(0.into())), "the oldest made room");
    }
}
