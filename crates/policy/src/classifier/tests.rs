//! The classifier says what a scan of its rows says.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::sample::select;

use bartizan_model::device::ServiceProtocol;

use super::*;
use crate::ports::PortTerm;
use crate::ranges::Ranges;

const ZONES: u16 = 4;

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0u32..64).prop_map(|low| Ipv4Addr::from_bits(0x0a00_0000 + low).into()),
        (0u32..4).prop_map(|low| Ipv4Addr::from_bits(u32::MAX - low).into()),
        (0u128..64).prop_map(|low| Ipv6Addr::from_bits(0x2001_0db8 << 96 | low).into()),
    ]
}

fn addresses_strategy() -> impl Strategy<Value = Arc<AddressSet>> {
    let range = (ip(), ip());
    prop_oneof![
        2 => Just(Arc::new(AddressSet::all())),
        1 => Just(Arc::new(AddressSet::default())),
        5 => (prop::collection::vec(range, 1..5), any::<bool>()).prop_map(|(ranges, negate)| {
            let set = AddressSet::of(&ranges);
            Arc::new(if negate { set.complement() } else { set })
        }),
    ]
}

fn zones_strategy() -> impl Strategy<Value = Option<Arc<[ZoneId]>>> {
    prop_oneof![
        Just(None),
        prop::collection::vec((0..ZONES).prop_map(ZoneId), 0..3).prop_map(|zones| Some(zones.into()))
    ]
}

fn ports_strategy() -> impl Strategy<Value = Ranges<u16>> {
    prop::collection::vec((0u16..20, 0u16..20), 1..3).prop_map(Ranges::new)
}

fn services_strategy() -> impl Strategy<Value = Vec<Ports>> {
    let protocols = select(vec![ServiceProtocol::Tcp, ServiceProtocol::Udp, ServiceProtocol::Sctp]);
    let sources = prop_oneof![2 => Just(Ranges::all()), 1 => ports_strategy()];
    let term = (protocols, ports_strategy(), sources).prop_map(|(protocol, ports, source_ports)| PortTerm {
        protocol,
        ports,
        source_ports,
    });
    prop_oneof![Just(vec![Ports::Any]), prop::collection::vec(term, 1..4).prop_map(|terms| Ports::of(&terms))]
}

fn rule() -> impl Strategy<Value = Vec<Row>> {
    let kinds = select(vec![RuleKind::Universal, RuleKind::Intrazone, RuleKind::Interzone]);
    (zones_strategy(), zones_strategy(), kinds, addresses_strategy(), addresses_strategy(), services_strategy())
        .prop_map(|(from, to, kind, source, destination, services)| {
            let row = |ports: Ports| Row {
                from: from.clone(),
                to: to.clone(),
                kind,
                source: Arc::clone(&source),
                destination: Arc::clone(&destination),
                ports: Arc::new(ports),
            };
            services.into_iter().map(row).collect()
        })
}

fn query() -> impl Strategy<Value = Query> {
    let to = prop::option::weighted(0.9, (0..ZONES).prop_map(ZoneId));
    let protocol = select(vec![1u8, 6, 17, 132, 47, 58]);
    ((0..ZONES).prop_map(ZoneId), to, ip(), ip(), protocol, 0u16..21, 0u16..21).prop_map(
        |(from, to, source, destination, protocol, source_port, destination_port)| Query {
            from,
            to,
            source,
            destination,
            protocol,
            source_port,
            destination_port,
        },
    )
}

/// Every query has the first matching row of those that are accepted.
fn check(classifier: &Classifier, rows: &[Row], queries: &[Query], from: usize) {
    for query in queries {
        let scan = rows.iter().enumerate().find(|(at, row)| *at >= from && row.misses(query).next().is_none());
        assert_eq!(classifier.first(query, |row| row >= from), scan.map(|(at, _)| at), "{query:?}");
    }
}

fn build(rows: &[Row], previous: Option<&Classifier>) -> Classifier {
    Classifier::new(&rows.iter().collect::<Vec<_>>(), usize::from(ZONES), previous).unwrap()
}

