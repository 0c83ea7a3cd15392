//! One scenario: the engine and the reference side by side, in a world where neighbours answer.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use bartizan_engine::verdict::{DropReason, FlowKey, Port, SessionState, Time, Verdict};
use bartizan_engine::{Engine, Settings};
use bartizan_model::device::{self, Scope, Validated};
use bartizan_model::xml;
use bartizan_packet::frame::{Frame, HEADROOM_BYTES, Meta};
use bartizan_policy::compile::compile;
use bartizan_policy::facts::{Facts, RouteName};
use bartizan_policy::tables::{Compiled, Ids, IfaceId};

use super::frames::{Body, Mac, Packet, RST, Tuple, frame, join, neighbor_answer};
use super::generate::{Network, config, interface_name, interface_number};
use super::pieces::{Shape, cut};
use super::random::Random;
use super::reference::{Answer, Expected, Reference, Station, View};
use super::tally::Tally;
use super::traffic::{Conversation, Next};
use super::tunnels::{Header, INGRESS, LOWER, STATION};

const SECOND: u64 = 1_000_000_000;

/// Configurations tried until one is accepted: random routers often send packets in circles.
const CONFIG_TRIES: u64 = 50;

/// The place where engine and reference parted.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Which event it was.
    pub(crate) event: usize,
    /// What was expected and what happened.
    pub(crate) message: String,
    /// What happened before.
    pub(crate) log: Vec<String>,
    pub(crate) config: String,
}

struct World {
    seed: u64,
    network: Network,
    ids: Ids,
    tables: Arc<Compiled>,
    config: String,
    engine: Engine,
    reference: Reference,
    now: u64,
    conversations: Vec<Conversation>,
    /// What is around the packets of each conversation, if they come through the tunnel.
    headers: Vec<Option<Header>>,
    /// The cookie that the last packet was answered with.
    given: Option<u32>,
    commits: u64,
    /// Addresses whose answer did not reach the firewall, because it answers for them itself or does not
    /// listen there any more: nobody lives at these.
    deserted: BTreeSet<IpAddr>,
    log: Vec<String>,
    tally: Tally,
}

/// Runs the first `events` events of a scenario but those left out.
pub(crate) fn run(seed: u64, events: usize, without: &BTreeSet<usize>) -> Result<Tally, Failure> {
    let mut world = World::new(seed);
    for event in (0..events).filter(|event| !without.contains(event)) {
        let mut random = Random::new(seed, 1000 + event as u64);
        let result = world.event(&mut random);
        if let Err(message) = result.and_then(|()| world.compare_sessions()) {
            return Err(Failure { event, message, log: world.log, config: world.config });
        }
    }
    match world.finish() {
        Ok(()) => {
            let [sources, pools, destinations] = world.reference.translations;
            let protected = world.reference.protected;
            Ok(Tally { sources, pools, destinations, protected, ..world.tally })
        }
        Err(message) => Err(Failure { event: events, message, log: world.log, config: world.config }),
    }
}

/// Number of an interface, and what was around a packet that left by it.
type Place = (usize, Option<Header>);
type Left = (Place, Vec<u8>);

/// A frame that left the engine.
struct Sent {
    interface: String,
    destination: Mac,
    packet: Packet,
    /// The longest IP packet it left in.
    longest: usize,
    /// What was around it.
    header: Option<Header>,
}

/// What is known at this moment besides the configuration.
fn facts(config: &Validated, random: &mut Random) -> Facts {
    let mut facts = Facts::default();
    for router in &config.routers {
        for route in router.routes.iter().filter(|route| route.path_monitor.is_some()) {
            if random.percent(50) {
                let v6 = route.destination.addr().is_ipv6();
                let name = RouteName { router: router.name.clone(), v6, route: route.name.clone() };
                facts.routes_down.insert(name);
            }
        }
    }
    facts
}

/// An accepted configuration with what was known of the world.
struct Loaded {
    config: Validated,
    facts: Facts,
    tables: Arc<Compiled>,
}

