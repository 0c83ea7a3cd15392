//! Frames, answers, time and commits in any order: does the engine panic, leak or leave a checksum wrong?
//!
//! The input is a list of steps (see `step`). Besides panics it looks for: packets that leave with a
//! wrong header checksum, sessions that are not counted, sessions that never end; and whoever looks at a frame, as a
//! packet capture does, sees the interface it comes by.
#![no_main]

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use bartizan_engine::Engine;
use bartizan_engine::settings::{Limits, LocalLink, Settings};
use bartizan_engine::verdict::{Event, Port, Time, Verdict};
use bartizan_fuzz::CONFIG;
use bartizan_model::{device, xml};
use bartizan_packet::answer::{Link, Problem, icmp_error, ip_frame, udp_frame};
use bartizan_packet::arp::{Arp, Operation};
use bartizan_packet::bytes::{put, put_u16};
use bartizan_packet::frame::{Checksum, Frame, Meta, Segmentation};
use bartizan_packet::geneve::{self, AWS};
use bartizan_packet::parse::{Malformed, Packet, Parsed, checksum_field, parse};
use bartizan_packet::vxlan::{self, Vni};
use bartizan_packet::{checksum, ethernet, ndp};
use bartizan_policy::compile::compile;
use bartizan_policy::facts::Facts;
use bartizan_policy::tables::{Compiled, Ids};
use libfuzzer_sys::fuzz_target;

const SECOND: u64 = 1_000_000_000;

/// Zone protection with all it can do, in the zone that tunnels end in too.
const PROTECTION: &str = "<zone-protection-profile><entry name='all'>\
    <discard-ip-spoof>yes</discard-ip-spoof><discard-icmp-large-packet>yes</discard-icmp-large-packet>\
    <discard-icmp-ping-zero-id>yes</discard-icmp-ping-zero-id><discard-ip-frag>yes</discard-ip-frag>\
    <flood><tcp-syn><enable>yes</enable><syn-cookies><alarm-rate>0</alarm-rate><activate-rate>0</activate-rate>\
    <maximal-rate>1000</maximal-rate></syn-cookies></tcp-syn><udp><enable>yes</enable><red><alarm-rate>4</alarm-rate>\
    <activate-rate>8</activate-rate><maximal-rate>20</maximal-rate></red></udp></flood>\
    <scan><entry name='8001'><action><block-ip><track-by>source</track-by><duration>9</duration></block-ip></action>\
    <interval>2</interval><threshold>9</threshold></entry></scan></entry></zone-protection-profile></profiles>";
/// One of each tunnel; they end at the second interface.
const TUNNELS: &str = "<traffic-object>\
    <entry name='pods'><k8s-cluster><cluster-id>7</cluster-id><network><logical-router>lr</logical-router>\
    <zone-ingress>trust</zone-ingress><interface><member>ethernet1/2</member></interface></network></k8s-cluster></entry>\
    <entry name='aws'><vpc><vpce-id>any</vpce-id><overlay-routing>yes</overlay-routing><network>\
    <logical-router>lr</logical-router><zone-ingress>dmz</zone-ingress><interface><member>ethernet1/2</member></interface>\
    </network></vpc></entry></traffic-object><rulebase>";

/// The configuration, one with other rules, and one with zone protection and tunnels.
fn tables() -> &'static [Arc<Compiled>; 3] {
    static TABLES: OnceLock<[Arc<Compiled>; 3]> = OnceLock::new();
    TABLES.get_or_init(|| {
        let mut ids = Ids::default();
        let other = CONFIG.replace("<action>allow</action>", "<action>reset-both</action>");
        let member = "<layer3><member>ethernet1/1</member></layer3>";
        let protected = CONFIG
            .replacen("</profiles>", PROTECTION, 1)
            .replacen(member, &format!("{member}<zone-protection-profile>all</zone-protection-profile>"), 1)
            .replacen("<rulebase>", TUNNELS, 1);
        [CONFIG, &other, &protected].map(|text| {
            let root = xml::parse(text).expect("well-formed");
            let report = device::read(&root, device::Scope::Device);
            let config = report.config.unwrap_or_else(|| panic!("{:?}", report.diagnostics));
            Arc::new(compile(&config, &Facts::default(), &mut ids, 1).expect("compiles"))
        })
    })
}

/// Takes numbers from the input; zeros after its end.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

struct House {
    engine: Engine,
    now: Time,
    last: Option<(Port, Vec<u8>)>,
}

