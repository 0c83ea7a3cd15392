//! Can a DHCP server, or whoever answers in its place, make the client panic, fall asleep or take an address that
//! nobody can have?
//!
//! Steps: wait, a reply that fits the last question but for some bytes, a message of the input's own, an order.
#![no_main]

use bartizan_engine::settings::SECOND;
use bartizan_engine::verdict::Time;
use bartizan_firewall::dhcp::client::{Client, LEASE_MIN_S, Standing};
use bartizan_firewall::dhcp::wire::{Kind, Message, read};
use libfuzzer_sys::fuzz_target;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 5];
const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// Bytes to decide by; zeroes when they run out.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// A server's answer to a question; the input's bytes are written over it.
fn reply(asked: &Message, input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = vec![0; 236];
    bytes[..4].copy_from_slice(&[2, 1, 6, 0]);
    bytes[4..8].copy_from_slice(&asked.transaction.to_be_bytes());
    bytes[16..20].copy_from_slice(&[192, 0, 2, 9 + input.byte() % 4]);
    bytes[28..34].copy_from_slice(&MAC);
    bytes.extend(COOKIE);
    let kind = match (asked.kind, input.byte() % 4) {
        (_, 0) => 6,
        (Kind::Discover, _) => 2,
        _ => 5,
    };
    bytes.extend([53, 1, kind, 54, 4, 192, 0, 2, 1, 1, 4, 255, 255, 255, 0, 51, 4, 0, 0, input.byte(), input.byte()]);
    let length = usize::from(input.byte() % 40);
    bytes.extend(input.bytes(length));
    bytes.push(255);
    for _ in 0..input.byte() % 4 {
        let at = usize::from(input.byte()) + usize::from(input.byte());
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= input.byte();
        }
    }
    bytes
}

fn check(client: &Client, now: Time) {
    let lease = client.lease();
    if let Some(lease) = lease {
        let octets = lease.network.addr().octets();
        assert!(!matches!(octets[0], 0 | 127 | 224..) && lease.network.prefix_len() > 0, "{lease:?}");
        assert!(lease.renew_at <= lease.rebind_at, "{lease:?}");
        assert!(lease.expires.is_none_or(|end| end > now && lease.rebind_at <= end), "{now:?} {lease:?}");
    }
    let holds = matches!(client.standing(), Standing::Bound | Standing::Renewing | Standing::Rebinding);
    assert!(!holds || lease.is_some(), "{:?} without a lease", client.standing());
    let endless = lease.is_some_and(|lease| lease.expires.is_none());
    assert!(client.due().is_some() || endless || client.standing() == Standing::Released, "asleep: {client:?}");
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mut now = Time(SECOND);
    let mut client = Client::new(u64::from(input.byte()), now, None);
    let mut asked: Option<Message> = None;
    for _ in 0..64 {
        if input.0.is_empty() {
            break;
        }
        let said = match input.byte() % 8 {
            0..=2 => {
                let due = client.due().filter(|due| *due > now).unwrap_or(now);
                now = due.after(u64::from(input.byte() % 2) * SECOND);
                client.tick(now)
            }
            3 => {
                let length = usize::from(input.byte()) * 2;
                let reply = read(input.bytes(length), MAC);
                reply.and_then(|reply| client.hear(&reply, now))
            }
            4 => client.renew(now),
            5 if input.byte() % 4 == 0 => client.release(now),
            _ => {
                let bytes = asked.as_ref().map(|asked| reply(asked, &mut input)).unwrap_or_default();
                let reply = read(&bytes, MAC);
                if let Some(offer) = reply.as_ref().and_then(|reply| reply.offer.as_ref()) {
                    assert!(offer.lease_s >= LEASE_MIN_S, "{offer:?}");
                }
                reply.and_then(|reply| client.hear(&reply, now))
            }
        };
        // What is due now is done first.
        let late = client.due().is_some_and(|due| due <= now).then(|| client.tick(now)).flatten();
        asked = late.or(said).or(asked);
        check(&client, now);
    }
});
