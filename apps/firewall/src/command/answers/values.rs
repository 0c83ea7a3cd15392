//! The values of a command: are they addresses, numbers and names that exist?

use std::net::IpAddr;

use bartizan_policy::names::Names;
use bartizan_policy::tables::{Compiled, IfaceId, RouterId, ZoneId};
use ipnet::IpNet;

use crate::command::Command;

pub(super) fn zone_id(tables: &Compiled, name: &str) -> Result<ZoneId, String> {
    tables.zone_id(name).ok_or_else(|| no_such("zone", name, &tables.ids().zones))
}

pub(super) fn interface_id(tables: &Compiled, name: &str) -> Result<IfaceId, String> {
    tables.interface_id(name).ok_or_else(|| no_such("interface", name, &tables.ids().interfaces))
}

pub(super) fn router_id(tables: &Compiled, name: &str) -> Result<RouterId, String> {
    tables.router_id(name).ok_or_else(|| no_such("router", name, &tables.ids().routers))
}

fn no_such(kind: &str, name: &str, names: &Names) -> String {
    let known: Vec<_> = (0..names.len()).map(|at| format!("`{}`", names.name(at))).collect();
    format!("there is no {kind} `{name}`; known: {}", known.join(", "))
}

pub(super) fn address(command: &Command, name: &str) -> Result<IpAddr, String> {
    let text = command.value(name).unwrap_or_default();
    text.parse().map_err(|_| format!("`{text}` after `{name}` is no IP address"))
}

pub(super) fn network(command: &Command, name: &str) -> Result<Option<IpNet>, String> {
    let Some(text) = command.value(name) else { return Ok(None) };
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    parsed.map(Some).map_err(|_| format!("`{text}` after `{name}` is neither an IP address nor a network"))
}

pub(super) fn protocol(command: &Command) -> Result<u8, String> {
    match command.value("protocol") {
        Some("tcp") => Ok(6),
        Some("udp") => Ok(17),
        Some("icmp") => Ok(1),
        Some("icmp6") => Ok(58),
        text => {
            let text = text.unwrap_or_default();
            text.parse().map_err(|_| {
                format!(
                    "`{text}` after `protocol` is neither a number from 0 to 255 nor `tcp`, `udp`, `icmp` or `icmp6`"
                )
            })
        }
    }
}

/// A protocol as commands and answers call it.
pub(super) fn protocol_name(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmp6".to_owned(),
        other => other.to_string(),
    }
}

pub(super) fn number<T: std::str::FromStr>(command: &Command, name: &str) -> Result<T, String> {
    let text = command.value(name).unwrap_or_default();
    text.parse().map_err(|_| format!("`{text}` after `{name}` is no number in its range"))
}

pub(super) fn optional_number<T: std::str::FromStr>(command: &Command, name: &str) -> Result<Option<T>, String> {
    if command.value(name).is_none() {
        return Ok(None);
    }
    number(command, name).map(Some)
}
