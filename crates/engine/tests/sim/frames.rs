//! What does a frame say? Frames built and read byte by byte, with every checksum made and checked from
//! scratch; shares no code with the engine.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) type Mac = [u8; 6];

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// An IP packet without options.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) ttl: u8,
    /// Its class: differentiated services, and whether it met congestion.
    pub(crate) class: u8,
    /// Routers may cut it; never so in IPv6.
    pub(crate) fragmentable: bool,
    pub(crate) body: Body,
    /// The segment size that a SYN announces; 0 without that option.
    pub(crate) mss: u16,
    pub(crate) payload: Vec<u8>,
}

/// What the packet carries besides its payload.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Body {
    Tcp { source: u16, destination: u16, flags: u8, sequence: u32, acknowledgment: u32 },
    Udp { source: u16, destination: u16, summed: bool },
    Echo { reply: bool, identifier: u16, sequence: u16 },
    Error { kind: u8, code: u8, word: u32, quoted: Box<Packet> },
    Other(u8),
}

/// One direction of a conversation without its router: addresses, protocol, ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tuple {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    /// The identifier for echo.
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// Echo reply.
    pub(crate) reply: bool,
}

impl Tuple {
    /// What the answer to a packet of this tuple says.
    pub(crate) fn reversed(&self) -> Self {
        let echo = matches!(self.protocol, 1 | 58);
        Self {
            source: self.destination,
            destination: self.source,
            source_port: if echo { self.source_port } else { self.destination_port },
            destination_port: if echo { 0 } else { self.source_port },
            reply: echo && !self.reply,
            ..*self
        }
    }
}

impl Packet {
    pub(crate) fn protocol(&self) -> u8 {
        match &self.body {
            Body::Tcp { .. } => 6,
            Body::Udp { .. } => 17,
            Body::Echo { .. } | Body::Error { .. } => icmp(self.source),
            Body::Other(protocol) => *protocol,
        }
    }

    pub(crate) fn tuple(&self) -> Tuple {
        let (source_port, destination_port, reply) = match &self.body {
            Body::Tcp { source, destination, .. } | Body::Udp { source, destination, .. } => {
                (*source, *destination, false)
            }
            Body::Echo { reply, identifier, .. } => (*identifier, 0, *reply),
            Body::Error { .. } | Body::Other(_) => (0, 0, false),
        };
        let protocol = self.protocol();
        Tuple { source: self.source, destination: self.destination, protocol, source_port, destination_port, reply }
    }

    /// The same packet with other addresses and ports.
    pub(crate) fn with_tuple(&self, tuple: &Tuple) -> Self {
        let mut packet = self.clone();
        packet.source = tuple.source;
        packet.destination = tuple.destination;
        match &mut packet.body {
            Body::Tcp { source, destination, .. } | Body::Udp { source, destination, .. } => {
                (*source, *destination) = (tuple.source_port, tuple.destination_port);
            }
            Body::Echo { identifier, .. } => *identifier = tuple.source_port,
            Body::Error { .. } | Body::Other(_) => {}
        }
        packet
    }

    /// How long its headers are, IP and TCP or UDP.
    pub(crate) fn header_bytes(&self) -> usize {
        self.bytes().len() - self.payload.len()
    }

