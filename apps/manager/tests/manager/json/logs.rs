//! Logs by the JSON API, and what a machine asks that watches.

use bartizan_api::fleet::TrafficLog;
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::reading::url;
use crate::common::Server;
use crate::common::device::Device;

fn line(minute: i64, destination: &str) -> TrafficLog {
    TrafficLog {
        time_generated_us: 1_795_687_200_000_000 + minute * 60_000_000,
        subtype: "end".into(),
        source: "10.0.0.5".into(),
        destination: destination.into(),
        action: "allow".into(),
        protocol: 6,
        ..TrafficLog::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_read_in_pages_and_counted_over_time() {
    let server = Server::start().await;
    let mut device = Device::join(&server).await;
    let lines = (0..25).map(|n| line(n, if n % 5 == 0 { "192.0.2.1" } else { "198.51.100.1" })).collect();
    device.log("boot", 25, lines).await;
    let logs = server.told("/api/v1/logs").await;
    let fields = logs["logs"][0]["fields"].as_array().unwrap();
    assert!(fields.contains(&json!({ "name": "addr.src", "kind": "address", "operators": ["in", "notin"] })));
    let first = server.told("/api/v1/logs/traffic?limit=10").await;
    assert_eq!(first["lines"][0]["fields"]["dst"], "198.51.100.1");
    let mut seen = first["lines"].as_array().unwrap().len();
    // What comes meanwhile does not move the pages.
    device.log("boot", 26, vec![line(60, "203.0.113.1")]).await;
    let mut next = first["next"].clone();
    let mut oldest = first["lines"][9]["id"].as_i64().unwrap();
    while let Some(cursor) = next.as_str() {
        let page = server.told(&url("/logs/traffic", &[("limit", "10"), ("cursor", cursor)])).await;
        for line in page["lines"].as_array().unwrap() {
            assert_eq!(line["id"].as_i64().unwrap(), oldest - 1);
            oldest -= 1;
        }
        seen += page["lines"].as_array().unwrap().len();
        next = page["next"].clone();
    }
    assert_eq!(seen, 25);
    let query = "( addr.dst in 192.0.2.0/24 )";
    let found = server.told(&url("/logs/traffic", &[("query", query), ("forward", "true")])).await;
    assert_eq!(found["lines"].as_array().unwrap().len(), 5);
    let time = [("query", query), ("from", "2026-11-26T10:00:00Z"), ("until", "2026-11-26T10:20:00Z"), ("spans", "2")];
    let counts = server.told(&url("/logs/traffic/counts", &time)).await;
    assert_eq!(counts["span_s"], 600.0);
    let lines: Vec<i64> =
        counts["spans"].as_array().unwrap().iter().map(|span| span["lines"].as_i64().unwrap()).collect();
    assert_eq!(lines, [2, 2], "{counts}");
    let wrong = server.json("GET", &url("/logs/traffic", &[("query", "( adr.src in 10.0.0.1 )")]), None).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.body["detail"].as_str().unwrap().contains("did you mean `addr.src`?"), "{}", wrong.body);
    assert_eq!(server.json("GET", "/api/v1/logs/nonsense", None).await.status, 404);
    assert_eq!(server.told("/api/v1/logs/config?limit=1").await["lines"].as_array().unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_leaves_as_a_file_whatever_its_size() {
    let server = Server::start_with(|settings| settings.traffic_logs_max = 6000).await;
    let mut device = Device::join(&server).await;
    let lines = (0..2500).map(|n| line(n, if n % 2 == 0 { "192.0.2.1" } else { "198.51.100.1" })).collect();
    device.log("boot", 2500, lines).await;
    let key = [("x-pan-key", server.key.as_str())];
    let get = async |parameters: &[(&str, &str)]| {
        server.request("GET", &url("/logs/traffic/export", parameters), &key, Vec::new()).await
    };
    let file = get(&[("query", "( addr.dst in 192.0.2.0/24 )")]).await;
    assert_eq!((file.status, file.content_type.as_str()), (200, "text/csv; charset=utf-8"));
    let rows: Vec<&str> = file.body.split("\r\n").collect();
    assert!(rows[0].starts_with("logid,receive_time,serial,type,subtype,time_generated,src,dst,"), "{}", rows[0]);
    assert_eq!(rows.len(), 1 + 1250 + 1);
    assert!(rows[1].starts_with("1,") && rows[1250].starts_with("2499,") && rows[1].contains(",192.0.2.1,"));
    let file = get(&[("format", "json"), ("limit", "1001")]).await;
    let lines: Vec<Value> = file.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[1000]["logid"], &lines[1000]["app"]), (1001, &json!("1001"), &json!("")));
    assert_eq!(get(&[("format", "pdf")]).await.status, 400);
    assert_eq!(get(&[("query", "( nothing )")]).await.status, 422);

    let asking =
        [("type", "export"), ("category", "log"), ("log-type", "traffic"), ("query", "(addr.dst in 192.0.2.1)")];
    let file = server.api(&asking).await;
    assert_eq!(file.body.split("\r\n").count(), 1 + 1250 + 1);
    let refused = server.body(&[("type", "export"), ("category", "log"), ("log-type", "url")]).await;
    assert!(refused.contains("log-type `url` is not kept here"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_come_as_they_are_made_and_no_older_ones() {
    let server = Server::start().await;
    let mut device = Device::join(&server).await;
    device.log("boot", 1, vec![line(0, "192.0.2.1")]).await;
    let stream = server.connect(None, b"http/1.1").await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let path = url("/logs/traffic/tail", &[("query", "( addr.dst in 192.0.2.0/24 )")]);
    let request = hyper::Request::get(path).header("host", "manager.bartizan").header("x-pan-key", &server.key);
    let request = request.body(http_body_util::Empty::<hyper::body::Bytes>::new()).unwrap();
    let mut answer = sender.send_request(request).await.unwrap().into_body();
    device.log("boot", 4, vec![line(1, "203.0.113.9"), line(2, "192.0.2.7"), line(1, "192.0.2.8")]).await;
    let mut text = String::new();
    while text.matches("data: ").count() < 2 || !text.ends_with("\n\n") {
        let frame = answer.frame().await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
    let lines: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let destinations: Vec<&Value> = lines.iter().map(|line| &line["fields"]["dst"]).collect();
    assert_eq!(destinations, ["192.0.2.7", "192.0.2.8"], "in the order in which they came");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_for_everybody_and_metrics_for_those_who_may() {
    let server = Server::start().await;
    for path in ["/healthz", "/readyz"] {
        let answer = server.request("GET", path, &[], Vec::new()).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"), "{path}");
    }
    assert_eq!(server.request("GET", "/metrics", &[], Vec::new()).await.status, 401);
    let metrics = server.request("GET", "/metrics", &[("x-pan-key", &server.key)], Vec::new()).await;
    assert!(metrics.content_type.starts_with("application/openmetrics-text"));
    assert!(metrics.body.contains("bartizan_manager_running_version 1\n"), "{}", metrics.body);
    assert!(metrics.body.contains("bartizan_manager_devices_connected 0\n"), "{}", metrics.body);
    assert!(metrics.body.ends_with("# EOF\n"));
    let open = Server::start_with(|settings| settings.metrics_open = true).await;
    assert_eq!(open.request("GET", "/metrics", &[], Vec::new()).await.status, 200);
}
