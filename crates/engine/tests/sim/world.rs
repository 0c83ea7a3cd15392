//! One scenario: the engine and the reference side by side, in a world where neighbours answer.

#[path = "world/compare.rs"]
mod compare;
#[path = "world/configured.rs"]
mod configured;
#[path = "world/inject.rs"]
mod inject;
#[path = "world/judge.rs"]
mod judge;
#[path = "world/wire.rs"]
mod wire;
#[path = "world/workers.rs"]
mod workers;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use bartizan_engine::settings::{LocalLink, SharedPools};
use bartizan_engine::verdict::{Port, Time};
use bartizan_engine::{Engine, Settings};
use bartizan_policy::tables::{Compiled, Ids};

use self::configured::{Loaded, new_config};
use self::wire::wire;
use super::frames::{Mac, Packet, frame};
use super::generate::{Network, interface_name, interface_number, own_mac};
use super::host;
use super::pieces::{Shape, cut};
use super::random::Random;
use super::reference::Reference;
use super::reference::host::is_link_local;
use super::tally::Tally;
use super::traffic::{Conversation, Next};
use super::tunnels::{HAIRPIN, Header, INGRESS, LOWER, PEER_MAC, STATION};

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
    /// One for each worker.
    engines: Vec<Engine>,
    /// Where frames arrive.
    dice: Random,
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
        world.note_met();
        if world.reference.ambiguous {
            // Two workers have flows that look the same: what becomes of their answers nobody can say.
            world.met("flows of two workers look the same");
            return Ok(world.tally);
        }
        if let Err(message) = result.and_then(|()| world.compare_sessions()).and_then(|()| world.compare_fragments()) {
            return Err(Failure { event, message, log: world.log, config: world.config });
        }
    }
    let ended = world.finish();
    world.note_met();
    match ended {
        Ok(()) => Ok(world.tally),
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
    /// A card is to cut it into segments with so much payload; 0 if not.
    segment_bytes: u16,
}

