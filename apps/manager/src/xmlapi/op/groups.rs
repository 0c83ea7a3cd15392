//! Device groups, templates and stacks with the state of their devices, and the hierarchy of groups.

use std::collections::BTreeMap;

use bartizan_model::tree::Element;
use bartizan_model::{manager, xml};

use super::super::element::{Build as _, element, entry, leaf};
use super::super::reply::{Reply, code};
use super::devices::known;
use crate::accounts::Caller;
use crate::app::App;
use crate::configuration::edit::Edit;
use crate::inventory::Known;
use crate::jobs::JobKind;
use crate::times;
use crate::topology::{DeviceGroup, Topology};

/// Groups below `shared` one under the other, as on PAN-OS.
const DEPTH_MAX: usize = 4;
/// The first id of a device group; smaller ones are PAN-OS's own.
const FIRST_GROUP_ID: usize = 11;

/// `show devicegroups [name N]`
pub(super) async fn device_groups(app: &App, caller: &Caller, command: &Element) -> Reply {
    let (topology, devices) = match known(app, caller).await {
        Ok(known) => known,
        Err(refusal) => return refusal,
    };
    let wanted = super::argument(command.descend(&["devicegroups", "name"]))
        .or_else(|| super::argument(command.child("devicegroups").map(|groups| &**groups)));
    let groups = topology.groups.iter().filter(|group| wanted.as_ref().is_none_or(|wanted| *wanted == group.name));
    let entries = groups.map(|group| {
        let members = members(&group.devices, &devices, |known| {
            let state = if known.device.policy_version.is_some() { "commit succeeded" } else { "" };
            known
                .to_element()
                .leaf("last-commit-all-state-sp", state)
                .leaf("last-validate-all-state-sp", "")
                .leaf("last-commit-all-upd-sp", &pushed(known))
        });
        entry(&group.name).leaf("shared-policy-md5sum", "").with(members)
    });
    Reply::result(element("result").with(element("devicegroups").with_all(entries)))
}

/// `show templates [name N]`: templates and stacks.
pub(super) async fn templates(app: &App, caller: &Caller, command: &Element) -> Reply {
    let (topology, devices) = match known(app, caller).await {
        Ok(known) => known,
        Err(refusal) => return refusal,
    };
    let wanted = super::argument(command.descend(&["templates", "name"]));
    let wanted = |name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    let templates = topology.templates.iter().filter(|name| wanted(name)).map(|name| {
        let through: Vec<String> = topology
            .stacks
            .iter()
            .filter(|stack| stack.templates.contains(name))
            .flat_map(|stack| stack.devices.clone())
            .collect();
        entry(name).leaf("template-stack", "no").with(members(&through, &devices, template_device))
    });
    let stacks = topology.stacks.iter().filter(|stack| wanted(&stack.name)).map(|stack| {
        entry(&stack.name).leaf("template-stack", "yes").with(members(&stack.devices, &devices, template_device))
    });
    let entries = templates.chain(stacks);
    Reply::result(element("result").with(element("templates").with_all(entries)))
}

/// `show template-stack [name N]`
pub(super) async fn stacks(app: &App, caller: &Caller, command: &Element) -> Reply {
    let (topology, devices) = match known(app, caller).await {
        Ok(known) => known,
        Err(refusal) => return refusal,
    };
    let wanted = super::argument(command.descend(&["template-stack", "name"]))
        .or_else(|| super::argument(command.child("template-stack").map(|stack| &**stack)));
    let stacks = topology.stacks.iter().filter(|stack| wanted.as_ref().is_none_or(|wanted| *wanted == stack.name));
    let entries = stacks.map(|stack| {
        let templates = element("templates").with_all(stack.templates.iter().map(|name| leaf("member", name)));
        entry(&stack.name).with(templates).with(members(&stack.devices, &devices, template_device))
    });
    Reply::result(element("result").with(element("template-stack").with_all(entries)))
}

/// `show dg-hierarchy`
pub(super) fn hierarchy(app: &App, caller: &Caller) -> Reply {
    // Of what cannot be seen neither the parent is told.
    let topology = Topology::read(&caller.view(&app.configuration.snapshot().candidate));
    let roots = below(&topology.groups, None, 0);
    Reply::result(element("result").with(element("dg-hierarchy").with_all(roots)))
}

