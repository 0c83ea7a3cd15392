//! Conversations as their ends would have them: each packet is sent only if what it answers came through.

use super::frames::{ACK, Body, FIN, Mac, Packet, RST, SYN};
use super::generate::{
    GATEWAY, Network, PORTS, SOURCE_PORTS, address, host, interface_name, interface_number, link_local, own_address,
    own_mac,
};
use super::random::Random;
use super::tunnels::{EGRESS, INGRESS, STATION};

/// A conversation that was tried.
pub(crate) struct Conversation {
    pub(crate) ingress: usize,
    pub(crate) station: Mac,
    /// The client's first packet.
    pub(crate) first: Packet,
    /// The client's last packet as it was seen beyond the firewall, and by which interface.
    pub(crate) seen: Option<(String, Packet)>,
    /// The last answer as the client saw it.
    pub(crate) answered: Option<Packet>,
    /// Which steps of a TCP conversation came through.
    passed: [bool; STEPS.len()],
    server_sequence: u32,
    /// The firewall's first sequence number, if the client knows that of no server.
    cookie: Option<u32>,
}

/// One segment of a TCP conversation: who sends it, flags, sequence and acknowledgment from the initial
/// numbers, payload, and the steps that must have come through before.
struct Step(bool, u8, u32, u32, usize, &'static [usize]);

const STEPS: [Step; 22] = [
    Step(true, SYN, 0, 0, 0, &[]),
    Step(false, SYN | ACK, 0, 1, 0, &[0]),
    Step(true, ACK, 1, 1, 0, &[1]),
    Step(true, ACK, 1, 1, 10, &[1]),
    Step(false, ACK, 1, 11, 20, &[3]),
    Step(true, ACK, 11, 21, 0, &[4]),
    Step(false, ACK | FIN, 21, 11, 0, &[4]),
    Step(true, ACK | FIN, 11, 21, 0, &[4]),
    Step(true, ACK, 12, 22, 0, &[6, 7]),
    Step(false, ACK, 22, 12, 0, &[6, 7]),
    // From here on: what happens now and then.
    Step(true, RST, 1, 0, 0, &[1]),
    Step(false, RST | ACK, 21, 11, 0, &[4]),
    Step(false, RST | ACK, 0, 1, 0, &[0]),
    // A server that remembers something else, and the client's reset of that.
    Step(false, ACK, 777, 888, 0, &[0]),
    Step(true, RST, 888, 0, 0, &[13]),
    // Forged: data before the handshake, and a reset from far off.
    Step(false, ACK, 1, 1, 5, &[0]),
    Step(true, RST, 0x4000_0000, 0, 0, &[0]),
    // Not of this window: too far ahead, long past, acknowledging what was never sent; resets near by.
    Step(true, ACK, 0x1_0100, 1, 10, &[1]),
    Step(false, ACK, 0u32.wrapping_sub(70_000), 11, 10, &[4]),
    Step(true, ACK, 11, 30_000, 0, &[4]),
    Step(true, RST, 5000, 0, 0, &[2]),
    Step(false, RST, 0u32.wrapping_sub(5000), 0, 0, &[4]),
];

/// The steps of an undisturbed conversation.
const ORDINARY: usize = 10;

/// What comes next, and from where.
pub(crate) struct Next {
    pub(crate) from_client: bool,
    pub(crate) packet: Packet,
    step: Option<usize>,
}

impl Conversation {
    /// A new one; most are sensible, and some are too similar to earlier ones.
    pub(crate) fn open(random: &mut Random, network: &Network, earlier: &[Self]) -> Self {
        if !earlier.is_empty() && random.percent(20) {
            return random.pick(earlier).again(random);
        }
        let near = 1 + random.below(network.interfaces);
        let v6 = random.percent(25);
        let far = random.percent(40);
        let source = match random.below(20) {
            0 => address(random, network, v6),
            _ => host(near, far, 10 + random.below(3), v6),
        };
        // Behind the tunnel are the same addresses as elsewhere.
        let ingress = match network.tunnel {
            Some(tunnel) if random.percent(60) => tunnel.side(*random.pick(&[INGRESS, EGRESS])),
            _ => near,
        };
        let mut destination = address(random, network, v6);
        let mut ports = (*random.pick(&SOURCE_PORTS), *random.pick(&PORTS));
        let mut kind = random.below(20);
        let mut source = source;
        if random.percent(10) {
            // The firewall itself: mostly what it may answer.
            destination = own_address(random, network, v6);
            ports.1 = *random.pick(&[80, 443, 80, 443, 8080]);
            kind = *random.pick(&[0, 0, 0, 0, 15, 15, kind]);
            if v6 && random.percent(30) {
                // By its address on the link, or another's.
                let station = if random.percent(90) { own_mac(&interface_name(ingress)) } else { STATION };
                (destination, kind) = (link_local(station), *random.pick(&[15, 15, 15, kind]));
                source = if random.percent(70) { link_local([2, 0xcc, 0, 0, 0, ingress as u8]) } else { source };
            }
        }
        let body = match kind {
            0..=8 => tcp(ports, SYN, random.next() as u32 | if random.percent(20) { 0xffff_fff0 } else { 0 }, 0),
            9 => {
                let flags = *random.pick(&[ACK, RST, SYN | ACK, FIN | ACK, SYN | FIN, 0, FIN]);
                tcp(ports, flags, 7, 7)
            }
            10..=14 => Body::Udp { source: ports.0, destination: ports.1, summed: v6 || random.percent(80) },
            15..=17 => Body::Echo { reply: false, identifier: random.below(5) as u16, sequence: 9 },
            18 => Body::Echo { reply: true, identifier: 1 + random.below(4) as u16, sequence: 9 },
            _ => Body::Other(*random.pick(&[47, 50, 132])),
        };
        let payload = match body {
            Body::Tcp { .. } => Vec::new(),
            // The ports of SCTP are its first words.
            Body::Other(_) => vec![0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
            // Now and then larger than some interface lets pass.
            _ if random.percent(8) => payload(1200 + random.below(260)),
            _ => payload(random.below(20)),
        };
        let fragmentable = !v6 && random.percent(50);
        let class = *random.pick(&[0, 0, 0xb8, 0x28]);
        let ttl = if random.percent(2) { 1 } else { 64 };
        let opens = matches!(body, Body::Tcp { flags, .. } if flags & SYN != 0);
        let mss = if opens { *random.pick(&[0, 536, 1300, 1460]) } else { 0 };
        let station = match ingress {
            INGRESS | EGRESS => STATION,
            _ => [2, 0xcc, 0, 0, u8::from(far), if far { GATEWAY as u8 } else { ingress as u8 }],
        };
        Self {
            ingress,
            station,
            first: Packet { source, destination, ttl, class, fragmentable, body, mss, payload },
            seen: None,
            answered: None,
            passed: [false; STEPS.len()],
            server_sequence: random.next() as u32,
            cookie: None,
        }
    }

    /// The same once more, or from the other end, or nearly.
    fn again(&self, random: &mut Random) -> Self {
        let (mut ingress, mut station, mut first) = (self.ingress, self.station, self.first.clone());
        if let Some((interface, seen)) = self.seen.as_ref().filter(|_| random.percent(60)) {
            ingress = interface_number(interface).unwrap_or(ingress);
            station = if ingress >= INGRESS { STATION } else { [2, 0xdd, 0, 0, 0, 1] };
            let mut tuple = seen.tuple().reversed();
            if random.percent(30) {
                tuple.destination = self.first.source;
            }
            first = first.with_tuple(&tuple);
        }
        if random.percent(30) {
            let mut tuple = first.tuple();
            (tuple.source_port, tuple.destination_port) = (*random.pick(&SOURCE_PORTS), *random.pick(&PORTS));
            first = first.with_tuple(&tuple);
        }
        if let Body::Tcp { sequence, .. } = &mut first.body {
            *sequence = random.next() as u32;
        }
        first.ttl = 64;
        Self {
            ingress,
            station,
            first,
            seen: None,
            answered: None,
            passed: [false; STEPS.len()],
            server_sequence: random.next() as u32,
            cookie: None,
        }
    }

    /// The first packet.
    pub(crate) fn start(&self) -> Next {
        let step = matches!(self.first.body, Body::Tcp { flags: SYN, .. }).then_some(0);
        Next { from_client: true, packet: self.first.clone(), step }
    }

    /// Something an end could send now, in order or not.
    pub(crate) fn next(&self, random: &mut Random) -> Option<Next> {
        if let Body::Tcp { flags: SYN, sequence, .. } = self.first.body {
            if let Some(cookie) = self.cookie.filter(|_| !self.passed[0] && random.percent(75)) {
                return Some(self.bring_back(random, sequence, cookie));
            }
            let possible = |step: &usize| STEPS[*step].5.iter().all(|before| self.passed[*before]);
            let mut fresh = (0..ORDINARY).filter(possible).filter(|step| !self.passed[*step]);
            let step = match random.below(10) {
                0..=5 => fresh.next(),
                6 | 7 => {
                    let any: Vec<usize> = (0..ORDINARY).filter(possible).collect();
                    Some(*random.pick(&any))
                }
                8 => {
                    let late: Vec<usize> = (0..ORDINARY).filter(|step| self.passed[*step]).collect();
                    (!late.is_empty()).then(|| *random.pick(&late))
                }
                _ => {
                    let odd: Vec<usize> = (ORDINARY..STEPS.len()).filter(possible).collect();
                    (!odd.is_empty()).then(|| *random.pick(&odd))
                }
            };
            return self.segment(step?, sequence);
        }
        let from_client = self.seen.is_none() || random.percent(50);
        if from_client {
            return Some(Next { from_client, packet: self.first.clone(), step: None });
        }
        let (_, seen) = self.seen.as_ref()?;
        let mut packet = seen.with_tuple(&seen.tuple().reversed());
        packet.ttl = 60;
        packet.payload = match packet.body {
            Body::Other(_) => packet.payload,
            _ if random.percent(8) => payload(1200 + random.below(260)),
            _ => payload(random.below(30)),
        };
        if let Body::Echo { reply, .. } = &mut packet.body {
            *reply = true;
        }
        Some(Next { from_client, packet, step: None })
    }

    /// The acknowledgment of a cookie, or nearly.
    fn bring_back(&self, random: &mut Random, sequence: u32, cookie: u32) -> Next {
        let Body::Tcp { source, destination, .. } = self.first.body else { unreachable!("a TCP conversation") };
        let mut numbers = [sequence.wrapping_add(1), cookie.wrapping_add(1)];
        if random.percent(15) {
            numbers[random.below(2)] ^= 1 << random.below(32);
        }
        let body = tcp((source, destination), ACK, numbers[0], numbers[1]);
        let packet = Packet { body, mss: 0, payload: payload(random.below(2) * 7), ..self.first.clone() };
        Next { from_client: true, packet, step: Some(0) }
    }

    /// The firewall answered the client's SYN itself.
    pub(crate) fn given(&mut self, cookie: u32) {
        self.cookie = Some(cookie);
        self.passed = [false; STEPS.len()];
    }

    fn segment(&self, step: usize, client_sequence: u32) -> Option<Next> {
        let Step(from_client, flags, sequence, acknowledgment, bytes, _) = STEPS[step];
        let server_sequence = self.cookie.unwrap_or(self.server_sequence);
        let (mine, other) =
            if from_client { (client_sequence, server_sequence) } else { (self.server_sequence, client_sequence) };
        let acknowledgment = if flags & ACK == 0 { 0 } else { other.wrapping_add(acknowledgment) };
        let sender = if from_client {
            self.first.clone()
        } else {
            let (_, seen) = self.seen.as_ref()?;
            seen.with_tuple(&seen.tuple().reversed())
        };
        let Body::Tcp { source, destination, .. } = sender.body else { return None };
        let body = tcp((source, destination), flags, mine.wrapping_add(sequence), acknowledgment);
        let mss = if flags & SYN != 0 { sender.mss } else { 0 };
        let packet = Packet { body, mss, payload: payload(bytes), ttl: 64, ..sender };
        Some(Next { from_client, packet, step: Some(step) })
    }

    /// The packet came through, and looked like this behind the firewall.
    pub(crate) fn passed(&mut self, next: &Next, interface: &str, seen: &Packet) {
        if let Some(step) = next.step {
            self.passed[step] = true;
            match next.packet.body {
                // A SYN that goes through is the server's to answer.
                Body::Tcp { flags: SYN, .. } => self.cookie = None,
                // The firewall completes the handshake itself.
                _ if step == 1 && self.cookie.is_some() => self.passed[2] = true,
                _ => {}
            }
        }
        if next.from_client {
            self.seen = Some((interface.to_owned(), seen.clone()));
        } else {
            self.answered = Some(seen.clone());
        }
    }

    /// An ICMP error about the last packet of either direction: from which side, and the error.
    pub(crate) fn error(&self, random: &mut Random, network: &Network) -> Option<(bool, Packet)> {
        let from_client = random.percent(30);
        let quoted = if from_client { self.answered.clone()? } else { self.seen.clone()?.1 };
        let v6 = quoted.source.is_ipv6();
        let source = match random.below(3) {
            0 => quoted.destination,
            1 => host(1 + random.below(network.interfaces), true, GATEWAY, v6),
            _ => address(random, network, v6),
        };
        let destination = if random.percent(90) { quoted.source } else { address(random, network, v6) };
        let (kind, code, word) = match (v6, random.below(3)) {
            (false, 0) => (3, 1, 0),
            (false, 1) => (3, 4, 1300),
            (false, _) => (11, 0, 0),
            (true, 0) => (1, 3, 0),
            (true, 1) => (2, 0, 1300),
            (true, _) => (3, 0, 0),
        };
        let body = Body::Error { kind, code, word, quoted: Box::new(quoted) };
        let fragmentable = !v6 && random.percent(50);
        let class = *random.pick(&[0, 0xc0]);
        let payload = Vec::new();
        Some((from_client, Packet { source, destination, ttl: 64, class, fragmentable, body, mss: 0, payload }))
    }
}

fn tcp((source, destination): (u16, u16), flags: u8, sequence: u32, acknowledgment: u32) -> Body {
    Body::Tcp { source, destination, flags, sequence, acknowledgment }
}

fn payload(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| at as u8 ^ 0x5a).collect()
}
