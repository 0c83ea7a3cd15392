//! What is written can be read by the codec, and what strangers write harms nobody.

use bartizan_packet::frame::Meta;
use bartizan_packet::parse::{Layer4, Parsed, parse};
use proptest::prelude::*;

use super::*;

const MAC: Mac = [2, 0, 0, 0, 0, 5];

/// An ack as a server writes it, changed by the caller.
fn reply(change: impl FnOnce(&mut v4::Message)) -> Vec<u8> {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut wire = v4::Message::new_with_id(7, none, Ipv4Addr::new(10, 0, 0, 9), none, none, &MAC);
    wire.set_opcode(Opcode::BootReply);
    let options = wire.opts_mut();
    options.insert(DhcpOption::MessageType(MessageType::Ack));
    options.insert(DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)));
    options.insert(DhcpOption::Router(vec![Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)]));
    options.insert(DhcpOption::ServerIdentifier(Ipv4Addr::new(10, 0, 0, 3)));
    options.insert(DhcpOption::AddressLeaseTime(3600));
    options.insert(DhcpOption::Rebinding(3000));
    change(&mut wire);
    wire.to_vec().unwrap()
}

fn offered(change: impl FnOnce(&mut v4::Message)) -> Option<Offer> {
    read(&reply(change), MAC).unwrap().offer
}

#[test]
fn a_request_is_one_broadcast_of_at_least_bootp_length() {
    let message = Message {
        kind: Kind::Request,
        transaction: 0x0102_0304,
        seconds: 3,
        client: None,
        requested: Some(Ipv4Addr::new(10, 0, 0, 9)),
        server: Some(Ipv4Addr::new(10, 0, 0, 3)),
        to: None,
    };
    let bytes = frame(&message, MAC, Some("fw-1")).unwrap();
    let Ok(Parsed::Ip(packet)) = parse(&bytes, Meta::default()) else { panic!("not IP") };
    assert_eq!(
        (packet.source.to_string(), packet.destination.to_string()),
        ("0.0.0.0".into(), "255.255.255.255".into())
    );
    assert_eq!(packet.layer4, Layer4::Ports { source: 68, destination: 67 });
    let payload = &bytes[packet.transport + 8..packet.end];
    assert!(payload.len() >= MESSAGE_BYTES_MIN);
    let wire = v4::Message::from_bytes(payload).unwrap();
    assert_eq!((wire.xid(), wire.secs(), wire.chaddr()), (0x0102_0304, 3, &MAC[..]));
    assert!(wire.opts().has_msg_type(MessageType::Request));
    assert_eq!(wire.opts().get(OptionCode::Hostname), Some(&DhcpOption::Hostname("fw-1".into())));
    assert_eq!(
        wire.opts().get(OptionCode::RequestedIpAddress),
        Some(&DhcpOption::RequestedIpAddress(Ipv4Addr::new(10, 0, 0, 9)))
    );
}

#[test]
fn a_reply_is_read_whole() {
    let found = read(&reply(|_| {}), MAC).unwrap();
    assert_eq!((found.kind, found.transaction, found.server), (Kind::Ack, 7, Some(Ipv4Addr::new(10, 0, 0, 3))));
    assert_eq!(
        found.offer,
        Some(Offer {
            network: "10.0.0.9/24".parse().unwrap(),
            gateway: Some(Ipv4Addr::new(10, 0, 0, 1)),
            server: Ipv4Addr::new(10, 0, 0, 3),
            lease_s: 3600,
            renew_s: None,
            rebind_s: Some(3000),
        })
    );
}

