//! The flows of the deployment: real clients, and what each of them should see.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Azure, DNS, PRIVATE_ADDRESS, PRIVATE_FRONTEND, PROBE, PUBLIC_ADDRESS, PUBLIC_FRONTEND, WEB};
use crate::Namespace;
use crate::api::field;
use crate::process::eventually;
use crate::table::{Row, Table};

/// How a flow is recognised in the traffic log, and by which rule it must have been decided.
struct Logged {
    query: String,
    rule: &'static str,
}

/// Runs every flow of the deployment once.
///
/// # Errors
/// When a client cannot be started at all; a flow that fails is a row that did not hold.
pub fn run(azure: &Azure) -> Result<Table> {
    let mut table = Table::default();
    outbound(azure, &mut table)?;
    inbound(azure, &mut table)?;
    probes(azure, &mut table)?;
    refused(azure, &mut table)?;
    Ok(table)
}

fn outbound(azure: &Azure, table: &mut Table) -> Result<()> {
    let hosts = &azure.hosts;
    let seen = format!("internet answers {PUBLIC_ADDRESS}");
    for (name, host, source) in
        [("app1", &hosts.app1, "10.1.0.10"), ("app2", &hosts.app2, "10.1.0.11"), ("pod", &hosts.pod, "172.16.0.10")]
    {
        let expected = format!("web sees {PUBLIC_ADDRESS}");
        let happened = http(host, &format!("http://{WEB}/"))?;
        let logged = Logged { query: log_query(source, WEB, Some(80)), rule: "outbound-web" };
        push(azure, table, format!("{name} {source} -> web {WEB}:80 (curl)"), &expected, happened, &seen, Some(logged));
    }
    let happened =
        text(hosts.app2.try_run(&["dig", "+short", "+time=2", "+tries=2", &format!("@{DNS}"), "web.example.test"])?);
    let logged = Logged { query: log_query("10.1.0.11", DNS, Some(53)), rule: "outbound-dns" };
    push(azure, table, format!("app2 10.1.0.11 -> dns {DNS}:53 (dig)"), WEB, happened, WEB, Some(logged));

    let ping = hosts.app1.try_run(&["ping", "-c", "3", "-i", "0.2", "-W", "2", DNS])?;
    let happened = first_match(&ping.stdout, "received").unwrap_or_else(|| text(ping));
    let logged = Logged { query: log_query("10.1.0.10", DNS, None), rule: "outbound-ping" };
    push(
        azure,
        table,
        format!("app1 10.1.0.10 -> dns {DNS} (ping)"),
        "3 of 3 answered",
        happened,
        "3 received",
        Some(logged),
    );

    let iperf = hosts.app1.try_run(&["iperf3", "-c", WEB, "-t", "2", "-J"])?;
    let happened = throughput(&iperf.stdout).map_or_else(|_| text(iperf), |gigabits| format!("{gigabits:.2} Gbit/s"));
    let logged = Logged { query: log_query("10.1.0.10", WEB, Some(5201)), rule: "outbound-iperf" };
    push(
        azure,
        table,
        format!("app1 10.1.0.10 -> web {WEB}:5201 (iperf3)"),
        "data flows",
        happened,
        "Gbit/s",
        Some(logged),
    );
    Ok(())
}

fn inbound(azure: &Azure, table: &mut Table) -> Result<()> {
    let happened = http(&azure.hosts.internet, &format!("http://{PUBLIC_FRONTEND}/"))?;
    let expected = format!("app1 sees {PRIVATE_ADDRESS}");
    let logged = Logged { query: log_query(WEB, PUBLIC_FRONTEND, Some(80)), rule: "inbound-web" };
    let seen = format!("app1 answers {PRIVATE_ADDRESS}");
    push(
        azure,
        table,
        format!("internet -> public frontend {PUBLIC_FRONTEND}:80 (curl)"),
        &expected,
        happened,
        &seen,
        Some(logged),
    );
    Ok(())
}

