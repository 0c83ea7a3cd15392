//! How far is each policy of a cluster on its way to the firewalls?
//!
//! A policy has three conditions, as objects of Kubernetes have them. What is here is on disk too.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::told::{Key, Told};
use crate::store::policies::{ClusterChange, PolicyClusterRow, Text};

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) enum Status {
    /// It does.
    True,
    /// It does not.
    False,
    /// That is not known at this moment.
    #[default]
    Unknown,
}

impl Status {
    /// As Kubernetes writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A condition.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Condition {
    /// Whether it holds.
    pub(crate) status: Status,
    /// Why, in a word.
    pub(crate) reason: String,
    /// Why, for people.
    pub(crate) message: String,
    /// Since when the status is what it is.
    pub(crate) since_us: i64,
}

impl Condition {
    /// Becomes another one; the time stays where the status does.
    pub(crate) fn become_now(&mut self, now_us: i64, status: Status, reason: &str, message: impl Into<String>) {
        if self.status != status || self.since_us == 0 {
            self.since_us = now_us;
        }
        self.status = status;
        reason.clone_into(&mut self.reason);
        self.message = message.into();
    }

    /// Whether it holds.
    pub(crate) fn holds(&self) -> bool {
        self.status == Status::True
    }
}

/// What became of a policy.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct PolicyState {
    /// The policy's identity.
    pub(crate) uid: String,
    /// Counts the changes of its specification.
    pub(crate) generation: i64,
    /// SHA-256, hex, of what of it means something.
    pub(crate) content: String,
    /// The cluster's version when this changed last.
    pub(crate) version: i64,
    /// Its last form that had no fault.
    pub(crate) accepted: Option<Value>,
    /// It has no fault and became rules.
    pub(crate) translated: Condition,
    /// Its rules are in the running configuration.
    pub(crate) committed: Condition,
    /// All firewalls enforce them.
    pub(crate) enforced: Condition,
    /// Names of its rules.
    pub(crate) rules: Vec<String>,
    /// SHA-256, hex, of their text.
    pub(crate) trace: String,
    /// The incident about its last change; 0 for none.
    pub(crate) incident: i64,
    /// The run of its last change; 0 for none.
    pub(crate) run: i64,
}

/// What is known of a cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    /// Its name.
    pub(crate) name: String,
    /// Another one after every change.
    pub(crate) version: i64,
    /// What it wants.
    pub(crate) told: Arc<Told>,
    /// Which account told it.
    pub(crate) told_by: String,
    /// When.
    pub(crate) told_us: i64,
    /// What was taken up last.
    pub(crate) taken: Option<Arc<Told>>,
    /// Which account had told that.
    pub(crate) taken_by: String,
    /// Digest of the settings and the catalogue that were used then.
    pub(crate) basis: String,
    /// The state that is enforced everywhere.
    pub(crate) enforced_digest: String,
    /// The device group with the generated objects; empty for none.
    pub(crate) placed: String,
    /// The version of the configuration that a run committed last; 0 for none.
    pub(crate) committed: i64,
    /// The run that brings it about; 0 for none.
    pub(crate) run: i64,
    /// Generated objects that somebody edited and that stay so, by XPath: the digest of what they were to be.
    pub(crate) kept: BTreeMap<String, String>,
    /// What became of each policy.
    pub(crate) policies: BTreeMap<Key, Arc<PolicyState>>,
}

impl Cluster {
    /// From what is on disk.
    ///
    /// # Errors
    /// When that cannot be read.
    pub(super) fn of(row: PolicyClusterRow) -> serde_json::Result<Self> {
        let told: Arc<Told> = Arc::new(serde_json::from_str(&row.told)?);
        let taken = match &row.taken {
            Some(taken) if *taken == row.told => Some(told.clone()),
            Some(taken) => Some(Arc::new(serde_json::from_str(taken)?)),
            None => None,
        };
        Ok(Self {
            name: row.name,
            version: row.version,
            told,
            told_by: row.told_by,
            told_us: row.told_us,
            taken,
            taken_by: row.taken_by,
            basis: row.basis,
            enforced_digest: row.enforced_digest,
            placed: row.placed,
            committed: row.committed,
            run: row.run,
            kept: serde_json::from_str(&row.kept)?,
            policies: BTreeMap::new(),
        })
    }

    /// Changes what is known of a policy.
    pub(crate) fn change(&mut self, key: &Key, change: impl FnOnce(&mut PolicyState)) {
        let state = self.policies.entry(key.clone()).or_default();
        let mut new = PolicyState::clone(state);
        change(&mut new);
        if new != **state {
            *state = Arc::new(new);
        }
    }

