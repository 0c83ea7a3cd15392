//! Where does a packet for this address go?
//!
//! One table per router: own addresses, connected networks and static routes, longest prefix first. A
//! route to another router continues the look-up there.

pub(crate) mod build;
mod equal;
mod loops;

use std::net::IpAddr;

use bartizan_model::diagnostic::Origin;
use ipnet::IpNet;

use crate::ranges::Cuts;
use crate::tables::{Among, IfaceId, ROUTER_HOPS_MAX, Route, RouterId};
use equal::Equal;

/// Where one route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hop {
    /// The firewall's own address.
    Local(IfaceId),
    /// The destination is a neighbour on this interface.
    Attached(IfaceId),
    /// By a gateway on this interface.
    Gateway(IfaceId, IpAddr),
    /// Look on in that router.
    Router(RouterId),
    /// Drop.
    Discard,
}

/// Where a route comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Local,
    Connected,
    Static,
    /// A gateway that an interface learned.
    Learned,
}

impl Source {
    /// Its place among the routes of one prefix. A learned default route competes with static ones by
    /// distance and metric.
    fn rank(self) -> Self {
        self.min(Self::Static)
    }
}

/// One configured or implied route of a router, in force or not.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    pub(crate) source: Source,
    pub(crate) destination: IpNet,
    pub(crate) next_hop: String,
    /// `None` when the next hop cannot be reached; why is a warning of the compile.
    pub(crate) hop: Option<Hop>,
    pub(crate) metric: u16,
    pub(crate) admin_distance: u8,
    pub(crate) state: State,
}

/// Whether packets follow a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// It won among the routes of its prefix.
    Active,
    /// It shares its prefix with others of equal cost.
    Equal,
    /// A better route has its prefix, or its next hop is out of reach.
    #[default]
    Idle,
    /// Its monitored path is dead.
    Down,
}

/// The routing table of one router.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    pub(crate) entries: Vec<Entry>,
    hops: Vec<Hop>,
    /// Routes of equal cost: answers of the look-up at and beyond the number of hops.
    equal: Vec<Equal>,
    v4: Cuts<u32>,
    v6: Cuts<u128>,
}

/// All routers, by position of their [`RouterId`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Routers(pub(crate) Vec<Option<Router>>);

impl Router {
    /// The position of the route for an address; positions beyond the table mean that there is none.
    fn position(&self, destination: IpAddr, among: &Among) -> usize {
        let found = match destination {
            IpAddr::V4(ip) => self.v4.find(ip.to_bits()),
            IpAddr::V6(ip) => self.v6.find(ip.to_bits()),
        } as usize;
        let equal = found.checked_sub(self.hops.len()).and_then(|at| self.equal.get(at));
        equal.map_or(found, |equal| equal.choose(among))
    }
}

impl Routers {
    /// Follows the tables from one router to the end.
    pub(crate) fn route(&self, router: RouterId, destination: IpAddr, among: &Among) -> Route {
        self.walk(router, destination, among, |_, _| {})
    }

    /// As [`route`](Self::route), telling each router asked with the position of its answer.
    pub(crate) fn walk(
        &self,
        mut router: RouterId,
        destination: IpAddr,
        among: &Among,
        mut visit: impl FnMut(RouterId, Option<usize>),
    ) -> Route {
        for _ in 0..=ROUTER_HOPS_MAX {
            let table = self.0.get(router.index()).and_then(Option::as_ref);
            let position = table.map(|table| table.position(destination, among));
            let hop = table.zip(position).and_then(|(table, position)| table.hops.get(position));
            visit(router, hop.and(position));
            match hop {
                None => return Route::None,
                Some(Hop::Discard) => return Route::Discard,
                Some(Hop::Local(iface)) => return Route::Local { iface: *iface },
                Some(Hop::Attached(iface)) => return Route::Via { iface: *iface, next_hop: destination, router },
                Some(Hop::Gateway(iface, gateway)) => {
                    return Route::Via { iface: *iface, next_hop: *gateway, router };
                }
                Some(Hop::Router(next)) => router = *next,
            }
        }
        Route::Loop
    }

    /// One configured route.
    pub(crate) fn entry(&self, router: RouterId, position: usize) -> Option<&Entry> {
        self.0.get(router.index())?.as_ref()?.entries.get(position)
    }
}

#[cfg(test)]
#[path = "routing/tests.rs"]
mod tests;
