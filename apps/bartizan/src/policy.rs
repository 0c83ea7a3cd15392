//! `bartizan policy`: what do the NetworkPolicies of a folder become, and do they do what its tests say?

pub(crate) mod arguments;
mod junit;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bartizan_model::tree::{Child, Element};
use bartizan_model::{diff, edit, xml};
use bartizan_playbook::change::{self, Change, Place};
use bartizan_playbook::manifests::{self, Source};
use bartizan_playbook::trial::{Outcome, Trial};
use bartizan_playbook::{Catalogue, End, Plan, Ports, Settings, translate};
use serde_json::json;

use self::arguments::{Folder, Policy, Rules, RulesForm};
use crate::remote::arguments::Form;
use crate::remote::output::{print, table, write};
use crate::{DIFFERENCES, Failure, VALIDATION, remote};

/// Most rules that the policies of a folder may become. The firewall takes 50,000 with the rules of all others.
const RULES_MAX: usize = 20_000;
/// What manifests end in.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Has a verb done.
pub(crate) fn run(verb: &Policy) -> Result<(), Failure> {
    match verb {
        Policy::Lint { folder } => lint(&read(folder)?),
        Policy::Render { folder, rules, output, device_group } => {
            let plan = plan(&faultless(folder)?, &folder.cluster, rules)?;
            match output {
                RulesForm::Table => print(&listed(&plan)),
                RulesForm::Xml => print(&xml::write_pretty(&whole(&plan, device_group))),
                RulesForm::Set => {
                    let nothing = Arc::new(Element::new("config"));
                    print(&diff::set_lines(&diff::diff(&nothing, &Arc::new(whole(&plan, device_group)))).join("\n"))
                }
            }
        }
        Policy::Diff { folder, rules, device_group, server } => {
            let plan = plan(&faultless(folder)?, &folder.cluster, rules)?;
            differences(&plan, device_group, &*remote::configuration(server, "running")?)
        }
        Policy::Test { folder, rules, junit, output } => {
            let cluster = &folder.cluster;
            let folder = faultless(folder)?;
            let plan = plan(&folder, cluster, rules)?;
            let trial = Trial::new(&plan, &folder.snapshot);
            let outcomes: Vec<Outcome> = folder.tests.iter().map(|test| trial.run(test)).collect();
            if let Some(path) = junit {
                let text = xml::write_pretty(&junit::suite(&outcomes));
                std::fs::write(path, text)
                    .map_err(|error| Failure::new(1, format!("error: write `{}`: {error}", path.display())))?;
            }
            told(&outcomes, *output)
        }
    }
}

/// All manifests below a path, in the order of their names, and what the catalogue says of them.
fn read(folder: &Folder) -> Result<manifests::Folder, Failure> {
    let path = &folder.path;
    let catalogue = folder.catalogue.as_deref().map(catalogue).transpose()?;
    let mut paths = Vec::new();
    if path.is_dir() {
        gather(path, &mut paths).map_err(|(path, error)| failed(&path, &error))?;
    } else {
        paths.push(path.clone());
    }
    // The catalogue may lie among the manifests.
    let is_catalogue = |file: &PathBuf| folder.catalogue.as_ref().is_some_and(|catalogue| same_file(catalogue, file));
    paths.retain(|file| !is_catalogue(file));
    let mut sources = Vec::new();
    for file in paths {
        let text = text(&file)?;
        let shown = file.strip_prefix(path).ok().filter(|rest| !rest.as_os_str().is_empty()).unwrap_or(&file);
        sources.push(Source { path: shown.display().to_string(), text });
    }
    let mut read = manifests::read(&sources);
    if let Some(catalogue) = catalogue {
        read.review(&folder.cluster, &catalogue);
    }
    Ok(read)
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(1, format!("error: read `{}`: {error}", path.display()))
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

fn text(file: &Path) -> Result<String, Failure> {
    let length = std::fs::metadata(file).map_err(|error| failed(file, &error))?.len();
    if length > FILE_BYTES_MAX {
        let text = format!("error: `{}` has {length} bytes; {FILE_BYTES_MAX} are read at most", file.display());
        return Err(Failure::new(1, text));
    }
    std::fs::read_to_string(file).map_err(|error| failed(file, &error))
}

fn catalogue(file: &Path) -> Result<Catalogue, Failure> {
    let wrong = |what: &str| Failure::new(VALIDATION, format!("{}: {what}", file.display()));
    let read: Catalogue = serde_saphyr::from_str(&text(file)?).map_err(|error| {
        let told = error.to_string();
        wrong(told.lines().next().unwrap_or("cannot be read"))
    })?;
    let faults = read.faults();
    if faults.is_empty() { Ok(read) } else { Err(wrong(&faults.join(&format!("\n{}: ", file.display())))) }
}

fn gather(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), (PathBuf, std::io::Error)> {
    let failed = |error| (folder.to_owned(), error);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            entries.push(entry.path());
        }
    }
    entries.sort();
    for path in entries {
        if path.is_dir() {
            gather(&path, found)?;
        } else if path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known)) {
            found.push(path);
        }
    }
    Ok(())
}