const ADDRESSES: [&str; 24] = [
    "10.1.0.5",
    "10.1.0.6",
    "10.1.0.1",
    "192.0.2.1",
    "192.0.2.9",
    "192.0.2.10",
    "192.0.2.50",
    "192.0.2.254",
    "198.51.100.9",
    "10.3.0.9",
    "10.3.0.1",
    "203.0.113.1",
    "198.18.0.1",
    "198.18.1.3",
    "127.0.0.1",
    "255.255.255.255",
    "2001:db8:1::5",
    "2001:db8:1::1",
    "2001:db8:2::1",
    "2001:db8:2::fe",
    "2001:db8:100::9",
    "fe80::5",
    "ff02::1",
    "::",
];
const PORTS: [u16; 8] = [0, 53, 80, 443, 1024, 8080, 40_000, 65_535];

impl House {
    fn new(seed: u64) -> Self {
        let limits = Limits {
            transmits: 32,
            events: 64,
            neighbors: 8,
            waiting_per_neighbor: 2,
            waiting_bytes: 4096,
            steered: 4,
            nat_addresses: 4,
            ..Limits::default()
        };
        let local = Some(LocalLink { host_mac: None, http_port: 8080, https_port: 8443, ipv6: true });
        let settings =
            Settings { seed, sessions_max: 16, local, limits, workers: 1 + seed as u16 % 2, ..Settings::default() };
        let mut engine = Engine::new(settings);
        engine.install(tables()[seed as usize % 3].clone(), Time(0));
        for port in Self::ports() {
            engine.attach(port, mac(port));
        }
        Self { engine, now: Time(SECOND), last: None }
    }

    fn ports() -> [Port; 4] {
        let data = |name| Port::Data(tables()[0].interface_id(name).expect("configured"));
        [data("ethernet1/1"), data("ethernet1/2"), data("ethernet1/3"), Port::Local]
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let port = Self::ports()[usize::from(input.byte() % 4)];
        match input.byte() % 11 {
            0 => {
                let length = usize::from(input.word() % 256);
                let mut bytes = input.bytes(length).to_vec();
                put(&mut bytes, 0, &mac(port));
                fix_header(&mut bytes);
                self.frame(port, bytes, Meta::default());
            }
            1..=3 => {
                let (bytes, meta) = packet(port, input);
                self.frame(port, bytes, meta);
            }
            4 | 5 => self.answer(input),
            6 => self.error_about_last(input),
            7 => {
                self.now = Time(self.now.0 + u64::from(input.word()) * SECOND / 16);
                self.engine.handle_timeout(self.now);
            }
            8 => self.engine.install(tables()[usize::from(input.byte() % 3)].clone(), self.now),
            9 => {
                let (bytes, _) = packet(port, input);
                self.frame(Self::ports()[1], tunnelled(&bytes, input), Meta::default());
            }
            _ => match input.byte() % 5 {
                4 => {
                    let (sender, target) = (address(input, true), address(input, true));
                    if let (IpAddr::V4(sender), IpAddr::V4(target)) = (sender, target) {
                        self.frame(port, Arp::request([2, 9, 9, 9, 9, 9], sender, target), Meta::default());
                    }
                }
                0 => self.engine.detach(port),
                1 => {
                    let nth = u64::from(input.byte());
                    self.engine.clear(0..u32::MAX, |session| session.id & 0xff == nth, self.now);
                }
                _ => self.engine.attach(port, mac(port)),
            },
        }
        self.settle();
    }

    fn frame(&mut self, port: Port, mut bytes: Vec<u8>, meta: Meta) {
        let _ = self.engine.look_at_leaving(port, &bytes, meta);
        let look = self.engine.look_at_arriving(port, &bytes, meta);
        assert_eq!(look.iface.is_none(), meta.vlan != 0 || port == Port::Local, "{port:?}: {look:?}");
        let mut frame = Frame { bytes: &mut bytes, meta };
        let verdict = self.engine.handle_frame(port, &mut frame, self.now);
        let meta = frame.meta;
        if let Verdict::Transmit(port) = verdict {
            // What came out of a tunnel leaves from further back.
            let bytes = bytes.split_off(usize::from(meta.headroom));
            self.leave(port, bytes, Meta { headroom: 0, ..meta });
        }
    }

    /// What left must be readable.
    fn leave(&mut self, port: Port, bytes: Vec<u8>, meta: Meta) {
        let read = parse(&bytes, meta);
        assert!(!matches!(read, Err(Malformed::Checksum)), "a wrong header checksum leaves: {bytes:02x?}");
        assert!(read.is_ok(), "{read:?} leaves: {bytes:02x?}");
        assert_eq!(ethernet::source(&bytes), mac(port));
        let _ = self.engine.look_at_leaving(port, &bytes, meta);
        self.last = Some((port, bytes));
    }