proptest! {
    #[test]
    fn classifier_equals_a_scan(
        rules in prop::collection::vec(rule(), 0..150),
        queries in prop::collection::vec(query(), 1..40),
        from in 0usize..80,
    ) {
        let rows: Vec<Row> = rules.into_iter().flatten().collect();
        check(&build(&rows, None), &rows, &queries, from);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_large_rule_base_in_groups_equals_a_scan(
        rules in prop::collection::vec(rule(), 1..60),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 2000),
        queries in prop::collection::vec(query(), 1..40),
        from in 0usize..2000,
    ) {
        // Rows that share their sets by the hundred, as rules share objects.
        let rows: Vec<Row> = picks.iter().flat_map(|pick| pick.get(&rules).clone()).collect();
        check(&build(&rows, None), &rows, &queries, from);
    }
}

proptest! {
    #[test]
    fn what_is_taken_over_from_the_generation_before_is_right(
        rules in prop::collection::vec(rule(), 1..40),
        changes in prop::collection::vec((any::<prop::sample::Index>(), rule(), 0u8..8), 1..6),
        queries in prop::collection::vec(query(), 1..40),
    ) {
        let mut rows: Vec<Row> = rules.into_iter().flatten().collect();
        prop_assume!(!rows.is_empty());
        let mut classifier = build(&rows, None);
        for (at, new, part) in changes {
            let Some(new) = new.into_iter().next() else { continue };
            let at = at.index(rows.len());
            match part {
                0 => rows[at] = new,
                1 => rows[at].source = new.source,
                2 => rows[at].destination = new.destination,
                3 => rows[at].ports = new.ports,
                4 => (rows[at].from, rows[at].to) = (new.from, new.to),
                5 => rows[at].kind = new.kind,
                6 => rows.insert(at, new),
                _ => drop((rows.len() > 1).then(|| rows.remove(at))),
            }
            classifier = build(&rows, Some(&classifier));
            check(&classifier, &rows, &queries, 0);
        }
    }
}

#[test]
fn a_field_that_no_row_changed_in_is_taken_over() {
    let row = |source: &str, port| Row {
        from: None,
        to: None,
        kind: RuleKind::Universal,
        source: Arc::new(AddressSet::of(&[(source.parse().unwrap(), source.parse().unwrap())])),
        destination: Arc::new(AddressSet::all()),
        ports: Arc::new(Ports::Of {
            source: Ranges::all(),
            destination: std::array::from_fn(|_| Ranges::new(vec![(port, port)])),
        }),
    };
    let before = build(&[row("10.0.0.1", 80), row("10.0.0.2", 443)], None);
    let after = build(&[row("10.0.0.1", 80), row("10.0.0.3", 443)], Some(&before));
    assert!(!Arc::ptr_eq(&before.sources.0, &after.sources.0));
    assert!(Arc::ptr_eq(&before.sources.1, &after.sources.1));
    assert!(Arc::ptr_eq(&before.destinations.0, &after.destinations.0));
    assert!(Arc::ptr_eq(&before.services[0], &after.services[0]));
    assert!(Arc::ptr_eq(&before.from, &after.from));
    assert!(after.bytes() > 0);
}

#[test]
fn services_of_one_rule_keep_their_own_source_ports() {
    let term = |port, source: Ranges<u16>| PortTerm {
        protocol: ServiceProtocol::Tcp,
        ports: Ranges::new(vec![(port, port)]),
        source_ports: source,
    };
    let every = Arc::new(AddressSet::all());
    let terms = [term(22, Ranges::new(vec![(1000, 2000)])), term(80, Ranges::all())];
    let rows: Vec<Row> = Ports::of(&terms)
        .into_iter()
        .map(|ports| Row {
            from: None,
            to: None,
            kind: RuleKind::Universal,
            source: Arc::clone(&every),
            destination: Arc::clone(&every),
            ports: Arc::new(ports),
        })
        .collect();
    let classifier = build(&rows, None);
    let found = |source_port, destination_port| {
        let query = Query {
            from: ZoneId(0),
            to: Some(ZoneId(0)),
            source: Ipv4Addr::LOCALHOST.into(),
            destination: Ipv4Addr::LOCALHOST.into(),
            protocol: 6,
            source_port,
            destination_port,
        };
        classifier.first(&query, |_| true).is_some()
    };
    assert_eq!([found(1500, 22), found(5000, 22), found(5000, 80), found(5000, 443)], [true, false, true, false]);
}
