//! `show config push-scope` and `show config list change-summary`: what is to be pushed, and what to be committed.

use std::collections::BTreeSet;

use bartizan_model::tree::Element;

use super::super::element::{Build as _, element, entry, leaf};
use super::super::reply::Reply;
use crate::accounts::Caller;
use crate::app::App;
use crate::configuration::edit::Edit;
use crate::configuration::partial::place::{Place, places};
use crate::selective::scope::{self, Part, located};

/// `show config push-scope [admin]`: device groups and stacks with edits that their devices lack, and the edits.
pub(super) async fn show(app: &App, caller: &Caller, command: &Element) -> Reply {
    let admins = named(command.descend(&["config", "push-scope", "admin"]));
    let scope = match scope::read(app, caller, &admins).await {
        Ok(scope) => scope,
        Err(error) => return Reply::internal(&error),
    };
    let objects = scope.changes.iter().map(|change| {
        entry(&change.name)
            .attr("loc-type", change.kind)
            .attr("loc", &change.location)
            .leaf("admin", &change.admin)
            .leaf("action", change.action)
            .leaf("xpath", &change.xpath)
            .leaf("version", &change.version.to_string())
    });
    let scope = element("push-scope")
        .with(parts("device-group", &scope.groups))
        .with(parts("template-stack", &scope.stacks))
        .with(element("objects").with_all(objects))
        .leaf("truncated", if scope.is_cut { "yes" } else { "no" });
    Reply::result(element("result").with(scope))
}

fn parts(tag: &str, parts: &[Part]) -> Element {
    let parts = parts.iter().filter(|part| !part.devices.is_empty()).map(|part| {
        let devices = part.devices.iter().map(|serial| {
            let is_new = if part.new_devices.contains(serial) { "yes" } else { "no" };
            entry(serial).leaf("never-pushed", is_new)
        });
        let admins = part.admins.iter().map(|(name, count)| entry(name).leaf("changes", &count.to_string()));
        entry(&part.name).with(element("devices").with_all(devices)).with(element("admins").with_all(admins))
    });
    element(tag).with_all(parts)
}

/// `show config list change-summary [partial admin]`: which parts have edits that are not committed.
pub(super) async fn summary(app: &App, caller: &Caller, command: &Element) -> Reply {
    let admins = named(command.descend(&["config", "list", "change-summary", "partial", "admin"]));
    let lines = match app.store.journal(usize::MAX).await {
        Ok(lines) => lines,
        Err(error) => return Reply::internal(&error),
    };
    let edits = lines.iter().filter(|line| admins.is_empty() || admins.contains(&line.author));
    let edits = edits.filter_map(|line| serde_json::from_str::<Edit>(&line.edit).ok());
    let touched: BTreeSet<Place> =
        edits.filter(|edit| caller.may_see(edit.xpath())).flat_map(|edit| places(&edit)).collect();
    if touched.is_empty() {
        return Reply::result(element("result"));
    }
    let mut summary = element("summary");
    for tag in ["device-group", "template", "template-stack"] {
        let names = touched.iter().filter_map(located).filter(|(kind, name)| *kind == tag && !name.is_empty());
        summary = summary.with(element(tag).with_all(names.map(|(_, name)| leaf("member", &name))));
    }
    for (tag, place) in [("shared-object", Place::Shared), ("device-and-network", Place::DeviceAndNetwork)] {
        if touched.contains(&place) || touched.contains(&Place::Everything) {
            summary = summary.with(element(tag));
        }
    }
    Reply::result(element("result").with(summary))
}

fn named(list: Option<&Element>) -> BTreeSet<String> {
    let Some(list) = list else { return BTreeSet::new() };
    let entries = list.entries().map(|(name, _)| name.to_owned());
    entries.chain(list.members()).chain(Some(list.text())).filter(|name| !name.is_empty()).collect()
}