#[test]
fn google_cloud_gives_a_host_address_and_the_gateway_as_a_classless_route() {
    let gateway = Ipv4Addr::new(10, 0, 0, 1);
    let offer = offered(|wire| {
        let options = wire.opts_mut();
        options.insert(DhcpOption::SubnetMask(Ipv4Addr::BROADCAST));
        options.insert(DhcpOption::Router(vec![Ipv4Addr::new(10, 0, 0, 77)]));
        options.insert(DhcpOption::ClasslessStaticRoute(vec![
            ("10.0.0.1/32".parse().unwrap(), Ipv4Addr::UNSPECIFIED),
            ("0.0.0.0/0".parse().unwrap(), gateway),
        ]));
    })
    .unwrap();
    assert_eq!((offer.network.to_string(), offer.gateway), ("10.0.0.9/32".into(), Some(gateway)));
}

#[test]
fn terms_that_cannot_be_kept_are_no_offer() {
    let without = |code| {
        move |wire: &mut v4::Message| {
            wire.opts_mut().remove(code);
        }
    };
    assert_eq!(offered(without(OptionCode::AddressLeaseTime)), None);
    assert_eq!(offered(without(OptionCode::ServerIdentifier)), None);
    assert_eq!(offered(without(OptionCode::SubnetMask)).unwrap().network.prefix_len(), 32);
    let with = |option| {
        move |wire: &mut v4::Message| {
            wire.opts_mut().insert(option);
        }
    };
    assert_eq!(offered(with(DhcpOption::AddressLeaseTime(LEASE_MIN_S - 1))), None);
    assert_eq!(offered(with(DhcpOption::SubnetMask(Ipv4Addr::new(255, 0, 255, 0)))), None);
    assert_eq!(offered(with(DhcpOption::SubnetMask(Ipv4Addr::UNSPECIFIED))), None);
    assert_eq!(offered(with(DhcpOption::Router(vec![Ipv4Addr::new(224, 0, 0, 1)]))).unwrap().gateway, None);
    assert_eq!(offered(with(DhcpOption::Router(Vec::new()))).unwrap().gateway, None);
    for address in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 9], [255, 255, 255, 255], [10, 0, 0, 0], [10, 0, 0, 255]]
    {
        assert_eq!(
            offered(|wire| {
                wire.set_yiaddr(Ipv4Addr::from(address));
            }),
            None,
            "{address:?}"
        );
    }
}

#[test]
fn what_is_meant_for_others_is_not_read() {
    assert_eq!(read(&reply(|_| {}), [2, 0, 0, 0, 0, 6]), None);
    assert_eq!(
        read(
            &reply(|wire| {
                wire.set_opcode(Opcode::BootRequest);
            }),
            MAC
        ),
        None
    );
    assert_eq!(
        read(
            &reply(|wire| {
                wire.opts_mut().insert(DhcpOption::MessageType(MessageType::Inform));
            }),
            MAC
        ),
        None
    );
    let mut no_cookie = reply(|_| {});
    no_cookie[COOKIE.1] = 0;
    assert_eq!(read(&no_cookie, MAC), None);
    let mut long_address = reply(|_| {});
    long_address[2] = 255;
    assert_eq!(read(&long_address, MAC), None, "the length of the hardware address is a lie");
}

#[test]
fn a_broken_option_that_nobody_reads_does_no_harm() {
    // Rapid commit (80) with a length, and a domain name (15) that is no text.
    let mut bytes = reply(|_| {});
    bytes.pop();
    bytes.extend([80, 1, 7, 15, 2, 0xff, 0xfe, 255]);
    assert_eq!(read(&bytes, MAC).unwrap().offer.unwrap().lease_s, 3600);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn no_bytes_harm_the_reader(change in prop::collection::vec((0usize..400, any::<u8>()), 0..40), cut in 0usize..400) {
        let mut bytes = reply(|_| {});
        bytes.resize(400, 0);
        for (at, value) in change {
            if at < COOKIE.1 || at >= COOKIE.1 + 4 {
                bytes[at] = value;
            }
        }
        bytes.truncate(cut.max(1));
        if let Some(Reply { offer: Some(offer), .. }) = read(&bytes, MAC) {
            prop_assert!(is_usable(&offer.network) && offer.lease_s >= LEASE_MIN_S);
        }
    }
}
