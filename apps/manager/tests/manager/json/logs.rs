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

/// Ten minutes in slices of few records: three clients, two servers, one session in five refused.
async fn busy() -> Server {
    let server = Server::start_with(|settings| settings.traffic_logs_max = 40).await;
    let mut device = Device::join(&server).await;
    let session = |n: i64| TrafficLog {
        source: format!("10.0.0.{}", n % 3 + 1),
        application: if n % 2 == 0 { "ssl".into() } else { "dns".into() },
        from_zone: "trust".into(),
        to_zone: "dmz".into(),
        destination_port: 443,
        rule: if n % 5 == 0 { "block".into() } else { "allow-web".into() },
        action: if n % 5 == 0 { "deny".into() } else { "allow".into() },
        bytes_sent: if n % 2 == 0 { 10 } else { 1000 },
        ..line(n / 3, if n % 4 == 0 { "192.0.2.1" } else { "192.0.2.2" })
    };
    device.log("boot", 30, (0..30).map(session).collect()).await;
    server
}

const TEN_MINUTES: [(&str, &str); 2] = [("from", "2026-11-26T10:00:00Z"), ("until", "2026-11-26T10:10:00Z")];

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_tells_what_is_most_and_how_much_the_others_are() {
    let server = busy().await;
    let ask = async |more: &[(&str, &str)]| {
        let parameters: Vec<_> = TEN_MINUTES.iter().chain(more).copied().collect();
        server.json("GET", &url("/logs/traffic/summary", &parameters), None).await
    };
    let told = ask(&[("by", "app;rule,action;src;time;proto"), ("top", "2"), ("spans", "2")]).await.body;
    assert_eq!((&told["span_s"], told["groupings"].as_array().unwrap().len()), (&json!(300.0), 5));
    let groups = |index: usize| {
        let groups = told["groupings"][index]["groups"].as_array().unwrap().iter();
        groups.map(|one| json!([one["values"], one["lines"], one["bytes"], one["refused"]])).collect::<Vec<_>>()
    };
    assert_eq!(groups(0), [json!([["dns"], 15, 15_000, 3]), json!([["ssl"], 15, 150, 3])]);
    assert_eq!(groups(1), [json!([["allow-web", "allow"], 24, 12_120, 0]), json!([["block", "deny"], 6, 3030, 6]),]);
    assert_eq!(groups(2), [json!([["10.0.0.1"], 10, 5050, 2]), json!([["10.0.0.2"], 10, 5050, 2])]);
    assert_eq!(told["groupings"][2]["others"], json!({ "groups": 1, "lines": 10, "bytes": 5050, "refused": 2 }));
    assert_eq!(
        groups(3),
        [json!([["2026/11/26 10:00:00"], 15, 7080, 3]), json!([["2026/11/26 10:05:00"], 15, 8070, 3]),]
    );
    assert_eq!(groups(4), [json!([["tcp"], 30, 15_150, 6])]);
    let bytes = ask(&[("by", "rule;app"), ("order", "bytes"), ("query", "( action eq allow )")]).await.body;
    assert_eq!(bytes["groupings"][1]["groups"][0]["values"], json!(["dns"]));
    for (by, part) in
        [("apps", "did you mean `app`?"), ("", "cannot be grouped by"), (&["app"; 20].join(";"), "at most 16")]
    {
        let refused = ask(&[("by", by)]).await;
        assert_eq!(refused.status, 400, "{}", refused.body);
        assert!(refused.body["detail"].as_str().unwrap().contains(part), "{}", refused.body);
    }
    let system = server.json("GET", &url("/logs/system/summary", &[("by", "severity")]), None).await;
    assert!(system.body["detail"].as_str().unwrap().contains("is not summed up"), "{}", system.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_map_names_addresses_by_their_tags_and_finds_the_sessions_again() {
    let server = busy().await;
    let register = "<uid-message><type>update</type><payload><register>\
        <entry ip='10.0.0.1'><tag><member>k8s.cl_prod.ns_shop</member><member>k8s.cl_prod.ns_shop.svc_web</member></tag></entry>\
        <entry ip='10.0.0.2'><tag><member>k8s.cl_prod.ns_shop</member></tag></entry>\
        <entry ip='192.0.2.1'><tag><member>database</member></tag></entry></register></payload></uid-message>";
    server.body(&[("type", "user-id"), ("cmd", register)]).await;
    let ask = async |more: &[(&str, &str)]| {
        let parameters: Vec<_> = TEN_MINUTES.iter().chain(more).copied().collect();
        server.told(&url("/service-map", &parameters)).await
    };
    let map = ask(&[]).await;
    let places: Vec<_> =
        map["places"].as_array().unwrap().iter().map(|one| json!([one["kind"], one["name"]])).collect();
    assert_eq!(
        places,
        [
            json!(["address", "192.0.2.2"]),
            json!(["namespace", "shop"]),
            json!(["service", "shop/web"]),
            json!(["address", "10.0.0.3"]),
            json!(["tag", "database"]),
        ]
    );
    let way = &map["ways"][0];
    assert_eq!((&way["ports"], &way["complete"]), (&json!(["tcp/443"]), &json!(true)));
    let found = server.told(&url("/logs/traffic", &[("query", way["query"].as_str().unwrap())])).await;
    assert_eq!(found["lines"].as_array().unwrap().len() as u64, way["sessions"].as_u64().unwrap());
    let rules: u64 = way["rules"].as_array().unwrap().iter().map(|rule| rule["sessions"].as_u64().unwrap()).sum();
    assert_eq!(Some(rules), way["sessions"].as_u64());
    let namespaces = ask(&[("level", "namespace")]).await;
    let shop = namespaces["places"].as_array().unwrap().iter().find(|place| place["name"] == "shop").unwrap();
    assert_eq!((&shop["sessions"], &shop["cluster"]), (&json!(20), &json!("prod")));
    let few = ask(&[("places", "1"), ("query", "( action neq allow )")]).await;
    assert_eq!(few["places_left_out"], 4);
    assert_eq!(few["ways"].as_array().unwrap().iter().map(|way| way["refused"].as_i64().unwrap()).sum::<i64>(), 6);
}