    /// The IP packet as bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let message = self.message();
        let mut bytes = Vec::new();
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                bytes.extend([0x45, self.class]);
                bytes.extend((20 + message.len() as u16).to_be_bytes());
                let flags = if self.fragmentable { 0 } else { 0x40 };
                bytes.extend([0, 7, flags, 0, self.ttl, self.protocol(), 0, 0]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
                let header = !sum(&bytes);
                bytes[10..12].copy_from_slice(&header.to_be_bytes());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                bytes.extend([0x60 | self.class >> 4, self.class << 4, 0, 0]);
                bytes.extend((message.len() as u16).to_be_bytes());
                bytes.extend([self.protocol(), self.ttl]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
            }
            _ => panic!("a packet of two families"),
        }
        bytes.extend(message);
        bytes
    }

    fn message(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let field = match &self.body {
            Body::Tcp { source, destination, flags, sequence, acknowledgment } => {
                bytes.extend(source.to_be_bytes());
                bytes.extend(destination.to_be_bytes());
                bytes.extend(sequence.to_be_bytes());
                bytes.extend(acknowledgment.to_be_bytes());
                bytes.extend([if self.mss > 0 { 0x60 } else { 0x50 }, *flags, 0xff, 0xff, 0, 0, 0, 0]);
                if self.mss > 0 {
                    bytes.extend([2, 4]);
                    bytes.extend(self.mss.to_be_bytes());
                }
                Some(16)
            }
            Body::Udp { source, destination, summed } => {
                bytes.extend(source.to_be_bytes());
                bytes.extend(destination.to_be_bytes());
                bytes.extend((8 + self.payload.len() as u16).to_be_bytes());
                bytes.extend([0, 0]);
                summed.then_some(6)
            }
            Body::Echo { reply, identifier, sequence } => {
                let kind = match (self.source, reply) {
                    (IpAddr::V4(_), false) => 8,
                    (IpAddr::V4(_), true) => 0,
                    (IpAddr::V6(_), false) => 128,
                    (IpAddr::V6(_), true) => 129,
                };
                bytes.extend([kind, 0, 0, 0]);
                bytes.extend(identifier.to_be_bytes());
                bytes.extend(sequence.to_be_bytes());
                Some(2)
            }
            Body::Error { kind, code, word, quoted } => {
                bytes.extend([*kind, *code, 0, 0]);
                bytes.extend(word.to_be_bytes());
                bytes.extend(quoted.bytes());
                Some(2)
            }
            Body::Other(_) => None,
        };
        bytes.extend(&self.payload);
        if let Some(field) = field {
            let value = match checksum(self.source, self.destination, self.protocol(), &bytes) {
                0 if self.protocol() == 17 => 0xffff,
                value => value,
            };
            bytes[field..field + 2].copy_from_slice(&value.to_be_bytes());
        }
        bytes
    }

    /// Reads an IP packet; what is wrong with it if it is no packet this simulation makes.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        Self::read_with(bytes, None)
    }

    /// Reads a packet of which an error may quote only the beginning.
    fn read_quoted(bytes: &[u8]) -> Result<Self, String> {
        let length =
            |at: usize| bytes.get(at..at + 2).map_or(0, |word| usize::from(word[0]) << 8 | usize::from(word[1]));
        let total = if bytes.first().is_some_and(|first| first >> 4 == 6) { 40 + length(4) } else { length(2) };
        let mut padded = bytes.to_vec();
        padded.resize(total.max(bytes.len()), 0);
        let mut packet = Self::read_with(&padded, Some(total > bytes.len()))?;
        packet.payload.truncate(packet.payload.len().saturating_sub(total.saturating_sub(bytes.len())));
        Ok(packet)
    }

    /// Whether this is a quotation of a packet, whole or cut.
    pub(crate) fn quotes(&self, packet: &Self) -> bool {
        let cut = Self { payload: self.payload.clone(), ..packet.clone() };
        *self == cut && packet.payload.starts_with(&self.payload)
    }

    /// `quoted` says of a quotation whether it is cut. Its identification may be that of fragments.
    fn read_with(bytes: &[u8], quoted: Option<bool>) -> Result<Self, String> {
        let short = || format!("only {} bytes", bytes.len());
        let mut fragmentable = false;
        let (source, destination, protocol, ttl, message): (IpAddr, IpAddr, u8, u8, &[u8]);
        match bytes.first().ok_or_else(short)? >> 4 {
            4 => {
                let header = bytes.get(..20).ok_or_else(short)?;
                fragmentable = header[6] == 0;
                let usual = [[0, 7, 0x40, 0], [0, 7, 0, 0], [0, 0, 0x40, 0]];
                let as_sent = quoted.is_some() || usual.contains(&[header[4], header[5], header[6], header[7]]);
                if header[0] != 0x45 || !as_sent {
                    return Err("the IPv4 header is not as it was sent".into());
                }
                if sum(header) != 0xffff {
                    return Err("wrong IPv4 header checksum".into());
                }
                let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
                source = Ipv4Addr::new(header[12], header[13], header[14], header[15]).into();
                destination = Ipv4Addr::new(header[16], header[17], header[18], header[19]).into();
                (protocol, ttl, message) = (header[9], header[8], bytes.get(20..total).ok_or_else(short)?);
            }
            6 => {
                let header = bytes.get(..40).ok_or_else(short)?;
                let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
                let address = |at: usize| -> Ipv6Addr {
                    let mut octets = [0; 16];
                    octets.copy_from_slice(&header[at..at + 16]);
                    octets.into()
                };
                (source, destination) = (address(8).into(), address(24).into());
                (protocol, ttl, message) = (header[6], header[7], bytes.get(40..40 + length).ok_or_else(short)?);
            }
            version => return Err(format!("IP version {version}")),
        }
        let class = if source.is_ipv4() { bytes[1] } else { bytes[0] << 4 | bytes[1] >> 4 };
        let packet = Self::read_message(source, destination, protocol, ttl, message, quoted == Some(true))?;
        Ok(Self { fragmentable, class, ..packet })
    }

    fn read_message(
        source: IpAddr,
        destination: IpAddr,
        protocol: u8,
        ttl: u8,
        message: &[u8],
        unchecked: bool,
    ) -> Result<Self, String> {
        let word = |at: usize| -> Result<u16, String> {
            let bytes = message
                .get(at..at + 2)
                .ok_or_else(|| format!("only {} bytes of protocol {protocol}", message.len()))?;
            Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
        };
        let long = |at: usize| Ok::<_, String>(u32::from(word(at)?) << 16 | u32::from(word(at + 2)?));
        let unsummed = protocol == 17 && word(6)? == 0;
        let summed = matches!(protocol, 1 | 6 | 17 | 58) && !unsummed && !unchecked;
        if summed && checksum(source, destination, protocol, message) != 0 {
            return Err(format!("wrong checksum of protocol {protocol}"));
        }
        let mut mss = 0;
        if protocol == 6 && word(12)? >> 12 == 6 {
            if word(20)? != 0x0204 {
                return Err("another TCP option than it was sent with".into());
            }
            mss = word(22)?;
        }
        let (body, header) = match protocol {
            6 => (
                Body::Tcp {
                    source: word(0)?,
                    destination: word(2)?,
                    sequence: long(4)?,
                    acknowledgment: long(8)?,
                    flags: word(12)? as u8,
                },
                if mss > 0 { 24 } else { 20 },
            ),
            17 => (Body::Udp { source: word(0)?, destination: word(2)?, summed: !unsummed }, 8),
            1 | 58 => match (protocol, word(0)?.to_be_bytes()) {
                (1, [kind @ (0 | 8), 0]) | (58, [kind @ (128 | 129), 0]) => {
                    let reply = matches!(kind, 0 | 129);
                    (Body::Echo { reply, identifier: word(4)?, sequence: word(6)? }, 8)
                }
                (_, [kind, code]) => {
                    let quoted = Box::new(Self::read_quoted(message.get(8..).unwrap_or_default())?);
                    (Body::Error { kind, code, word: long(4)?, quoted }, message.len())
                }
            },
            other => (Body::Other(other), 0),
        };
        let payload = message.get(header..).ok_or("shorter than its header")?.to_vec();
        Ok(Self { source, destination, ttl, class: 0, fragmentable: false, body, mss, payload })
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source: from, destination: to, .. } = self;
        match &self.body {
            Body::Tcp { source, destination, flags, sequence, acknowledgment } => {
                let names = [(SYN, 'S'), (FIN, 'F'), (RST, 'R'), (ACK, 'A')];
                let flags: String = names.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| name).collect();
                write!(f, "tcp {from}:{source} > {to}:{destination} {flags} seq {sequence} ack {acknowledgment}")?;
                write!(f, " mss {}", self.mss)?;
            }
            Body::Udp { source, destination, .. } => write!(f, "udp {from}:{source} > {to}:{destination}")?,
            Body::Echo { reply, identifier, .. } => {
                let kind = if *reply { "echo reply" } else { "echo" };
                write!(f, "{kind} {from} > {to} id {identifier}")?;
            }
            Body::Error { kind, code, quoted, .. } => {
                write!(f, "icmp error {kind}/{code} {from} > {to} about ({quoted:?})")?;
            }
            Body::Other(protocol) => write!(f, "protocol {protocol} {from} > {to}")?,
        }
        write!(f, " ttl {} with {} bytes", self.ttl, self.payload.len())
    }
}

