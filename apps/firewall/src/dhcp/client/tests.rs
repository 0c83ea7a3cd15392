//! Conversations with servers, told by the clock.

use super::*;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

fn s(seconds: u64) -> Time {
    Time(seconds * SECOND)
}

fn offer(last: u8, lease_s: u32) -> Offer {
    Offer {
        network: Ipv4Net::new(Ipv4Addr::new(10, 0, 0, last), 24).unwrap(),
        gateway: Some(SERVER),
        server: SERVER,
        lease_s,
        renew_s: None,
        rebind_s: None,
    }
}

fn says(kind: Kind, transaction: u32, offer: Option<Offer>) -> Reply {
    let server = Some(offer.as_ref().map_or(SERVER, |offer| offer.server));
    Reply { kind, transaction, server, offer }
}

/// A client that got `10.0.0.9` for this long at second 100.
fn bound(lease_s: u32) -> Client {
    let mut client = Client::new(1, s(100), None);
    let discover = client.tick(s(100)).unwrap();
    assert_eq!((discover.kind, discover.to, discover.client), (Kind::Discover, None, None));
    let request = client.hear(&says(Kind::Offer, discover.transaction, Some(offer(9, lease_s))), s(100)).unwrap();
    assert_eq!(
        (request.kind, request.requested, request.server, request.to),
        (Kind::Request, Some(Ipv4Addr::new(10, 0, 0, 9)), Some(SERVER), None)
    );
    assert_eq!((client.standing(), client.lease()), (Standing::Requesting, None));
    assert_eq!(client.hear(&says(Kind::Ack, request.transaction, Some(offer(9, lease_s))), s(100)), None);
    assert_eq!(client.standing(), Standing::Bound);
    client
}

/// The client's next message on its own, and when it came.
fn next(client: &mut Client) -> (Time, Message) {
    for _ in 0..100 {
        let due = client.due().expect("it waits for ever");
        if let Some(message) = client.tick(due) {
            return (due, message);
        }
    }
    panic!("it is always due and says nothing");
}

#[test]
fn a_lease_is_renewed_at_half_of_it_by_its_server_alone() {
    let mut client = bound(3600);
    assert_eq!(client.lease().unwrap().network.to_string(), "10.0.0.9/24");
    let (when, renewal) = next(&mut client);
    assert_eq!((when, client.standing()), (s(100 + 1800), Standing::Renewing));
    assert_eq!(
        (renewal.kind, renewal.to, renewal.client),
        (Kind::Request, Some(SERVER), Some(Ipv4Addr::new(10, 0, 0, 9)))
    );
    assert_eq!((renewal.requested, renewal.server), (None, None), "RFC 2131 table 5");
    let stranger = Offer { server: OTHER, ..offer(66, 3600) };
    client.hear(&says(Kind::Ack, renewal.transaction, Some(stranger)), when);
    assert_eq!(client.standing(), Standing::Renewing, "another server is not heard");
    client.hear(&says(Kind::Ack, renewal.transaction.wrapping_add(1), Some(offer(66, 3600))), when);
    assert_eq!(client.standing(), Standing::Renewing, "an answer to another request is not heard");
    client.hear(&says(Kind::Ack, renewal.transaction, Some(offer(9, 3600))), when);
    assert_eq!(client.standing(), Standing::Bound);
    assert_eq!(client.lease().unwrap().expires, Some(s(1900 + 3600)));
}

#[test]
fn without_an_answer_it_rebinds_at_seven_eighths_and_gives_up_at_the_end() {
    let mut client = bound(800);
    let mut said = Vec::new();
    let found = loop {
        let (when, message) = next(&mut client);
        if message.kind == Kind::Discover {
            break (when, message);
        }
        said.push((when.0 / SECOND - 100, client.standing(), message.to.is_some()));
    };
    let renewing: Vec<_> = said.iter().filter(|(_, standing, _)| *standing == Standing::Renewing).collect();
    let rebinding: Vec<_> = said.iter().filter(|(_, standing, _)| *standing == Standing::Rebinding).collect();
    assert_eq!(
        renewing.iter().map(|one| one.0).collect::<Vec<_>>(),
        [400, 550, 625, 685],
        "half of what is left, at least 60 s"
    );
    assert_eq!(rebinding.iter().map(|one| one.0).collect::<Vec<_>>(), [700, 760]);
    assert!(renewing.iter().all(|one| one.2) && rebinding.iter().all(|one| !one.2), "{said:?}");
    assert_eq!(found.0, s(900), "at the end of the lease");
    assert_eq!((client.standing(), client.lease()), (Standing::Selecting, None));
}

#[test]
fn any_server_may_renew_what_is_rebound_and_may_change_it() {
    let mut client = bound(800);
    let rebinding = loop {
        let (when, message) = next(&mut client);
        if client.standing() == Standing::Rebinding {
            break (when, message);
        }
    };
    let moved = Offer { server: OTHER, ..offer(50, 800) };
    client.hear(&says(Kind::Ack, rebinding.1.transaction, Some(moved)), rebinding.0);
    let lease = client.lease().unwrap();
    assert_eq!((lease.network.addr(), lease.server), (Ipv4Addr::new(10, 0, 0, 50), OTHER));
}

