//! A bench for the engine: virtual ports, hosts that answer ARP and NDP, packets written as text.
//!
//! A line is `<port> <protocol> <source> > <destination> [words]`, for example
//! `e1 tcp 10.1.0.10:40000 > 192.0.2.9:443 S` or `e1 ping 10.1.0.10 > 192.0.2.9 id=7`. What comes out is
//! printed in the same way; ports that no line mentioned were chosen by the engine and print as `*`, its
//! addresses on the local link as `token`.
//! Each packet that leaves is checked from scratch: a wrong checksum prints as `BAD`.

#![expect(clippy::unwrap_used, reason = "a test that cannot build its packet fails")]

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bartizan_engine::settings::{LocalLink, Settings};
use bartizan_engine::verdict::{
    Alarm, DropReason, Event, LogKind, PoolAlarm, Port, SessionLog, SessionView, Time, Verdict,
};
use bartizan_engine::{Counters, Engine};
use bartizan_model::{device, xml};
use bartizan_packet::answer::{Link, ip_frame};
use bartizan_packet::arp::{Arp, Operation};
use bartizan_packet::bytes::{put_u16, u8_at, u16_at};
use bartizan_packet::checksum;
use bartizan_packet::ethernet;
use bartizan_packet::fragment::{self, Piece};
use bartizan_packet::frame::{Checksum, Frame, HEADROOM_BYTES, Meta, Segmentation};
use bartizan_packet::ndp;
use bartizan_packet::parse::{Embedded, Layer4, Packet, Parsed, parse};
use bartizan_policy::compile::compile;
use bartizan_policy::facts::Facts;
use bartizan_policy::tables::{Compiled, Ids, IfaceId};

pub(crate) const AZURE: &str = include_str!("../../../model/tests/fixtures/azure-firewall.xml");

const SECOND: u64 = 1_000_000_000;

pub(crate) struct Lab {
    pub(crate) engine: Engine,
    pub(crate) now: Time,
    pub(crate) tables: Arc<Compiled>,
    ids: Ids,
    generation: u64,
    pub(crate) known_ports: BTreeSet<u16>,
    /// Neighbours that do not answer ARP or NDP.
    pub(crate) silent: BTreeSet<IpAddr>,
    last: Option<(String, Vec<u8>, Meta)>,
    /// IP frames that left, in order.
    pub(crate) left: Vec<Vec<u8>>,
    pub(crate) messages: Vec<Event>,
    pub(crate) pool_alarms: Vec<PoolAlarm>,
    pub(crate) alarms: Vec<Alarm>,
    logs: Vec<SessionLog>,
}

/// The MAC of the engine's port `e<n>`; `local` is 0.
pub(crate) fn port_mac(port: &str) -> [u8; 6] {
    let port = port.split('.').next().unwrap_or(port);
    [2, 0xb0, 0, 0, 0, port.trim_start_matches('e').parse().unwrap_or(0)]
}

/// The MAC of a neighbour.
pub(crate) fn neighbor_mac(address: IpAddr) -> [u8; 6] {
    match address {
        IpAddr::V4(v4) => [[0x02, 0x0a].as_slice(), &v4.octets()].concat().try_into().unwrap(),
        IpAddr::V6(v6) => [[0x02, 0x06].as_slice(), &v6.octets()[12..]].concat().try_into().unwrap(),
    }
}