fn load(text: &str, ids: &mut Ids, random: &mut Random, generation: u64) -> Option<Loaded> {
    let report = device::read(&xml::parse(text).expect("XML"), Scope::Device);
    let config = report.config?;
    let facts = facts(&config, random);
    let tables = compile(&config, &facts, ids, generation).ok()?;
    Some(Loaded { config, facts, tables: Arc::new(tables) })
}

/// The MAC of whoever has an address.
fn mac(ip: IpAddr) -> Mac {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            [2, a, b, c, d, 4]
        }
        IpAddr::V6(ip) => {
            let octets = ip.octets();
            [2, octets[1], octets[7], octets[14], octets[15], 6]
        }
    }
}

/// The MAC of an interface by its name: a part of a port has that of the port.
fn own_mac(interface: &str) -> Mac {
    let number = interface.strip_prefix("ethernet1/").and_then(|rest| rest.split('.').next()?.parse().ok());
    [2, 0xee, 0, 0, 0, number.unwrap_or(0)]
}

/// Port and tag of an interface on the wire.
fn wire(tables: &Compiled, interface: &str) -> (Port, u16) {
    let carrier = interface_name(LOWER);
    let inside = interface_number(interface).is_some_and(|number| number >= INGRESS);
    let interface = if inside { &carrier } else { interface };
    let id = tables.interface_id(interface).expect("a configured interface");
    let (port, tag) = tables.interface(id).and_then(|interface| interface.vlan).unwrap_or((id, 0));
    (Port::Data(port), tag)
}

