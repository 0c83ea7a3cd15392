//! Which id does a name have, for the life of the process?

use std::collections::HashMap;
use std::sync::Arc;

use crate::tables::IfaceId;

/// Names that have been seen, each with the id it keeps for the life of the process.
#[derive(Clone, Debug, Default)]
pub struct Names {
    names: Vec<Arc<str>>,
    index: HashMap<Arc<str>, usize>,
}

impl Names {
    /// The id of a name, new if it was not seen before.
    pub fn intern(&mut self, name: &str) -> usize {
        if let Some(position) = self.position(name) {
            return position;
        }
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.index.insert(name, self.names.len() - 1);
        self.names.len() - 1
    }

    /// The id of a known name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// The name behind an id; empty for an id that was never given out.
    pub fn name(&self, index: usize) -> &str {
        self.names.get(index).map_or("", |name| name)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether no name was seen yet.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// The name tables of one firewall process; handed to each compile, only ever grows.
#[derive(Clone, Debug, Default)]
pub struct Ids {
    /// Interfaces.
    pub interfaces: Names,
    /// Zones.
    pub zones: Names,
    /// Routers.
    pub routers: Names,
    /// Security rules, `intrazone-default` and `interzone-default` among them.
    pub rules: Names,
    /// NAT rules.
    pub nat_rules: Names,
    /// Traffic objects.
    pub traffic_objects: Names,
    /// Ids of Kubernetes clusters by the interfaces of their traffic objects. They stay when an object goes: what is
    /// said of a session later needs them.
    pub(crate) clusters: HashMap<usize, u32>,
}

impl Ids {
    /// The id of the cluster behind an interface: one of a traffic object.
    pub fn cluster(&self, interface: IfaceId) -> Option<u32> {
        self.clusters.get(&interface.index()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_id() {
        let mut names = Names::default();
        assert_eq!((names.intern("trust"), names.intern("untrust"), names.intern("trust")), (0, 1, 0));
        assert_eq!((names.position("untrust"), names.position("dmz")), (Some(1), None));
        assert_eq!((names.name(1), names.name(7), names.len()), ("untrust", "", 2));
    }
}