/// The tables of a configuration text; its mistakes fail the test.
pub(crate) fn tables(text: &str, facts: &Facts, ids: &mut Ids, generation: u64) -> Arc<Compiled> {
    let root = xml::parse(text).unwrap_or_else(|diagnostic| panic!("{diagnostic}"));
    let report = device::read(&root, device::Scope::Device);
    let Some(config) = report.config else {
        panic!("{}", report.diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    };
    Arc::new(compile(&config, facts, ids, generation).unwrap_or_else(|diagnostics| panic!("{diagnostics:?}")))
}

impl Lab {
    pub(crate) fn new(text: &str) -> Self {
        Self::with(text, Settings::default())
    }

    pub(crate) fn with(text: &str, settings: Settings) -> Self {
        let local = Some(LocalLink { host_mac: None, http_port: 8080, https_port: 8443, ipv6: true });
        let mut engine = Engine::new(Settings { local, seed: 1, ..settings });
        let mut ids = Ids::default();
        let tables = tables(text, &Facts::default(), &mut ids, 1);
        let now = Time(1000 * SECOND);
        engine.install(tables.clone(), now);
        let names = tables.interfaces().filter(|(_, interface)| !interface.loopback && interface.vlan.is_none());
        for (id, interface) in names {
            engine.attach(Port::Data(id), port_mac(&short(&interface.name)));
        }
        engine.attach(Port::Local, port_mac("local"));
        Self {
            engine,
            now,
            tables,
            ids,
            generation: 1,
            known_ports: BTreeSet::from([8080, 8443]),
            silent: BTreeSet::new(),
            last: None,
            left: Vec::new(),
            messages: Vec::new(),
            alarms: Vec::new(),
            pool_alarms: Vec::new(),
            logs: Vec::new(),
        }
    }

    /// Commits another configuration.
    pub(crate) fn commit(&mut self, text: &str) {
        self.learn(text, &Facts::default());
    }

    /// Commits a configuration with what was learned beside it.
    pub(crate) fn learn(&mut self, text: &str, facts: &Facts) {
        self.generation += 1;
        self.tables = tables(text, facts, &mut self.ids, self.generation);
        self.engine.install(self.tables.clone(), self.now);
    }

    /// Lets time pass, timers included.
    pub(crate) fn pass(&mut self, seconds: u64) {
        let end = Time(self.now.0 + seconds * SECOND);
        while let Some((due, _)) = self.engine.poll_timeout().filter(|(due, _)| *due <= end) {
            self.now = self.now.max(due);
            self.engine.handle_timeout(self.now);
        }
        self.now = end;
        self.engine.handle_timeout(self.now);
    }

    /// One packet in; what comes out, a line each.
    pub(crate) fn send(&mut self, line: &str) -> String {
        let (port, bytes, meta) = self.packet(line);
        self.inject(&port, bytes, meta)
    }

    /// Sends a line and compares.
    #[track_caller]
    pub(crate) fn check(&mut self, line: &str, expected: &str) {
        assert_eq!(self.send(line), expected, "\nafter `{line}`");
    }

    /// The other end's answer to the packet that left last: `SA`, `A`, `udp`, `pong`, ...
    pub(crate) fn reply(&mut self, words: &str) -> String {
        let (port, bytes, meta) = self.answer(words);
        self.inject(&port, bytes, meta)
    }

    #[track_caller]
    pub(crate) fn check_reply(&mut self, words: &str, expected: &str) {
        assert_eq!(self.reply(words), expected, "\nafter the reply `{words}`");
    }

    /// The frame of the other end's answer to the packet that left last.
    pub(crate) fn answer(&mut self, words: &str) -> (String, Vec<u8>, Meta) {
        let (port, bytes, _) = self.last.clone().expect("nothing left yet");
        let Ok(Parsed::Ip(packet)) = parse(&bytes, Meta::default()) else { panic!("not IP") };
        let (source_port, destination_port) = packet.ports();
        let (protocol, from, to, words) = match packet.layer4 {
            Layer4::Tcp(_) => (
                "tcp",
                SocketAddr::new(packet.destination, destination_port).to_string(),
                SocketAddr::new(packet.source, source_port).to_string(),
                if words.contains("seq=") { words.to_owned() } else { format!("{words} server") },
            ),
            Layer4::Echo { identifier, .. } => {
                ("pong", packet.destination.to_string(), packet.source.to_string(), format!("id={identifier}"))
            }
            _ => (
                "udp",
                SocketAddr::new(packet.destination, destination_port).to_string(),
                SocketAddr::new(packet.source, source_port).to_string(),
                words.to_owned(),
            ),
        };
        let known = self.known_ports.clone();
        let built = self.packet(&format!("{port} {protocol} {from} > {to} {words}"));
        self.known_ports = known;
        built
    }

    /// The frame of a line in IP packets of at most `size` bytes.
    pub(crate) fn fragments(&mut self, line: &str, size: usize, identification: u16) -> Vec<Vec<u8>> {
        let (_, mut bytes, _) = self.packet(line);
        let Ok(Parsed::Ip(packet)) = parse(&bytes, Meta::default()) else { panic!("not IP") };
        if packet.is_v4() {
            fragment::identify(&mut bytes, &packet, identification);
        }
        fragment::cut(&bytes, &packet, size, identification.into()).collect()
    }

    /// Sends a line in fragments; what comes out after each.
    pub(crate) fn send_fragments(&mut self, line: &str, size: usize, identification: u16) -> Vec<String> {
        let port = line.split_whitespace().next().unwrap().to_owned();
        let fragments = self.fragments(line, size, identification);
        fragments.into_iter().map(|bytes| self.inject(&port, bytes, Meta::default())).collect()
    }

    /// An ICMP error of `router` about the packet that left last, on the port where it left.
    pub(crate) fn error_about_last(&mut self, router: &str, kind: u8, code: u8, word: u32) -> (String, Vec<u8>) {
        let (port, bytes, _) = self.last.clone().expect("nothing left yet");
        let Ok(Parsed::Ip(packet)) = parse(&bytes, Meta::default()) else { panic!("not IP") };
        let quoted = &bytes[packet.network..packet.end.min(packet.transport + 28)];
        (port.clone(), icmp(&port, router.parse().unwrap(), packet.source, kind, code, word, quoted))
    }

    /// Frames in, lines out; the neighbourhood answers ARP and NDP.
    pub(crate) fn inject(&mut self, port: &str, bytes: Vec<u8>, meta: Meta) -> String {
        let (id, vlan) = self.wire(port);
        let mut buffer = vec![0xee; HEADROOM_BYTES];
        buffer.extend(bytes);
        let mut frame = Frame { bytes: &mut buffer, meta: Meta { headroom: HEADROOM_BYTES as u16, vlan, ..meta } };
        let verdict = self.engine.handle_frame(id, &mut frame, self.now);
        let bytes = frame.bytes[usize::from(frame.meta.headroom)..].to_vec();
        let meta = Meta { headroom: 0, ..frame.meta };
        let mut lines = Vec::new();
        match verdict {
            Verdict::Transmit(port) => {
                let port = self.wire_name(port, meta.vlan);
                lines.push(self.leave(&port, bytes, meta));
            }
            Verdict::Drop(reason) => lines.push(format!("drop {}", reason.as_str())),
            Verdict::Handoff(worker) => lines.push(format!("handoff {worker}")),
            Verdict::Consumed => {}
        }
        lines.extend(self.settle());
        lines.join("\n")
    }

    /// Takes what the engine sends on its own account; answers its neighbour questions.
    pub(crate) fn settle(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(transmit) = self.engine.poll_transmit() {
            let port = self.wire_name(transmit.port, transmit.meta.vlan);
            match self.neighbor_answer(&port, &transmit.bytes) {
                Some(Some(answer)) => {
                    let mut bytes = answer;
                    let meta = Meta { vlan: transmit.meta.vlan, ..Meta::default() };
                    let mut frame = Frame { bytes: &mut bytes, meta };
                    let verdict = self.engine.handle_frame(transmit.port, &mut frame, self.now);
                    assert_eq!(verdict, Verdict::Consumed);
                }
                Some(None) => {}
                None => lines.push(self.leave(&port, transmit.bytes, transmit.meta)),
            }
        }
        while let Some(event) = self.engine.poll_event() {
            match event {
                Event::Log(log) => self.logs.push(log),
                Event::Alarm(alarm) => self.alarms.push(alarm),
                Event::Tell { .. } | Event::Notice(_) | Event::HandOver { .. } => self.messages.push(event),
                Event::Pool(alarm) => self.pool_alarms.push(alarm),
            }
        }
        lines
    }

    /// Log lines since the last call.
    pub(crate) fn logs(&mut self) -> Vec<String> {
        let logs = self.take_logs();
        logs.iter().map(|log| self.log_line(log)).collect()
    }

    pub(crate) fn take_logs(&mut self) -> Vec<SessionLog> {
        self.settle();
        std::mem::take(&mut self.logs)
    }

    pub(crate) fn sessions(&self) -> Vec<SessionView> {
        self.engine.sessions().collect()
    }

    pub(crate) fn session(&self) -> SessionView {
        let sessions = self.sessions();
        assert_eq!(sessions.len(), 1, "{sessions:#?}");
        sessions[0]
    }

    pub(crate) fn counters(&self) -> &Counters {
        self.engine.counters()
    }

    pub(crate) fn dropped(&self, reason: DropReason) -> u64 {
        self.engine.counters().dropped(reason)
    }

    pub(crate) fn port(&self, name: &str) -> Port {
        if name == "local" {
            return Port::Local;
        }
        let name = format!("ethernet1/{}", name.trim_start_matches('e'));
        Port::Data(self.tables.interface_id(&name).unwrap_or(IfaceId(99)))
    }

    /// The port on the wire, and the tag, of `e1` or `e1.100`; a tag that nobody has stands for itself.
    pub(crate) fn wire(&self, name: &str) -> (Port, u16) {
        let Some((port, part)) = name.split_once('.') else { return (self.port(name), 0) };
        match self.port(name) {
            Port::Data(id) => match self.tables.interface(id).and_then(|part| part.vlan) {
                Some((wire, tag)) => (Port::Data(wire), tag),
                None => (self.port(port), part.parse().unwrap()),
            },
            Port::Local => (Port::Local, 0),
        }
    }

    fn wire_name(&self, port: Port, vlan: u16) -> String {
        let Port::Data(wire) = port else { return self.name(port) };
        let part = self.tables.interfaces().find(|(_, interface)| interface.vlan == Some((wire, vlan)));
        part.map_or_else(|| self.name(port), |(id, _)| self.name(Port::Data(id)))
    }

    pub(crate) fn name(&self, port: Port) -> String {
        match port {
            Port::Local => "local".into(),
            Port::Data(id) => short(self.tables.interface_name(id)),
        }
    }

    /// The last packet that left: port, bytes, offload state.
    pub(crate) fn last(&self) -> &(String, Vec<u8>, Meta) {
        self.last.as_ref().expect("nothing left yet")
    }

    fn log_line(&self, log: &SessionLog) -> String {
        let session = &log.session;
        let kind = match log.kind {
            LogKind::Start => "start",
            LogKind::End => "end",
            LogKind::Deny => "deny",
            LogKind::Drop => "drop",
        };
        let rule = session.rule.map_or("-", |rule| self.tables.rule_name(rule));
        let why = log
            .end_reason
            .map(|reason| reason.as_str())
            .or(log.drop_reason.map(|reason| reason.as_str()))
            .unwrap_or("-");
        let zone = |zone: Option<_>| zone.map_or("-", |zone| self.tables.zone_name(zone));
        format!(
            "{kind} {} > {} {}>{} {} {rule} {why}",
            session.client.source,
            session.client.destination,
            zone(session.from),
            zone(session.to),
            session.action.as_str(),
        )
    }

    /// `None` when the frame asks for no neighbour; `Some(None)` when the neighbour is silent.
    fn neighbor_answer(&self, port: &str, bytes: &[u8]) -> Option<Option<Vec<u8>>> {
        if ethernet::kind(bytes) == ethernet::ARP {
            let arp = Arp::read(bytes)?;
            let target = IpAddr::V4(arp.target);
            return match arp.operation {
                Operation::Request if self.silent.contains(&target) => Some(None),
                Operation::Request => Some(Some(arp.reply(neighbor_mac(target)))),
                Operation::Reply => None,
            };
        }
        let Ok(Parsed::Ip(packet)) = parse(bytes, Meta::default()) else { return None };
        if packet.layer4 != (Layer4::IcmpOther { kind: ndp::SOLICITATION }) {
            return None;
        }
        let Some(ndp::Message::Solicitation { target, .. }) = ndp::Message::read(bytes, &packet) else { return None };
        let IpAddr::V6(asker) = packet.source else { return None };
        if self.silent.contains(&IpAddr::V6(target)) {
            return Some(None);
        }
        let mac = neighbor_mac(IpAddr::V6(target));
        Some(Some(ndp::advertise(mac, port_mac(port), asker, target)))
    }

    fn leave(&mut self, port: &str, bytes: Vec<u8>, meta: Meta) -> String {
        assert_eq!(ethernet::source(&bytes), port_mac(port), "frame leaves {port} with a foreign MAC");
        let line = format!("{port} {}", self.describe(&bytes, meta));
        self.left.push(bytes.clone());
        self.last = Some((port.to_owned(), bytes, meta));
        line
    }

    pub(crate) fn describe(&self, bytes: &[u8], meta: Meta) -> String {
        let packet = match parse(bytes, meta) {
            Ok(Parsed::Ip(packet)) => packet,
            Ok(Parsed::Arp) => {
                let arp = Arp::read(bytes).unwrap();
                return format!("arp {:?} {} > {}", arp.operation, arp.sender, arp.target);
            }
            other => return format!("{other:?}"),
        };
        if packet.fragment {
            let piece = Piece::read(bytes, &packet).unwrap();
            let more = if piece.more { "+" } else { "" };
            let (source, destination) = (packet.source, packet.destination);
            return format!(
                "fragment {source} > {destination} {}-{}{more}",
                piece.offset,
                piece.offset + piece.end - piece.data
            );
        }
        let bad = if is_intact(bytes, &packet) { "" } else { " BAD" };
        let masked = |address: IpAddr, port: u16| {
            if is_token(address) {
                return "token".to_owned();
            }
            let text = SocketAddr::new(address, port).to_string();
            if self.known_ports.contains(&port) {
                return text;
            }
            text.strip_suffix(&port.to_string()).map(|head| format!("{head}*")).unwrap_or(text)
        };
        let (source_port, destination_port) = packet.ports();
        let ends = format!("{} > {}", masked(packet.source, source_port), masked(packet.destination, destination_port));
        match packet.layer4 {
            Layer4::Tcp(tcp) => format!("tcp {ends} {}{bad}", flags_text(tcp.flags.0)),
            Layer4::Ports { .. } if packet.protocol == 17 => format!("udp {ends}{bad}"),
            Layer4::Ports { .. } => format!("sctp {ends}{bad}"),
            Layer4::Echo { reply, identifier } => {
                let id = if self.known_ports.contains(&identifier) { identifier.to_string() } else { "*".into() };
                let name = if reply { "pong" } else { "ping" };
                format!("{name} {} > {} id={id}{bad}", packet.source, packet.destination)
            }
            Layer4::IcmpError => {
                let quoted = Embedded::read(bytes, &packet).unwrap();
                let (kind, code) = (u8_at(bytes, packet.transport), u8_at(bytes, packet.transport + 1));
                let quote = format!(
                    "{} > {}",
                    masked(quoted.source, quoted.source_port),
                    masked(quoted.destination, quoted.destination_port)
                );
                format!("icmp {kind}/{code} {} > {} about {quote}{bad}", packet.source, packet.destination)
            }
            Layer4::IcmpOther { kind } => format!("icmp {kind} {} > {}{bad}", packet.source, packet.destination),
            Layer4::Other => format!("proto {} {} > {}{bad}", packet.protocol, packet.source, packet.destination),
        }
    }

    /// Builds the frame of a line.
    pub(crate) fn packet(&mut self, line: &str) -> (String, Vec<u8>, Meta) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [port, protocol, source, ">", destination, options @ ..] = words.as_slice() else {
            panic!("cannot read `{line}`");
        };
        let number = |name: &str, default: u64| -> u64 {
            let found = options.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            found.map_or(default, |text| text.parse().unwrap())
        };
        let has = |name: &str| options.contains(&name);
        let (source, source_port) = end(source);
        let (destination, destination_port) = end(destination);
        self.known_ports.extend([source_port, destination_port]);
        let payload = vec![0x5a; number("len", 0) as usize];
        let server = has("server");
        let (number_of, mut message) = match *protocol {
            "tcp" => {
                let flags = options.iter().find_map(|word| flags_of(word)).unwrap_or(0);
                let opening = flags & 2 != 0;
                let (seq, ack) = match (server, opening) {
                    (false, true) => (1000, 0),
                    (false, false) => (1001, 5001),
                    (true, true) => (5000, 1001),
                    (true, false) => (5001, 1001),
                };
                let (seq, ack) = (number("seq", seq) as u32, number("ack", ack) as u32);
                let mut segment = [source_port.to_be_bytes(), destination_port.to_be_bytes()].concat();
                segment.extend(seq.to_be_bytes());
                segment.extend(ack.to_be_bytes());
                let mss = number("mss", 0) as u16;
                segment.extend([if mss > 0 { 0x60 } else { 0x50 }, flags, 0xff, 0xff, 0, 0, 0, 0]);
                if mss > 0 {
                    segment.extend([&[2, 4], &mss.to_be_bytes()[..]].concat());
                }
                segment.extend(&payload);
                (6, segment)
            }
            "udp" => {
                let length = (8 + payload.len()) as u16;
                let head = [source_port.to_be_bytes(), destination_port.to_be_bytes(), length.to_be_bytes(), [0; 2]];
                (17, [head.concat(), payload].concat())
            }
            "ping" | "pong" => {
                let id = number("id", 0) as u16;
                self.known_ports.insert(id);
                let kind = match (*protocol, source) {
                    ("ping", IpAddr::V4(_)) => 8,
                    ("ping", IpAddr::V6(_)) => 128,
                    (_, IpAddr::V4(_)) => 0,
                    (_, IpAddr::V6(_)) => 129,
                };
                let head = [[kind, 0], [0, 0], id.to_be_bytes(), [0, 1]].concat();
                (if source.is_ipv4() { 1 } else { 58 }, [head, payload].concat())
            }
            "proto" => (number("proto", 47) as u8, vec![0; 16]),
            other => panic!("protocol `{other}`"),
        };
        let field = bartizan_packet::parse::checksum_field(number_of);
        if let Some(at) = field {
            let value = if has("partial") {
                checksum::pseudo_header(source, destination, number_of, message.len())
            } else if number_of == 1 {
                checksum::checksum(&message)
            } else {
                checksum::transport(source, destination, number_of, &message)
            };
            put_u16(&mut message, at, if has("nosum") { 0 } else { value });
        }
        let link = Link { source: neighbor_mac(source), destination: port_mac(port) };
        let ttl = number("ttl", 64) as u8;
        let mut bytes = ip_frame(link, source, destination, number_of, ttl, &message);
        if has("nodf") {
            bytes[20] = 0;
            bytes[24..26].fill(0);
            let value = checksum::checksum(&bytes[14..34]);
            put_u16(&mut bytes, 24, value);
        }
        let mut meta = Meta::default();
        let headers = if source.is_ipv4() { 34_u16 } else { 54 };
        if has("partial") {
            meta.checksum = Checksum::Partial { start: headers, offset: field.unwrap_or(0) as u16 };
        }
        if number("gso", 0) > 0 {
            meta.segmentation = if source.is_ipv4() { Segmentation::TcpV4 } else { Segmentation::TcpV6 };
            meta.segment_bytes = number("gso", 0) as u16;
            meta.header_bytes = headers + 20;
        }
        ((*port).to_owned(), bytes, meta)
    }
}

