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
            Gathered::Registered(registered(command, gatherers.tags.rows(Timestamp::now()))?)
        }
        _ => {
            let running = firewall.running().ok_or("no configuration is enforced yet")?;
            let rows = gatherers.tags.rows(Timestamp::now());
            Gathered::Groups(groups(&running.config, &rows, command.value("name"))?)
        }
    };
    Ok(Answer::Gathered(answer))
}

/// Those that are asked for: of an address, with a tag, and so many from a place on, which counts from 1.
fn registered(command: &Command, mut rows: Vec<TaggedRow>) -> Result<Vec<TaggedRow>, String> {
    if let Some(ip) = command.value("ip") {
        rows.retain(|row| row.address.to_string() == ip);
    }
    if let Some(tag) = command.value("tag") {
        rows.retain(|row| row.tags.iter().any(|(one, _)| one == tag));
    }
    let number = |name: &str| -> Result<Option<usize>, String> {
        let Some(text) = command.value(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("`{text}` is no number: `{name}` wants one"))
    };
    let before = number("start-point")?.unwrap_or(1).saturating_sub(1);
    rows.drain(..before.min(rows.len()));
    rows.truncate(number("limit")?.unwrap_or(usize::MAX));
    Ok(rows)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::words::parse_xml;

    #[test]
    fn registered_addresses_come_in_pages_and_by_tag() {
        let row = |last: u8| TaggedRow {
            address: std::net::IpAddr::from([10, 0, 0, last]),
            persistent: true,
            from_manager: false,
            tags: vec![(if last.is_multiple_of(2) { "even" } else { "odd" }.to_owned(), None)],
        };
        let asked = |inner: &str| {
            let xml = format!("<show><object><registered-ip>{inner}</registered-ip></object></show>");
            let rows = registered(&parse_xml(&xml).unwrap(), (1..=5).map(row).collect())?;
            Ok::<_, String>(rows.iter().map(|row| row.address.to_string()).collect::<Vec<_>>().join(" "))
        };
        for (inner, found) in [
            ("<all/>", "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5"),
            ("<limit>2</limit><start-point>1</start-point>", "10.0.0.1 10.0.0.2"),
            ("<limit>2</limit><start-point>5</start-point>", "10.0.0.5"),
            ("<start-point>6</start-point>", ""),
            ("<tag><entry name='even'/></tag><limit>1</limit>", "10.0.0.2"),
            ("<ip>10.0.0.3</ip>", "10.0.0.3"),
        ] {
            assert_eq!(asked(inner).as_deref(), Ok(found), "{inner}");
        }
        assert_eq!(asked("<limit>all</limit>"), Err("`all` is no number: `limit` wants one".to_owned()));
    }
}