    /// The neighbourhood: answers ARP and NDP, mostly.
    fn settle(&mut self) {
        while let Some(transmit) = self.engine.poll_transmit() {
            let port = transmit.port;
            if let Some(arp) = Arp::read(&transmit.bytes).filter(|arp| arp.operation == Operation::Request) {
                self.frame(port, arp.reply([2, 9, 9, 9, 9, 9]), Meta::default());
                continue;
            }
            if let Ok(Parsed::Ip(packet)) = parse(&transmit.bytes, transmit.meta)
                && let Some(ndp::Message::Solicitation { target, .. }) = ndp::Message::read(&transmit.bytes, &packet)
                && let IpAddr::V6(asker) = packet.source
            {
                let answer = ndp::advertise([2, 9, 9, 9, 9, 9], mac(port), asker, target);
                self.frame(port, answer, Meta::default());
                continue;
            }
            self.leave(port, transmit.bytes, transmit.meta);
        }
        while let Some(event) = self.engine.poll_event() {
            if let Event::Tell { message, .. } = event {
                self.engine.handle_peer(message, self.now);
            }
        }
        let counted = self.engine.counters().sessions_active;
        assert_eq!(counted, self.engine.sessions().count() as u64);
        assert!(counted <= 16);
    }

    /// The packet that left last, turned round and changed a little.
    fn answer(&mut self, input: &mut Input<'_>) {
        let Some((port, mut bytes)) = self.last.clone() else { return };
        let Ok(Parsed::Ip(packet)) = parse(&bytes, Meta::default()) else { return };
        let length = if packet.is_v4() { 4 } else { 16 };
        let at = packet.network + if packet.is_v4() { 12 } else { 8 };
        let (first, second) = (bytes[at..at + length].to_vec(), bytes[at + length..at + 2 * length].to_vec());
        put(&mut bytes, at, &second);
        put(&mut bytes, at + length, &first);
        let (source, destination) = packet.ports();
        if matches!(packet.protocol, 6 | 17) {
            put_u16(&mut bytes, packet.transport, destination);
            put_u16(&mut bytes, packet.transport + 2, source);
        }
        match packet.protocol {
            6 => put(&mut bytes, packet.transport + 13, &[input.byte()]),
            1 => put(&mut bytes, packet.transport, &[0]),
            58 => put(&mut bytes, packet.transport, &[129]),
            _ => {}
        }
        let position = packet.transport + usize::from(input.byte() % 32);
        if let Some(byte) = bytes.get_mut(position) {
            *byte ^= input.byte();
        }
        put(&mut bytes, 0, &mac(port));
        fix_header(&mut bytes);
        self.frame(port, bytes, Meta::default());
    }

    fn error_about_last(&mut self, input: &mut Input<'_>) {
        let Some((port, bytes)) = self.last.clone() else { return };
        let Ok(Parsed::Ip(packet)) = parse(&bytes, Meta::default()) else { return };
        let problem = [Problem::TimeExceeded, Problem::Prohibited, Problem::TooBig { mtu_bytes: input.word() }]
            [usize::from(input.byte() % 3)];
        let from = address(input, packet.is_v4());
        let link = Link { source: [2, 9, 9, 9, 9, 9], destination: mac(port) };
        let mut error = icmp_error(link, from, &bytes, &packet, problem);
        let position = 34 + usize::from(input.byte());
        if let Some(byte) = error.get_mut(position) {
            *byte ^= input.byte();
        }
        if let Ok(Parsed::Ip(outer)) = parse(&error, Meta::default()) {
            bartizan_packet::rewrite::finish_icmp(&mut error, &outer);
        }
        self.frame(port, error, Meta::default());
    }
}

fn mac(port: Port) -> [u8; 6] {
    match port {
        Port::Data(id) => [2, 0, 0, 0, 0, 1 + id.0 as u8],
        Port::Local => [2, 0, 0, 0, 0, 0],
    }
}

fn address(input: &mut Input<'_>, v4: bool) -> IpAddr {
    let table = if v4 { &ADDRESSES[..16] } else { &ADDRESSES[16..] };
    table[usize::from(input.byte()) % table.len()].parse().expect("an address")
}

