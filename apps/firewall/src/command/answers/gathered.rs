//! What is known of names, lists, tags and dynamic groups?

use bartizan_model::device::{DeviceConfig, GroupMembers};
use bartizan_model::tag_filter::TagFilter;
use jiff::Timestamp;

use crate::command::Command;
use crate::command::answer::{Answer, Gathered, Group};
use crate::firewall::Firewall;
use crate::gather::tags::TaggedRow;

/// Answers a command about what is gathered.
pub(super) fn gathered(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    let gatherers = firewall.gatherers().ok_or("this firewall gathers nothing")?;
    let name = || command.value("name").unwrap_or_default();
    if command.value("type").is_some_and(|kind| kind != "ip") {
        return Err("external lists are of type `ip`".to_owned());
    }
    let answer = match command.path.as_slice() {
        ["request", "system", "fqdn", "show"] => Gathered::Names(gatherers.names.rows()),
        ["request", "system", "fqdn", "refresh"] => {
            Gathered::Begun(format!("{} names are resolved again", gatherers.names.refresh()))
        }
        ["request", "system", "external-list", "show"] => Gathered::List(Box::new(gatherers.lists.detail(name())?)),
        ["request", "system", "external-list", "refresh"] => {
            gatherers.lists.refresh(name())?;
            Gathered::Begun(format!("external list `{}` is fetched again", name()))
        }
        ["show", "object", "registered-ip", ..] => {
            let mut rows = gatherers.tags.rows(Timestamp::now());
            if let Some(ip) = command.value("ip") {
                rows.retain(|row| row.address.to_string() == ip);
            }
            Gathered::Registered(rows)
        }
        _ => {
            let running = firewall.running().ok_or("no configuration is enforced yet")?;
            let rows = gatherers.tags.rows(Timestamp::now());
            Gathered::Groups(groups(&running.config, &rows, command.value("name"))?)
        }
    };
    Ok(Answer::Gathered(answer))
}

fn groups(config: &DeviceConfig, rows: &[TaggedRow], only: Option<&str>) -> Result<Vec<Group>, String> {
    let names = config.names();
    let mut groups = Vec::new();
    for group in &config.address_groups {
        let GroupMembers::Dynamic(text) = &group.members else { continue };
        let Ok(filter) = TagFilter::parse(text) else { continue };
        if only.is_some_and(|only| only != group.name) {
            continue;
        }
        let tags = |row: &TaggedRow| row.tags.iter().map(|(tag, _)| tag.clone()).collect::<Vec<_>>();
        groups.push(Group {
            name: group.name.clone(),
            filter: text.clone(),
            registered: rows.iter().filter(|row| filter.matches(&tags(row))).map(|row| row.address).collect(),
            objects: names.tagged(text).into_iter().map(|address| address.name.clone()).collect(),
        });
    }
    match only {
        Some(name) if groups.is_empty() => Err(format!("there is no dynamic address group `{name}`")),
        _ => Ok(groups),
    }
}
