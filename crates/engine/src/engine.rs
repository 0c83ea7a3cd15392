//! The engine of one worker: its state, and the verbs its caller uses.
//!
//! The path of a frame through it is in `pipeline.rs`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::Arc;

use ahash::RandomState;
use bartizan_packet::ethernet::Mac;
use bartizan_packet::frame::Frame;
use bartizan_packet::oddity::Oddities;
use bartizan_packet::vxlan::Vni;
use bartizan_policy::tables::{Compiled, IfaceId, ZoneId};
use bartizan_policy::tunnels::Way;
use hashbrown::HashMap;

use crate::ahead::Burst;
use crate::counters::Counters;
use crate::fragments::reassembly::Reassembly;
use crate::hits::{Hits, RuleBase};
use crate::log::DropLogs;
use crate::nat::pool::{Lease, Pools, Terms};
use crate::nat::spread::Spreads;
use crate::neighbor::Neighbors;
use crate::outbox::{Allowance, Outbox};
use crate::path::Paths;
use crate::protection::cookie::Cookies;
use crate::protection::{BlockView, Protection, ProtectionView};
use crate::relay::Relay;
use crate::rematch::Sweep;
use crate::settings::{Settings, Timeouts};
use crate::steer::Steering;
use crate::table::{Slot, Table};
use crate::timer::Wheel;
use crate::tunnel::Tunnels;
use crate::verdict::{
    DropReason, EndReason, Event, PeerMessage, PoolLevel, Port, SessionView, Time, Transmit, Verdict,
};
use crate::vlan::Tagged;

/// The IPv4 address of the host behind [`Port::Local`].
pub const LOCAL_HOST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// Its IPv6 address, from the benchmarking range of RFC 5180, which is never routed.
pub const LOCAL_HOST_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 1);

/// The host's address of the family of another address.
pub(crate) fn local_host(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { LOCAL_HOST.into() } else { LOCAL_HOST_V6.into() }
}

/// One worker's flow engine.
pub struct Engine {
    pub(crate) settings: Settings,
    /// How long silent sessions live, by the configuration.
    pub(crate) timeouts: Timeouts,
    pub(crate) now: Time,
    pub(crate) tables: Option<Arc<Compiled>>,
    /// Counts the installed tables, from 1.
    pub(crate) generation: u32,
    pub(crate) links: Vec<Link>,
    /// Subinterfaces by port and tag, sorted.
    pub(crate) tags: Vec<Tagged>,
    pub(crate) local_mac: Option<Mac>,
    pub(crate) table: Table,
    pub(crate) wheel: Wheel,
    pub(crate) pools: Pools,
    pub(crate) spreads: Spreads,
    pub(crate) neighbors: Neighbors,
    pub(crate) reassembly: Reassembly,
    pub(crate) paths: Paths,
    pub(crate) steering: Steering,
    pub(crate) tunnels: Tunnels,
    pub(crate) sweep: Sweep,
    pub(crate) outbox: Outbox,
    /// Echo replies that the caller waits for: identifier and sender.
    pub(crate) watched: Arc<BTreeMap<u16, IpAddr>>,
    /// Room for what is seen of a burst; taken out while one is handled.
    pub(crate) burst: Option<Box<Burst>>,
    pub(crate) counters: Counters,
    pub(crate) hits: Hits,
    pub(crate) drop_logs: DropLogs,
    pub(crate) answers: Allowance,
    pub(crate) unsteers: Allowance,
    /// Messages for whoever configures the interfaces.
    pub(crate) notices: Allowance,
    /// Own addresses, with their routers, that were taken away and whose sessions are not all ended yet: those
    /// last asked under the generation that had them, or an older one.
    pub(crate) lost_addresses: Vec<(u16, IpAddr, u32)>,
    pub(crate) protection: Protection,
    pub(crate) cookies: Cookies,
    /// Sessions that began with a cookie.
    pub(crate) relays: HashMap<Slot, Relay, RandomState>,
    /// Sessions in the table that are refused.
    pub(crate) refused: usize,
    pub(crate) session_serial: u64,
    /// The port of a closed connection that is being opened again: it goes on with the same one, so that
    /// the server sees what it would see without translation.
    pub(crate) reopened: Option<Lease>,
    pub(crate) random: u64,
    /// Identifications given to datagrams so far.
    pub(crate) identifications: u16,
    shutting_down: Option<Slot>,
}

