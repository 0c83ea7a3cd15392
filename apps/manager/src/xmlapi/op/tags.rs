//! `show object registered-ip` and `show plugins kubernetes status`: which tags are kept, and which clusters tell them?

use bartizan_model::tree::Element;

use super::super::element::{Build as _, element, entry, leaf};
use super::super::reply::{Reply, code};
use crate::app::App;
use crate::store::now_us;
use crate::tags::{Held, Row, warnings};
use crate::times;

/// `show object registered-ip all|ip X|tag T [limit N] [start-point N]`
pub(super) fn registered(app: &App, command: &Element) -> Reply {
    let asked = command.descend(&["object", "registered-ip"]);
    let value = |name: &str| super::argument(asked.and_then(|asked| asked.child(name)).map(|child| &**child));
    let mut rows = app.tags.rows();
    if let Some(ip) = value("ip") {
        rows.retain(|row| row.address.to_string() == ip);
    }
    if let Some(tag) = value("tag") {
        rows.retain(|row| row.tags.contains_key(&tag));
    }
    let number = |name: &str| match value(name) {
        None => Ok(None),
        Some(text) => {
            let line = format!("`{text}` is no number: `{name}` wants one");
            text.parse().map(Some).map_err(|_| Reply::error(code::INVALID_COMMAND, &[line]))
        }
    };
    let (start, limit) = match (number("start-point"), number("limit")) {
        (Ok(start), Ok(limit)) => (start.unwrap_or(1).max(1) - 1, limit.unwrap_or(usize::MAX)),
        (Err(refusal), _) | (_, Err(refusal)) => return refusal,
    };
    let now_s = now_us() / 1_000_000;
    let entries: Vec<Element> = rows.iter().skip(start).take(limit).map(|row| line(row, now_s)).collect();
    let count = entries.len().to_string();
    Reply::result(element("result").with_all(entries).leaf("count", &count))
}

fn line(row: &Row, now_s: i64) -> Element {
    let tags = row.tags.iter().map(|(tag, expiry)| match expiry {
        Some(at) => leaf("member", tag).attr("timeout", &(at - now_s).max(0).to_string()),
        None => leaf("member", tag),
    });
    element("entry")
        .attr("ip", &row.address.to_string())
        .attr("from_agent", "0")
        .attr("persistent", if row.persistent { "1" } else { "0" })
        .with(element("tag").with_all(tags))
}

/// `show plugins kubernetes status`
pub(super) fn clusters(app: &App) -> Reply {
    let notified = app.tags.notified(&app.configuration.snapshot().running);
    let line = |(cluster, silent_s, held): (crate::tags::Cluster, u64, Held)| {
        let row = &cluster.row;
        let groups = notified.groups(&row.name);
        entry(&row.name)
            .leaf("cluster-id", &if row.cluster_id == 0 { String::new() } else { row.cluster_id.to_string() })
            .leaf("state", if cluster.expired { "expired" } else { "connected" })
            .leaf("controller", &row.controller)
            .leaf("last-seen", &times::date_time(row.seen_us))
            .leaf("silent-for", &silent_s.to_string())
            .leaf("ttl", &row.ttl_s.to_string())
            .leaf("pods", &cluster.counts.pods.to_string())
            .leaf("services", &cluster.counts.services.to_string())
            .leaf("nodes", &cluster.counts.nodes.to_string())
            .leaf("namespaces", &cluster.counts.namespaces.to_string())
            .leaf("protected-namespaces", &cluster.counts.protected_namespaces.to_string())
            .leaf("tagged-addresses", &held.addresses.to_string())
            .with(element("device-group").with_all(groups.iter().map(|group| leaf("member", group))))
            .with(
                element("warnings")
                    .with_all(warnings(app, &row.name, row.cluster_id).iter().map(|warning| leaf("line", warning))),
            )
    };
    Reply::result(element("result").with_all(app.tags.clusters().into_iter().map(line)))
}
