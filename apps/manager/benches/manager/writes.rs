//! Configuration writes, each on disk before it is answered: by many clients at once, and by one that makes rules one by
//! one and moves them.

use std::time::Instant;

use serde_json::json;

use crate::client::Client;
use crate::commit::LOCALHOST;
use crate::common::Server;

/// Clients that write at once.
const CLIENTS: usize = 32;
const WRITES: usize = 20_000;
const RULES: usize = 900;

pub(crate) async fn run() {
    let server = Server::start().await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Client::connect(&server).await);
    }
    let used = processor_time();
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for (at, mut client) in clients.into_iter().enumerate() {
        tasks.push(tokio::spawn(async move {
            for number in (at..WRITES).step_by(CLIENTS) {
                let group = format!("{LOCALHOST}/device-group/entry[@name='dg{at}']");
                let [_, _, high, low] = (number as u32).to_be_bytes();
                let entry = format!("<entry name='a{number}'><ip-netmask>10.0.{high}.{low}</ip-netmask></entry>");
                client.set(&format!("{group}/address"), &entry).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let seconds = begun.elapsed().as_secs_f64();
    let used = processor_time() - used;
    let rate = (WRITES as f64 / seconds).round();
    println!(
        "{}",
        json!({
            "name": "configuration-writes", "unit": "1/s", "value": rate, "clients": CLIENTS, "runs": WRITES,
            "processor_us_per_write": (used / WRITES as f64 * 1e6).round(),
            "floor": 2000.0, "aim": 4000.0, "meets_floor": rate >= 2000.0,
        })
    );
    one_by_one(&server).await;
}

/// Beside the same client asking as often for something that costs the manager nothing.
async fn one_by_one(server: &Server) {
    let mut client = Client::connect(server).await;
    let begun = Instant::now();
    for _ in 0..2 * RULES {
        client.ask(&[("type", "version")]).await;
    }
    let idle = begun.elapsed();
    let rules = format!("{LOCALHOST}/device-group/entry[@name='rules']/pre-rulebase/security/rules");
    let begun = Instant::now();
    for number in 0..RULES {
        let rule = format!(
            "<entry name='r{number}'><from><member>any</member></from><to><member>any</member></to><source><member>any</member></source>\
             <destination><member>any</member></destination><application><member>any</member></application>\
             <service><member>any</member></service><action>allow</action></entry>"
        );
        client.set(&rules, &rule).await;
        let xpath = format!("{rules}/entry[@name='r{number}']");
        let parameters = [("type", "config"), ("action", "move"), ("xpath", &*xpath), ("where", "top")];
        let body = client.ask(&parameters).await;
        // The first is at the top already.
        assert!(number == 0 || body.contains("success"), "{body}");
    }
    let busy = begun.elapsed();
    let ratio = (busy.as_secs_f64() / idle.as_secs_f64() * 100.0).round() / 100.0;
    println!(
        "{}",
        json!({
            "name": "900-rules-made-and-moved", "unit": "s", "value": (busy.as_secs_f64() * 1000.0).round() / 1000.0,
            "peer": format!("as many requests for nothing = {:.3} s", idle.as_secs_f64()), "ratio": ratio,
            "floor": 10.0, "aim": 4.0, "meets_floor": ratio <= 10.0,
        })
    );
}

/// Seconds that this process has used.
pub(crate) fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}