/// What the engine knows of a data port without asking the tables.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Link {
    /// Its MAC while it is attached.
    pub(crate) mac: Option<Mac>,
    pub(crate) configured: bool,
    pub(crate) zone: Option<ZoneId>,
    pub(crate) router: Option<u16>,
    /// What the protection profile of its zone refuses.
    pub(crate) refused: Oddities,
    /// Within what addresses that come by it are unique: its router, or the traffic object it is a side of.
    pub(crate) realm: Option<u16>,
    /// It is a side of a traffic object.
    pub(crate) tunnel: bool,
    /// It is one whose packets are routed: their answers may come by other ports.
    pub(crate) routed: bool,
    /// It is one by which packets come that are for the pod whose tunnel they come out of.
    pub(crate) hairpin: bool,
    /// Of a side by which packets leave as another tunnel's: UDP port and network.
    pub(crate) leaves_as: Option<(u16, Vni)>,
    pub(crate) mtu_bytes: u16,
    /// Largest TCP segment, over IPv4 and IPv6, where it is enforced.
    pub(crate) mss_bytes: Option<(u16, u16)>,
    /// Of a subinterface: its port, and its tag there.
    pub(crate) vlan: Option<(IfaceId, u16)>,
}

impl Engine {
    /// An engine without tables and ports: it drops everything until it has both.
    pub fn new(settings: Settings) -> Self {
        let seed = settings.seed;
        let limits = settings.limits;
        let terms = Terms {
            workers: settings.workers,
            addresses_max: limits.nat_addresses,
            ports: limits.nat_ports,
            ratio: 1,
            alarm_percent: limits.nat_alarm_percent,
            rest: settings.timeouts.nat_rest,
        };
        Self {
            timeouts: settings.timeouts,
            now: Time(0),
            tables: None,
            generation: 0,
            links: Vec::new(),
            tags: Vec::new(),
            local_mac: None,
            table: Table::new(settings.sessions_max, seed),
            wheel: Wheel::new(settings.sessions_max),
            pools: Pools::new(settings.nat.clone(), terms, seed),
            spreads: Spreads::new(settings.worker, seed),
            neighbors: Neighbors::new(limits, seed),
            reassembly: Reassembly::new(limits, settings.timeouts.fragments, seed),
            paths: Paths::new(seed),
            steering: Steering::new(limits.steered, seed),
            tunnels: Tunnels::new(limits.tunnel_sessions, limits.unmapped_tunnels),
            sweep: Sweep::default(),
            outbox: Outbox::new(&limits),
            watched: Arc::default(),
            burst: Some(Box::default()),
            counters: Counters::default(),
            hits: Hits::default(),
            drop_logs: DropLogs::default(),
            answers: Allowance::default(),
            unsteers: Allowance::default(),
            notices: Allowance::default(),
            lost_addresses: Vec::new(),
            protection: Protection::new(seed),
            cookies: Cookies::new(settings.secret),
            relays: HashMap::with_hasher(RandomState::with_seeds(seed, 26, 27, 28)),
            refused: 0,
            session_serial: 0,
            reopened: None,
            random: seed,
            identifications: seed as u16,
            shutting_down: None,
            settings,
        }
    }

    /// A port came up with this MAC.
    pub fn attach(&mut self, port: Port, mac: Mac) {
        match port {
            Port::Data(iface) => {
                self.link_mut(iface).mac = Some(mac);
                self.refresh_links();
            }
            Port::Local => {
                self.local_mac = Some(mac);
                if let Some(host_mac) = self.settings.local.and_then(|local| local.host_mac) {
                    self.neighbors.fix(Port::Local, LOCAL_HOST.into(), host_mac);
                    self.neighbors.fix(Port::Local, LOCAL_HOST_V6.into(), host_mac);
                }
            }
        }
    }

    /// A port went down: nothing is sent there until it is attached again.
    pub fn detach(&mut self, port: Port) {
        let mut lost = self.neighbors.forget_port(port);
        match port {
            Port::Data(iface) => {
                self.link_mut(iface).mac = None;
                self.refresh_links();
                for position in 0..self.tags.len() {
                    let ((wire, _), part) = self.tags[position];
                    if wire == iface {
                        lost += self.neighbors.forget_port(Port::Data(part));
                    }
                }
            }
            Port::Local => self.local_mac = None,
        }
        self.counters.drop_packets(DropReason::PortDown, lost as u64);
    }

    /// New tables, from now on. Sessions are asked again by and by, each at the latest with its next
    /// packet.
    pub fn install(&mut self, tables: Arc<Compiled>, now: Time) {
        self.advance(now);
        self.lose_addresses(&tables);
        self.protection.install(&tables, &self.settings.limits);
        self.hits.cover(&tables);
        self.pools.share(tables.nat_settings.oversubscription);
        self.timeouts = self.settings.timeouts.configured(&tables.session.timeouts);
        self.tables = Some(tables);
        self.generation += 1;
        self.refresh_links();
        self.sweep.restart(self.table.slots());
    }