    /// Changes what is known of all policies.
    pub(crate) fn change_all(&mut self, mut change: impl FnMut(&Key, &mut PolicyState)) {
        let keys: Vec<Key> = self.policies.keys().cloned().collect();
        for key in keys {
            self.change(&key, |state| change(&key, state));
        }
    }

    /// Whether something was told that was not taken up.
    pub(crate) fn is_behind(&self) -> bool {
        self.taken.as_ref().is_none_or(|taken| taken.digest != self.told.digest)
    }

    /// Whether it wants nothing, and nothing of it is left.
    pub(super) fn is_over(&self) -> bool {
        self.told.digest.is_empty() && !self.is_behind() && self.placed.is_empty()
    }

    /// What is to be written when it was `before`; nothing when it is the same. Gives what changed its version.
    pub(super) fn since(&mut self, before: Option<&Self>) -> Option<ClusterChange> {
        let text = |new: &Told| Text::New(serde_json::to_string(new).unwrap_or_default());
        let told = match before {
            Some(before) if Arc::ptr_eq(&before.told, &self.told) => Text::Same,
            _ => text(&self.told),
        };
        let taken = match (&self.taken, before.and_then(|before| before.taken.as_ref())) {
            (Some(new), Some(old)) if Arc::ptr_eq(new, old) => Text::Same,
            (None, _) => Text::Same,
            (Some(new), _) if Arc::ptr_eq(new, &self.told) => Text::AsTold,
            (Some(new), _) => text(new),
        };
        let version = before.map_or(0, |before| before.version) + 1;
        let known = |key: &Key| before.and_then(|before| before.policies.get(key));
        let mut states = Vec::new();
        for (key, state) in &mut self.policies {
            if known(key).is_some_and(|old| Arc::ptr_eq(old, state)) {
                continue;
            }
            Arc::make_mut(state).version = version;
            let text = serde_json::to_string(&**state).unwrap_or_default();
            states.push((key.kind.clone(), key.namespace.clone(), key.name.clone(), Some(text)));
        }
        for key in before.into_iter().flat_map(|before| before.policies.keys()) {
            if !self.policies.contains_key(key) {
                states.push((key.kind.clone(), key.namespace.clone(), key.name.clone(), None));
            }
        }
        let is_same = before.is_some_and(|before| {
            let columns = |cluster: &Self| {
                (
                    cluster.told_by.clone(),
                    cluster.told_us,
                    cluster.taken_by.clone(),
                    cluster.basis.clone(),
                    (
                        cluster.enforced_digest.clone(),
                        cluster.placed.clone(),
                        cluster.committed,
                        cluster.run,
                        cluster.kept.clone(),
                    ),
                )
            };
            columns(before) == columns(self)
        });
        if is_same && told == Text::Same && taken == Text::Same && states.is_empty() {
            return None;
        }
        self.version = version;
        Some(ClusterChange {
            name: self.name.clone(),
            version,
            told,
            told_by: self.told_by.clone(),
            told_us: self.told_us,
            taken,
            taken_by: self.taken_by.clone(),
            basis: self.basis.clone(),
            enforced_digest: self.enforced_digest.clone(),
            placed: self.placed.clone(),
            committed: self.committed,
            run: self.run,
            kept: serde_json::to_string(&self.kept).unwrap_or_default(),
            states,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_written() {
        let key = |name: &str| Key { kind: "NetworkPolicy".into(), namespace: "shop".into(), name: name.into() };
        let mut one = Cluster { name: "c".to_owned(), ..Cluster::default() };
        one.change(&key("a"), |state| state.uid = "1".to_owned());
        one.change(&key("b"), |state| state.uid = "2".to_owned());
        let first = one.since(None).unwrap();
        assert_eq!((first.version, first.states.len()), (1, 2));
        assert!(matches!(first.told, Text::New(_)));

        let mut two = one.clone();
        two.change(&key("a"), |_| ());
        assert_eq!(two.since(Some(&one)), None);
        two.change(&key("b"), |state| state.translated.become_now(7, Status::True, "Translated", ""));
        two.policies.remove(&key("a"));
        two.taken = Some(two.told.clone());
        let change = two.since(Some(&one)).unwrap();
        assert_eq!((change.version, &change.told, &change.taken), (2, &Text::Same, &Text::AsTold));
        let names: Vec<_> = change.states.iter().map(|(_, _, name, state)| (name.as_str(), state.is_some())).collect();
        assert_eq!(names, [("b", true), ("a", false)]);
        assert_eq!(two.policies[&key("b")].version, 2);
    }
}
