//! Which is the first rule that matches, without asking each one?
//!
//! Every field of a flow is mapped to an equivalence class, the set of rows that accept it; the sets
//! are intersected and the first common row wins. A rule is one row, or several when its services differ
//! in their source ports.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use bartizan_model::device::RuleKind;

use crate::bits::{POOL_BYTES_MAX, Pool, PoolBuilder, set};
use crate::ports::{PROTOCOLS, Ports};
use crate::ranges::{AddressSet, Cuts, Key, Ranges};
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
}

/// The rows in the form that is searched.
#[derive(Clone, Debug)]
pub(crate) struct Classifier {
    pool: Pool,
    zones: usize,
    /// Class of (from, to), row by row; the last column is for flows without a destination zone.
    zone_pairs: Vec<u32>,
    sources: (Cuts<u32>, Cuts<u128>),
    destinations: (Cuts<u32>, Cuts<u128>),
    services: [PortTable; PROTOCOLS.len()],
    source_ports: PortTable,
    /// Rows that accept protocols without ports.
    other_protocols: u32,
}

impl Classifier {
    /// Builds the table for zones with ids below `zones`; `None` when it would outgrow its bound.
    pub(crate) fn new(rows: &[&Row], zones: usize) -> Option<Self> {
        let mut pool = PoolBuilder::new(rows.len(), POOL_BYTES_MAX);
        let zone_pairs = zone_pairs(rows, zones, &mut pool);
        let sources = (
            field(rows.iter().map(|row| Some(&row.source.v4)), &mut pool),
            field(rows.iter().map(|row| Some(&row.source.v6)), &mut pool),
        );
        let destinations = (
            field(rows.iter().map(|row| Some(&row.destination.v4)), &mut pool),
            field(rows.iter().map(|row| Some(&row.destination.v6)), &mut pool),
        );
        let services = std::array::from_fn(|place| {
            PortTable::new(&field(
                rows.iter().map(|row| match &*row.ports {
                    Ports::Any => None,
                    Ports::Of { destination, .. } => destination.get(place),
                }),
                &mut pool,
            ))
        });
        let source_ports = PortTable::new(&field(
            rows.iter().map(|row| match &*row.ports {
                Ports::Any => None,
                Ports::Of { source, .. } => Some(source),
            }),
            &mut pool,
        ));
        let mut portless = pool.blank();
        rows.iter().enumerate().filter(|(_, row)| *row.ports == Ports::Any).for_each(|(at, _)| set(&mut portless, at));
        let other_protocols = pool.intern(&portless);
        Some(Self {
            pool: pool.finish()?,
            zones,
            zone_pairs,
            sources,
            destinations,
            services,
            source_ports,
            other_protocols,
        })
    }

    /// The first row that matches and that `accept` agrees to.
    pub(crate) fn first(&self, query: &Query, accept: impl FnMut(usize) -> bool) -> Option<usize> {
        let column = query.to.map_or(self.zones, ZoneId::index).min(self.zones);
        let pair = self.zone_pairs.get(query.from.index() * (self.zones + 1) + column).copied()?;
        let service = match PROTOCOLS.iter().position(|(number, _)| *number == query.protocol) {
            Some(place) => self.services.get(place)?.find(query.destination_port),
            None => self.other_protocols,
        };
        let classes = [
            pair,
            find(&self.sources, query.source),
            find(&self.destinations, query.destination),
            service,
            self.source_ports.find(query.source_port),
        ];
        self.pool.first(classes, accept)
    }
}

fn find((v4, v6): &(Cuts<u32>, Cuts<u128>), ip: IpAddr) -> u32 {
    match ip {
        IpAddr::V4(ip) => v4.find(ip.to_bits()),
        IpAddr::V6(ip) => v6.find(ip.to_bits()),
    }
}

