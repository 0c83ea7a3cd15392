//! Traffic logs of several firewalls, each batch on disk before it is acknowledged, and queries over what is there.

use std::time::{Duration, Instant};

use bartizan_api::fleet::TrafficLog;
use serde_json::json;

use crate::client::Client;
use crate::common::device::Device;
use crate::common::{Server, between};
use crate::percentiles;

const DEVICES: u64 = 4;
/// Records in one message, as a firewall sends them.
const BATCH: u64 = 1000;
/// Records in all; `BARTIZAN_BENCH_LOGS` asks for more.
const RECORDS: u64 = 2_000_000;
/// Times that each query is asked.
const ASKED: u64 = 20;
/// Records that come while queries are asked.
const MEANWHILE: u64 = 1_000_000;
/// Queries by name: few records fit the first three, none the last.
const QUERIES: [(&str, &str); 4] = [
    ("source-and-port", "( addr.src in SOURCE ) and ( port.dst eq PORT )"),
    ("rule-and-either", "( rule eq RULE ) and ( addr in DESTINATION )"),
    ("port-and-action", "( port.dst eq PORT ) and ( action eq allow )"),
    ("rule-and-zone", "( rule eq nothing ) and ( zone.src eq trust )"),
];
/// Queries of any time, newest first: few or many records fit, or none.
const OF_ANY_TIME: [(&str, &str); 6] = [
    ("everything", ""),
    ("rule", "( rule eq RULE )"),
    ("source-and-port", "( addr.src in SOURCE ) and ( port.dst eq PORT )"),
    ("nobody", "( addr in 198.51.100.77 )"),
    ("part-of-a-name", "( rule contains ule-9 ) and ( addr.dst in DESTINATION )"),
    ("source-port", "( port.src eq 40777 )"),
];
/// Microseconds from one record to the next.
const STEP_US: i64 = 20;
const START_US: i64 = 1_790_000_000_000_000;

pub(crate) async fn run() {
    let records = std::env::var("BARTIZAN_BENCH_LOGS").ok().and_then(|text| text.parse().ok()).unwrap_or(RECORDS);
    let server = Server::start_with(|settings| {
        settings.traffic_logs_max = 2 * records;
        settings.log_storage = u64::MAX;
    })
    .await;
    let mut devices = Vec::new();
    for _ in 0..DEVICES {
        devices.push(Device::join(&server).await);
    }
    let begun = Instant::now();
    devices = write(devices, 0, records).await;
    rate("log-records-stored", records, begun.elapsed());
    let mut client = Client::connect(&server).await;
    for (name, query) in QUERIES {
        let mut times = Vec::new();
        for number in 0..ASKED {
            times.push(ask(&mut client, query, number, records).await);
        }
        percentiles(&format!("log-query-{name}-of-{records}"), times, 1000.0, 200.0);
    }
    for (name, query) in OF_ANY_TIME {
        let mut times = Vec::new();
        for number in 0..ASKED {
            times.push(first_rows(&mut client, &about(query, number)).await);
        }
        percentiles(&format!("log-query-any-time-{name}-of-{records}"), times, 1000.0, 200.0);
    }
    // The same while records come.
    let begun = Instant::now();
    let writing = tokio::spawn(write(devices, records, MEANWHILE));
    let mut times = Vec::new();
    while !writing.is_finished() {
        let (_, query) = QUERIES[times.len() % QUERIES.len()];
        times.push(ask(&mut client, query, times.len() as u64, records).await);
    }
    drop(writing.await.unwrap());
    rate("log-records-stored-while-asked", MEANWHILE, begun.elapsed());
    percentiles(&format!("log-query-while-written-of-{records}"), times, 1000.0, 200.0);
}

/// Writes so many records from one on, by all devices at once.
async fn write(devices: Vec<Device>, first: u64, count: u64) -> Vec<Device> {
    let mut tasks = Vec::new();
    for (at, mut device) in (0..DEVICES).zip(devices) {
        tasks.push(tokio::spawn(async move {
            for batch in (first / BATCH + at..(first + count) / BATCH).step_by(DEVICES as usize) {
                let lines = (batch * BATCH..(batch + 1) * BATCH).map(record).collect();
                device.log("boot", (batch / DEVICES + 1) * BATCH, lines).await;
            }
            device
        }));
    }
    let mut devices = Vec::new();
    for task in tasks {
        devices.push(task.await.unwrap());
    }
    devices
}

fn rate(name: &str, records: u64, took: Duration) {
    let rate = (records as f64 / took.as_secs_f64()).round();
    println!(
        "{}",
        json!({
            "name": name, "unit": "1/s", "value": rate, "runs": records,
            "floor": 50_000.0, "aim": 100_000.0, "meets_floor": rate >= 50_000.0,
        })
    );
}

/// A tenth of the time there is, and two conditions.
async fn ask(client: &mut Client, query: &str, number: u64, records: u64) -> Duration {
    let seconds = |part: u64| (START_US + (records * part / 100) as i64 * STEP_US) / 1_000_000;
    let time = |seconds: i64| {
        let time = jiff::Timestamp::from_second(seconds).unwrap();
        time.strftime("%Y/%m/%d %H:%M:%S").to_string()
    };
    let part = number * 4 % 90;
    let query = format!(
        "( time_generated geq '{}' ) and ( time_generated leq '{}' ) and {}",
        time(seconds(part)),
        time(seconds(part + 10)),
        about(query, number),
    );
    first_rows(client, &query).await
}

/// A query with values that differ each time.
fn about(query: &str, number: u64) -> String {
    query
        .replace("SOURCE", &format!("10.0.{}.0/24", number * 7 % 250))
        .replace("DESTINATION", &format!("192.0.2.{}", number * 11 % 250))
        .replace("PORT", &(1000 + number * 13 % 500).to_string())
        .replace("RULE", &format!("rule-{}", number * 17 % 100))
}

async fn first_rows(client: &mut Client, query: &str) -> Duration {
    let begun = Instant::now();
    let asked = client.ask(&[("type", "log"), ("log-type", "traffic"), ("nlogs", "100"), ("query", query)]).await;
    let job = between(&asked, "<job>", "</job>").to_owned();
    let answer = client.ask(&[("type", "log"), ("action", "get"), ("job-id", &job)]).await;
    assert!(answer.contains("<status>FIN</status>"), "{answer}");
    begun.elapsed()
}

fn record(number: u64) -> TrafficLog {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    TrafficLog {
        time_generated_us: START_US + number as i64 * STEP_US,
        subtype: "end".into(),
        source: format!("10.0.{}.{}", mixed % 250, (mixed >> 8) % 250),
        destination: format!("192.0.2.{}", (mixed >> 16) % 250),
        nat_source: "203.0.113.2".into(),
        nat_destination: "192.0.2.1".into(),
        rule: format!("rule-{}", mixed % 100),
        application: "incomplete".into(),
        from_zone: "trust".into(),
        to_zone: "untrust".into(),
        inbound_interface: "ethernet1/1".into(),
        outbound_interface: "ethernet1/2".into(),
        session_id: number,
        source_port: 40_000 + (mixed % 20_000) as u32,
        destination_port: 1000 + ((mixed >> 5) % 500) as u32,
        protocol: 6,
        action: "allow".into(),
        bytes_sent: 100,
        bytes_received: 900,
        packets_sent: 3,
        packets_received: 4,
        session_end_reason: "tcp-fin".into(),
        ..TrafficLog::default()
    }
}