fn probes(azure: &Azure, table: &mut Table) -> Result<()> {
    for (side, host, frontend) in
        [("private", &azure.hosts.vnet, PRIVATE_FRONTEND), ("public", &azure.hosts.edge, PUBLIC_FRONTEND)]
    {
        for (scheme, port) in [("http", 80), ("https", 443)] {
            let url = format!("{scheme}://{frontend}/");
            let happened = text(host.try_run(&[
                "curl",
                "-sSk",
                "--interface",
                PROBE,
                "--max-time",
                "5",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                &url,
            ])?);
            let logged = Logged { query: log_query(PROBE, frontend, Some(port)), rule: "allow-health-checks" };
            push(
                azure,
                table,
                format!("probe {PROBE} -> {side} frontend {frontend}:{port}"),
                "200",
                happened,
                "200",
                Some(logged),
            );
        }
        let ping = host.try_run(&["ping", "-c", "2", "-i", "0.2", "-W", "2", "-I", PROBE, frontend])?;
        let happened = first_match(&ping.stdout, "received").unwrap_or_else(|| text(ping));
        push(
            azure,
            table,
            format!("probe {PROBE} -> {side} frontend {frontend} (ping)"),
            "2 of 2 answered",
            happened,
            "2 received",
            None,
        );
    }
    Ok(())
}

fn refused(azure: &Azure, table: &mut Table) -> Result<()> {
    let hosts = &azure.hosts;
    let happened = connect(&hosts.app1, WEB, 22)?;
    let logged = Logged { query: log_query("10.1.0.10", WEB, Some(22)), rule: "interzone-default" };
    push(azure, table, format!("app1 10.1.0.10 -> web {WEB}:22"), "dropped", happened, "timed out", Some(logged));
    let happened = connect(&hosts.app1, WEB, 25)?;
    let logged = Logged { query: log_query("10.1.0.10", WEB, Some(25)), rule: "block-smtp" };
    push(azure, table, format!("app1 10.1.0.10 -> web {WEB}:25"), "reset", happened, "refused", Some(logged));
    Ok(())
}

/// One HTTP request: the body, or what curl said.
///
/// # Errors
/// When curl cannot be started.
pub fn http(host: &Namespace, url: &str) -> Result<String> {
    Ok(text(host.try_run(&["curl", "-sS", "--max-time", "5", url])?))
}

/// One TCP connection attempt, as netcat describes it.
///
/// # Errors
/// When netcat cannot be started.
pub fn connect(host: &Namespace, address: &str, port: u16) -> Result<String> {
    let finished = host.try_run(&["nc", "-vz", "-w", "2", address, &port.to_string()])?;
    Ok(text(finished))
}

/// Gbit/s an iperf3 client reported as received.
///
/// # Errors
/// When the report is not one.
pub fn throughput(report: &str) -> Result<f64> {
    let report: serde_json::Value = serde_json::from_str(report).context("read iperf3's report")?;
    let bits = report.pointer("/end/sum_received/bits_per_second").and_then(serde_json::Value::as_f64);
    bits.map(|bits| bits / 1e9)
        .with_context(|| format!("iperf3 reported {}", report.get("error").cloned().unwrap_or_default()))
}

fn log_query(source: &str, destination: &str, port: Option<u16>) -> String {
    let mut query = format!("( addr.src in {source} ) and ( addr.dst in {destination} )");
    if let Some(port) = port {
        query.push_str(&format!(" and ( port.dst eq {port} )"));
    }
    query
}

fn push(
    azure: &Azure,
    table: &mut Table,
    flow: String,
    expected: &str,
    happened: String,
    seen: &str,
    logged: Option<Logged>,
) {
    let mut held = happened.contains(seen);
    let rule = match logged {
        None => "-".to_owned(),
        Some(logged) => match logged_rule(azure, &logged) {
            Ok(()) => logged.rule.to_owned(),
            Err(error) => {
                held = false;
                format!("{error:#}")
            }
        },
    };
    table.rows.push(Row { flow, expected: expected.to_owned(), happened, rule, held });
}

fn logged_rule(azure: &Azure, logged: &Logged) -> Result<()> {
    eventually("a log line", Duration::from_secs(5), || {
        let records = azure.house.api.traffic_log(&logged.query)?;
        // A reset that crossed the end of its connection is a dropped packet with a line of its own.
        let of_session = |record: &&String| field(record, "subtype") != "drop";
        let Some(record) = records.iter().find(of_session) else { bail!("no log line for {}", logged.query) };
        let rule = field(record, "rule");
        if rule != logged.rule {
            bail!("logged under `{rule}` instead of `{}`", logged.rule);
        }
        Ok(())
    })
}

fn text(finished: crate::Finished) -> String {
    let all = format!("{} {}", finished.stdout.trim(), finished.stderr.trim());
    all.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn first_match(text: &str, word: &str) -> Option<String> {
    let line = text.lines().find(|line| line.contains(word))?;
    Some(line.split(',').take(2).collect::<Vec<_>>().join(",").trim().to_owned())
}