fn packet(port: Port, input: &mut Input<'_>) -> (Vec<u8>, Meta) {
    let v4 = input.byte() % 3 != 0;
    let (source, destination) = (address(input, v4), address(input, v4));
    let protocol = [6, 17, if v4 { 1 } else { 58 }, input.byte()][usize::from(input.byte() % 4)];
    let mut message = Vec::new();
    let ports = [PORTS[usize::from(input.byte() % 8)], PORTS[usize::from(input.byte() % 8)]];
    let length = usize::from(input.word() % 1600);
    match protocol {
        6 => {
            message.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
            message.extend([0, 0, 0, input.byte(), 0, 0, 0, input.byte(), 0x50, input.byte(), 1, 0, 0, 0, 0, 0]);
        }
        17 => {
            message.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
            message.extend(((8 + length) as u16).to_be_bytes());
            message.extend([0, 0]);
        }
        _ => message.extend([input.byte(), 0, 0, 0, 0, input.byte(), 0, 1]),
    }
    message.extend(std::iter::repeat_n(input.byte(), length));
    let style = input.byte();
    let mut meta = Meta::default();
    if let Some(field) = checksum_field(protocol) {
        let partial = style & 1 != 0 && protocol != 1;
        let value = if partial {
            let start = if v4 { 34 } else { 54 };
            meta.checksum = Checksum::Partial { start, offset: field as u16 };
            checksum::pseudo_header(source, destination, protocol, message.len())
        } else if protocol == 1 {
            checksum::checksum(&message)
        } else {
            checksum::transport(source, destination, protocol, &message)
        };
        put_u16(&mut message, field, value);
    }
    if style & 2 != 0 {
        meta.segmentation = [Segmentation::TcpV4, Segmentation::TcpV6, Segmentation::Udp][usize::from(style >> 2) % 3];
        meta.segment_bytes = input.word();
    }
    let link = Link { source: [2, 9, 9, 9, 9, 9], destination: mac(port) };
    let bytes = ip_frame(link, source, destination, protocol, input.byte() % 8 + style % 64, &message);
    (bytes, meta)
}

/// A frame in one of the tunnels, or nearly.
fn tunnelled(inside: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let (style, cookie) = (input.byte(), [input.byte(); 4]);
    let vxlan = || [vxlan::header(Vni::new(7).expect("24 bits")).as_slice(), inside].concat();
    let options: [(u16, u8, &[u8]); 3] = [(AWS, 3, &cookie), (AWS, 1, &[3; 8]), (AWS, 2, &[1; 8])];
    let geneve = |kind| geneve::header(kind, Vni::default(), &options).expect("short options");
    let mut payload = match style % 4 {
        0 => vxlan(),
        1 => {
            let nested = udp(["10.200.0.7", "10.200.9.9"], [6000, 6080], &vxlan());
            [geneve(ethernet::IPV4), nested[14..].to_vec()].concat()
        }
        _ => [geneve(ethernet::kind(inside)), inside[14..].to_vec()].concat(),
    };
    let at = usize::from(input.byte());
    if let Some(byte) = payload.get_mut(at) {
        *byte ^= input.byte();
    }
    let ends = if style & 4 == 0 { ["192.0.2.9", "192.0.2.1"] } else { ["2001:db8:2::fe", "2001:db8:2::1"] };
    udp(ends, [5000, if style % 4 == 0 { 6080 } else { 6081 }], &payload)
}

/// A UDP frame for the second interface.
fn udp(ends: [&str; 2], ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let [source, destination] = ends.map(|end| end.parse().expect("an address"));
    let link = Link { source: [2, 9, 9, 9, 9, 9], destination: mac(House::ports()[1]) };
    udp_frame(link, (source, ports[0]), (destination, ports[1]), payload)
}

fn fix_header(bytes: &mut [u8]) {
    let header = 14 + usize::from(bytes.get(14).copied().unwrap_or(0) & 15) * 4;
    if header >= 34 && bytes.len() >= header && ethernet::kind(bytes) == ethernet::IPV4 {
        put_u16(bytes, 24, 0);
        let value = checksum::checksum(&bytes[14..header]);
        put_u16(bytes, 24, value);
    }
    if let Ok(Parsed::Ip(packet @ Packet { protocol: 58, .. })) = parse(bytes, Meta::default()) {
        bartizan_packet::rewrite::finish_icmp(bytes, &packet);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mut house = House::new(u64::from(input.byte()));
    for _ in 0..64 {
        if input.0.is_empty() {
            break;
        }
        house.step(&mut input);
    }
    // Whatever happened: after the longest timeout nothing is left, and a shutdown is quiet.
    house.now = Time(house.now.0 + 5000 * SECOND);
    house.engine.handle_timeout(house.now);
    house.settle();
    assert_eq!(house.engine.counters().sessions_active, 0, "sessions that never end");
    house.engine.shutdown(house.now);
    house.settle();
});
