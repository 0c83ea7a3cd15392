//! What is said of each address, and by whom?
//!
//! Everybody says something of some addresses; an address has what anybody says of it. So what one says anew costs as much as
//! that, whatever others said.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;

/// What is said: `Who` says a `What` of addresses.
#[derive(Debug)]
pub(crate) struct Said<Who, What> {
    /// What each says, in order.
    by: HashMap<Who, Vec<(IpAddr, What)>>,
    /// What is said of each address, how often.
    of: HashMap<IpAddr, BTreeMap<What, u32>>,
    dirty: BTreeSet<IpAddr>,
}

impl<Who, What> Default for Said<Who, What> {
    fn default() -> Self {
        Self { by: HashMap::new(), of: HashMap::new(), dirty: BTreeSet::new() }
    }
}

impl<Who: Clone + Eq + Hash, What: Clone + Ord> Said<Who, What> {
    /// What somebody says.
    pub(crate) fn by<Q: Eq + Hash + ?Sized>(&self, who: &Q) -> &[(IpAddr, What)]
    where
        Who: Borrow<Q>,
    {
        self.by.get(who).map_or(&[], Vec::as_slice)
    }

    /// Somebody says this now, and nothing else.
    pub(crate) fn say(&mut self, who: &Who, mut after: Vec<(IpAddr, What)>) {
        after.sort_unstable();
        let before = self.by.remove(who).unwrap_or_default();
        if before != after {
            for (address, what) in &after {
                *self.of.entry(*address).or_default().entry(what.clone()).or_default() += 1;
                self.dirty.insert(*address);
            }
            before.into_iter().for_each(|(address, what)| self.unsay(address, &what));
        }
        if !after.is_empty() {
            self.by.insert(who.clone(), after);
        }
    }

    fn unsay(&mut self, address: IpAddr, what: &What) {
        self.dirty.insert(address);
        let Some(said) = self.of.get_mut(&address) else { return };
        if let Some(count) = said.get_mut(what) {
            *count -= 1;
            if *count == 0 {
                said.remove(what);
            }
        }
        if said.is_empty() {
            self.of.remove(&address);
        }
    }

    /// What is said of an address, in order.
    pub(crate) fn of(&self, address: IpAddr) -> impl ExactSizeIterator<Item = &What> {
        self.of.get(&address).map(BTreeMap::keys).unwrap_or_default()
    }

    /// Every address of which something is said.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.of.keys().copied()
    }

    /// Addresses to look at again.
    pub(crate) fn touch(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.dirty.extend(addresses);
    }

    /// Whether something else may be said of some address than before.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Those addresses, since this was asked last.
    pub(crate) fn take_dirty(&mut self) -> BTreeSet<IpAddr> {
        std::mem::take(&mut self.dirty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn an_address_has_what_anybody_says_until_nobody_does() {
        let mut said: Said<&str, &str> = Said::default();
        said.say(&"a", vec![(ip(2), "x"), (ip(1), "x"), (ip(1), "x")]);
        said.say(&"b", vec![(ip(1), "x"), (ip(1), "y")]);
        assert_eq!(said.take_dirty(), [ip(1), ip(2)].into());
        assert_eq!(said.of(ip(1)).collect::<Vec<_>>(), [&"x", &"y"]);
        said.say(&"b", vec![(ip(1), "y"), (ip(1), "x")]);
        assert!(!said.is_dirty(), "the same in another order");
        said.say(&"a", vec![(ip(2), "x")]);
        assert_eq!((said.of(ip(1)).len(), said.by("a")), (2, &[(ip(2), "x")][..]));
        said.say(&"b", Vec::new());
        assert_eq!((said.of(ip(1)).len(), said.addresses().collect::<Vec<_>>()), (0, vec![ip(2)]));
        assert!(said.is_dirty() && said.by("b").is_empty());
    }
}