/// The interface of a port and tag.
fn behind(tables: &Compiled, port: Port, tag: u16) -> Option<IfaceId> {
    let Port::Data(id) = port else { return None };
    let mut parts = tables.interfaces();
    match tag {
        0 => Some(id),
        _ => parts.find(|(_, part)| part.vlan == Some((id, tag))).map(|(part, _)| part),
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let network = Network::new(&mut Random::new(seed, 1));
        let mut ids = Ids::default();
        let mut tally = Tally::default();
        let (config, loaded) = new_config(seed, 0, &network, &mut ids, &mut tally);
        let Loaded { config: validated, facts, tables } = loaded;
        let now = 10 * SECOND;
        let mut engine = Engine::new(Settings { sessions_max: 4096, seed, ..Settings::default() });
        for at in network.all() {
            let name = interface_name(at);
            if let (port, 0) = wire(&tables, &name) {
                engine.attach(port, own_mac(&name));
            }
        }
        engine.install(Arc::clone(&tables), Time(now));
        let mut world = Self {
            seed,
            network,
            ids,
            tables,
            config,
            engine,
            reference: Reference::new(validated, facts, network.tunnel),
            now,
            conversations: Vec::new(),
            headers: Vec::new(),
            given: None,
            commits: 0,
            deserted: BTreeSet::new(),
            log: Vec::new(),
            tally,
        };
        world.reference.advance(now);
        world
    }

    fn event(&mut self, random: &mut Random) -> Result<(), String> {
        match random.below(100) {
            0..=34 => {
                let conversation = Conversation::open(random, &self.network, &self.conversations);
                let next = conversation.start();
                self.conversations.push(conversation);
                self.headers.push(self.network.tunnel.map(|tunnel| tunnel.header(random)));
                self.send(random, self.conversations.len() - 1, &next)
            }
            35..=79 => {
                // Mostly the youngest go on.
                let youngest = self.conversations.len().saturating_sub(4);
                let at = match random.below(3) {
                    0 => random.below(self.conversations.len()),
                    _ => youngest + random.below(self.conversations.len() - youngest),
                };
                let next = self.conversations.get(at).and_then(|conversation| conversation.next(random));
                next.map_or(Ok(()), |next| self.send(random, at, &next))
            }
            80..=87 => {
                let at = random.below(self.conversations.len());
                let Some(conversation) = self.conversations.get(at) else { return Ok(()) };
                let Some((from_client, packet)) = conversation.error(random, &self.network) else { return Ok(()) };
                self.tally.errors += 1;
                let Some((interface, station)) = self.side(at, from_client) else { return Ok(()) };
                self.choose_header(random, at, &interface);
                self.inject(random, &interface, station, &packet).map(|_| ())
            }
            88..=96 => {
                let seconds = *random.pick(&[1, 1, 2, 4, 5, 6, 7, 9, 11, 14, 16, 25, 31, 61, 91, 119, 125, 3601]);
                let jitter = random.next() % SECOND;
                self.pass_time(seconds * SECOND + jitter)
            }
            _ => {
                self.commit();
                Ok(())
            }
        }
    }

    /// The interface and station at which packets of one side of a conversation come in.
    fn side(&self, at: usize, from_client: bool) -> Option<(String, Mac)> {
        let conversation = &self.conversations[at];
        let (ingress, station) = match (from_client, &conversation.seen) {
            (true, _) => (conversation.ingress, conversation.station),
            (false, Some((interface, _))) => (interface_number(interface)?, [2, 0xdd, 0, 0, 0, 1]),
            (false, None) => return None,
        };
        match self.network.tunnel.filter(|_| ingress >= INGRESS) {
            Some(tunnel) => Some((interface_name(tunnel.side(ingress)), STATION)),
            None => Some((interface_name(ingress), station)),
        }
    }

    fn send(&mut self, random: &mut Random, at: usize, next: &Next) -> Result<(), String> {
        let Some((interface, station)) = self.side(at, next.from_client) else { return Ok(()) };
        self.choose_header(random, at, &interface);
        let out = self.inject(random, &interface, station, &next.packet)?;
        if let Some(cookie) = self.given.take() {
            self.conversations[at].given(cookie);
        }
        if let Some((interface, seen)) = out {
            self.conversations[at].passed(next, &interface, &seen);
        }
        Ok(())
    }

    /// What is around the next packet of a conversation: now and then the load balancer moves a flow.
    fn choose_header(&mut self, random: &mut Random, at: usize, interface: &str) {
        let Some(tunnel) = self.network.tunnel else { return };
        if random.percent(10) {
            self.headers[at] = Some(tunnel.header(random));
        }
        let inside = interface_number(interface).is_some_and(|number| number >= INGRESS);
        self.reference.header = self.headers[at].filter(|_| inside);
        self.tally.inside += usize::from(inside);
    }

    fn commit(&mut self) {
        self.commits += 1;
        self.tally.commits += 1;
        let (text, loaded) = new_config(self.seed, self.commits, &self.network, &mut self.ids, &mut self.tally);
        let Loaded { config: validated, facts, tables } = loaded;
        // Nothing that came before happens at the same time.
        self.now += 1;
        self.log.push(format!("{:9.3} commit {}", self.now as f64 / 1e9, self.commits));
        self.engine.install(Arc::clone(&tables), Time(self.now));
        self.reference.install(validated, facts, self.now);
        (self.tables, self.config) = (tables, text);
    }

    fn pass_time(&mut self, nanoseconds: u64) -> Result<(), String> {
        self.now += nanoseconds;
        self.log.push(format!("{:9.3} time goes on", self.now as f64 / 1e9));
        self.engine.handle_timeout(Time(self.now));
        self.reference.advance(self.now);
        let sent = self.drain(None)?;
        self.check_resets(sent)?;
        let idle = self.engine.poll_timeout().is_none_or(|(due, _)| due.0 > self.now);
        if idle { Ok(()) } else { Err(format!("{:?} is due although it was just handled", self.engine.poll_timeout())) }
    }

    /// One packet through both firewalls, whole or in fragments. What left, if it was forwarded.
    fn inject(
        &mut self,
        random: &mut Random,
        interface: &str,
        station: Mac,
        packet: &Packet,
    ) -> Result<Option<(String, Packet)>, String> {
        if self.reference.concerns_unseen(packet) {
            return Ok(None);
        }
        self.tally.packets += 1;
        self.log.push(format!("{:9.3} {interface} {packet:?}", self.now as f64 / 1e9));
        let (port, vlan) = wire(&self.tables, interface);
        let own = own_mac(interface);
        let mut frames = vec![frame(own, station, packet)];
        let cut = cut(random, own, station, packet, self.tally.in_fragments as u16);
        let shape = cut.as_ref().map(|(shape, _)| *shape);
        if let Some((shape, fragments)) = cut {
            self.tally.in_fragments += 1;
            self.log.push(format!("            in {} fragments, {shape:?}", fragments.len()));
            frames = fragments;
        }
        let longest = frames.iter().map(Vec::len).fold(0, usize::max) - 14;
        if let (Some(tunnel), Some(header)) = (self.network.tunnel, self.reference.header) {
            let side = interface_number(interface).expect("a side");
            frames
                .iter_mut()
                .for_each(|bytes| *bytes = tunnel.wrap(own_mac(&interface_name(LOWER)), side, header, bytes));
        }
        if shape == Some(Shape::Incomplete) {
            return frames.into_iter().try_for_each(|bytes| self.swallow((port, vlan), bytes)).map(|()| None);
        }
        let last = frames.pop().expect("a frame");
        self.reference.in_fragments = !frames.is_empty();
        frames.into_iter().try_for_each(|bytes| self.swallow((port, vlan), bytes))?;
        let expected = self.reference.packet(interface, station, packet, longest);
        // Headers of tunnels go into the room in front, if there is any.
        let headroom = if random.percent(50) { HEADROOM_BYTES } else { 0 };
        let mut bytes = vec![0xee; headroom];
        bytes.extend(last);
        let meta = Meta { vlan, headroom: headroom as u16, ..Meta::default() };
        let mut arrived = Frame { bytes: &mut bytes, meta };
        let verdict = self.engine.handle_frame(port, &mut arrived, Time(self.now));
        let (vlan, start) = (arrived.meta.vlan, usize::from(arrived.meta.headroom));
        if let Verdict::Drop(reason) = verdict {
            self.log.push(format!("            dropped: {}", reason.as_str()));
        }
        let bytes = bytes.split_off(start);
        let context = |text: String| format!("{text}\n  verdict {verdict:?}\n  expected {expected:?}");
        let first = if let Verdict::Transmit(port) = verdict { Some((port, vlan, bytes)) } else { None };
        let sent = self.drain(first).map_err(context)?;
        self.log.extend(sent.iter().map(|sent| format!("            -> {} {:?}", sent.interface, sent.packet)));
        if verdict == Verdict::Drop(DropReason::NatCollision)
            && (self.reference.opens || !matches!(expected, Expected::Drop(Answer::Nothing)))
        {
            let may = self.reference.collide(&expected);
            return if may { Ok(None) } else { Err(context("no other session is in the way".into())) };
        }
        if verdict == Verdict::Drop(DropReason::NatPoolExhausted) {
            let may = self.reference.run_dry(&expected);
            self.tally.dry += usize::from(may);
            return if may { Ok(None) } else { Err(context("there are addresses left".into())) };
        }
        self.judge(interface, station, packet, &expected, sent).map_err(context)
    }

    /// A fragment that does not complete its datagram.
    fn swallow(&mut self, (port, vlan): (Port, u16), mut bytes: Vec<u8>) -> Result<(), String> {
        let mut frame = Frame { bytes: &mut bytes, meta: Meta { vlan, ..Meta::default() } };
        let verdict = self.engine.handle_frame(port, &mut frame, Time(self.now));
        let sent = self.drain(None)?.len();
        let ended = matches!(verdict, Verdict::Consumed | Verdict::Drop(_));
        if ended && sent == 0 {
            Ok(())
        } else {
            Err(format!("a fragment alone came to {verdict:?}, {sent} frames left"))
        }
    }

    /// All frames the engine has for the world, questions to neighbours answered.
    fn drain(&mut self, first: Option<(Port, u16, Vec<u8>)>) -> Result<Vec<Sent>, String> {
        let mut frames: Vec<_> = first.into_iter().collect();
        while let Some(transmit) = self.engine.poll_transmit() {
            let vlan = transmit.meta.vlan;
            match neighbor_answer(&transmit.bytes, mac) {
                Some((address, _)) if self.is_deserted(transmit.port, vlan, address) => {}
                Some((address, mut answer)) => {
                    let frame = &mut Frame { bytes: &mut answer, meta: Meta { vlan, ..Meta::default() } };
                    let verdict = self.engine.handle_frame(transmit.port, frame, Time(self.now));
                    self.log.push(format!("            {address} answers: {verdict:?}"));
                    // An interface that lost its zone or router has nothing to say to its neighbours any more.
                    let silent = matches!(verdict, Verdict::Drop(DropReason::NoZone | DropReason::NoRouter));
                    if silent {
                        self.deserted.insert(address);
                    } else if verdict != Verdict::Consumed {
                        return Err(format!("the answer of a neighbour came to {verdict:?}"));
                    }
                }
                None => frames.push((transmit.port, vlan, transmit.bytes)),
            }
        }
        while self.engine.poll_event().is_some() {}
        let frames: Result<Vec<_>, String> =
            frames.into_iter().map(|(port, vlan, bytes)| self.unwrap(port, vlan, bytes)).collect();
        join(frames?)?.into_iter().map(|(place, (bytes, longest))| self.read(place, &bytes, longest)).collect()
    }

    /// The number of the interface a frame left by, and what was around it.
    fn unwrap(&self, port: Port, vlan: u16, bytes: Vec<u8>) -> Result<Left, String> {
        let id = behind(&self.tables, port, vlan).ok_or("a tag that is nobody's")?;
        let name = self.tables.interface_name(id);
        if bytes[6..12] != own_mac(name) {
            return Err("a frame with somebody else's source MAC".into());
        }
        let number = interface_number(name).ok_or("an interface without a number")?;
        let unwrapped = match self.network.tunnel.filter(|_| number == LOWER) {
            Some(tunnel) => tunnel.unwrap(&bytes)?,
            None => None,
        };
        Ok(unwrapped.map_or(((number, None), bytes), |inside| ((inside.side, Some(inside.header)), inside.frame)))
    }

    fn is_deserted(&mut self, port: Port, vlan: u16, address: IpAddr) -> bool {
        let interface = behind(&self.tables, port, vlan).and_then(|id| self.tables.interface(id));
        let claimed = interface
            .is_some_and(|interface| interface.proxy.iter().any(|(first, last)| *first <= address && address <= *last));
        if claimed {
            self.deserted.insert(address);
        }
        self.deserted.contains(&address)
    }

    fn read(&self, (number, header): Place, bytes: &[u8], longest: usize) -> Result<Sent, String> {
        let interface = interface_name(number);
        let packet = Packet::read(&bytes[14..])?;
        let destination = bytes[..6].try_into().map_err(|_| "no frame")?;
        Ok(Sent { interface, destination, packet, longest, header })
    }

    /// The name of an interface as frames that leave by it show it.
    fn shown(&self, interface: &str) -> String {
        let side = self.network.tunnel.and_then(|tunnel| Some(tunnel.side(interface_number(interface)?)));
        side.map_or_else(|| interface.to_owned(), interface_name)
    }

    fn judge(
        &mut self,
        interface: &str,
        station: Mac,
        packet: &Packet,
        expected: &Expected,
        mut sent: Vec<Sent>,
    ) -> Result<Option<(String, Packet)>, String> {
        match expected {
            Expected::Drop(answer) => {
                self.tally.too_big += usize::from(matches!(answer, Answer::TooBig(_)));
                self.check_answer(interface, station, packet, *answer, &mut sent)?;
                self.check_resets(sent)?;
                Ok(None)
            }
            Expected::EchoReply(reply) => {
                self.tally.answered += 1;
                let out = take(&mut sent).ok_or("no echo reply")?;
                self.check_resets(sent)?;
                let right = out.interface == interface
                    && out.destination == station
                    && out.packet == *reply
                    && out.header == self.reference.header;
                if right { Ok(None) } else { Err("another echo reply".into()) }
            }
            Expected::Cookie(answer) => {
                self.tally.cookies += 1;
                let at =
                    sent.iter().position(|sent| sent.interface == interface && sent.packet.tuple() == answer.tuple());
                let out = sent.remove(at.ok_or("no cookie")?);
                self.check_resets(sent)?;
                let Body::Tcp { sequence: cookie, .. } = out.packet.body else { return Err("no TCP".into()) };
                let mut right = answer.clone();
                if let Body::Tcp { sequence, .. } = &mut right.body {
                    *sequence = cookie;
                }
                if out.packet != right || out.destination != station {
                    return Err("another answer to a SYN".into());
                }
                let realm = self.reference.realm(interface).ok_or("no realm")?;
                self.reference.give(realm, packet, cookie);
                self.given = Some(cookie);
                Ok(None)
            }
            Expected::Handshake(made) => {
                self.tally.relayed += 1;
                let mut last = None;
                for (interface, to, packet) in made {
                    let station = match to {
                        Station::Neighbor(ip) => mac(*ip),
                        Station::Mac(mac) => *mac,
                    };
                    let at = sent.iter().position(|sent| {
                        sent.interface == *interface && sent.destination == station && sent.packet == *packet
                    });
                    let Some(at) = at else {
                        let lost = matches!(to, Station::Neighbor(ip) if self.deserted.contains(ip));
                        return if lost { Ok(None) } else { Err(format!("not sent by {interface}: {packet:?}")) };
                    };
                    sent.remove(at);
                    last.get_or_insert((interface.clone(), packet.clone()));
                }
                self.check_resets(sent)?;
                Ok(last)
            }
            Expected::Forward(forward) => {
                let lost = matches!(forward.station, Station::Neighbor(ip) if self.deserted.contains(&ip));
                if lost && sent.is_empty() {
                    return Ok(None);
                }
                self.tally.forwarded += 1;
                let out = take(&mut sent).ok_or("not forwarded")?;
                self.check_resets(sent)?;
                self.reference.learn(forward, &out.packet)?;
                let mut right = forward.packet.clone();
                if forward.source.is_some() {
                    let tuple = Tuple {
                        source: out.packet.source,
                        source_port: out.packet.tuple().source_port,
                        ..right.tuple()
                    };
                    right = right.with_tuple(&tuple);
                }
                self.tally.entered += usize::from(out.header.is_some());
                self.tally.out_fragments += usize::from(out.longest < out.packet.bytes().len());
                if out.longest > forward.longest {
                    return Err(format!("left in packets of {} bytes", out.longest));
                }
                if out.packet != right {
                    return Err("forwarded, but as another packet".into());
                }
                if out.interface != self.shown(&forward.interface) {
                    return Err(format!("forwarded by {}", out.interface));
                }
                if out.header != forward.header {
                    return Err(format!("forwarded behind {:?}", out.header));
                }
                let neighbor = match forward.station {
                    Station::Neighbor(ip) => mac(ip),
                    Station::Mac(mac) => mac,
                };
                if out.destination != neighbor {
                    return Err(format!("forwarded to station {:02x?}, not {neighbor:02x?}", out.destination));
                }
                Ok(Some((out.interface, out.packet)))
            }
        }
    }

    fn check_answer(
        &self,
        interface: &str,
        station: Mac,
        packet: &Packet,
        answer: Answer,
        sent: &mut Vec<Sent>,
    ) -> Result<(), String> {
        let wanted = |body: &Body| match (answer, body) {
            (Answer::Reset, Body::Tcp { flags, .. }) => flags & RST != 0,
            (Answer::Unreachable, Body::Error { kind, code, quoted, .. }) => {
                matches!((kind, code), (3, 13) | (1, 1)) && quoted.quotes(packet)
            }
            (Answer::TimeExceeded, Body::Error { kind, code, quoted, .. }) => {
                let kinds = if packet.source.is_ipv4() { (11, 0) } else { (3, 0) };
                (*kind, *code) == kinds && quoted.quotes(packet)
            }
            (Answer::TooBig(mtu), Body::Error { kind, code, word, quoted }) => {
                let kinds = if packet.source.is_ipv4() { (3, 4) } else { (2, 0) };
                ((*kind, *code), *word) == (kinds, u32::from(mtu)) && quoted.quotes(packet)
            }
            _ => false,
        };
        if answer == Answer::Nothing {
            return Ok(());
        }
        let at = sent.iter().position(|sent| {
            sent.interface == interface
                && sent.destination == station
                && sent.header == self.reference.header
                && sent.packet.destination == packet.source
                && wanted(&sent.packet.body)
        });
        let at = at.ok_or_else(|| format!("no answer {answer:?}"))?;
        if answer == Answer::Reset && sent[at].packet.tuple() != packet.tuple().reversed() {
            return Err("a reset for another connection".into());
        }
        sent.remove(at);
        Ok(())
    }

    /// What else left may only be resets of connections that a commit refused.
    fn check_resets(&mut self, sent: Vec<Sent>) -> Result<(), String> {
        let mut allowed = self.reference.take_resets();
        allowed.iter_mut().for_each(|(interface, _)| *interface = self.shown(interface));
        for sent in sent {
            let reset = matches!(sent.packet.body, Body::Tcp { flags, .. } if flags & RST != 0);
            let known = allowed.iter().position(|allowed| *allowed == (sent.interface.clone(), sent.packet.tuple()));
            match known.filter(|_| reset) {
                Some(at) => drop(allowed.remove(at)),
                None if self.reference.may_ask(&sent.interface, &sent.packet) => {}
                None => return Err(format!("also sent by {}: {:?}", sent.interface, sent.packet)),
            }
        }
        Ok(())
    }

    /// Both session tables hold the same, once all sessions were asked after a commit.
    fn compare_sessions(&self) -> Result<(), String> {
        let Some(mut expected) = self.reference.sessions() else { return Ok(()) };
        let mut found: Vec<View> = self
            .engine
            .sessions()
            .filter(|session| session.expires.0 > self.now)
            .map(|session| View {
                client: tuple(&session.client, false),
                server: Some(tuple(&session.server, matches!(session.server.protocol, 1 | 58))),
                refused: session.state == SessionState::Discard,
                rule: session.rule.map_or(String::new(), |rule| self.tables.rule_name(rule).to_owned()),
                expires: session.expires.0,
            })
            .collect();
        expected.sort();
        found.sort();
        let same = |(expected, found): (&View, &View)| {
            expected.client == found.client
                && (expected.server.is_none() || expected.server == found.server)
                && (expected.refused, &expected.rule, expected.expires) == (found.refused, &found.rule, found.expires)
        };
        if expected.len() == found.len() && expected.iter().zip(&found).all(same) {
            return Ok(());
        }
        let only = |these: &[View], others: &[View]| -> Vec<String> {
            these.iter().filter(|view| !others.contains(view)).map(|view| format!("\n    {view:?}")).collect()
        };
        let (missing, extra) = (only(&expected, &found), only(&found, &expected));
        Err(format!("sessions differ\n  expected{}\n  found{}", missing.concat(), extra.concat()))
    }

    /// After a long silence nothing is left.
    fn finish(&mut self) -> Result<(), String> {
        self.pass_time(7300 * SECOND)?;
        self.pass_time(SECOND)?;
        match self.engine.sessions().count() {
            0 => Ok(()),
            left => Err(format!("{left} sessions never age out")),
        }
    }
}

