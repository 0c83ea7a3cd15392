//! `bartizan logs` and `devices`.

use serde_json::Value;

use super::arguments::{Devices, FileForm, Form, Logs};
use super::client::{Client, with_query};
use super::output::{list, print, table, word, write};
use crate::Failure;

/// Fields of each log that people are shown.
const SHOWN: &[(&str, &[&str])] = &[
    (
        "traffic",
        &[
            "time_generated",
            "serial",
            "subtype",
            "src",
            "sport",
            "from",
            "dst",
            "dport",
            "to",
            "app",
            "action",
            "rule",
            "session_end_reason",
        ],
    ),
    (
        "threat",
        &["time_generated", "serial", "severity", "subtype", "src", "dst", "from", "threatid", "action", "misc"],
    ),
    ("system", &["time_generated", "serial", "severity", "eventid", "object", "opaque"]),
    ("iptag", &["time_generated", "serial", "ip", "tag_name", "event_id", "timeout"]),
    ("config", &["time_generated", "admin", "host", "cmd", "result", "path"]),
];

/// The newest lines of a log, the oldest of them first, and then those that come.
pub(super) async fn logs(arguments: &Logs) -> Result<(), Failure> {
    let client = Client::new(&arguments.common.server)?;
    let path = format!("/logs/{}", arguments.log);
    if let Some(form) = arguments.export {
        let format = if form == FileForm::Csv { "csv" } else { "json" };
        let all = u64::MAX.to_string();
        let path =
            with_query(&format!("{path}/export"), &[("query", &arguments.query), ("format", format), ("limit", &all)]);
        return client.download(&path, &mut std::io::stdout().lock()).await;
    }
    let count = arguments.lines.to_string();
    let mut page = client.get(&path, &[("query", &arguments.query), ("limit", &count)]).await?;
    if let Some(lines) = page["lines"].as_array_mut() {
        lines.reverse();
    }
    let names = SHOWN.iter().find(|(log, _)| *log == arguments.log).map_or(&[][..], |(_, names)| names);
    if !arguments.follow {
        return write(&page, arguments.common.output, |page| {
            let row = |line: &Value| names.iter().map(|name| word(&line["fields"][*name])).collect();
            table(names, list(page, "lines").iter().map(row))
        });
    }
    let show = |line: &Value| match arguments.common.output {
        Form::Table => print(&names.iter().map(|name| word(&line["fields"][*name])).collect::<Vec<_>>().join("  ")),
        Form::Json => print(&line.to_string()),
        Form::Yaml => print(&format!("---\n{}", super::output::yaml(line)?)),
    };
    list(&page, "lines").iter().try_for_each(show)?;
    client.follow(&with_query(&format!("{path}/tail"), &[("query", &arguments.query)]), |line| show(&line)).await
}

/// Devices, or one with all that is known of it.
pub(super) async fn devices(arguments: &Devices) -> Result<(), Failure> {
    let client = Client::new(&arguments.common.server)?;
    if let Some(serial) = &arguments.serial {
        let device = client.get(&format!("/devices/{serial}"), &[]).await?;
        return write(&device, arguments.common.output, |device| {
            let members = device.as_object().into_iter().flatten();
            table(&["what", "value"], members.map(|(name, value)| vec![name.clone(), word(value)]))
        });
    }
    let in_sync = if arguments.out_of_sync { "false" } else { "" };
    let group = arguments.group.as_deref().unwrap_or_default();
    let devices = client.get("/devices", &[("group", group), ("in_sync", in_sync)]).await?;
    write(&devices, arguments.common.output, |devices| {
        let row = |device: &Value| {
            let plain = ["serial", "hostname", "address", "group", "stack", "connected"];
            let mut row: Vec<String> = plain.iter().map(|name| word(&device[*name])).collect();
            row.extend(["policy", "templates"].map(|part| word(&device[part]["in_sync"])));
            row
        };
        let heads =
            ["serial", "hostname", "address", "group", "stack", "connected", "policy in sync", "templates in sync"];
        table(&heads, list(devices, "devices").iter().map(row))
    })
}