    /// One frame, rewritten in place if it is to be sent on. Ports are those that are attached: a
    /// subinterface's frames come and go by its port, with its tag in the frame's `meta`.
    pub fn handle_frame(&mut self, port: Port, frame: &mut Frame<'_>, now: Time) -> Verdict {
        self.advance(now);
        self.handle_one(port, frame)
    }

    /// What another worker's engine said in an [`Event::Tell`].
    pub fn handle_peer(&mut self, message: PeerMessage, now: Time) {
        self.advance(now);
        match message {
            PeerMessage::Neighbor { port, address, mac } => {
                self.learn_neighbor(port, address, mac);
            }
            PeerMessage::Steer { flow, owner } if owner != self.settings.worker => {
                if !self.steering.add(flow, owner) {
                    self.counters.steer_overflow += 1;
                }
            }
            PeerMessage::Steer { .. } => {}
            PeerMessage::Unsteer { flow, owner } => self.steering.remove(&flow, owner),
            PeerMessage::Block(block) => self.block(&block),
        }
    }

    /// Does what has become due; to be called when [`Engine::poll_timeout`] says, later is no harm.
    pub fn handle_timeout(&mut self, now: Time) {
        self.advance(now);
        self.expire_sessions();
        self.expire_neighbors();
        self.reassembly.expire(self.now, &mut self.counters);
        self.pools.expire(self.now);
        self.sweep_sessions();
    }