fn faultless(folder: &Folder) -> Result<manifests::Folder, Failure> {
    let read = read(folder)?;
    if read.problems.is_empty() { Ok(read) } else { Err(Failure::new(VALIDATION, read.problems.join("\n"))) }
}

fn lint(folder: &manifests::Folder) -> Result<(), Failure> {
    if !folder.problems.is_empty() {
        return Err(Failure::new(VALIDATION, folder.problems.join("\n")));
    }
    let count = |number: usize, one: &str, many: &str| format!("{number} {}", if number == 1 { one } else { many });
    let mut text = format!(
        "{} of {} and {}, without a fault",
        count(folder.policies.len(), "policy", "policies"),
        count(folder.snapshot.namespaces.len(), "namespace", "namespaces"),
        count(folder.snapshot.pods.len(), "workload", "workloads"),
    );
    let dry = folder.policies.iter().filter(|policy| policy.attributes.dry_run).count();
    if dry > 0 {
        text.push_str(&format!("; {} for a dry run only", count(dry, "policy", "policies")));
    }
    let other: Vec<String> = folder.passed_over.iter().map(|(kind, number)| format!("{number} {kind}")).collect();
    if !other.is_empty() {
        text.push_str(&format!("\npassed over: {}", other.join(", ")));
    }
    print(&text)
}

fn plan(folder: &manifests::Folder, cluster: &str, rules: &Rules) -> Result<Plan, Failure> {
    let settings = Settings {
        cluster: cluster.to_owned(),
        zones: rules.zones.clone(),
        allow_the_rest: !rules.no_rest,
        rules_max: RULES_MAX,
    };
    translate(&settings, &folder.policies, &folder.snapshot)
        .map_err(|too_many| Failure::new(VALIDATION, format!("error: {too_many}")))
}

fn listed(plan: &Plan) -> String {
    let end = |parts: &[End]| {
        let shown = |part: &End| match part {
            End::Pods(tagged) => tagged.group.to_string(),
            End::Block(block) => block.to_string(),
            End::Domain(name) => name.clone(),
        };
        let parts: Vec<String> = parts.iter().map(shown).collect();
        if parts.is_empty() { "any".to_owned() } else { parts.join("; ") }
    };
    let rows = plan.rules.iter().map(|rule| {
        let ports = match &rule.ports {
            Ports::All => "any".to_owned(),
            Ports::Of(ranges) => ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        };
        let attributes = &rule.attributes;
        let mut with: Vec<String> = attributes.applications.iter().map(|app| format!("app {app}")).collect();
        with.extend(attributes.profiles.iter().map(|(element, name)| format!("{element} {name}")));
        with.extend(attributes.group.iter().map(|group| format!("profile group {group}")));
        with.extend(attributes.log.iter().map(|log| format!("log {log}")));
        with.extend(attributes.schedule.iter().map(|schedule| format!("schedule {schedule}")));
        let with = if with.is_empty() { "-".to_owned() } else { with.join(", ") };
        vec![rule.name.clone(), end(&rule.source), end(&rule.destination), ports, rule.action.clone(), with]
    });
    let mut text = table(&["rule", "from", "to", "service", "action", "with"], rows);
    for rule in &plan.dry {
        text.push_str(&format!(
            "\ndry run, no rule: {} {} -> {}",
            rule.name,
            end(&rule.source),
            end(&rule.destination)
        ));
    }
    text
}