fn take(sent: &mut Vec<Sent>) -> Option<Sent> {
    let reset = |sent: &Sent| matches!(sent.packet.body, Body::Tcp { flags, .. } if flags & RST != 0);
    // A forwarded packet comes before what the engine made itself, unless it waited for its neighbour.
    let at = sent.iter().position(|sent| !reset(sent)).or(if sent.is_empty() { None } else { Some(0) })?;
    Some(sent.remove(at))
}

fn tuple(flow: &FlowKey, reply: bool) -> Tuple {
    Tuple {
        source: flow.source,
        destination: flow.destination,
        protocol: flow.protocol,
        source_port: flow.source_port,
        destination_port: flow.destination_port,
        reply,
    }
}

fn new_config(seed: u64, commit: u64, network: &Network, ids: &mut Ids, tally: &mut Tally) -> (String, Loaded) {
    let base = 1_000_000 + commit * CONFIG_TRIES * 2;
    // Every other commit changes the rules only.
    let plan = 1_000_000 + (commit / 2 * 2) * CONFIG_TRIES * 2;
    for attempt in 0..CONFIG_TRIES {
        let mut routing = Random::new(seed, plan + attempt);
        let text = config(&mut routing, &mut Random::new(seed, base + CONFIG_TRIES + attempt), network);
        let mut random = Random::new(seed, base + CONFIG_TRIES + attempt + 1_000_000_000);
        if let Some(loaded) = load(&text, ids, &mut random, commit) {
            return (text, loaded);
        }
        tally.refused_configs += 1;
    }
    panic!("seed {seed}: no configuration was accepted for commit {commit}");
}
