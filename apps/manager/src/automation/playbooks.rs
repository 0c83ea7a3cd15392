//! Which playbooks are there, and what may they use?
//!
//! Those of the program are documents as any other, and are in the store as soon as it is opened. Who writes a version of
//! one has it used from then on; a run keeps the version that it began with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bartizan_playbook::graph::{Action, Fault, Known, Playbook, read};

use crate::lock;
use crate::store::Store;
use crate::store::runs::PlaybookRow;

/// Those of the program: name and text.
pub(crate) const BUILT_IN: [(&str, &str); 5] = [
    ("apply", include_str!("playbooks/apply.yaml")),
    ("change", include_str!("playbooks/change.yaml")),
    ("delete", include_str!("playbooks/delete.yaml")),
    ("drift", include_str!("playbooks/drift.yaml")),
    ("rollback", include_str!("playbooks/rollback.yaml")),
];

/// Largest text of a playbook, in bytes.
pub(crate) const TEXT_MAX: usize = 256 << 10;
/// Playbooks by name.
pub(crate) const PLAYBOOKS_MAX: usize = 200;

/// What playbooks may use.
pub(crate) const KNOWN: Known<'_> = Known {
    actions: &[
        Action { name: "check", needs: &[], takes: &[] },
        Action { name: "translate", needs: &[], takes: &[] },
        Action { name: "recall", needs: &[], takes: &["version"] },
        Action { name: "diff", needs: &[], takes: &[] },
        Action { name: "edit", needs: &["digest"], takes: &[] },
        Action { name: "commit", needs: &["digest"], takes: &[] },
        Action { name: "push", needs: &[], takes: &[] },
        Action { name: "verify", needs: &[], takes: &[] },
        Action { name: "wait", needs: &["milliseconds"], takes: &[] },
        Action { name: "http", needs: &["server", "path"], takes: &["method", "body", "content-type", "expect"] },
    ],
    lists: &["devices"],
    roots: &["run", "settings", "item"],
};

/// Playbooks that were read.
#[derive(Default)]
pub(crate) struct Playbooks {
    read: Mutex<HashMap<(String, i64), Arc<Playbook>>>,
}

/// Reads a text as a playbook of that name.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn read_as(name: &str, text: &str) -> Result<Playbook, Vec<Fault>> {
    let playbook = read(text, &KNOWN)?;
    if playbook.name == name {
        Ok(playbook)
    } else {
        Err(vec![Fault { line: 1, what: format!("`playbook` is `{}`, but it is told as `{name}`", playbook.name) }])
    }
}

/// Puts those of the program into the store, unless somebody's own took their place.
pub(super) async fn install(store: &Store) -> sqlx::Result<()> {
    let known = store.playbooks().await?;
    for (name, text) in BUILT_IN {
        let newest = known.iter().find(|row| row.name == name);
        if newest.is_none_or(|row| row.author.is_empty() && row.text != text) {
            store.add_playbook(name, "", text).await?;
        }
    }
    Ok(())
}

impl Playbooks {
    /// A version of a playbook.
    pub(crate) async fn get(&self, store: &Store, name: &str, version: i64) -> anyhow::Result<Arc<Playbook>> {
        let key = (name.to_owned(), version);
        if let Some(known) = lock(&self.read).get(&key) {
            return Ok(known.clone());
        }
        let row = store.playbook(name, version).await?;
        let row = row.ok_or_else(|| anyhow::anyhow!("version {version} of playbook `{name}` is not kept any more"))?;
        let told = |faults: Vec<Fault>| {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("version {version} of playbook `{name}` cannot be read: {}", lines.join("; "))
        };
        let playbook = Arc::new(read_as(name, &row.text).map_err(told)?);
        lock(&self.read).insert(key, playbook.clone());
        Ok(playbook)
    }

    /// The version that is used now.
    pub(crate) async fn newest(
        &self,
        store: &Store,
        name: &str,
    ) -> anyhow::Result<Option<(PlaybookRow, Arc<Playbook>)>> {
        let Some(row) = store.playbook_versions(name).await?.into_iter().next() else { return Ok(None) };
        let playbook = self.get(store, name, row.version).await?;
        Ok(Some((row, playbook)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_the_program_have_no_fault() {
        for (name, text) in BUILT_IN {
            let playbook = read_as(name, text).unwrap_or_else(|faults| panic!("{name}: {faults:?}"));
            assert!(!playbook.description.is_empty(), "{name}");
        }
        assert!(read_as("other", BUILT_IN[0].1).is_err());
    }
}