/// A configuration that has the device group's part and nothing else.
fn whole(plan: &Plan, device_group: &str) -> Element {
    let objects = plan.render();
    let inside = |mut outer: Element, children: Vec<Element>| {
        outer.children.extend(children.into_iter().map(|child| Child::Element(Arc::new(child))));
        outer
    };
    let rules = objects.rules.into_iter().map(|(_, rule)| rule).collect();
    let rules = inside(Element::new("security"), vec![inside(Element::new("rules"), rules)]);
    let group = inside(
        Element::entry(device_group),
        vec![
            inside(Element::new("tag"), objects.tags.into_values().collect()),
            inside(Element::new("address"), objects.addresses.into_values().collect()),
            inside(Element::new("address-group"), objects.groups.into_values().collect()),
            inside(Element::new("service"), objects.services.into_values().collect()),
            inside(Element::new("pre-rulebase"), vec![rules]),
        ],
    );
    let group = inside(Element::new("device-group"), vec![group]);
    let device = inside(Element::entry("localhost.localdomain"), vec![group]);
    inside(Element::new("config"), vec![inside(Element::new("devices"), vec![device])])
}

fn differences(plan: &Plan, device_group: &str, running: &Element) -> Result<(), Failure> {
    let name = bartizan_model::tree::quote(device_group);
    let xpath = format!("/config/devices/entry[@name='localhost.localdomain']/device-group/entry[@name={name}]");
    let found = edit::get(running, &xpath).map_err(|error| Failure::new(1, format!("error: {error}")))?;
    let Some(group) = found.first() else {
        return Err(Failure::new(1, format!("error: the manager has no device group `{device_group}`")));
    };
    let changes = change::plan(group.element(), &xpath, &plan.render(), &Place::Bottom).map_err(|conflicts| {
        let lines: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
        Failure::new(VALIDATION, lines.join("\n"))
    })?;
    let short = |text: &str| text.strip_prefix(&xpath).unwrap_or(text).trim_start_matches('/').to_owned();
    let lines: Vec<String> = changes
        .iter()
        .map(|change| match change {
            Change::Set { xpath, content } => format!("set    {} {content}", short(xpath)),
            Change::Edit { xpath, entry } => format!("edit   {} {entry}", short(xpath)),
            Change::Move { xpath, to } => format!("move   {} {to:?}", short(xpath)),
            Change::Delete { xpath } => format!("delete {}", short(xpath)),
        })
        .collect();
    print(&lines.join("\n"))?;
    if lines.is_empty() { Ok(()) } else { Err(Failure::new(DIFFERENCES, "")) }
}

fn told(outcomes: &[Outcome], output: Form) -> Result<(), Failure> {
    let failed = outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count();
    let value = json!({
        "passed": outcomes.len() - failed,
        "failed": failed,
        "tests": outcomes.iter().map(|outcome| json!({
            "name": outcome.name, "place": outcome.place, "passed": outcome.failures.is_empty(),
            "found": outcome.found, "failures": outcome.failures,
        })).collect::<Vec<_>>(),
    });
    write(&value, output, |_| {
        let mut lines = Vec::new();
        for outcome in outcomes {
            if outcome.failures.is_empty() {
                lines.push(format!("ok      {}: {}", outcome.name, outcome.found));
            } else {
                lines.push(format!("FAILED  {} ({})", outcome.name, outcome.place));
                lines.extend(outcome.failures.iter().map(|failure| format!("        {failure}")));
            }
        }
        lines.push(format!("{} passed, {failed} failed", outcomes.len() - failed));
        lines.join("\n")
    })?;
    if outcomes.is_empty() {
        return Err(Failure::new(1, "error: there is no test: write some in files that end in `.test.yaml`"));
    }
    if failed == 0 { Ok(()) } else { Err(Failure::new(VALIDATION, "")) }
}
