//! `show routing path-monitor`: which monitored routes have a live path?

use super::router_name;
use crate::command::Command;
use crate::command::answer::{Answer, MonitoredPath};
use crate::firewall::Firewall;
use crate::pathmon::View;

/// One row for each destination that is probed.
pub(super) fn path_monitor(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    let router = router_name(command)?;
    let views = firewall.path_monitor().map(crate::pathmon::Handle::views).unwrap_or_default();
    let chosen = views.iter().filter(|view| router.is_none_or(|name| view.name.router == name));
    Ok(Answer::PathMonitors(chosen.flat_map(|view| rows(view, firewall)).collect()))
}

fn rows(view: &View, firewall: &Firewall) -> Vec<MonitoredPath> {
    let running = firewall.running();
    let next_hop = match view.exit {
        Some((_, Some(gateway))) => gateway.to_string(),
        Some((iface, None)) => {
            running.map_or_else(String::new, |running| running.compiled.interface_name(iface).to_owned())
        }
        None => String::new(),
    };
    let settings = view.monitor.settings();
    let row = |target: &crate::pathmon::monitor::Target| MonitoredPath {
        router: view.name.router.clone(),
        route: view.name.route.clone(),
        destination: view.destination.to_string(),
        next_hop: next_hop.clone(),
        status: view.monitor.standing().as_str(),
        failure_condition: if settings.all_must_fail { "all" } else { "any" },
        monitored: target.settings.destination.to_string(),
        monitored_status: if target.alive { "alive" } else { "dead" },
        interval_s: target.settings.interval_s,
        missed: target.missed,
        count: target.settings.count,
        round_trip_us: target.round_trip_ns.map(|ns| ns / 1000),
    };
    view.monitor.targets().iter().map(row).collect()
}