/// `request move-dg entry NAME new-parent-dg PARENT`; without a parent it goes to the top.
pub(super) async fn move_group(app: &App, caller: &Caller, command: &Element) -> Reply {
    let asked = command.child("move-dg").and_then(|moving| moving.entries().next());
    let Some((name, asked)) = asked else {
        return Reply::error(code::INVALID_COMMAND, &["invalid client cli: `entry` is missing"]);
    };
    let parent = asked.child("new-parent-dg").map(|parent| parent.text()).filter(|parent| !parent.is_empty());
    let topology = Topology::read(&app.configuration.snapshot().candidate);
    if let Err(line) = check_move(&topology, name, parent.as_deref()) {
        return Reply::error(code::INVALID_OBJECT, &[line]);
    }
    let xpath = manager::parent_xpath(name);
    let edit = match &parent {
        Some(parent) => Edit::Replace { xpath, element: xml::write(&leaf("parent-dg", parent)) },
        None => Edit::Delete { xpath },
    };
    if let Err(error) = app.configuration.apply(caller, vec![edit]).await {
        return error.into();
    }
    let below = parent.as_deref().unwrap_or("shared");
    match app.jobs.add_finished(JobKind::MoveDeviceGroup, &caller.name, &format!("{name} is below {below}")).await {
        Ok(id) => Reply::job(id, &format!("Move-DG job enqueued with jobid {id}")),
        Err(error) => Reply::internal(&error),
    }
}

fn check_move(topology: &Topology, name: &str, parent: Option<&str>) -> Result<(), String> {
    let parents: BTreeMap<&str, Option<&str>> =
        topology.groups.iter().map(|group| (group.name.as_str(), group.parent.as_deref())).collect();
    for wanted in [Some(name), parent].into_iter().flatten() {
        if !parents.contains_key(wanted) {
            return Err(format!("device group `{wanted}` does not exist"));
        }
    }
    let mut depth = 1;
    let mut here = parent;
    while let Some(group) = here {
        if group == name {
            return Err(format!("device group `{name}` cannot be below itself"));
        }
        depth += 1;
        here = parents.get(group).copied().flatten();
        if depth > parents.len() {
            break;
        }
    }
    let deepest = depth - 1 + height(&topology.groups, name, 0);
    if deepest > DEPTH_MAX {
        return Err(format!("device groups would be {deepest} deep, at most {DEPTH_MAX} are allowed"));
    }
    Ok(())
}

/// How many levels a group and those below it take.
fn height(groups: &[DeviceGroup], name: &str, guard: usize) -> usize {
    if guard > groups.len() {
        return guard;
    }
    let children = groups.iter().filter(|group| group.parent.as_deref() == Some(name));
    1 + children.map(|child| height(groups, &child.name, guard + 1)).max().unwrap_or(0)
}

fn below(groups: &[DeviceGroup], parent: Option<&str>, depth: usize) -> Vec<Element> {
    if depth > DEPTH_MAX {
        return Vec::new();
    }
    let children = groups.iter().enumerate().filter(|(_, group)| group.parent.as_deref() == parent);
    children
        .map(|(index, group)| {
            element("dg")
                .attr("name", &group.name)
                .attr("dg_id", &(FIRST_GROUP_ID + index).to_string())
                .with_all(below(groups, Some(&group.name), depth + 1))
        })
        .collect()
}

fn members(serials: &[String], devices: &BTreeMap<String, Known>, show: impl Fn(&Known) -> Element) -> Element {
    element("devices").with_all(serials.iter().filter_map(|serial| devices.get(serial)).map(show))
}

fn template_device(known: &Known) -> Element {
    let state = if known.device.template_version.is_some() { "commit succeeded" } else { "" };
    known
        .to_element()
        .leaf("template-status", known.template_status())
        .leaf("template-md5sum", &known.device.pushed_digest)
        .leaf("last-commit-all-state-tpl", state)
        .leaf("last-commit-all-upd-tpl", &pushed(known))
}

fn pushed(known: &Known) -> String {
    known.device.pushed_us.map(times::date_time).unwrap_or_default()
}