    /// When [`Engine::handle_timeout`] has something to do, and what.
    pub fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        let sweep = self.sweep.is_pending().then_some((self.now, "sessions to ask again"));
        let sessions = self.wheel.next_due().map(|due| (due, "sessions to age out"));
        let neighbors = self.neighbors.next_due().map(|due| (due, "neighbours to ask"));
        let ports = self.pools.next_due().map(|due| (due, "ports that have rested"));
        let fragments = self.reassembly.next_due().map(|due| (due, "fragments to give up"));
        [sweep, sessions, neighbors, ports, fragments].into_iter().flatten().min()
    }

    /// A frame the engine made, or kept until a neighbour was known.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let mut transmit = self.outbox.next_transmit()?;
        (transmit.port, transmit.meta.vlan) = self.tag(transmit.port);
        Some(transmit)
    }

    /// A log line, or something other workers have to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(cursor) = self.shutting_down {
            self.shut_down_from(cursor);
        }
        if let Some(alarm) = self.pools.next_alarm() {
            self.counters.nat_pool_alarms += u64::from(alarm.level != PoolLevel::Normal);
            return Some(Event::Pool(alarm));
        }
        Some(match self.outbox.next_event()? {
            Event::HandOver { to, port, bytes, mut meta } => {
                let (port, vlan) = self.tag(port);
                meta.vlan = vlan;
                Event::HandOver { to, port, bytes, meta }
            }
            event => event,
        })
    }

    /// How often what happened.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How often each rule decided.
    pub fn hits(&self) -> &Hits {
        &self.hits
    }

    /// Forgets how often the rules decided that `chosen` picks by id.
    pub fn clear_hits(&mut self, base: RuleBase, chosen: impl FnMut(usize) -> bool, now: Time) {
        self.advance(now);
        self.hits.clear(base, chosen, self.now);
    }

    /// How long silent sessions live.
    pub fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// All sessions, the refused and the closed among them.
    pub fn sessions(&self) -> impl Iterator<Item = SessionView> {
        self.sessions_in(0..self.session_slots())
    }

    /// A session as it is shown.
    pub(crate) fn view(&self, slot: Slot) -> SessionView {
        let learned = self.table.record(slot).tunnels.into_iter().find_map(|one| self.tunnels.learned(one));
        SessionView { learned: learned.map(|learned| learned.side), ..self.table.view(slot) }
    }

    /// Those in some of the table's slots: who looks at a million of them does so step by step, and lets packets
    /// pass in between.
    pub fn sessions_in(&self, slots: Range<u32>) -> impl Iterator<Item = SessionView> {
        let slots = slots.start..slots.end.min(self.session_slots());
        slots.filter(|slot| self.table[*slot].live).map(|slot| self.view(slot))
    }

    /// The addresses of tables that packets touch at random, of their whole room from the start: memory that
    /// wants large pages.
    pub fn large_tables(&self) -> impl Iterator<Item = Range<usize>> {
        self.table.memory().into_iter()
    }

    /// Slots of the session table; only grows.
    pub fn session_slots(&self) -> u32 {
        self.table.slots()
    }

    /// What the protection of a zone has done; `None` for a zone that never was.
    pub fn protection(&self, zone: ZoneId, now: Time) -> Option<ProtectionView> {
        self.protection.view(zone, self.now.max(now))
    }

    /// Sources that are blocked for a scan.
    pub fn blocks(&self, now: Time) -> impl Iterator<Item = BlockView> {
        self.protection.blocks(self.now.max(now))
    }

    /// Ends the blocks that `chosen` picks; gives back how many.
    pub fn unblock(&mut self, chosen: impl FnMut(&BlockView) -> bool, now: Time) -> usize {
        self.advance(now);
        self.protection.unblock(chosen, self.now)
    }

    /// Neighbours of all ports, without MAC while they are asked for or silent.
    pub fn neighbors(&self) -> impl Iterator<Item = (Port, IpAddr, Option<Mac>)> {
        self.neighbors.iter()
    }

    /// Ends those sessions in some of the table's slots that `chosen` picks; gives back how many.
    pub fn clear(&mut self, slots: Range<u32>, mut chosen: impl FnMut(&SessionView) -> bool, now: Time) -> usize {
        self.advance(now);
        let mut cleared = 0;
        for slot in slots.start..slots.end.min(self.session_slots()) {
            if self.table[slot].live && chosen(&self.view(slot)) {
                self.end(slot, EndReason::Cleared);
                cleared += 1;
            }
        }
        cleared
    }

    /// Ends all sessions; their last log lines come out of [`Engine::poll_event`], however many.
    pub fn shutdown(&mut self, now: Time) {
        self.advance(now);
        self.shutting_down = Some(0);
    }

    /// Time never goes back, whatever the caller says.
    pub(crate) fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
    }

    fn shut_down_from(&mut self, cursor: Slot) {
        let mut slot = cursor;
        while slot < self.table.slots() && self.outbox.has_room_for_events() {
            if self.table[slot].live {
                self.end(slot, EndReason::Shutdown);
            }
            slot += 1;
        }
        self.shutting_down = (slot < self.table.slots()).then_some(slot);
    }

    fn link_mut(&mut self, iface: IfaceId) -> &mut Link {
        if self.links.len() <= iface.index() {
            self.links.resize(iface.index() + 1, Link::default());
        }
        &mut self.links[iface.index()]
    }

    fn refresh_links(&mut self) {
        let Some(tables) = &self.tables else { return };
        let count = tables.interfaces().map(|(id, _)| id.index() + 1).max().unwrap_or(0);
        if self.links.len() < count {
            self.links.resize(count, Link::default());
        }
        self.tunnels.cover(count);
        for (position, link) in self.links.iter_mut().enumerate() {
            let interface = tables.interface(IfaceId(position as u16));
            link.configured = interface.is_some();
            link.zone = interface.and_then(|interface| interface.zone);
            link.refused = self.protection.refused(link.zone);
            link.router = interface.and_then(|interface| interface.router).map(|router| router.0);
            link.mtu_bytes = interface.map_or(0, |interface| interface.mtu_bytes);
            let tunnel = interface.and_then(|interface| interface.tunnel.as_ref());
            link.realm = tunnel.map(|tunnel| tunnel.realm).or(link.router);
            link.leaves_as = tunnel.and_then(|tunnel| {
                let (port, vni) = tunnel.leaves_as?;
                Some((port, Vni::new(vni)?))
            });
            link.hairpin = tunnel.is_some_and(|tunnel| tunnel.way == Way::Hairpin);
            link.routed = link.hairpin || tunnel.is_some_and(|tunnel| tunnel.way == Way::Routed);
            if link.tunnel || tunnel.is_some() {
                // No port is behind it: it is always up.
                link.tunnel = tunnel.is_some();
                link.mac = tunnel.map(|_| [2, 0x62, 0x7a, 0, (position >> 8) as u8, position as u8]);
            }
            link.mss_bytes = interface.and_then(|interface| interface.mss_bytes);
            link.vlan = interface.and_then(|interface| interface.vlan);
        }
        let parts = tables.interfaces().filter_map(|(id, interface)| Some((interface.vlan?, id)));
        self.tags = parts.collect();
        self.tags.sort_unstable();
        // A subinterface is up when its port is, and speaks with its MAC.
        for ((wire, _), part) in &self.tags {
            let mac = self.links.get(wire.index()).and_then(|link| link.mac);
            if let Some(link) = self.links.get_mut(part.index()) {
                link.mac = mac;
            }
        }
    }

    /// The MAC of a port, while it is attached.
    #[inline]
    pub(crate) fn mac_of(&self, port: Port) -> Option<Mac> {
        match port {
            Port::Data(iface) => self.links.get(iface.index())?.mac,
            Port::Local => self.local_mac,
        }
    }

    /// The next number of a splitmix64 sequence from the seed.
    pub(crate) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
