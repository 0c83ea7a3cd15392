//! What did the manager tell of tags?
//!
//! A whole set after each connect, then what changes. A set that was cut off leaves what was known before.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bartizan_api::fleet::{RegisteredTags, TaggedAddress};
use bartizan_model::registered::{ADDRESSES_MAX, Change};
use tracing::error;

/// Tags by address.
type Known = BTreeMap<IpAddr, BTreeSet<String>>;

/// What the manager keeps for this firewall.
#[derive(Debug, Default)]
pub(super) struct Managed {
    known: Known,
    /// A whole set that has not ended yet.
    coming: Option<Known>,
}

impl Managed {
    /// With what was known at the end of the process before.
    pub(super) fn of(known: Known) -> Self {
        Self { known, coming: None }
    }

    /// Tags by address.
    pub(super) fn tags(&self) -> &Known {
        &self.known
    }

    /// Takes over what it tells; what became of which tag.
    pub(super) fn hear(&mut self, told: RegisteredTags) -> Vec<Change> {
        let mut changes = Vec::new();
        if told.whole_begins {
            self.coming = Some(Known::new());
        }
        if let Some(coming) = &mut self.coming {
            for (address, tags) in told.addresses.into_iter().filter_map(read) {
                put(coming, address, tags);
            }
            if told.whole_ends {
                let coming = self.coming.take().unwrap_or_default();
                let none = BTreeSet::new();
                let all: BTreeSet<IpAddr> = self.known.keys().chain(coming.keys()).copied().collect();
                for address in all {
                    let (before, after) = (self.known.get(&address), coming.get(&address));
                    compare(address, before.unwrap_or(&none), after.unwrap_or(&none), &mut changes);
                }
                self.known = coming;
            }
            return changes;
        }
        for (address, tags) in told.addresses.into_iter().filter_map(read) {
            let before = self.known.get(&address).cloned().unwrap_or_default();
            put(&mut self.known, address, tags);
            let none = BTreeSet::new();
            compare(address, &before, self.known.get(&address).unwrap_or(&none), &mut changes);
        }
        changes
    }
}

fn read(told: TaggedAddress) -> Option<(IpAddr, BTreeSet<String>)> {
    match told.address.parse() {
        Ok(address) => Some((address, told.tags.into_iter().collect())),
        Err(_) => {
            error!("the manager has tags for `{}`, which is no address", told.address);
            None
        }
    }
}

fn put(known: &mut Known, address: IpAddr, tags: BTreeSet<String>) {
    if tags.is_empty() {
        known.remove(&address);
    } else if known.len() < ADDRESSES_MAX || known.contains_key(&address) {
        known.insert(address, tags);
    } else {
        error!("the manager has tags for more than {ADDRESSES_MAX} addresses: `{address}` has none here");
    }
}

fn compare(address: IpAddr, before: &BTreeSet<String>, after: &BTreeSet<String>, changes: &mut Vec<Change>) {
    let change = |tag: &String, came| Change { address, tag: tag.clone(), came, timeout_s: 0 };
    changes.extend(before.difference(after).map(|tag| change(tag, false)));
    changes.extend(after.difference(before).map(|tag| change(tag, true)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(begins: bool, ends: bool, addresses: &[(&str, &str)]) -> RegisteredTags {
        let addresses = addresses.iter().map(|(address, tags)| TaggedAddress {
            address: (*address).to_owned(),
            tags: tags.split_whitespace().map(str::to_owned).collect(),
        });
        RegisteredTags { whole_begins: begins, whole_ends: ends, addresses: addresses.collect() }
    }

    fn lines(changes: Vec<Change>) -> Vec<String> {
        let line = |one: Change| format!("{}{} {}", if one.came { "+" } else { "-" }, one.address, one.tag);
        changes.into_iter().map(line).collect()
    }

    #[test]
    fn a_whole_set_replaces_what_was_known_once_it_is_whole() {
        let mut managed = Managed::default();
        assert_eq!(lines(managed.hear(told(true, true, &[("10.0.0.1", "a b")]))), ["+10.0.0.1 a", "+10.0.0.1 b"]);
        assert!(managed.hear(told(true, false, &[("10.0.0.2", "c")])).is_empty());
        assert_eq!(managed.tags().keys().count(), 1, "not whole yet");
        // The connection was lost; the next one begins anew.
        assert!(managed.hear(told(true, false, &[("10.0.0.1", "b d")])).is_empty());
        let changes = managed.hear(told(false, true, &[("2001:db8::3", "e")]));
        assert_eq!(lines(changes), ["-10.0.0.1 a", "+10.0.0.1 d", "+2001:db8::3 e"]);
        assert!(!managed.tags().contains_key(&"10.0.0.2".parse::<IpAddr>().unwrap()));
    }

    #[test]
    fn a_change_is_of_the_addresses_that_it_names() {
        let mut managed = Managed::of([("10.0.0.1".parse().unwrap(), ["a".to_owned()].into())].into());
        let changes = managed.hear(told(false, false, &[("10.0.0.2", "a"), ("10.0.0.1", ""), ("nonsense", "a")]));
        assert_eq!(lines(changes), ["+10.0.0.2 a", "-10.0.0.1 a"]);
        assert_eq!(managed.tags().len(), 1);
    }

    #[test]
    fn addresses_are_bounded() {
        let all = (0..u32::try_from(ADDRESSES_MAX).unwrap()).map(|at| (IpAddr::V4(at.into()), ["t".to_owned()].into()));
        let mut managed = Managed::of(all.collect());
        assert!(managed.hear(told(false, false, &[("2001:db8::1", "t")])).is_empty());
        assert_eq!(lines(managed.hear(told(false, false, &[("0.0.0.1", "u")]))), ["-0.0.0.1 t", "+0.0.0.1 u"]);
    }
}
