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
const QUERIES: u64 = 20;
/// Microseconds from one record to the next.
const STEP_US: i64 = 20;
const START_US: i64 = 1_790_000_000_000_000;

pub(crate) async fn run() {
    let records = std::env::var("BARTIZAN_BENCH_LOGS").ok().and_then(|text| text.parse().ok()).unwrap_or(RECORDS);
    let server = Server::start_with(|settings| settings.traffic_logs_max = 2 * records).await;
    let mut devices = Vec::new();
    for _ in 0..DEVICES {
        devices.push(Device::join(&server).await);
    }
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for (at, mut device) in (0..DEVICES).zip(devices) {
        tasks.push(tokio::spawn(async move {
            for batch in (at..records / BATCH).step_by(DEVICES as usize) {
                let lines = (batch * BATCH..(batch + 1) * BATCH).map(record).collect();
                device.log("boot", (batch / DEVICES + 1) * BATCH, lines).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let rate = (records as f64 / begun.elapsed().as_secs_f64()).round();
    println!(
        "{}",
        json!({
            "name": "log-records-stored", "unit": "1/s", "value": rate, "runs": records,
            "floor": 50_000.0, "aim": 100_000.0, "meets_floor": rate >= 50_000.0,
        })
    );
    let mut client = Client::connect(&server).await;
    let mut times = Vec::new();
    for number in 0..QUERIES {
        times.push(ask(&mut client, number, records).await);
    }
    percentiles(&format!("log-query-of-{records}"), times, 1000.0, 200.0);
}

/// A tenth of the time there is, one client and one port.
async fn ask(client: &mut Client, number: u64, records: u64) -> Duration {
    let seconds = |part: u64| (START_US + (records * part / 100) as i64 * STEP_US) / 1_000_000;
    let time = |seconds: i64| {
        let time = jiff::Timestamp::from_second(seconds).unwrap();
        time.strftime("%Y/%m/%d %H:%M:%S").to_string()
    };
    let part = number * 4 % 90;
    let query = format!(
        "( time_generated geq '{}' ) and ( time_generated leq '{}' ) and ( addr.src in 10.0.{}.0/24 ) and ( port.dst eq {} )",
        time(seconds(part)),
        time(seconds(part + 10)),
        number * 7 % 250,
        1000 + number * 13 % 500,
    );
    let begun = Instant::now();
    let asked = client.ask(&[("type", "log"), ("log-type", "traffic"), ("nlogs", "100"), ("query", &query)]).await;
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