/// An ICMP error frame towards a port of the engine.
pub(crate) fn icmp(port: &str, from: IpAddr, to: IpAddr, kind: u8, code: u8, word: u32, quoted: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend(word.to_be_bytes());
    message.extend(quoted);
    let protocol = if from.is_ipv4() { 1 } else { 58 };
    let value =
        if from.is_ipv4() { checksum::checksum(&message) } else { checksum::transport(from, to, protocol, &message) };
    put_u16(&mut message, 2, value);
    let link = Link { source: neighbor_mac(from), destination: port_mac(port) };
    ip_frame(link, from, to, protocol, 64, &message)
}

/// Whether every checksum of a packet is what it has to be, computed from scratch.
pub(crate) fn is_intact(bytes: &[u8], packet: &Packet) -> bool {
    let header = !packet.is_v4() || checksum::checksum(&bytes[packet.network..packet.transport]) == 0;
    let Some(field) = bartizan_packet::parse::checksum_field(packet.protocol) else { return header };
    let message = &bytes[packet.transport..packet.end];
    let stored = u16_at(message, field);
    if packet.partial {
        let pseudo = checksum::pseudo_header(packet.source, packet.destination, packet.protocol, message.len());
        return header && (stored == pseudo);
    }
    if packet.protocol == 17 && packet.is_v4() && stored == 0 {
        return header;
    }
    let sum = if packet.protocol == 1 {
        checksum::checksum(message)
    } else {
        checksum::transport(packet.source, packet.destination, packet.protocol, message)
    };
    header && sum == 0 && quotation_is_intact(bytes, packet)
}

