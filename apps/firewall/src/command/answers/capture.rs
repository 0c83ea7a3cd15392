//! Which packets are to be captured, and how does it stand?

use super::values::{interface_id, network, optional_number, protocol};
use crate::capture::plan::{BYTES_MAX, BYTES_MIN, Filter, PACKETS_MAX, Stage};
use crate::capture::{ALL, Order, StageSettings, View, check_name};
use crate::command::Command;
use crate::command::answer::Answer;
use crate::command::answer::capture::{FileRow, FilterRow, PacketCapture, StageRow};
use crate::firewall::Firewall;
use crate::gather::moment;

/// Longest packet, with its frame.
const SNAPLEN_MAX: u32 = 65_535;

/// `debug dataplane packet-diag`.
pub(super) async fn answer(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    let capture = firewall.capture().ok_or("packet capture has not been started")?;
    let order = match command.path.as_slice() {
        [.., "set", "filter"] => filter(command, firewall)?,
        [.., "set", "capture"] => stage(command)?,
        [.., "clear", "filter", _] => Order::Clear { filters: true, stages: false },
        [.., "clear", "capture", _] => Order::Clear { filters: false, stages: true },
        [.., "clear", "all"] => Order::Clear { filters: true, stages: true },
        [.., "clear", "file"] => {
            let name = command.value("file").unwrap_or_default();
            Order::Delete((name != ALL).then(|| name.to_owned()))
        }
        _ => Order::Show,
    };
    capture.order(order).await.map(|view| Answer::PacketCapture(Box::new(shown(view))))
}

/// One thing of those that a command may say; all others are too much.
fn only(command: &Command, name: &str, with: &[&str]) -> Result<(), String> {
    let extra = command.values.keys().find(|one| **one != name && !with.contains(one));
    extra.map_or(Ok(()), |extra| Err(format!("`{extra}` does not go with `{name}`: give one command for each")))
}

fn filter(command: &Command, firewall: &Firewall) -> Result<Order, String> {
    for (word, on) in [("on", true), ("off", false)] {
        if command.value(word).is_some() {
            only(command, word, &[])?;
            return Ok(Order::Filtering(on));
        }
    }
    let ingress = match command.value("ingress-interface") {
        Some(name) => {
            let running = firewall.running().ok_or("no configuration is enforced yet: no interface has a name")?;
            Some((name.to_owned(), interface_id(&running.compiled, name)?))
        }
        None => None,
    };
    let filter = Filter {
        ingress,
        source: network(command, "source")?,
        destination: network(command, "destination")?,
        source_port: optional_number(command, "source-port")?,
        destination_port: optional_number(command, "destination-port")?,
        protocol: command.value("protocol").map(|_| protocol(command)).transpose()?,
    };
    if filter.is_empty() {
        return Err(
            "give at least one condition (`source`, `destination`, `source-port`, `destination-port`, `protocol`, \
                    `ingress-interface`), or `on` or `off`"
                .to_owned(),
        );
    }
    Ok(Order::Filter(filter))
}

fn stage(command: &Command) -> Result<Order, String> {
    if let Some(word) = command.value("stage") {
        only(command, "stage", &["file", "packet-count", "byte-count"])?;
        let stage = Stage::ALL.into_iter().find(|stage| stage.as_str() == word);
        let stage = stage.ok_or_else(|| format!("`{word}` is no stage; known: receive, firewall, transmit, drop"))?;
        let file =
            command.value("file").ok_or_else(|| format!("name the file of the stage `{stage}` (`file NAME`)"))?;
        check_name(file)?;
        let usual = StageSettings::default();
        let packets_max = optional_number(command, "packet-count")?.unwrap_or(usual.packets_max);
        let bytes_max = optional_number(command, "byte-count")?.unwrap_or(usual.bytes_max);
        if !(1..=PACKETS_MAX).contains(&packets_max) {
            return Err(format!("`packet-count` is 1 to {PACKETS_MAX}"));
        }
        if !(BYTES_MIN..=BYTES_MAX).contains(&bytes_max) {
            return Err(format!("`byte-count` is {BYTES_MIN} to {BYTES_MAX}: the file travels as one message"));
        }
        return Ok(Order::Stage(stage, StageSettings { file: file.to_owned(), packets_max, bytes_max }));
    }
    if let Some(bytes) = optional_number::<u32>(command, "snaplen")? {
        only(command, "snaplen", &[])?;
        if bytes > SNAPLEN_MAX {
            return Err(format!("`snaplen` is 0 (all bytes) to {SNAPLEN_MAX}"));
        }
        return Ok(Order::Snaplen(bytes));
    }
    for (word, order) in [("on", Order::On), ("off", Order::Off)] {
        if command.value(word).is_some() {
            only(command, word, &[])?;
            return Ok(order);
        }
    }
    Err("give a stage (`stage receive|firewall|transmit|drop file NAME`), `snaplen BYTES`, `on` or `off`".to_owned())
}

fn shown(view: View) -> PacketCapture {
    let word = |on| if on { "on" } else { "off" };
    let at = |time: Option<jiff::Timestamp>| time.map_or_else(String::new, |time| moment(Some(time)));
    fn text<T: ToString>(value: Option<&T>) -> String {
        value.map(ToString::to_string).unwrap_or_default()
    }
    PacketCapture {
        capture: word(view.on),
        started: at(view.started),
        ends: at(view.ends),
        ended_because: view.ended_because,
        lost: view.lost,
        snaplen: view.snaplen,
        filter: word(view.filtering),
        filters: view
            .filters
            .iter()
            .map(|one| FilterRow {
                ingress_interface: text(one.ingress.as_ref().map(|(name, _)| name)),
                source: text(one.source.as_ref()),
                destination: text(one.destination.as_ref()),
                source_port: text(one.source_port.as_ref()),
                destination_port: text(one.destination_port.as_ref()),
                protocol: text(one.protocol.as_ref()),
            })
            .collect(),
        stages: view
            .stages
            .into_iter()
            .map(|(stage, settings, count)| StageRow {
                stage: stage.as_str(),
                file: settings.file,
                packet_count: settings.packets_max,
                byte_count: settings.bytes_max,
                packets: count.packets,
                bytes: count.bytes,
            })
            .collect(),
        files: view
            .files
            .into_iter()
            .map(|one| FileRow { name: one.name, size: one.size, modified: at(one.modified) })
            .collect(),
    }
}
