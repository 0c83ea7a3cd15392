//! Do routers send any address to one another in circles?
//!
//! Exact, not sampled: between two neighbouring cut points of all tables every address is treated
//! alike, so one address of each such interval speaks for all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bartizan_model::device;
use bartizan_model::diagnostic::Diagnostic;

use super::{Router, Routers};
use crate::codes;
use crate::ranges::{Address, Cuts};
use crate::tables::{Among, ROUTER_HOPS_MAX, Route, RouterId};

/// The routes of one circle (router, position in its table), in the order packets take.
type Circle = Vec<(RouterId, usize)>;

/// Adds one error for each distinct circle.
pub(super) fn check(
    tables: &Routers,
    routers: &[device::Router],
    router_ids: &dyn Fn(&str) -> Option<RouterId>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let named: Vec<(RouterId, &str)> =
        routers.iter().filter_map(|router| Some((router_ids(&router.name)?, &*router.name))).collect();
    let mut circles: BTreeMap<Circle, IpAddr> = BTreeMap::new();
    for destination in witnesses(tables, |table| &table.v4).into_iter().chain(witnesses(tables, |table| &table.v6)) {
        for (start, _) in &named {
            let mut path: Circle = Vec::new();
            let route = tables.walk(*start, destination, &Among::First, |router, position| {
                path.extend(position.map(|position| (router, position)));
            });
            if route == Route::Loop {
                circles.entry(circle(path)).or_insert(destination);
            }
        }
    }
    for (path, destination) in circles {
        diagnostics.extend(complaint(tables, &named, &path, destination));
    }
}

/// One address of each interval on which no table changes its answer.
fn witnesses<K: Address>(tables: &Routers, cuts: impl Fn(&Router) -> &Cuts<K>) -> Vec<IpAddr> {
    let starts: BTreeSet<K> =
        tables.0.iter().flatten().flat_map(|table| cuts(table).starts().iter().copied()).collect();
    starts.into_iter().map(K::ip).collect()
}

/// The part of a path that repeats, turned so that equal circles are equal; the whole path when nothing
/// repeats and there are simply too many hops.
fn circle(path: Circle) -> Circle {
    let first_repeat = path.iter().enumerate().find_map(|(at, step)| {
        let again = path.get(at + 1..)?.iter().position(|later| later == step)?;
        Some((at, at + 1 + again))
    });
    let Some(mut turned) = first_repeat.and_then(|(from, to)| path.get(from..to).map(<[_]>::to_vec)) else {
        return path;
    };
    let lowest = turned.iter().enumerate().min_by_key(|(_, step)| **step).map_or(0, |(at, _)| at);
    turned.rotate_left(lowest);
    turned
}

fn complaint(tables: &Routers, named: &[(RouterId, &str)], path: &Circle, destination: IpAddr) -> Option<Diagnostic> {
    let router_name = |id: RouterId| named.iter().find(|(known, _)| *known == id).map_or("", |(_, name)| *name);
    let steps: Vec<String> = path
        .iter()
        .filter_map(|(router, position)| Some((router, tables.entry(*router, *position)?)))
        .map(|(router, entry)| format!("route `{}` of router `{}`", entry.name, router_name(*router)))
        .collect();
    let (router, position) = path.first()?;
    let first = tables.entry(*router, *position)?;
    let message = if path.len() > ROUTER_HOPS_MAX {
        format!("`{destination}` crosses more than {ROUTER_HOPS_MAX} routers: {}", steps.join(", then "))
    } else {
        format!("`{destination}` goes in a circle: {}, and again", steps.join(", then "))
    };
    let help = "give one of these routers a route for this destination that leads to an interface or is discarded";
    Some(Diagnostic::error(codes::ROUTER_LOOP, first.origin.clone(), message).with_help(help))
}