impl World {
    fn new(seed: u64) -> Self {
        let network = Network::new(&mut Random::new(seed, 1));
        let mut ids = Ids::default();
        let mut tally = Tally::default();
        let (config, loaded) = new_config(seed, 0, &network, &mut ids, &mut tally, None);
        let Loaded { config: validated, facts, tables } = loaded;
        let now = 10 * SECOND;
        let link = network.host.map(|host| LocalLink {
            host_mac: host.known.then_some(host::MAC),
            http_port: host::PORTS[0].1,
            https_port: host::PORTS[1].1,
            ipv6: host.v6,
        });
        let mut engines = Vec::new();
        let nat = SharedPools::new(seed);
        for worker in 0..network.workers {
            let settings = network.bounds.settings();
            let workers = network.workers;
            let mut engine = Engine::new(Settings { worker, workers, seed, local: link, nat: nat.clone(), ..settings });
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
            engines.push(engine);
        }
        let mut world = Self {
            seed,
            network,
            ids,
            tables,
            config,
            engines,
            dice: Random::new(seed, 2),
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
                let Some((interface, station)) = self.side(at, from_client) else { return Ok(()) };
                let (interface, station) = self.on_its_way(random, at, (interface, station), &packet);
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
        let (interface, station) = self.on_its_way(random, at, (interface, station), &next.packet);
        let out = self.inject(random, &interface, station, &next.packet)?;
        if let Some(cookie) = self.given.take() {
            self.conversations[at].given(cookie);
        }
        if let Some((interface, seen)) = out {
            self.conversations[at].passed(next, &interface, &seen);
            self.hand_back(random, at, next, &interface, &seen)?;
        }
        Ok(())
    }

    /// Now and then a packet comes out of the tunnel of the pod it is for.
    fn on_its_way(
        &mut self,
        random: &mut Random,
        at: usize,
        (interface, station): (String, Mac),
        packet: &Packet,
    ) -> (String, Mac) {
        let of_pod = random.percent(15);
        self.choose_header(random, at, &interface);
        match self.header_of_pod(at, packet).filter(|_| of_pod || interface == interface_name(HAIRPIN)) {
            None if interface == interface_name(HAIRPIN) => {
                self.reference.header = self.headers[at];
                (interface_name(INGRESS), station)
            }
            None => (interface, station),
            header => {
                self.reference.header = header;
                (interface_name(HAIRPIN), STATION)
            }
        }
    }

    fn header_of_pod(&self, at: usize, packet: &Packet) -> Option<Header> {
        let pod = packet.destination;
        let tunnel = self.network.tunnel.filter(|tunnel| tunnel.has_pods(pod.is_ipv6()) && !is_link_local(pod))?;
        Some(tunnel.of_pod(self.headers[at]?, pod))
    }

    /// A packet that left by the router's way may be for a pod whose node hands it back, more than once.
    fn hand_back(
        &mut self,
        random: &mut Random,
        at: usize,
        next: &Next,
        interface: &str,
        packet: &Packet,
    ) -> Result<(), String> {
        let plain = interface_number(interface).is_some_and(|number| number < INGRESS);
        for chance in [30, 25] {
            let Some(header) = self.header_of_pod(at, packet).filter(|_| plain && random.percent(chance)) else {
                break;
            };
            self.reference.header = Some(header);
            let out = self.inject(random, &interface_name(HAIRPIN), STATION, packet)?;
            // What the pod answers comes out of its tunnel.
            if let Some((interface, seen)) = out.filter(|_| random.percent(70)) {
                self.conversations[at].passed(next, &interface, &seen);
            }
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
    }

    /// The packet at hand met something.
    fn met(&mut self, what: &'static str) {
        self.tally.note(what, self.reference.column);
    }

    /// What the reference met.
    fn note_met(&mut self) {
        for (what, column) in std::mem::take(&mut self.reference.met) {
            self.tally.note(what, column);
        }
        for (what, column) in std::mem::take(&mut self.reference.reassembly.met) {
            self.tally.note(what, column);
        }
    }

    fn configure(&mut self) -> (String, Loaded) {
        let before = Some(self.config.as_str());
        new_config(self.seed, self.commits, &self.network, &mut self.ids, &mut self.tally, before)
    }

    fn commit(&mut self) {
        self.commits += 1;
        self.tally.commits += 1;
        let (text, loaded) = self.configure();
        let Loaded { config: validated, facts, tables } = loaded;
        // Nothing that came before happens at the same time.
        self.now += 1;
        self.log.push(format!("{:9.3} commit {}", self.now as f64 / 1e9, self.commits));
        for engine in &mut self.engines {
            engine.install(Arc::clone(&tables), Time(self.now));
        }
        self.reference.install(validated, facts, self.now);
        (self.tables, self.config) = (tables, text);
    }

    fn pass_time(&mut self, nanoseconds: u64) -> Result<(), String> {
        self.now += nanoseconds;
        self.log.push(format!("{:9.3} time goes on", self.now as f64 / 1e9));
        for engine in &mut self.engines {
            engine.handle_timeout(Time(self.now));
        }
        self.hear()?;
        self.reference.advance(self.now);
        let sent = self.drain(None)?;
        self.check_resets(sent)?;
        let due = self.engines.iter().filter_map(Engine::poll_timeout).find(|(due, _)| due.0 <= self.now);
        due.map_or(Ok(()), |due| Err(format!("{due:?} is due although it was just handled")))
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
            self.met("packet around another in fragments");
            self.log.push(format!("            around it {} fragments, {shape:?}", fragments.len()));
            self.reference.outer_longest = fragments.iter().map(|fragment| fragment.len() - 14).max();
            return (Some(shape), fragments);
        }
        (None, outer.iter().map(|packet| frame(own, PEER_MAC, packet)).collect())
    }

    /// After a long silence nothing is left.
    fn finish(&mut self) -> Result<(), String> {
        self.pass_time(7300 * SECOND)?;
        self.pass_time(SECOND)?;
        match self.engines.iter().map(|engine| engine.sessions().count()).sum() {
            0 => Ok(()),
            left => Err(format!("{left} sessions never age out")),
        }
    }
}
