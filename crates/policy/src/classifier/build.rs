//! Which classes does each field of the rows have?
//!
//! A field is built on its own, from the slots of the rows, or taken over whole from the generation before.

use std::collections::HashMap;
use std::sync::Arc;

use bartizan_model::device::RuleKind;

use super::{Classifier, Listed, PortTable, Ported, Ranged, Room, Row};
use crate::bits::{LEAF_ROWS, Order, Pool, PoolBuilder, WORD};
use crate::ports::Ports;
use crate::ranges::{Cuts, Key, Ranges};
use crate::tables::ZoneId;

/// The group of each row, see [`Order`]: which of its addresses and services are any, and which are shared
/// by so many rows that they keep none of them out.
pub(super) fn groups(rows: &[&Row]) -> Vec<u64> {
    if rows.len() <= 2 * LEAF_ROWS {
        return vec![0; rows.len()];
    }
    let keys = |row: &Row| {
        let any = [row.source.is_all(), row.destination.is_all(), *row.ports == Ports::Any];
        let places = [
            Arc::as_ptr(&row.source).cast::<()>(),
            Arc::as_ptr(&row.destination).cast::<()>(),
            Arc::as_ptr(&row.ports).cast::<()>(),
        ];
        (any, places)
    };
    let mut shared: [HashMap<*const (), usize>; 3] = Default::default();
    for row in rows {
        for (shared, place) in shared.iter_mut().zip(keys(row).1) {
            *shared.entry(place).or_default() += 1;
        }
    }
    let mut wide: [HashMap<*const (), u64>; 3] = Default::default();
    let mut group = |row: &Row| {
        let (any, places) = keys(row);
        (0..3).fold(0, |group, at| {
            let next = wide[at].len() as u64 + 2;
            let part = match (any[at], shared[at].get(&places[at])) {
                (true, _) => 1,
                (false, Some(count)) if *count >= LEAF_ROWS => *wide[at].entry(places[at]).or_insert(next),
                (false, _) => 0,
            };
            group << 20 | part
        })
    };
    let mut groups: Vec<u64> = rows.iter().map(|row| group(row)).collect();
    let mut sizes: HashMap<u64, usize> = HashMap::new();
    groups.iter().for_each(|group| *sizes.entry(*group).or_default() += 1);
    for group in &mut groups {
        if sizes.get(group).is_some_and(|size| *size < LEAF_ROWS) {
            // Too small to be kept apart for more than what is any.
            let any = |shift: u64| u64::from(*group >> shift & 0xf_ffff == 1) << shift;
            *group = any(40) | any(20) | any(0);
        }
    }
    groups
}

/// What the fields are built from.
pub(super) struct Build<'b> {
    pub(super) rows: &'b [&'b Row],
    pub(super) zones: usize,
    pub(super) order: &'b Order,
    /// The generation before, if its rows are as many and lie alike.
    pub(super) previous: Option<&'b Classifier>,
}

/// Words of a set of slots.
type Words = Vec<(usize, u64)>;

/// Adds a slot that is not lower than those before.
fn add(words: &mut Words, slot: usize) {
    let (word, bit) = (slot / WORD, 1 << (slot % WORD));
    match words.last_mut() {
        Some(last) if last.0 == word => last.1 |= bit,
        _ => words.push((word, bit)),
    }
}

impl<'b> Build<'b> {
    /// The field of the generation before, if no row differs in it.
    fn kept<T: 'b>(
        &self,
        room: &mut Room,
        old: impl Fn(&'b Classifier) -> &'b Arc<T>,
        same: impl Fn(&Row, &Row) -> bool,
        bytes: impl Fn(&T) -> usize,
    ) -> Option<Arc<T>> {
        let previous = self.previous?;
        let kept = self.rows.iter().zip(&previous.rows).all(|(new, old)| same(new, old));
        let old = Some(old(previous)).filter(|_| kept)?;
        room.bytes = room.bytes.checked_sub(bytes(old))?;
        Some(Arc::clone(old))
    }

    fn slots(&self) -> impl Iterator<Item = (usize, &'b Row)> {
        self.order.slots().filter_map(|(slot, row)| Some((slot, *self.rows.get(row)?)))
    }

    /// One class for each of a number of lists of slots; the slots of `always` are in all of them.
    fn listed(&self, always: &Words, lists: &[Words], room: &mut Room) -> Option<Arc<Listed>> {
        let mut pool = PoolBuilder::new(self.order, room.bytes);
        let toggle =
            |pool: &mut PoolBuilder, words: &Words| words.iter().for_each(|(at, bits)| pool.toggle(*at, *bits));
        toggle(&mut pool, always);
        let class = |list: &Words| {
            toggle(&mut pool, list);
            let class = pool.class();
            toggle(&mut pool, list);
            class
        };
        let classes = lists.iter().map(class).collect();
        Listed::new(pool, classes, room)
    }

