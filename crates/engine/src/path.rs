//! Which ways on do sessions use?
//!
//! A [`Path`] is a port and whom a frame is sent to there. Sessions share them: there are a million
//! sessions and a dozen ways, so a session keeps only a reference. A path lives while a session uses it,
//! so there are at most two for each session.

use std::net::IpAddr;

use ahash::RandomState;
use bartizan_packet::ethernet::Mac;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::neighbor::NeighborRef;
use crate::verdict::Port;

/// Whom a frame is sent to on its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NextHop {
    /// Whoever has this address.
    Address(IpAddr),
    /// This station: where the client's own packets came from, when no route leads back there.
    Station(Mac),
}

/// A position in [`Paths`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PathRef(u32);

impl PathRef {
    /// No way is known.
    pub(crate) const NONE: Self = Self(u32::MAX);
}

/// A way on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) port: Port,
    pub(crate) next_hop: NextHop,
    /// Where the next hop was found among the neighbours.
    pub(crate) neighbor: NeighborRef,
    /// Directions of sessions that go this way.
    users: u32,
}

/// The paths of one worker's sessions.
pub(crate) struct Paths {
    index: HashMap<(Port, NextHop), u32, RandomState>,
    entries: Vec<Path>,
    free: Vec<u32>,
}

impl Paths {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            index: HashMap::with_hasher(RandomState::with_seeds(seed, 13, 14, 15)),
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    /// A path for one more user.
    pub(crate) fn take(&mut self, port: Port, next_hop: NextHop) -> PathRef {
        let position = match self.index.entry((port, next_hop)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(vacant) => {
                let path = Path { port, next_hop, neighbor: NeighborRef::NONE, users: 0 };
                let position = match self.free.pop() {
                    Some(position) => {
                        self.entries[position as usize] = path;
                        position
                    }
                    None => {
                        self.entries.push(path);
                        (self.entries.len() - 1) as u32
                    }
                };
                *vacant.insert(position)
            }
        };
        self.entries[position as usize].users += 1;
        PathRef(position)
    }

    /// One user less.
    pub(crate) fn give_back(&mut self, reference: PathRef) {
        let Some(path) = self.entries.get_mut(reference.0 as usize) else { return };
        path.users -= 1;
        if path.users == 0 {
            self.index.remove(&(path.port, path.next_hop));
            self.free.push(reference.0);
        }
    }

    /// A path in use; `None` for [`PathRef::NONE`].
    #[inline]
    pub(crate) fn get(&self, reference: PathRef) -> Option<&Path> {
        self.entries.get(reference.0 as usize)
    }

    /// The next hop was found there.
    pub(crate) fn found(&mut self, reference: PathRef, neighbor: NeighborRef) {
        if let Some(path) = self.entries.get_mut(reference.0 as usize) {
            path.neighbor = neighbor;
        }
    }
}

#[cfg(test)]
mod tests {
    use bartizan_policy::tables::IfaceId;

    use super::*;

    fn hop(last: u8) -> NextHop {
        NextHop::Address(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn sessions_share_paths_and_the_last_one_leaves_no_trace() {
        let mut paths = Paths::new(7);
        let port = Port::Data(IfaceId(1));
        let (first, second) = (paths.take(port, hop(1)), paths.take(port, hop(1)));
        assert_eq!(first, second);
        let other = paths.take(Port::Local, hop(1));
        assert_ne!(first, other);
        paths.give_back(first);
        assert!(paths.index.contains_key(&(port, hop(1))));
        paths.give_back(second);
        assert!(!paths.index.contains_key(&(port, hop(1))));
        assert_eq!(paths.take(port, hop(2)), first, "its place is used again");
        assert_eq!(paths.entries.len(), 2);
    }

    #[test]
    fn no_path_is_nowhere() {
        let mut paths = Paths::new(7);
        assert!(paths.get(PathRef::NONE).is_none());
        paths.give_back(PathRef::NONE);
        paths.found(PathRef::NONE, NeighborRef::NONE);
        assert!(paths.entries.is_empty());
    }
}