#[test]
fn a_refused_renewal_ends_the_lease_and_refusals_slow_the_client_down() {
    let mut client = bound(800);
    let (when, renewal) = next(&mut client);
    let discover = client.hear(&says(Kind::Nak, renewal.transaction, None), when).expect("it looks on at once");
    assert_eq!((discover.kind, client.lease()), (Kind::Discover, None));
    let mut waits = Vec::new();
    let mut now = when;
    let mut transaction = discover.transaction;
    for _ in 0..6 {
        let request = client.hear(&says(Kind::Offer, transaction, Some(offer(9, 800))), now).unwrap();
        assert_eq!(client.hear(&says(Kind::Nak, request.transaction, None), now), None);
        let (then, discover) = next(&mut client);
        waits.push((then.0 - now.0 + SECOND) / (2 * SECOND) * 2);
        (now, transaction) = (then, discover.transaction);
    }
    for (wait, expected) in waits.iter().zip([4, 8, 16, 32, 64, 64]) {
        assert!(wait.abs_diff(expected) <= 2, "{waits:?}");
    }
}

#[test]
fn unanswered_questions_are_repeated_with_growing_and_jittered_waits() {
    let mut client = Client::new(7, s(0), None);
    let mut last = s(0);
    client.tick(s(0)).unwrap();
    let mut waits = Vec::new();
    for expected in [4, 8, 16, 32, 64, 64, 64] {
        let (when, message) = next(&mut client);
        assert_eq!(message.kind, Kind::Discover);
        waits.push(when.since(last));
        assert!(when.since(last).abs_diff(expected * SECOND) <= SECOND, "{waits:?}");
        last = when;
    }
    assert!(waits.iter().any(|wait| wait % SECOND != 0), "they are jittered: {waits:?}");
}

#[test]
fn an_offer_that_is_not_confirmed_is_given_up() {
    let mut client = Client::new(1, s(0), None);
    let discover = client.tick(s(0)).unwrap();
    client.hear(&says(Kind::Offer, discover.transaction, Some(offer(9, 800))), s(0)).unwrap();
    let kinds: Vec<_> = (0..4).map(|_| next(&mut client).1.kind).collect();
    assert_eq!(kinds, [Kind::Request, Kind::Request, Kind::Request, Kind::Discover]);
}

fn remembered() -> Lease {
    bound(3600).lease().unwrap().clone()
}

#[test]
fn after_a_restart_the_same_address_is_asked_for() {
    let mut client = Client::new(2, s(500), Some(remembered()));
    assert_eq!(client.standing(), Standing::Rebooting);
    let request = client.tick(s(500)).unwrap();
    assert_eq!((request.kind, request.requested), (Kind::Request, Some(Ipv4Addr::new(10, 0, 0, 9))));
    assert_eq!((request.server, request.client, request.to), (None, None, None), "RFC 2131 table 5");
    client.hear(&says(Kind::Ack, request.transaction, Some(offer(9, 3600))), s(500));
    assert_eq!((client.standing(), client.lease().unwrap().expires), (Standing::Bound, Some(s(4100))));
}

#[test]
fn after_a_restart_a_silent_server_costs_seconds_and_not_the_address() {
    let mut client = Client::new(2, s(500), Some(remembered()));
    client.tick(s(500)).unwrap();
    assert!(next(&mut client).0 < s(506));
    let given_up = client.due().unwrap();
    assert!(given_up < s(516), "{given_up:?}");
    assert_eq!(client.tick(given_up), None);
    assert_eq!((client.standing(), client.due()), (Standing::Bound, Some(s(1900))));
    // Past its time to renew it is renewed at once, and past its end it is not used at all.
    let mut late = Client::new(2, s(2000), Some(remembered()));
    late.tick(s(2000)).unwrap();
    next(&mut late);
    assert_eq!((next(&mut late).1.to, late.standing()), (Some(SERVER), Standing::Renewing));
    assert_eq!(Client::new(2, s(3700), Some(remembered())).standing(), Standing::Init);
}

#[test]
fn a_released_address_is_asked_for_again_only_on_command() {
    let mut client = bound(800);
    let release = client.release(s(200)).unwrap();
    assert_eq!(
        (release.kind, release.client, release.server, release.to),
        (Kind::Release, Some(Ipv4Addr::new(10, 0, 0, 9)), Some(SERVER), Some(SERVER))
    );
    assert_eq!((client.lease(), client.due(), client.standing()), (None, None, Standing::Released));
    assert_eq!(client.release(s(201)), None);
    assert_eq!(client.renew(s(300)).unwrap().kind, Kind::Discover);
}

#[test]
fn renewing_on_command_asks_the_server_at_once() {
    let mut client = bound(800);
    let renewal = client.renew(s(150)).unwrap();
    assert_eq!((renewal.to, client.standing()), (Some(SERVER), Standing::Renewing));
    assert!(client.lease().is_some(), "the address stays in use");
    client.hear(&says(Kind::Ack, renewal.transaction, Some(offer(9, 800))), s(150));
    assert_eq!(client.lease().unwrap().expires, Some(s(950)));
}

#[test]
fn a_lease_for_ever_is_never_renewed() {
    let client = bound(u32::MAX);
    assert_eq!((client.lease().unwrap().expires, client.due()), (None, None));
}

#[test]
fn times_of_the_server_are_used_when_they_make_sense() {
    assert_eq!(terms(800, None, None), (400, 700));
    assert_eq!(terms(800, Some(100), Some(200)), (100, 200));
    assert_eq!(terms(800, Some(300), Some(200)), (200, 200));
    assert_eq!(terms(800, Some(0), Some(800)), (400, 700));
    assert_eq!(terms(10, None, Some(1)), (1, 1));
}