fn zone_pairs(rows: &[&Row], zones: usize, pool: &mut PoolBuilder) -> Vec<u32> {
    let member = |zones: &Option<Arc<[ZoneId]>>, zone: Option<ZoneId>| match zones {
        None => true,
        Some(zones) => zone.is_some_and(|zone| zones.contains(&zone)),
    };
    let ids = || (0..zones).map(|zone| ZoneId(zone as u16));
    let collect = |pool: &PoolBuilder, keep: &dyn Fn(&Row) -> bool| {
        let mut words = pool.blank();
        rows.iter().enumerate().filter(|(_, row)| keep(row)).for_each(|(at, _)| set(&mut words, at));
        words
    };
    let intrazone = |row: &Row| row.kind == RuleKind::Intrazone;
    let same = collect(pool, &|row| row.kind != RuleKind::Interzone);
    let different = collect(pool, &|row| !intrazone(row));
    let unknown = collect(pool, &|row| row.kind == RuleKind::Universal);
    let from: Vec<_> = ids().map(|zone| collect(pool, &|row| member(&row.from, Some(zone)))).collect();
    let to: Vec<_> = ids()
        .map(Some)
        .chain([None])
        .map(|zone| collect(pool, &|row| intrazone(row) || member(&row.to, zone)))
        .collect();
    let mut pairs = Vec::with_capacity(zones * (zones + 1));
    for (at, from) in from.iter().enumerate() {
        for (column, to) in to.iter().enumerate() {
            let kind = if column == at {
                &same
            } else if column == zones {
                &unknown
            } else {
                &different
            };
            let words: Vec<u64> = from.iter().zip(to).zip(kind).map(|((from, to), kind)| from & to & kind).collect();
            pairs.push(pool.intern(&words));
        }
    }
    pairs
}

/// The rows that share a set, as words of a bit set.
struct Toggle<'a, K> {
    ranges: &'a Ranges<K>,
    words: Vec<(usize, u64)>,
}

/// The classes of one field: for each row the keys it accepts, `None` for all. Rows that share their set
/// are toggled together.
fn field<'a, K: Key + 'a>(accepted: impl Iterator<Item = Option<&'a Ranges<K>>>, pool: &mut PoolBuilder) -> Cuts<K> {
    let mut current = pool.blank();
    let mut groups: HashMap<*const Ranges<K>, usize> = HashMap::new();
    let mut toggles: Vec<Toggle<'_, K>> = Vec::new();
    for (row, ranges) in accepted.enumerate() {
        let Some(ranges) = ranges.filter(|ranges| !ranges.is_all()) else {
            set(&mut current, row);
            continue;
        };
        let group = *groups.entry(std::ptr::from_ref(ranges)).or_insert_with(|| {
            toggles.push(Toggle { ranges, words: Vec::new() });
            toggles.len() - 1
        });
        let (word, bit) = (row / crate::bits::WORD, 1 << (row % crate::bits::WORD));
        let words = &mut toggles[group].words;
        match words.last_mut() {
            Some(last) if last.0 == word => last.1 |= bit,
            _ => words.push((word, bit)),
        }
    }
    let mut events: Vec<(K, usize)> = Vec::new();
    for (group, toggle) in toggles.iter().enumerate() {
        for (first, last) in toggle.ranges.as_slice() {
            events.push((*first, group));
            events.extend(last.after().map(|after| (after, group)));
        }
    }
    events.sort_unstable();
    let mut intervals: Vec<(K, u32)> = Vec::new();
    let mut events = events.into_iter().peekable();
    let mut start = Some(K::MIN);
    while let Some(key) = start {
        // Ranges of one set never touch, so that every event flips its rows.
        while let Some((_, group)) = events.next_if(|(at, _)| *at == key) {
            for (word, bits) in &toggles[group].words {
                current[*word] ^= bits;
            }
        }
        intervals.push((key, pool.intern(&current)));
        start = events.peek().map(|(at, _)| *at);
    }
    Cuts::new(intervals)
}

#[cfg(test)]
#[path = "classifier/tests.rs"]
mod tests;
