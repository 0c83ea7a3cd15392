//! One scenario: the engine and the reference side by side, in a world where neighbours answer.

#[path = "world/compare.rs"]
mod compare;
#[path = "world/configured.rs"]
mod configured;
#[path = "world/judge.rs"]
mod judge;
#[path = "world/wire.rs"]
mod wire;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use bartizan_engine::settings::LocalLink;
use bartizan_engine::verdict::{DropReason, Port, Time, Verdict};
use bartizan_engine::{Engine, Settings};
use bartizan_packet::frame::{Frame, HEADROOM_BYTES, Meta};
use bartizan_policy::tables::{Compiled, Ids};

use self::configured::{Loaded, new_config};
use self::wire::wire;
use super::frames::{Mac, Packet, frame};
use super::generate::{Network, interface_name, interface_number, own_mac};
use super::host;
use super::pieces::{Shape, cut};
use super::random::Random;
use super::reference::{Answer, Expected, Reference};
use super::tally::Tally;
use super::traffic::{Conversation, Next};
use super::tunnels::{Header, INGRESS, LOWER, PEER_MAC, STATION};

const SECOND: u64 = 1_000_000_000;

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
            let [sources, pools, destinations, health_checks] = world.reference.translations;
            let (protected, spread) = (world.reference.protected, world.reference.spread);
            Ok(Tally { sources, pools, destinations, health_checks, spread, protected, ..world.tally })
        }
        Err(message) => Err(Failure { event: events, message, log: world.log, config: world.config }),
    }
}

/// A frame that left the engine.
struct Sent {
    interface: String,
    destination: Mac,
    packet: Packet,
    /// The longest IP packet it left in.
    longest: usize,
    /// The longest of the fragments that what was around it left in.
    outer_longest: Option<usize>,
    /// What was around it.
    header: Option<Header>,
}

impl World {
    fn new(seed: u64) -> Self {
        let network = Network::new(&mut Random::new(seed, 1));
        let mut ids = Ids::default();
        let mut tally = Tally::default();
        let (config, loaded) = new_config(seed, 0, &network, &mut ids, &mut tally);
        let Loaded { config: validated, facts, tables } = loaded;
        let now = 10 * SECOND;
        let link = network.host.map(|host| LocalLink {
            host_mac: host.known.then_some(host::MAC),
            http_port: host::PORTS[0].1,
            https_port: host::PORTS[1].1,
            ipv6: host.v6,
        });
        let mut engine = Engine::new(Settings { sessions_max: 4096, seed, local: link, ..Settings::default() });
        if link.is_some() {
            engine.attach(Port::Local, own_mac(host::NAME));
        }
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
            reference: Reference::new(validated, facts, &network),
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

    /// The frames around inner ones; the packet around a whole one may come in fragments itself.
    fn wrap(
        &mut self,
        random: &mut Random,
        around: impl Fn(&[u8]) -> Packet,
        inner: &[Vec<u8>],
    ) -> (Option<Shape>, Vec<Vec<u8>>) {
        let own = own_mac(&interface_name(LOWER));
        self.reference.outer_longest = None;
        let outer: Vec<Packet> = inner.iter().map(|bytes| around(bytes)).collect();
        if let [whole] = &outer[..]
            && let Some((shape, fragments)) = cut(random, own, PEER_MAC, whole, self.tally.outer_fragments as u16)
        {
            self.tally.outer_fragments += 1;
            self.log.push(format!("            around it {} fragments, {shape:?}", fragments.len()));
            self.reference.outer_longest = fragments.iter().map(|fragment| fragment.len() - 14).max();
            return (Some(shape), fragments);
        }
        (None, outer.iter().map(|packet| frame(own, PEER_MAC, packet)).collect())
    }

    /// One packet through both firewalls, whole or in fragments. What left, if it was forwarded.
    fn inject(
        &mut self,
        random: &mut Random,
        interface: &str,
        station: Mac,
        packet: &Packet,
    ) -> Result<Option<(String, Packet)>, String> {
        if self.reference.concerns_unseen(packet) || self.reference.counts_late() {
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
        self.reference.in_fragments = frames.len() > 1;
        let mut shapes = vec![shape];
        if let (Some(tunnel), Some(header)) = (self.network.tunnel, self.reference.header) {
            let side = interface_number(interface).expect("a side");
            let (shape, wrapped) = self.wrap(random, |inner| tunnel.wrap(side, header, inner), &frames);
            (frames, shapes) = (wrapped, vec![shapes[0], shape]);
        }
        if shapes.contains(&Some(Shape::Incomplete)) {
            return frames.into_iter().try_for_each(|bytes| self.swallow((port, vlan), bytes)).map(|()| None);
        }
        let last = frames.pop().expect("a frame");
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
