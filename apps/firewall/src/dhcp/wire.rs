//! How do the client's messages look on the wire, and which replies can be believed?

use std::net::{IpAddr, Ipv4Addr};

use bartizan_packet::answer::{Link, udp_frame};
use bartizan_packet::ethernet::{BROADCAST, Mac};
use dhcproto::v4::{self, DhcpOption, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Encodable};
use ipnet::Ipv4Net;

use super::client::LEASE_MIN_S;

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
/// Shortest message: that of BOOTP.
const MESSAGE_BYTES_MIN: usize = 300;
/// Largest message a server may send: what one Ethernet frame holds.
const MESSAGE_BYTES_MAX: u16 = 1500;
/// Marks the options, at this offset (RFC 2131 section 3).
const COOKIE: ([u8; 4], usize) = ([99, 130, 83, 99], 236);

const OPTION_PAD: u8 = 0;
const OPTION_END: u8 = 255;
/// Options that are read, by the numbers of RFC 2132 and RFC 3442: mask, router, lease time, message type,
/// server, T1, T2, classless routes.
const OPTIONS_READ: [u8; 8] = [1, 3, 51, 53, 54, 58, 59, 121];

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Is there a server?
    Discover,
    /// Here is an address.
    Offer,
    /// May this address be used?
    Request,
    /// It may.
    Ack,
    /// It may not.
    Nak,
    /// It is no longer used.
    Release,
}

/// A message of the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Discover, request or release.
    pub kind: Kind,
    /// Identifies the answers.
    pub transaction: u32,
    /// Since the search began.
    pub seconds: u16,
    /// The address in use.
    pub client: Option<Ipv4Addr>,
    /// The address asked for.
    pub requested: Option<Ipv4Addr>,
    /// The server meant.
    pub server: Option<Ipv4Addr>,
    /// The server to send it to; to all when `None`.
    pub to: Option<Ipv4Addr>,
}

/// An address as a server offers or confirms it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The address with the length of its network.
    pub network: Ipv4Net,
    /// The default gateway.
    pub gateway: Option<Ipv4Addr>,
    /// The server.
    pub server: Ipv4Addr,
    /// How long the address may be used; `u32::MAX` is for ever.
    pub lease_s: u32,
    /// When to renew, if the server says.
    pub renew_s: Option<u32>,
    /// When to rebind, if the server says.
    pub rebind_s: Option<u32>,
}

/// A server's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Offer, ack or nak.
    pub kind: Kind,
    /// The request it answers.
    pub transaction: u32,
    /// Who says it.
    pub server: Option<Ipv4Addr>,
    /// The address, unless it is a nak, or what it says cannot be used.
    pub offer: Option<Offer>,
}

/// The frame of a message; the engine fills in the station it is sent to, where it is for one.
///
/// # Errors
/// When the codec refuses, in its words.
pub(super) fn frame(message: &Message, mac: Mac, hostname: Option<&str>) -> Result<Vec<u8>, String> {
    let mut payload = encode(message, mac, hostname)?;
    // Relays and servers may drop what is shorter than a BOOTP message (RFC 1542 section 2.1).
    payload.resize(payload.len().max(MESSAGE_BYTES_MIN), 0);
    let source = IpAddr::V4(message.client.unwrap_or(Ipv4Addr::UNSPECIFIED));
    let destination = IpAddr::V4(message.to.unwrap_or(Ipv4Addr::BROADCAST));
    let link = Link { source: mac, destination: BROADCAST };
    Ok(udp_frame(link, (source, CLIENT_PORT), (destination, SERVER_PORT), &payload))
}

fn encode(message: &Message, mac: Mac, hostname: Option<&str>) -> Result<Vec<u8>, String> {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut wire =
        v4::Message::new_with_id(message.transaction, message.client.unwrap_or(none), none, none, none, &mac);
    wire.set_secs(message.seconds);
    let options = wire.opts_mut();
    options.insert(DhcpOption::MessageType(match message.kind {
        Kind::Discover => MessageType::Discover,
        Kind::Release => MessageType::Release,
        Kind::Request | Kind::Offer | Kind::Ack | Kind::Nak => MessageType::Request,
    }));
    // Hardware type 1 is Ethernet (RFC 2132 section 9.14).
    options.insert(DhcpOption::ClientIdentifier([&[1], &mac[..]].concat()));
    if let Some(requested) = message.requested {
        options.insert(DhcpOption::RequestedIpAddress(requested));
    }
    if let Some(server) = message.server {
        options.insert(DhcpOption::ServerIdentifier(server));
    }
    if message.kind != Kind::Release {
        options.insert(DhcpOption::MaxMessageSize(MESSAGE_BYTES_MAX));
        options.insert(DhcpOption::ParameterRequestList(vec![
            OptionCode::SubnetMask,
            OptionCode::ClasslessStaticRoute,
            OptionCode::Router,
            OptionCode::AddressLeaseTime,
            OptionCode::ServerIdentifier,
            OptionCode::Renewal,
            OptionCode::Rebinding,
        ]));
        if let Some(hostname) = hostname {
            options.insert(DhcpOption::Hostname(hostname.to_owned()));
        }
    }
    wire.to_vec().map_err(|error| error.to_string())
}

