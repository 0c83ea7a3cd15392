//! Which is the first rule that matches, without asking each one?
//!
//! Every field of a flow is mapped to an equivalence class, the set of rows that accept it; the sets
//! are intersected and the first common row wins. A rule is one row, or several when its services differ
//! in their source ports. Each field has its own tables, which the next generation takes over when no row
//! changed there.

mod build;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use bartizan_model::device::RuleKind;

use self::build::{Build, groups};
use crate::bits::{Order, POOL_BYTES_MAX, Pool, PoolBuilder};
use crate::ports::{PROTOCOLS, Ports};
use crate::ranges::{AddressSet, Cuts};
use crate::tables::ZoneId;

/// What rows are matched against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query {
    pub(crate) from: ZoneId,
    /// `None` when the destination has no zone; only rows for any zone match then.
    pub(crate) to: Option<ZoneId>,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// `None` for any.
    pub(crate) from: Option<Arc<[ZoneId]>>,
    /// `None` for any.
    pub(crate) to: Option<Arc<[ZoneId]>>,
    pub(crate) kind: RuleKind,
    pub(crate) source: Arc<AddressSet>,
    pub(crate) destination: Arc<AddressSet>,
    pub(crate) ports: Arc<Ports>,
}

/// A part of a row that a flow can fail to meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    From,
    To,
    /// The rule is for flows inside a zone, or between zones, and this is the other kind.
    Kind,
    Source,
    Destination,
    Service,
}

impl Row {
    /// Whether the row matches.
    pub(crate) fn accepts(&self, query: &Query) -> bool {
        self.source.contains(query.source)
            && self.destination.contains(query.destination)
            && self.misses(query).next().is_none()
    }

    /// The fields that keep the row from matching.
    pub(crate) fn misses(&self, query: &Query) -> impl Iterator<Item = Field> {
        let holds = |zones: &Option<Arc<[ZoneId]>>, zone: Option<ZoneId>| match zones {
            None => true,
            Some(zones) => zone.is_some_and(|zone| zones.contains(&zone)),
        };
        let kind = match self.kind {
            RuleKind::Universal => true,
            RuleKind::Intrazone => query.to == Some(query.from),
            RuleKind::Interzone => query.to.is_some_and(|to| to != query.from),
        };
        // An intrazone rule names its zones once, in `from`.
        let to = self.kind == RuleKind::Intrazone || holds(&self.to, query.to);
        [
            (Field::From, holds(&self.from, Some(query.from))),
            (Field::To, to),
            (Field::Kind, kind),
            (Field::Source, self.source.contains(query.source)),
            (Field::Destination, self.destination.contains(query.destination)),
            (Field::Service, self.ports.accept(query.protocol, query.source_port, query.destination_port)),
        ]
        .into_iter()
        .filter(|(_, met)| !met)
        .map(|(field, _)| field)
    }
}

/// A map from ports to classes in pages of 256, where equal pages are stored once.
#[derive(Clone, Debug, Default)]
struct PortTable {
    pages: Vec<u16>,
    classes: Vec<[u32; 256]>,
}

impl PortTable {
    fn new(cuts: &Cuts<u16>) -> Self {
        let mut table = Self::default();
        let mut uniform: HashMap<u32, u16> = HashMap::new();
        let mut intervals = cuts.intervals().peekable();
        let mut class = 0;
        for high in 0..=u8::MAX {
            let [first, last] = [0, u8::MAX].map(|low| u16::from_be_bytes([high, low]));
            if let Some((_, next)) = intervals.next_if(|(start, _)| *start == first) {
                class = next;
            }
            let constant = intervals.peek().is_none_or(|(start, _)| *start > last);
            if let Some(at) = uniform.get(&class).filter(|_| constant) {
                table.pages.push(*at);
                continue;
            }
            let at = table.classes.len() as u16;
            if constant {
                uniform.insert(class, at);
            }
            let mut page = [class; 256];
            for (port, entry) in (first..=last).zip(&mut page) {
                if let Some((_, next)) = intervals.next_if(|(start, _)| *start == port) {
                    class = next;
                }
                *entry = class;
            }
            table.classes.push(page);
            table.pages.push(at);
        }
        table
    }

    fn find(&self, port: u16) -> u32 {
        let [high, low] = port.to_be_bytes().map(usize::from);
        let page = self.pages.get(high).and_then(|page| self.classes.get(usize::from(*page)));
        page.and_then(|page| page.get(low)).copied().unwrap_or(u32::MAX)
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.pages) + size_of_val(&*self.classes)
    }
}

/// A field of few values: one class for each.
#[derive(Clone, Debug, Default)]
struct Listed {
    pool: Pool,
    classes: Vec<u32>,
}

impl Listed {
    fn new(pool: PoolBuilder, classes: Vec<u32>, room: &mut Room) -> Option<Arc<Self>> {
        let pool = room.take(pool.finish()?, size_of_val(&*classes))?;
        Some(Arc::new(Self { pool, classes }))
    }

    fn class(&self, at: usize) -> Option<(&Pool, u32)> {
        Some((&self.pool, *self.classes.get(at)?))
    }

    fn bytes(&self) -> usize {
        self.pool.bytes() + size_of_val(&*self.classes)
    }
}