    fn zone_lists(&self, zones: impl Fn(&'b Row) -> Option<&'b [ZoneId]>, room: &mut Room) -> Option<Arc<Listed>> {
        let mut always = Words::new();
        // The last list is for flows without a zone.
        let mut lists = vec![Words::new(); self.zones + 1];
        for (slot, row) in self.slots() {
            let Some(zones) = zones(row) else {
                add(&mut always, slot);
                continue;
            };
            for (at, zone) in zones.iter().enumerate() {
                if let Some(list) = lists.get_mut(zone.index()).filter(|_| !zones[..at].contains(zone)) {
                    add(list, slot);
                }
            }
        }
        self.listed(&always, &lists, room)
    }

    pub(super) fn from(&self, room: &mut Room) -> Option<Arc<Listed>> {
        let zones = self.same_zones();
        let kept = self.kept(room, |table| &table.from, |a, b| zones && a.from == b.from, Listed::bytes);
        kept.or_else(|| self.zone_lists(|row| row.from.as_deref(), room))
    }

    pub(super) fn to(&self, room: &mut Room) -> Option<Arc<Listed>> {
        let zones = self.same_zones();
        let same = |a: &Row, b: &Row| zones && a.to == b.to && a.kind == b.kind;
        let kept = self.kept(room, |table| &table.to, same, Listed::bytes);
        // An intrazone rule names its zones once, in `from`.
        let to = |row: &'b Row| row.to.as_deref().filter(|_| row.kind != RuleKind::Intrazone);
        kept.or_else(|| self.zone_lists(to, room))
    }

    fn same_zones(&self) -> bool {
        self.previous.is_some_and(|previous| previous.zones == self.zones)
    }

    pub(super) fn kinds(&self, room: &mut Room) -> Option<Arc<Listed>> {
        let kept = self.kept(room, |table| &table.kinds, |a, b| a.kind == b.kind, Listed::bytes);
        kept.or_else(|| {
            let mut always = Words::new();
            let mut lists = vec![Words::new(); 3];
            for (slot, row) in self.slots() {
                match row.kind {
                    RuleKind::Universal => add(&mut always, slot),
                    RuleKind::Intrazone => add(&mut lists[0], slot),
                    RuleKind::Interzone => add(&mut lists[1], slot),
                }
            }
            self.listed(&always, &lists, room)
        })
    }

    pub(super) fn portless(&self, room: &mut Room) -> Option<Arc<Listed>> {
        let any = |row: &Row| *row.ports == Ports::Any;
        let kept = self.kept(room, |table| &table.portless, |a, b| any(a) == any(b), Listed::bytes);
        kept.or_else(|| {
            let mut always = Words::new();
            self.slots().filter(|(_, row)| any(row)).for_each(|(slot, _)| add(&mut always, slot));
            self.listed(&always, &[Words::new()], room)
        })
    }

    pub(super) fn addresses<K: Key + 'b>(
        &self,
        room: &mut Room,
        old: impl Fn(&'b Classifier) -> &'b Arc<Ranged<K>>,
        ranges: impl Fn(&Row) -> &Ranges<K>,
    ) -> Option<Arc<Ranged<K>>> {
        let same = |a: &Row, b: &Row| std::ptr::eq(ranges(a), ranges(b)) || ranges(a) == ranges(b);
        let kept = self.kept(room, old, same, |field| field.pool.bytes() + field.cuts.bytes());
        kept.or_else(|| {
            let (pool, cuts) = self.field(room, |row| Some(ranges(row)))?;
            let pool = room.take(pool, cuts.bytes())?;
            Some(Arc::new(Ranged { pool, cuts }))
        })
    }

    pub(super) fn ports(
        &self,
        room: &mut Room,
        old: impl Fn(&'b Classifier) -> &'b Arc<Ported>,
        ranges: impl Fn(&Row) -> Option<&Ranges<u16>>,
    ) -> Option<Arc<Ported>> {
        let kept =
            self.kept(room, old, |a, b| Arc::ptr_eq(&a.ports, &b.ports) || ranges(a) == ranges(b), Ported::bytes);
        kept.or_else(|| {
            let (pool, cuts) = self.field(room, ranges)?;
            let table = PortTable::new(&cuts);
            let pool = room.take(pool, table.bytes())?;
            Some(Arc::new(Ported { pool, table }))
        })
    }

    /// The classes of one field: for each row the keys it accepts, `None` for all. Rows that share their
    /// set are toggled together.
    fn field<K: Key + 'b>(
        &self,
        room: &Room,
        accepted: impl Fn(&'b Row) -> Option<&'b Ranges<K>>,
    ) -> Option<(Pool, Cuts<K>)> {
        let mut pool = PoolBuilder::new(self.order, room.bytes);
        let mut groups: HashMap<*const Ranges<K>, usize> = HashMap::new();
        let mut toggles: Vec<(&Ranges<K>, Words)> = Vec::new();
        for (slot, row) in self.slots() {
            let Some(ranges) = accepted(row).filter(|ranges| !ranges.is_all()) else {
                pool.toggle(slot / WORD, 1 << (slot % WORD));
                continue;
            };
            let group = *groups.entry(std::ptr::from_ref(ranges)).or_insert_with(|| {
                toggles.push((ranges, Words::new()));
                toggles.len() - 1
            });
            add(&mut toggles[group].1, slot);
        }
        let mut events: Vec<(K, u32)> = Vec::new();
        for ((ranges, _), group) in toggles.iter().zip(0..) {
            for (first, last) in ranges.as_slice() {
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
                for (word, bits) in &toggles[group as usize].1 {
                    pool.toggle(*word, *bits);
                }
            }
            intervals.push((key, pool.class()));
            start = events.peek().map(|(at, _)| *at);
        }
        Some((pool.finish()?, Cuts::new(intervals)))
    }
}
