//! Look-ups across routers equal a scan over what is written, and exactly the circular ones are refused.

use std::net::{IpAddr, Ipv4Addr};

use bartizan_model::device::{DeviceConfig, Interface, NextHop, Router, StaticRoute};
use bartizan_model::diagnostic::Origin;
use ipnet::{IpNet, Ipv4Net};
use proptest::prelude::*;

use crate::compile::compile_device;
use crate::facts::Facts;
use crate::tables::{Among, Compiled, Ids, IfaceId, ROUTER_HOPS_MAX, Route, RouterId};

const ROUTERS: usize = 4;
/// Each router has two interfaces, each with one network of 16 addresses below 10.0.0.128.
const INTERFACES: usize = ROUTERS * 2;

fn ip(low: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, low).into()
}

fn own(interface: usize) -> IpNet {
    IpNet::new(ip(interface as u8 * 16 + 1), 28).unwrap()
}

fn next_hop() -> impl Strategy<Value = NextHop> {
    prop_oneof![
        3 => (0u8..128).prop_map(|low| NextHop::Address(ip(low))),
        4 => (0..=ROUTERS).prop_map(|router| NextHop::Router(format!("r{router}"))),
        1 => Just(NextHop::Discard),
        1 => Just(NextHop::Interface),
    ]
}

fn route() -> impl Strategy<Value = StaticRoute> {
    let interface = prop::option::weighted(0.3, (0..INTERFACES).prop_map(|at| format!("ethernet1/{at}")));
    let destination = (any::<u8>(), prop_oneof![3 => 24u8..=32, 1 => Just(0)]);
    (destination, interface, next_hop(), 0u16..3, prop_oneof![Just(10u8), Just(20)]).prop_map(
        |((low, length), interface, next_hop, metric, admin_distance)| StaticRoute {
            name: String::new(),
            origin: Origin::default(),
            destination: Ipv4Net::new(Ipv4Addr::new(10, 0, 0, low), length).unwrap().into(),
            interface,
            next_hop,
            metric,
            admin_distance,
            path_monitor: None,
        },
    )
}

fn config() -> impl Strategy<Value = DeviceConfig> {
    prop::collection::vec(prop::collection::vec(route(), 0..5), ROUTERS).prop_map(|tables| {
        let interface =
            |at| Interface { name: format!("ethernet1/{at}"), addresses: vec![own(at)], ..Interface::default() };
        let router = |(at, routes): (usize, Vec<StaticRoute>)| Router {
            name: format!("r{at}"),
            origin: Origin::default(),
            interfaces: vec![format!("ethernet1/{}", at * 2), format!("ethernet1/{}", at * 2 + 1)],
            routes,
            ecmp: None,
        };
        DeviceConfig {
            interfaces: (0..INTERFACES).map(interface).collect(),
            routers: tables.into_iter().enumerate().map(router).collect(),
            ..DeviceConfig::default()
        }
    })
}

/// Prefix length, connected, and then the lowest of distance, metric and order.
type Rank = (u8, bool, std::cmp::Reverse<(u8, u16, usize)>);

/// Where a route leads: to the end, or to another router.
enum Step {
    End(Route),
    Router(usize),
}

/// What a written route does for a destination; `None` when it cannot be in force.
fn follow(route: &StaticRoute, router: usize, destination: IpAddr) -> Option<Step> {
    let mine = [router * 2, router * 2 + 1];
    let named =
        route.interface.as_ref().map(|name| (0..INTERFACES).find(|at| *name == format!("ethernet1/{at}")).unwrap());
    if named.is_some_and(|named| !mine.contains(&named))
        && matches!(route.next_hop, NextHop::Address(_) | NextHop::Interface)
    {
        return None;
    }
    let via =
        |iface: usize, next_hop| Route::Via { iface: IfaceId(iface as u16), next_hop, router: RouterId(router as u16) };
    match &route.next_hop {
        NextHop::Discard => Some(Step::End(Route::Discard)),
        NextHop::Router(name) => (0..ROUTERS).find(|at| *name == format!("r{at}")).map(Step::Router),
        NextHop::Interface => Some(Step::End(via(named?, destination))),
        NextHop::Address(gateway) => {
            if mine.iter().any(|at| own(*at).addr() == *gateway) {
                return None;
            }
            let holder = mine.into_iter().find(|at| own(*at).contains(gateway))?;
            (named.is_none() || named == Some(holder)).then(|| Step::End(via(holder, *gateway)))
        }
    }
}

fn naive(config: &DeviceConfig, mut router: usize, destination: IpAddr) -> Route {
    for _ in 0..=ROUTER_HOPS_MAX {
        let mine = [router * 2, router * 2 + 1];
        if let Some(at) = mine.into_iter().find(|at| own(*at).addr() == destination) {
            return Route::Local { iface: IfaceId(at as u16) };
        }
        // Longest prefix, then connected before static, then distance, metric, order.
        let mut best: Option<(Rank, Step)> = None;
        for at in mine {
            if own(at).contains(&destination) {
                let route =
                    Route::Via { iface: IfaceId(at as u16), next_hop: destination, router: RouterId(router as u16) };
                best = Some(((own(at).prefix_len(), true, std::cmp::Reverse((0, 0, 0))), Step::End(route)));
            }
        }
        for (order, route) in config.routers[router].routes.iter().enumerate() {
            let Some(step) = follow(route, router, destination).filter(|_| route.destination.contains(&destination))
            else {
                continue;
            };
            // A host route to an own address never wins over the address itself, checked above.
            let rank =
                (route.destination.prefix_len(), false, std::cmp::Reverse((route.admin_distance, route.metric, order)));
            if best.as_ref().is_none_or(|(known, _)| rank > *known) {
                best = Some((rank, step));
            }
        }
        match best {
            None => return Route::None,
            Some((_, Step::End(route))) => return route,
            Some((_, Step::Router(next))) => router = next,
        }
    }
    Route::Loop
}

fn destinations() -> impl Iterator<Item = IpAddr> {
    (0..=255).map(ip).chain([Ipv4Addr::new(9, 9, 9, 9).into(), Ipv4Addr::BROADCAST.into()])
}

fn compiled(config: &DeviceConfig) -> Option<Compiled> {
    match compile_device(config, &Facts::default(), &mut Ids::default(), 1, None, &mut Vec::new()) {
        Ok(tables) => Some(tables),
        Err(diagnostics) => {
            assert!(diagnostics.iter().any(|diagnostic| diagnostic.code == "router-loop"), "{diagnostics:?}");
            None
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn the_walk_equals_a_scan_and_only_circles_are_refused(config in config()) {
        let tables = compiled(&config);
        let mut circular = false;
        for destination in destinations() {
            for router in 0..ROUTERS {
                let expected = naive(&config, router, destination);
                circular |= expected == Route::Loop;
                if let Some(tables) = &tables {
                    let found = tables.route(RouterId(router as u16), destination, &Among::First);
                    prop_assert_eq!(found, expected, "{} from r{}", destination, router);
                }
            }
        }
        prop_assert_eq!(tables.is_none(), circular);
    }
}
