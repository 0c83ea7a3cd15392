//! Configurations as an administrator writes them, flows as a ticket describes them, outcomes as the log
//! prints them.
#![expect(clippy::unwrap_used, reason = "a ticket that cannot be read is a failed test")]

use std::net::IpAddr;

use bartizan_model::device::{self, Scope};
use bartizan_model::xml;
use bartizan_policy::compile::compile;
use bartizan_policy::decide::decide;
use bartizan_policy::explain::{Explanation, explain};
use bartizan_policy::facts::Facts;
use bartizan_policy::tables::{Compiled, Decision, Flow, Ids, Route, SourceNat};
use expect_test::Expect;

#[path = "tickets/azure.rs"]
mod azure;
#[path = "tickets/facts.rs"]
mod facts;
#[path = "tickets/nat.rs"]
mod nat;
#[path = "tickets/routes.rs"]
mod routes;
#[path = "tickets/rules.rs"]
mod rules;

/// Compiles a configuration; what is refused comes back as the operator reads it.
fn compiled(text: &str) -> Result<Compiled, String> {
    compiled_with(text, &Facts::default())
}

/// As [`compiled`], with what is known besides the configuration.
fn compiled_with(text: &str, facts: &Facts) -> Result<Compiled, String> {
    let lines = |diagnostics: &[bartizan_model::diagnostic::Diagnostic]| {
        diagnostics.iter().map(|diagnostic| format!("{}\n", without_path(diagnostic))).collect::<String>()
    };
    let tree = xml::parse(text).map_err(|diagnostic| lines(&[diagnostic]))?;
    let report = device::read(&tree, Scope::Device);
    let config = report.config.ok_or_else(|| lines(&report.diagnostics))?;
    compile(&config, facts, &mut Ids::default(), 1).map_err(|diagnostics| lines(&diagnostics))
}

/// The diagnostic without the part of its place that is the same for all.
fn without_path(diagnostic: &bartizan_model::diagnostic::Diagnostic) -> String {
    let text = diagnostic.to_string();
    text.replace("/config/devices/entry[@name='localhost.localdomain']", "")
}

/// A device of the given network, objects and rules.
fn device(network: &str, vsys: &str) -> String {
    format!(
        "<config><devices><entry name='localhost.localdomain'><network>{network}</network>\
         <vsys><entry name='vsys1'>{vsys}</entry></vsys></entry></devices></config>"
    )
}

/// A layer-3 interface.
fn interface(name: &str, addresses: &[&str]) -> String {
    let addresses: String = addresses.iter().map(|address| format!("<entry name='{address}'/>")).collect();
    format!("<entry name='{name}'><layer3><ip>{addresses}</ip></layer3></entry>")
}

/// A zone.
fn zone(name: &str, interfaces: &[&str]) -> String {
    format!("<entry name='{name}'><network><layer3>{}</layer3></network></entry>", members(interfaces))
}

/// A virtual router with static routes as (name, destination, next hop XML).
fn router(name: &str, interfaces: &[&str], routes: &[(&str, &str, &str)]) -> String {
    let routes: String = routes
        .iter()
        .map(|(name, destination, next_hop)| {
            format!("<entry name='{name}'><destination>{destination}</destination>{next_hop}</entry>")
        })
        .collect();
    format!(
        "<entry name='{name}'><interface>{}</interface><routing-table><ip><static-route>{routes}</static-route></ip>\
         </routing-table></entry>",
        members(interfaces)
    )
}

fn via(gateway: &str) -> String {
    format!("<nexthop><ip-address>{gateway}</ip-address></nexthop>")
}

fn next_router(name: &str) -> String {
    format!("<nexthop><next-vr>{name}</next-vr></nexthop>")
}

fn members(names: &[&str]) -> String {
    names.iter().map(|name| format!("<member>{name}</member>")).collect()
}