/// A field of addresses of one family.
#[derive(Clone, Debug)]
struct Ranged<K> {
    pool: Pool,
    cuts: Cuts<K>,
}

/// A field of ports.
#[derive(Clone, Debug, Default)]
struct Ported {
    pool: Pool,
    table: PortTable,
}

impl Ported {
    fn class(&self, port: u16) -> (&Pool, u32) {
        (&self.pool, self.table.find(port))
    }

    fn bytes(&self) -> usize {
        self.pool.bytes() + self.table.bytes()
    }
}

/// Memory that is left for the tables of a rule base.
struct Room {
    bytes: usize,
}

impl Room {
    /// The pool, if there is room for it and for what goes with it.
    fn take(&mut self, pool: Pool, beside: usize) -> Option<Pool> {
        self.bytes = self.bytes.checked_sub(pool.bytes() + beside)?;
        Some(pool)
    }
}

/// The rows in the form that is searched.
#[derive(Clone, Debug)]
pub(crate) struct Classifier {
    rows: Vec<Row>,
    zones: usize,
    order: Arc<Order>,
    from: Arc<Listed>,
    /// The last class is for flows without a destination zone.
    to: Arc<Listed>,
    /// For flows inside a zone, between zones, and without a destination zone.
    kinds: Arc<Listed>,
    sources: (Arc<Ranged<u32>>, Arc<Ranged<u128>>),
    destinations: (Arc<Ranged<u32>>, Arc<Ranged<u128>>),
    services: [Arc<Ported>; PROTOCOLS.len()],
    source_ports: Arc<Ported>,
    /// Rows that accept protocols without ports: one class.
    portless: Arc<Listed>,
    bytes: usize,
}

/// How many fields a flow has.
const FIELDS: usize = 7;

impl Classifier {
    /// Builds the table for zones with ids below `zones`, taking over from the generation before what is
    /// still right; `None` when it would outgrow its bound.
    pub(crate) fn new(rows: &[&Row], zones: usize, previous: Option<&Self>) -> Option<Self> {
        let order = Order::new(&groups(rows));
        let previous = previous.filter(|previous| previous.rows.len() == rows.len() && *previous.order == order);
        let order = previous.map_or_else(|| Arc::new(order), |previous| Arc::clone(&previous.order));
        let build = Build { rows, zones, order: &order, previous };
        let mut room = Room { bytes: POOL_BYTES_MAX };
        let room = &mut room;
        let [tcp, udp, sctp] = std::array::from_fn(|place| {
            build.ports(
                room,
                |table| &table.services[place],
                |row| match &*row.ports {
                    Ports::Any => None,
                    Ports::Of { destination, .. } => destination.get(place),
                },
            )
        });
        Some(Self {
            from: build.from(room)?,
            to: build.to(room)?,
            kinds: build.kinds(room)?,
            sources: (
                build.addresses(room, |table| &table.sources.0, |row| &row.source.v4)?,
                build.addresses(room, |table| &table.sources.1, |row| &row.source.v6)?,
            ),
            destinations: (
                build.addresses(room, |table| &table.destinations.0, |row| &row.destination.v4)?,
                build.addresses(room, |table| &table.destinations.1, |row| &row.destination.v6)?,
            ),
            services: [tcp?, udp?, sctp?],
            source_ports: build.ports(
                room,
                |table| &table.source_ports,
                |row| match &*row.ports {
                    Ports::Any => None,
                    Ports::Of { source, .. } => Some(source),
                },
            )?,
            portless: build.portless(room)?,
            bytes: POOL_BYTES_MAX - room.bytes,
            rows: rows.iter().map(|row| (*row).clone()).collect(),
            zones,
            order,
        })
    }

    /// The first row that matches and that `accept` agrees to.
    pub(crate) fn first(&self, query: &Query, accept: impl Fn(usize) -> bool) -> Option<usize> {
        let to = query.to.map_or(self.zones, ZoneId::index).min(self.zones);
        let kind = match query.to {
            Some(to) if to == query.from => 0,
            Some(_) => 1,
            None => 2,
        };
        let service = match PROTOCOLS.iter().position(|(number, _)| *number == query.protocol) {
            Some(place) => self.services.get(place)?.class(query.destination_port),
            None => self.portless.class(0)?,
        };
        let (pool, class) = find(&self.destinations, query.destination);
        let mut sets = [pool.set(class)?; FIELDS];
        let mut count = 1;
        for (pool, class) in [
            find(&self.sources, query.source),
            service,
            self.from.class(query.from.index())?,
            self.to.class(to)?,
            self.source_ports.class(query.source_port),
            self.kinds.class(kind)?,
        ] {
            if !pool.is_every(class) {
                *sets.get_mut(count)? = pool.set(class)?;
                count += 1;
            }
        }
        self.order.first(sets.get(..count)?, accept)
    }

    /// Memory of the tables.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn find(tables: &(Arc<Ranged<u32>>, Arc<Ranged<u128>>), ip: IpAddr) -> (&Pool, u32) {
    match ip {
        IpAddr::V4(ip) => (&tables.0.pool, tables.0.cuts.find(ip.to_bits())),
        IpAddr::V6(ip) => (&tables.1.pool, tables.1.cuts.find(ip.to_bits())),
    }
}

#[cfg(test)]
#[path = "classifier/tests.rs"]
mod tests;
