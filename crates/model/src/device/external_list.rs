//! External dynamic lists: where does a list of addresses come from, and how often?

use ipnet::IpNet;

use super::context::{Context, NAME_LENGTH_MAX};
use super::node::Node;
use super::{DeviceConfig, value};
use crate::diagnostic::Origin;
use crate::{choices, codes};

/// A list of addresses that is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalList {
    /// Name.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// `http://` or `https://`.
    pub url: String,
    /// Entries of the list that are left out.
    pub exceptions: Vec<IpNet>,
    /// How often it is fetched.
    pub recurring: Recurring,
}

/// How often a list is fetched, in the device's time zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recurring {
    /// Every five minutes.
    FiveMinute,
    /// Every hour.
    #[default]
    Hourly,
    /// Every day at this hour.
    Daily {
        /// 0 to 23.
        hour: u8,
    },
    /// Every week on this day, 0 for Monday, at this hour.
    Weekly {
        /// 0 to 6.
        day: u8,
        /// 0 to 23.
        hour: u8,
    },
    /// Every month on this day at this hour; months that are shorter are left out.
    Monthly {
        /// 1 to 31.
        day: u8,
        /// 0 to 23.
        hour: u8,
    },
}

const DAYS: [(&str, u8); 7] =
    [("monday", 0), ("tuesday", 1), ("wednesday", 2), ("thursday", 3), ("friday", 4), ("saturday", 5), ("sunday", 6)];

/// Reads an entry if it is a list of addresses to fetch; `None` for every other type.
pub(super) fn read(context: &mut Context, config: &mut DeviceConfig, node: &Node<'_>) -> Option<()> {
    let kind = node
        .child("type")
        .and_then(|kind| context.choice(&kind, choices::EXTERNAL_LIST))
        .filter(|kind| kind.tag() == "ip")?;
    let name = context.entry_name(node, NAME_LENGTH_MAX)?;
    let url = context.text(&kind, "url").unwrap_or_default();
    let known = ["http://", "https://"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme));
    if !known && !url.is_empty() {
        let at = kind.child("url").unwrap_or_else(|| kind.clone());
        context.error(codes::INVALID_URL, &at, format!("`{url}` does not begin with `http://` or `https://`"));
    } else if url.is_empty() && kind.child("url").is_none_or(|leaf| leaf.text().is_empty()) {
        context.error(codes::MISSING_MEMBER, node, format!("external list `{name}` has no `url`"));
    }
    let mut exceptions = Vec::new();
    for member in kind.child("exception-list").iter().flat_map(|list| list.members().collect::<Vec<_>>()) {
        let text = member.text();
        match value::prefix(&text) {
            Some(prefix) => exceptions.push(prefix.trunc()),
            None => context.error(codes::INVALID_ADDRESS, &member, format!("`{text}` is not an address or prefix")),
        }
    }
    let recurring = recurring(context, &kind);
    config.external_lists.push(ExternalList { name, origin: node.origin(), url, exceptions, recurring });
    Some(())
}

fn recurring(context: &mut Context, kind: &Node<'_>) -> Recurring {
    let branch =
        kind.child("recurring").and_then(|recurring| context.choice(&recurring, choices::EXTERNAL_LIST_RECURRING));
    let Some(branch) = branch else { return Recurring::default() };
    let hour = context.number(&branch, "at", 0..=23).unwrap_or(0);
    match branch.tag() {
        "five-minute" => Recurring::FiveMinute,
        "daily" => Recurring::Daily { hour },
        "weekly" => Recurring::Weekly { day: context.word(&branch, "day-of-week", &DAYS).unwrap_or(0), hour },
        "monthly" => Recurring::Monthly { day: context.number(&branch, "day-of-month", 1..=31).unwrap_or(1), hour },
        _ => Recurring::Hourly,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::device::{Recurring, Scope, read};
    use crate::xml::parse;

    fn lists(entries: &str) -> crate::device::Report {
        let text = format!("<config><shared><external-list>{entries}</external-list></shared></config>");
        read(&parse(&text).unwrap(), Scope::Device)
    }

    #[test]
    fn a_list_of_addresses_is_read() {
        let report = lists(
            "<entry name='bad'><type><ip><url>https://lists.example/bad.txt</url>\
             <exception-list><member>192.0.2.7</member></exception-list>\
             <recurring><weekly><day-of-week>friday</day-of-week><at>04</at></weekly></recurring></ip></type></entry>\
             <entry name='names'><type><domain><url>http://lists.example/</url></domain></type></entry>",
        );
        assert!(report.diagnostics.is_empty(), "{:?}", report.diagnostics);
        let config = report.config.unwrap();
        let [list] = &config.external_lists[..] else { panic!("{:?}", config.external_lists) };
        assert_eq!((&*list.name, &*list.url), ("bad", "https://lists.example/bad.txt"));
        assert_eq!(list.exceptions, ["192.0.2.7/32".parse().unwrap()]);
        assert_eq!(list.recurring, Recurring::Weekly { day: 4, hour: 4 });
    }

    #[test]
    fn what_cannot_be_fetched_is_refused() {
        let report = lists(
            "<entry name='a'><type><ip><url>ftp://lists.example/</url></ip></type></entry>\
             <entry name='b'><type><ip><recurring><daily><at>24</at></daily></recurring></ip></type></entry>",
        );
        let messages: String =
            report.diagnostics.iter().map(|one| format!("{}: {}\n", one.code, one.message)).collect();
        expect![[r#"
            invalid-url: `ftp://lists.example/` does not begin with `http://` or `https://`
            missing-member: external list `b` has no `url`
            invalid-number: `24` is not a number from 0 to 23
        "#]]
        .assert_eq(&messages);
    }
}