/// Reads what a server sent to the client with this MAC; `None` when it is something else.
pub fn read(bytes: &[u8], mac: Mac) -> Option<Reply> {
    let (cookie, at) = COOKIE;
    if bytes.get(at..at + cookie.len())? != cookie {
        return None;
    }
    let wire = v4::Message::from_bytes(&only_read(bytes)?).ok()?;
    // The length is looked at first: the codec trusts it.
    if wire.opcode() != Opcode::BootReply || wire.hlen() != 6 || wire.chaddr() != mac {
        return None;
    }
    let kind = match wire.opts().msg_type()? {
        MessageType::Offer => Kind::Offer,
        MessageType::Ack => Kind::Ack,
        MessageType::Nak => Kind::Nak,
        _ => return None,
    };
    let server = match wire.opts().get(OptionCode::ServerIdentifier) {
        Some(DhcpOption::ServerIdentifier(server)) => Some(*server),
        _ => None,
    };
    let offer = if kind == Kind::Nak { None } else { offer(&wire, server) };
    Some(Reply { kind, transaction: wire.xid(), server, offer })
}

/// The message with no options but those that are read: for others that are broken the codec gives the whole
/// message up, or panics.
fn only_read(bytes: &[u8]) -> Option<Vec<u8>> {
    let (head, mut options) = bytes.split_at_checked(COOKIE.1 + COOKIE.0.len())?;
    let mut kept = head.to_vec();
    while let [code, rest @ ..] = options {
        options = match *code {
            OPTION_PAD => rest,
            OPTION_END => break,
            code => {
                let (length, rest) = rest.split_first()?;
                let (value, rest) = rest.split_at_checked(usize::from(*length))?;
                if OPTIONS_READ.contains(&code) {
                    kept.extend([code, *length]);
                    kept.extend(value);
                }
                rest
            }
        };
    }
    kept.push(OPTION_END);
    Some(kept)
}

fn offer(wire: &v4::Message, server: Option<Ipv4Addr>) -> Option<Offer> {
    let options = wire.opts();
    let seconds = |code| match options.get(code) {
        Some(DhcpOption::AddressLeaseTime(seconds) | DhcpOption::Renewal(seconds) | DhcpOption::Rebinding(seconds)) => {
            Some(*seconds)
        }
        _ => None,
    };
    let mask = match options.get(OptionCode::SubnetMask) {
        Some(DhcpOption::SubnetMask(mask)) => *mask,
        // Servers that leave it out mean the host alone.
        _ => Ipv4Addr::BROADCAST,
    };
    let network = Ipv4Net::with_netmask(wire.yiaddr(), mask).ok().filter(is_usable)?;
    let lease_s = seconds(OptionCode::AddressLeaseTime)?;
    (lease_s >= LEASE_MIN_S).then_some(Offer {
        network,
        gateway: gateway(options).filter(|gateway| is_host(*gateway) && *gateway != network.addr()),
        server: server.filter(|server| is_host(*server))?,
        lease_s,
        renew_s: seconds(OptionCode::Renewal),
        rebind_s: seconds(OptionCode::Rebinding),
    })
}

/// The default gateway: of the classless routes where there are any (RFC 3442), else the first router.
fn gateway(options: &v4::DhcpOptions) -> Option<Ipv4Addr> {
    if let Some(DhcpOption::ClasslessStaticRoute(routes)) = options.get(OptionCode::ClasslessStaticRoute) {
        return routes.iter().find(|(to, _)| to.prefix_len() == 0).map(|(_, gateway)| *gateway);
    }
    match options.get(OptionCode::Router) {
        Some(DhcpOption::Router(routers)) => routers.first().copied(),
        _ => None,
    }
}

/// Whether an interface can hold the address in its network.
fn is_usable(network: &Ipv4Net) -> bool {
    let middle = network.addr() != network.network() && network.addr() != network.broadcast();
    network.prefix_len() > 0 && is_host(network.addr()) && (network.prefix_len() >= 31 || middle)
}

/// Whether the address can be one host's (RFC 1122 section 3.2.1.3).
fn is_host(address: Ipv4Addr) -> bool {
    !matches!(address.octets()[0], 0 | 127 | 224..)
}

#[cfg(test)]
#[path = "wire/tests.rs"]
mod tests;