/// ICMP's protocol number in the family of an address.
pub(crate) fn icmp(address: IpAddr) -> u8 {
    if address.is_ipv4() { 1 } else { 58 }
}

/// An Ethernet frame around an IP packet.
pub(crate) fn frame(destination: Mac, source: Mac, packet: &Packet) -> Vec<u8> {
    let kind = if packet.source.is_ipv4() { 0x0800 } else { 0x86dd };
    ethernet(destination, source, kind, &packet.bytes())
}

fn ethernet(destination: Mac, source: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [destination, source].concat();
    bytes.extend(kind.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The frames of a packet in fragments with at most `size` bytes of IP packet each, in order.
pub(crate) fn fragments(destination: Mac, source: Mac, packet: &Packet, size: usize, id: u16) -> Vec<Vec<u8>> {
    let whole = packet.bytes();
    let v4 = packet.source.is_ipv4();
    let (header, data) = whole.split_at(if v4 { 20 } else { 40 });
    let room = (size - header.len() - if v4 { 0 } else { 8 }) / 8 * 8;
    let mut frames = Vec::new();
    for (at, chunk) in data.chunks(room).enumerate() {
        let more = (at + 1) * room < data.len();
        let mut bytes = header.to_vec();
        if v4 {
            bytes[2..4].copy_from_slice(&(20 + chunk.len() as u16).to_be_bytes());
            bytes[4..6].copy_from_slice(&id.to_be_bytes());
            let field = u16::from(header[6]) << 8 | (at * room / 8) as u16 | if more { 0x2000 } else { 0 };
            bytes[6..8].copy_from_slice(&field.to_be_bytes());
            bytes[10..12].fill(0);
            let value = !sum(&bytes);
            bytes[10..12].copy_from_slice(&value.to_be_bytes());
        } else {
            bytes[4..6].copy_from_slice(&(8 + chunk.len() as u16).to_be_bytes());
            bytes[6] = 44;
            bytes.extend([header[6], 0]);
            bytes.extend(((at * room) as u16 | u16::from(more)).to_be_bytes());
            bytes.extend([0, 0]);
            bytes.extend(id.to_be_bytes());
        }
        bytes.extend(chunk);
        frames.push(ethernet(destination, source, if v4 { 0x0800 } else { 0x86dd }, &bytes));
    }
    frames
}

/// One frame or what its fragments make, and the longest IP packet among them.
pub(crate) type Joined = (Vec<u8>, usize);

/// Puts fragments that follow one another together again; all else stays as it is.
///
/// # Errors
/// Fragments that do not belong together, or of which some are missing.
pub(crate) fn join<P: Copy + PartialEq>(frames: Vec<(P, Vec<u8>)>) -> Result<Vec<(P, Joined)>, String> {
    let mut joined: Vec<(P, Joined)> = Vec::new();
    // The datagram that is being put together: its headers, identification, and how far it is.
    let mut open: Option<(Vec<u8>, u32)> = None;
    for (port, bytes) in frames {
        let v4 = bytes[12..14] == [8, 0];
        let word = |at: usize| u32::from(bytes[at]) << 8 | u32::from(bytes[at + 1]);
        let (offset, more, id, headers, kept) = match (v4, bytes.get(20)) {
            (true, Some(_)) if word(20) & 0x3fff != 0 => {
                ((word(20) & 0x1fff) * 8, word(20) & 0x2000 != 0, word(18), 34, 34)
            }
            (false, Some(44)) => (word(56) & 0xfff8, word(56) & 1 != 0, word(58) << 16 | word(60), 62, 54),
            _ => {
                let length = bytes.len() - 14;
                joined.push((port, (bytes, length)));
                continue;
            }
        };
        let mut head = bytes[..kept].to_vec();
        let length = bytes.len() - 14;
        if v4 {
            head[16..18].fill(0);
            head[18..20].copy_from_slice(&[0, 7]);
            head[20..22].copy_from_slice(&[bytes[20] & 0x40, 0]);
            head[24..26].fill(0);
        } else {
            head[18..20].fill(0);
            head[20] = bytes[54];
        }
        match (&open, joined.last_mut()) {
            (None, _) if offset == 0 => {
                joined.push((port, ([head.clone(), bytes[headers..].to_vec()].concat(), length)))
            }
            (Some((known, known_id)), Some((known_port, (whole, longest))))
                if *known == head
                    && *known_id == id
                    && *known_port == port
                    && whole.len() == kept + offset as usize =>
            {
                whole.extend(&bytes[headers..]);
                *longest = length.max(*longest);
            }
            _ => return Err(format!("a fragment at {offset} that follows nothing")),
        }
        open = more.then_some((head, id));
        if let (false, Some((_, (whole, _)))) = (more, joined.last_mut()) {
            finish(whole, v4);
        }
    }
    if open.is_some() { Err("a datagram without its end".into()) } else { Ok(joined) }
}

/// Writes the lengths and the header checksum of a frame.
fn finish(frame: &mut [u8], v4: bool) {
    if v4 {
        let total = (frame.len() - 14) as u16;
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        let value = !sum(&frame[14..34]);
        frame[24..26].copy_from_slice(&value.to_be_bytes());
    } else {
        let length = (frame.len() - 54) as u16;
        frame[18..20].copy_from_slice(&length.to_be_bytes());
    }
}

/// Who a frame asks for, if it asks for a neighbour, and the answer. `mac` says who lives where.
pub(crate) fn neighbor_answer(frame: &[u8], mac: impl Fn(IpAddr) -> Mac) -> Option<(IpAddr, Vec<u8>)> {
    let asker: Mac = frame.get(6..12)?.try_into().ok()?;
    match frame.get(12..14)? {
        [0x08, 0x06] => {
            let arp = frame.get(14..42)?;
            let target: [u8; 4] = arp[24..28].try_into().ok()?;
            let here = mac(Ipv4Addr::from(target).into());
            let mut answer = vec![0, 1, 8, 0, 6, 4, 0, 2];
            answer.extend(here);
            answer.extend(target);
            answer.extend(&arp[8..18]);
            (arp[7] == 1).then(|| (Ipv4Addr::from(target).into(), ethernet(asker, here, 0x0806, &answer)))
        }
        [0x86, 0xdd] if frame.get(20) == Some(&58) && frame.get(54) == Some(&135) => {
            let target: [u8; 16] = frame.get(62..78)?.try_into().ok()?;
            let from: [u8; 16] = frame.get(22..38)?.try_into().ok()?;
            let here = mac(Ipv6Addr::from(target).into());
            // Solicited, override; with the target's link-layer address.
            let mut message = vec![136, 0, 0, 0, 0x60, 0, 0, 0];
            message.extend(target);
            message.extend([2, 1]);
            message.extend(here);
            let (source, destination) = (Ipv6Addr::from(target), Ipv6Addr::from(from));
            let value = checksum(source.into(), destination.into(), 58, &message);
            message[2..4].copy_from_slice(&value.to_be_bytes());
            let mut packet = vec![0x60, 0, 0, 0, 0, message.len() as u8, 58, 255];
            packet.extend(source.octets());
            packet.extend(destination.octets());
            packet.extend(message);
            Some((source.into(), ethernet(asker, here, 0x86dd, &packet)))
        }
        _ => None,
    }
}

/// One's complement sum.
pub(crate) fn sum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The checksum of a message; zero for a message that holds the right one.
fn checksum(source: IpAddr, destination: IpAddr, protocol: u8, message: &[u8]) -> u16 {
    if protocol == 1 {
        return !sum(message);
    }
    let mut bytes = Vec::new();
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => bytes.extend([source.octets(), destination.octets()].concat()),
        (IpAddr::V6(source), IpAddr::V6(destination)) => bytes.extend([source.octets(), destination.octets()].concat()),
        _ => panic!("a packet of two families"),
    }
    bytes.extend((message.len() as u32).to_be_bytes());
    bytes.extend([0, 0, 0, protocol]);
    bytes.extend(message);
    !sum(&bytes)
}
