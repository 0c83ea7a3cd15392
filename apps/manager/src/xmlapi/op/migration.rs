//! `show config-report` and `request import-firewall`: what comes over from another system, and where to?
//!
//! Both are extensions; PAN-OS imports a firewall's configuration by its web page.

use std::collections::BTreeSet;

use bartizan_model::diagnostic::{Diagnostic, Severity};
use bartizan_model::tree::{Child, Element, quote};
use bartizan_model::xml;

use super::super::element::{Build as _, element, entry};
use super::super::reply::{Reply, code};
use super::snapshots;
use crate::accounts::Caller;
use crate::app::App;
use crate::certificates::text;
use crate::configuration::edit::Edit;
use crate::forwarding;
use crate::jobs::check::Checker;
use crate::migration::{self, Report};

const OWN: &str = "/config/devices/entry[@name='localhost.localdomain']";
/// Lines of each part of a report.
const LINES_MAX: usize = 1000;

/// `show config-report [from NAME]`: of a saved configuration, or of the candidate.
pub(super) async fn report(app: &App, caller: &Caller, command: &Element) -> Reply {
    let name = super::argument(command.descend(&["config-report", "from"]));
    let tree = match &name {
        Some(name) => match snapshots::read(app, name).await {
            Ok(tree) => tree,
            Err(refusal) => return refusal.into(),
        },
        None => app.configuration.snapshot().candidate.clone(),
    };
    let tree = caller.view(&tree);
    let looked_at = tokio::task::spawn_blocking(move || {
        Report::new(&tree, |tree| {
            let mut found = Checker::default().diagnose(tree, tree);
            found.retain(|diagnostic| !forwarding::plan::is_done(diagnostic));
            found
        })
    })
    .await;
    let report = match looked_at {
        Ok(report) => report,
        Err(error) => return Reply::internal(&error),
    };
    let counts = report.counts.iter().map(|(kind, count)| entry(kind).leaf("count", &count.to_string()));
    let stored = told(&report.stored);
    let attention = told(&report.attention);
    let errors = report.attention.iter().filter(|one| one.severity == Severity::Error).count();
    let result = element("config-report")
        .leaf("from", name.as_deref().unwrap_or("candidate"))
        .leaf("kind", if report.is_firewall { "firewall" } else { "manager" })
        .leaf("can-be-committed", if errors == 0 { "yes" } else { "no" })
        .with(element("objects").with_all(counts))
        .with(element("needs-attention").attr("count", &report.attention.len().to_string()).with_all(attention))
        .with(element("stored-but-not-enforced").attr("count", &report.stored.len().to_string()).with_all(stored));
    Reply::result(element("result").with(result))
}

fn told(diagnostics: &[Diagnostic]) -> Vec<Element> {
    let tell = |one: &Diagnostic| {
        let severity = if one.severity == Severity::Error { "error" } else { "warning" };
        element("entry")
            .leaf("severity", severity)
            .leaf("code", one.code)
            .leaf("xpath", &one.origin.xpath)
            .leaf("message", &one.message)
            .leaf("help", one.help.as_deref().unwrap_or_default())
    };
    diagnostics.iter().take(LINES_MAX).map(tell).collect()
}

/// `request import-firewall from NAME template T device-group G`: a saved configuration of a firewall becomes both, in
/// the candidate.
pub(super) async fn import(app: &App, caller: &Caller, command: &Element) -> Reply {
    let asked = command.child("import-firewall");
    let given = |tag: &str| asked.map(|asked| text(asked, tag)).unwrap_or_default();
    let (from, template, group) = (given("from"), given("template"), given("device-group"));
    if from.is_empty() || template.is_empty() || group.is_empty() {
        let line = "`from`, `template` and `device-group` are needed: the saved configuration, and what it becomes";
        return Reply::error(code::INVALID_OBJECT, &[line]);
    }
    let tree = match snapshots::read(app, &from).await {
        Ok(tree) => tree,
        Err(refusal) => return refusal.into(),
    };
    let moved = match migration::divide(&tree) {
        Ok(moved) => moved,
        Err(line) => {
            return Reply::error(code::INVALID_OBJECT, &[format!("{from}: {line}"), "nothing was imported".into()]);
        }
    };
    let places = [
        (format!("{OWN}/template/entry[@name={}]", quote(&template)), "template", &template),
        (format!("{OWN}/device-group/entry[@name={}]", quote(&group)), "device group", &group),
    ];
    let candidate = app.configuration.snapshot().candidate.clone();
    let own = candidate.child("devices").and_then(|devices| devices.entry_named("localhost.localdomain"));
    let there = |list: &str, name: &str| own.and_then(|own| own.child(list)?.entry_named(name)).is_some();
    if let Some((_, what, name)) = places.iter().find(|(_, what, name)| there(&what.replace(' ', "-"), name)) {
        let line = format!("{what} `{name}` is there already; choose another name, or delete it first");
        return Reply::error(code::INVALID_OBJECT, &[line]);
    }
    let mut holder = Element::entry(&template);
    holder.children.push(Child::Element(moved.template.into()));
    let mut members = Element::entry(&group);
    members.children = moved.group.children;
    let elements = [holder, members];
    let edits = places
        .into_iter()
        .zip(elements)
        .map(|((xpath, _, _), element)| Edit::Replace { xpath, element: xml::write(&element) });
    match app.configuration.apply(caller, edits.collect()).await {
        Ok(_) => {
            let mut lines =
                vec![format!("{from} became template {template} and device group {group} of the candidate")];
            lines.extend(moved.notes.into_iter().collect::<BTreeSet<_>>());
            Reply::text(&lines.join("\n"))
        }
        Err(error) => error.into(),
    }
}