/// Quoted headers must be right, too; the transport checksum is checked where it is quoted whole.
fn quotation_is_intact(bytes: &[u8], packet: &Packet) -> bool {
    if packet.layer4 != Layer4::IcmpError {
        return true;
    }
    let Ok(quoted) = Embedded::read(bytes, packet) else { return false };
    if packet.is_v4() && checksum::checksum(&bytes[quoted.network..quoted.transport]) != 0 {
        return false;
    }
    let message = &bytes[quoted.transport..quoted.end];
    let whole = packet.is_v4() && usize::from(u16_at(bytes, quoted.network + 2)) == quoted.end - quoted.network;
    match quoted.protocol {
        6 | 17 if whole => checksum::transport(quoted.source, quoted.destination, quoted.protocol, message) == 0,
        1 if whole => checksum::checksum(message) == 0,
        _ => true,
    }
}

/// Whether the engine made the address up for the local link.
fn is_token(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[..2] == [198, 18] && v4.octets() != [198, 18, 0, 1],
        IpAddr::V6(v6) => v6.segments()[..4] == [0x2001, 2, 0, 1],
    }
}

fn short(name: &str) -> String {
    name.replace("ethernet1/", "e")
}

fn end(text: &str) -> (IpAddr, u16) {
    match text.parse::<SocketAddr>() {
        Ok(socket) => (socket.ip(), socket.port()),
        Err(_) => (text.parse().unwrap_or_else(|_| panic!("address `{text}`")), 0),
    }
}

const FLAGS: [(char, u8); 5] = [('F', 1), ('S', 2), ('R', 4), ('P', 8), ('A', 16)];

fn flags_of(word: &str) -> Option<u8> {
    word.chars().try_fold(0, |flags, letter| FLAGS.iter().find(|(name, _)| *name == letter).map(|(_, bit)| flags | bit))
}

fn flags_text(flags: u8) -> String {
    "SFRPA".chars().filter(|letter| FLAGS.iter().any(|(name, bit)| name == letter && flags & bit != 0)).collect()
}