/// Reads `ethernet1/1 10.1.0.5:40000 -> 1.1.1.1:443 tcp`; ports and protocol may be left out (then ICMP echo).
fn flow(tables: &Compiled, text: &str) -> Flow {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [ingress, source, "->", destination, rest @ ..] = &words[..] else { panic!("not a flow: {text}") };
    let (source, source_port) = endpoint(source);
    let (destination, destination_port) = endpoint(destination);
    let protocol = match rest {
        [] if source.is_ipv4() => 1,
        [] => 58,
        ["tcp"] => 6,
        ["udp"] => 17,
        other => panic!("unknown protocol {other:?}"),
    };
    let ingress = tables.interface_id(ingress).unwrap_or_else(|| panic!("unknown interface in {text}"));
    Flow { ingress, source, destination, protocol, source_port, destination_port }
}

fn endpoint(text: &str) -> (IpAddr, u16) {
    if let Ok(ip) = text.parse() {
        return (ip, 0);
    }
    let (ip, port) = text.rsplit_once(':').unwrap_or_else(|| panic!("not an endpoint: {text}"));
    (ip.trim_matches(['[', ']']).parse().unwrap(), port.parse().unwrap())
}

/// The decision as the log prints it.
fn line(tables: &Compiled, decision: &Decision) -> String {
    let forward = match decision {
        Decision::Dropped(cause) => return format!("dropped: {cause:?}"),
        Decision::Ruled(forward) => forward,
    };
    let position = tables.rule(forward.rule).unwrap().position;
    let mut line = format!(
        "{} by `{}` ({position}), {} -> {}",
        forward.verdict.action.as_str(),
        tables.rule_name(forward.rule),
        tables.zone_name(forward.from),
        tables.zone_name(forward.to),
    );
    match forward.route {
        Route::Local { iface } => line += &format!(", to the firewall on {}", tables.interface_name(iface)),
        Route::Via { iface, next_hop, router } => {
            let (iface, router) = (tables.interface_name(iface), tables.router_name(router));
            line += &format!(", out {iface} to {next_hop} ({router})");
        }
        other => line += &format!(", {other:?}"),
    }
    if let Some(nat_rule) = forward.nat_rule {
        line += &format!(", nat `{}`", tables.nat_rule_name(nat_rule));
    }
    match &forward.source_nat {
        Some(SourceNat::Static { address }) => line += &format!(", source {address}"),
        Some(SourceNat::DynamicIpAndPort { pool, persistent }) => {
            let kept = if *persistent { "kept " } else { "" };
            line += &format!(", {kept}source of {}", ranges(&pool.ranges));
        }
        Some(SourceNat::DynamicIp { pool, fallback }) => {
            line += &format!(", own source of {}", ranges(pool));
            if let Some(fallback) = fallback {
                line += &format!(" or of {}", ranges(&fallback.ranges));
            }
        }
        None => {}
    }
    if let Some(nat) = forward.destination_nat {
        line += &format!(", destination {}", nat.address);
        if let Some(port) = nat.port {
            line += &format!(":{port}");
        }
    }
    line
}

fn ranges(ranges: &[(IpAddr, IpAddr)]) -> String {
    ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect::<Vec<_>>().join(" ")
}

/// Each flow of a ticket with its outcome.
fn check(config: &str, flows: &[&str], expected: Expect) {
    let text = match compiled(config) {
        Err(refused) => refused,
        Ok(tables) => {
            let outcome = |text: &&str| format!("{text}: {}\n", line(&tables, &decide(&tables, &flow(&tables, text))));
            flows.iter().map(outcome).collect()
        }
    };
    expected.assert_eq(&text);
}

/// What the operator reads about one flow.
fn check_explained(config: &str, text: &str, expected: Expect) {
    let tables = compiled(config).unwrap();
    let flow = flow(&tables, text);
    let Explanation { decision, steps, .. } = explain(&tables, &flow);
    assert_eq!(line(&tables, &decision), line(&tables, &decide(&tables, &flow)), "explain and decide differ");
    let story: String = steps.iter().map(|step| format!("{}: {}\n", step.stage, step.text)).collect();
    expected.assert_eq(&story);
}

/// What compile warns about or refuses.
fn check_diagnostics(config: &str, expected: Expect) {
    let text = match compiled(config) {
        Err(refused) => refused,
        Ok(tables) => tables.warnings.iter().map(|warning| format!("{}\n", without_path(warning))).collect(),
    };
    expected.assert_eq(&text);
}
