//! Are the records that a query finds in slices those that it asks for, on either database?

use std::collections::BTreeSet;
use std::time::Duration;

use bartizan_api::fleet::log_record::Line;
use bartizan_api::fleet::{LogRecord, TrafficLog};
use sqlx::ConnectOptions as _;

use super::super::tests::both;
use super::super::traffic::LogBatch;
use super::super::{postgres, sqlite};
use super::*;
use crate::logs::filter::{Filter, TRAFFIC, parse};
use crate::logs::query::{Log, Query};
use crate::logs::report::CLUSTER;
use crate::store::slices::groups::Grouping;

const START_US: i64 = 1_790_000_000_000_000;
const MINUTE_US: i64 = 60_000_000;
/// Records in all, and in a slice.
const RECORDS: u64 = 1000;
const SLICE: u64 = 150;

fn mixed(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

/// One each half a minute, every tenth twenty minutes late.
fn record(number: u64) -> TrafficLog {
    let mixed = mixed(number);
    let late = if number % 10 == 3 { 20 * MINUTE_US } else { 0 };
    TrafficLog {
        time_generated_us: START_US + number as i64 * MINUTE_US / 2 - late,
        source: format!("10.0.{}.7", mixed % 20),
        destination: if mixed.is_multiple_of(3) { "2001:db8::7".into() } else { "192.0.2.9".into() },
        rule: format!("rule-{}", mixed % 7),
        application: "ssl".into(),
        action: if number % 100 == 42 { "deny".into() } else { "allow".into() },
        protocol: 6,
        destination_port: 1000 + (mixed >> 5) as u32 % 50,
        session_id: number,
        k8s_cluster_id: if mixed % 5 == 1 { 7 } else { 0 },
        source_tags: ["", "web", "ns_shop,web", "website"][mixed as usize % 4].into(),
        destination_tags: ["db", ""][mixed as usize % 2].into(),
        ..TrafficLog::default()
    }
}

/// Slices of both kinds, and the newest.
async fn fill(store: &Store) {
    let mut open = None;
    for first in (0..RECORDS).step_by(100) {
        let records = (first..first + 100).map(|number| LogRecord { line: Some(Line::Traffic(record(number))) });
        let serial = if first >= 500 { "two" } else { "one" };
        let batch =
            LogBatch { serial: serial.into(), boot_id: "b".into(), sequence: first + 100, records: records.collect() };
        store.add_logs(&mut open, &[batch], SLICE).await.unwrap();
        if first == 500 {
            store.index_slices().await.unwrap();
        }
    }
    let slices = store.slices().await.unwrap();
    let indexed: Vec<i64> = slices.iter().map(|slice| slice.indexed).collect();
    assert_eq!(indexed, [1, 1, 1, 0, 0, 0, 0]);
    assert!(slices[0].bytes > 10_000 && slices.iter().map(Slice::rows).sum::<i64>() == 1000, "{slices:?}");
}

fn ask(query: &str) -> Query {
    Query {
        id: 0,
        admin: String::new(),
        log: Log::Traffic,
        serials: None,
        filter: parse(query, TRAFFIC).unwrap(),
        rows: 5000,
        skip: 0,
        backward: true,
        newest: i64::MAX,
        after: None,
        beyond: None,
        patience: None,
        asked_us: 0,
    }
}

async fn sessions(store: &Store, query: &Query) -> Vec<u64> {
    store.traffic(query).await.unwrap().iter().map(|row| row.session_id as u64).collect()
}

/// The same, a slice at a time.
async fn sessions_by_slices(store: &Store, query: &Query) -> Vec<u64> {
    let mut query = Query { patience: Some(Duration::ZERO), ..query.clone() };
    let mut found = Vec::new();
    loop {
        let page = store.traffic_page(&query).await.unwrap();
        found.extend(page.rows.iter().map(|row| row.session_id as u64));
        let Some(further) = page.further else { return found };
        assert_ne!(query.beyond, Some(further.beyond), "it goes on");
        (query.beyond, query.skip) = (Some(further.beyond), further.skip);
        query.rows -= page.rows.len() as u32;
    }
}

type Fits = fn(&TrafficLog) -> bool;

#[tokio::test]
async fn a_query_finds_what_it_asks_for_in_the_order_of_time() {
    let (sqlite, postgres, _server) = both().await;
    // 2026-09-21 14:13:20 is the start.
    let cases: [(&str, Fits); 19] = [
        ("", |_| true),
        ("(addr.src in 10.0.3.0/24)", |one| one.source == "10.0.3.7"),
        ("(addr.src in 10.0.3.0/24) and (port.dst eq 1007)", |one| {
            one.source == "10.0.3.7" && one.destination_port == 1007
        }),
        ("(addr in 192.0.2.9) and (rule eq rule-2)", |one| one.destination == "192.0.2.9" && one.rule == "rule-2"),
        ("(addr notin 10.0.0.0/16)", |_| false),
        ("(addr.dst in 2001:db8::/32) and (action eq deny)", |one| {
            one.destination == "2001:db8::7" && one.action == "deny"
        }),
        ("(rule eq rule-5) or (port.dst leq 1003)", |one| one.rule == "rule-5" || one.destination_port <= 1003),
        ("(rule eq nothing)", |_| false),
        ("(time_generated geq '2026/09/21 16:00:00') and (time_generated leq '2026/09/21 16:10:00')", |one| {
            let minutes = (one.time_generated_us - START_US) as f64 / MINUTE_US as f64;
            (106.0 + 2.0 / 3.0..=116.0 + 2.0 / 3.0).contains(&minutes)
        }),
        ("(time_generated geq '2026/09/21 22:00:00') and (serial eq one)", |_| false),
        ("(receive_time leq '2026/01/01') and (app eq ssl)", |_| false),
        ("not (action eq allow) and (proto eq tcp)", |one| one.action == "deny"),
        ("(k8s_cluster_id eq 7) and (rule neq rule-1)", |one| one.k8s_cluster_id == 7 && one.rule != "rule-1"),
        ("(k8s_cluster_id neq 7)", |one| one.k8s_cluster_id == 0),
        ("(tag.src eq web)", |one| ["web", "ns_shop,web"].contains(&&*one.source_tags)),
        ("(tag.src neq web) and (tag.dst eq db)", |one| {
            ["", "website"].contains(&&*one.source_tags) && one.destination_tags == "db"
        }),
        ("(tag eq db)", |one| one.destination_tags == "db"),
        ("(tag neq web)", |one| ["", "website"].contains(&&*one.source_tags)),
        ("(tag contains shop) or (tag eq site)", |one| one.source_tags == "ns_shop,web"),
    ];
    for store in [&sqlite, &postgres] {
        fill(store).await;
        for (text, fits) in cases {
            let mut expected: Vec<_> = (0..RECORDS).map(|number| (record(number).time_generated_us, number)).collect();
            expected.retain(|(_, number)| fits(&record(*number)));
            expected.sort_unstable();
            let forward: Vec<u64> = expected.iter().map(|(_, number)| *number).collect();
            let backward: Vec<u64> = forward.iter().copied().rev().collect();
            let query = ask(text);
            assert_eq!(sessions(store, &query).await, backward, "{text}");
            assert_eq!(sessions_by_slices(store, &query).await, backward, "{text}");
            assert_eq!(sessions_by_slices(store, &Query { backward: false, ..query.clone() }).await, forward, "{text}");
            assert_eq!(sessions(store, &Query { backward: false, ..query.clone() }).await, forward, "{text}");
            let page = Query { rows: 7, skip: 5, ..query.clone() };
            let part: Vec<u64> = backward.iter().copied().skip(5).take(7).collect();
            assert_eq!(sessions(store, &page).await, part, "{text}");
            assert_eq!(sessions_by_slices(store, &page).await, part, "{text}");
            let counts = store.traffic_counts(&query, START_US, START_US + 1000 * MINUTE_US, 60 * MINUTE_US).await;
            let counted: i64 = counts.unwrap().iter().map(|(_, lines)| lines).sum();
            let within = expected.iter().filter(|(time, _)| *time >= START_US).count();
            assert_eq!(counted, within as i64, "{text}");
            // As they came, from one on.
            let mut came = forward.clone();
            came.sort_unstable();
            let after = Query { after: Some(300), rows: 100, backward: false, ..query };
            let expected: Vec<u64> = came.into_iter().filter(|number| *number >= 300).take(100).collect();
            assert_eq!(sessions(store, &after).await, expected, "{text}");
        }
        let query = ask("");
        assert_eq!(sessions(store, &Query { newest: 10, ..query.clone() }).await.len(), 10);
        let serials = Some(BTreeSet::from(["two".to_owned()]));
        assert_eq!(sessions(store, &Query { serials, ..query }).await.len(), 500);
    }
}

#[tokio::test]
async fn the_oldest_slices_go_whole() {
    let (sqlite, postgres, _server) = both().await;
    for store in [&sqlite, &postgres] {
        fill(store).await;
        let usual =
            Bounds { rows_max: 1000, bytes_max: u64::MAX, traffic_since_us: i64::MIN, events_since_us: Vec::new() };
        assert_eq!(store.drop_slices(&usual).await.unwrap(), 0);
        assert_eq!(store.drop_slices(&Bounds { rows_max: 800, ..usual.clone() }).await.unwrap(), 300);
        let oldest = store.traffic(&Query::after(Log::Traffic, Filter::All, 0, i64::MAX, 1)).await.unwrap();
        assert_eq!((oldest[0].id, store.newest_traffic().await.unwrap()), (301, 1000));
        assert_eq!(store.log_bounds(Log::Traffic).await.unwrap(), (301, 1000));
        store.index_slices().await.unwrap();
        let bytes: i64 = store.slices().await.unwrap().iter().map(|slice| slice.bytes).sum();
        let one = Bounds { bytes_max: bytes as u64 - 1, ..usual.clone() };
        assert_eq!(store.drop_slices(&one).await.unwrap(), 150, "size");
        let all = Bounds { traffic_since_us: i64::MAX, ..usual };
        assert_eq!(store.drop_slices(&all).await.unwrap(), 450, "age");
        assert_eq!(store.slices().await.unwrap().len(), 1, "the one that is written to stays");
        let query = Query::after(Log::Traffic, Filter::All, 0, i64::MAX, 5000);
        assert_eq!(store.traffic(&query).await.unwrap().len(), 100);
        let left = "SELECT count(*) FROM slice_7_logs";
        assert_eq!(sql(left).fetch_value::<i64>(&store.reader).await.unwrap(), 100);
        assert!(sql("SELECT count(*) FROM slice_1_logs").fetch_value::<i64>(&store.reader).await.is_err());
    }
}

/// A log of before there were slices, with one record twice but for its number.
const OLD: &str = "INSERT INTO traffic_logs (serial, received_us, generated_us, subtype, source, destination, nat_source, \
    nat_destination, source_key, destination_key, nat_source_key, nat_destination_key, rule, nat_rule, application, \
    from_zone, to_zone, inbound_interface, outbound_interface, session_id, source_port, destination_port, \
    nat_source_port, nat_destination_port, protocol, action, bytes_sent, bytes_received, packets_sent, \
    packets_received, start_us, elapsed_s, session_end_reason) VALUES ('S', 5, 4, 'end', '10.0.0.1', '192.0.2.1', '', \
    '', $1, $2, $3, $4, 'r', '', 'ssl', 'a', 'b', 'e1', 'e2', 77, 1, 2, 3, 4, 6, 'allow', 1, 2, 3, 4, 5, 6, 'tcp-fin')";

#[tokio::test]
async fn records_of_before_there_were_slices_are_the_first_one() {
    let (fresh, fresh_postgres, (_place, server)) = both().await;
    drop((fresh, fresh_postgres));
    let place = tempfile::tempdir().unwrap();
    let key = super::super::traffic::address_key;
    let old = || sql(OLD).bind(key("10.0.0.1")).bind(key("192.0.2.1")).bind(key("")).bind(key(""));
    let mut connection = sqlite::options(&sqlite::path(place.path())).create_if_missing(true).connect().await.unwrap();
    sqlite::MIGRATOR.run_to(70, &mut connection).await.unwrap();
    old().execute(On::Sqlite(&mut connection)).await.unwrap();
    old().execute(On::Sqlite(&mut connection)).await.unwrap();
    drop(connection);
    let url = super::super::DatabaseUrl::parse(&server.database().unwrap()).unwrap();
    let mut connection = postgres::connect(&url, &url.session("old")).await.unwrap();
    postgres::MIGRATOR.run_to(70, &mut connection).await.unwrap();
    old().execute(On::Postgres(&mut connection)).await.unwrap();
    old().execute(On::Postgres(&mut connection)).await.unwrap();
    drop(connection);
    let member = super::super::Member { url: &url, name: "new", authority: None };
    let stores =
        [Store::open(place.path(), None).await.unwrap(), Store::open(place.path(), Some(member)).await.unwrap()];
    for store in stores {
        let rows = store.traffic(&ask("(addr.src in 10.0.0.0/8) and (rule eq r)")).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [2, 1]);
        assert_eq!((rows[0].source.0.as_str(), rows[0].nat_source.0.as_str(), rows[0].elapsed_s), ("10.0.0.1", "", 6));
        assert_eq!(rows.iter().map(|row| row.cluster_id).collect::<Vec<_>>(), [0, 0], "nobody wrote it down");
        // Into the slice of before, and into a new one.
        for (sequence, slice_rows) in [(1, 3), (2, 3)] {
            let line = TrafficLog { k8s_cluster_id: 7, rule: "r".into(), ..record(0) };
            let records = vec![LogRecord { line: Some(Line::Traffic(line)) }];
            let batch = LogBatch { serial: "S".into(), boot_id: "b".into(), sequence, records };
            store.add_logs(&mut None, &[batch], slice_rows).await.unwrap();
        }
        let found = store.traffic(&ask("(k8s_cluster_id eq 7)")).await.unwrap();
        assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), [4, 3]);
        let grouping = Grouping { keys: vec![CLUSTER], sums: vec!["1"] };
        let mut groups = store.log_groups(&ask("(rule eq r)"), &grouping).await.unwrap();
        groups.sort();
        assert_eq!(groups, [(vec![String::new()], [2, 0, 0, 0]), (vec!["7".to_owned()], [2, 0, 0, 0])]);
        // There is nothing to do the next time.
        store.complete_slices().await.unwrap();
        assert_eq!(store.newest_traffic().await.unwrap(), 4);
        assert_eq!(store.slices().await.unwrap().len(), 2);
    }
}
