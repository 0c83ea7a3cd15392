//! `make demo`: the Azure reference deployment on this machine, configured through the XML API, with
//! real clients and a table of what was expected and what happened.
//!
//! `demo BINARY [--once]`. Stays up until Ctrl-C; with `--once` it ends after the table, with exit code
//! 0 only if every row held.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bartizan_lab::azure::configuration::{device_group, security_rule};
use bartizan_lab::azure::{Azure, WEB, flows};
use bartizan_lab::managed::MANAGER;
use bartizan_lab::table::{Row, Table};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the demo talks to a person")]
fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(binary) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: demo BINARY [--once]");
        return ExitCode::from(2);
    };
    let once = arguments.any(|argument| argument == "--once");
    match demo(&binary, once, &mut |line| println!("{line}")) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo(binary: &std::path::Path, once: bool, say: &mut dyn FnMut(&str)) -> Result<bool> {
    say("Bartizan demo: the Azure reference deployment, in network namespaces of its own.\n");
    let start = Instant::now();
    let azure = Azure::start(binary)?;
    say(&format!(
        "manager and firewall are up, firewall enrolled as {} ({:.1} s)",
        azure.house.serial,
        start.elapsed().as_secs_f64()
    ));
    azure.configure()?;
    say("configured through the XML API, committed and pushed; running the clients:\n");
    let mut table = flows::run(&azure)?;
    table.rows.push(change(&azure)?);
    say(&table.to_string());
    say("show session all, on the firewall:\n");
    say(&azure.house.on_firewall(&["show", "session", "all"])?);
    say(if table.held() { "every row held" } else { "NOT every row held" });
    if once {
        return Ok(table.held());
    }
    stay(&azure, &table, say)
}

/// A rule is added and pushed: how long until packets see it?
fn change(azure: &Azure) -> Result<Row> {
    let rules = format!("{}/pre-rulebase/security/rules", device_group());
    azure.house.api.set(
        &format!("{}/service", device_group()),
        "<entry name=\"tcp-8081\"><protocol><tcp><port>8081</port></tcp></protocol></entry>",
    )?;
    let before = flows::connect(&azure.hosts.app2, WEB, 8081)?;
    azure
        .house
        .api
        .set(&rules, &security_rule("outbound-8081", "trust", "untrust", "workloads", "any", "tcp-8081", "allow"))?;
    let start = Instant::now();
    azure.house.api.commit()?;
    azure.house.api.push("azure")?;
    let elapsed = start.elapsed();
    let after = flows::http(&azure.hosts.app2, &format!("http://{WEB}:8081/"))?;
    Ok(Row {
        flow: format!("app2 -> web {WEB}:8081, before and after a new rule"),
        expected: "dropped, then answered, enforced in < 1 s".to_owned(),
        happened: format!(
            "{}, enforced {} ms after the commit call",
            if after.contains("answers") { "answered" } else { after.as_str() },
            elapsed.as_millis()
        ),
        rule: "outbound-8081".to_owned(),
        held: before.contains("timed out") && after.contains("internet answers") && elapsed < Duration::from_secs(1),
    })
}

fn stay(azure: &Azure, table: &Table, say: &mut dyn FnMut(&str)) -> Result<bool> {
    let listener = TcpListener::bind(("127.0.0.1", 8443)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)))?;
    let address = listener.local_addr()?;
    say(&format!(
        "\nmanager   https://{address}/api/   (also https://{MANAGER}/ from the firewall's host)\nuser      admin\npassword  {}\n",
        azure.house.password
    ));
    let client = azure.hosts.app1.command(&["curl", "-sS", &format!("http://{WEB}/")]);
    let words: Vec<_> =
        std::iter::once(client.get_program()).chain(client.get_args()).map(|word| word.to_string_lossy()).collect();
    say(&format!("client    {}   (as root; `app1` is the host)\n", words.join(" ")));
    say(&format!(
        "try       curl -k 'https://{address}/api/?type=keygen&user=admin&password={}'\n\nCtrl-C ends everything.",
        azure.house.password
    ));
    // The manager lives in the lab's namespaces; each connection from outside is carried in by netcat.
    let (host, port) = MANAGER.split_once(':').context("the manager's address has no port")?;
    for stream in listener.incoming() {
        let stream: OwnedFd = stream?.into();
        let mut relay = azure.hosts.manager.command(&["nc", "-N", host, port]);
        relay.stdin(Stdio::from(stream.try_clone()?)).stdout(Stdio::from(stream)).stderr(Stdio::null());
        let mut child = relay.spawn().context("start `nc`")?;
        drop(relay);
        std::thread::spawn(move || child.wait());
    }
    Ok(table.held())
}
