//! What does a device get of the edits of some administrators?
//!
//! Every edit that was committed is kept with its author (`store/versions.rs`). A push by administrator plays those of
//! the administrators it names over what the device has, and leaves the others out; what comes of it is kept as a
//! version beside the versions (`store/side_versions.rs`), which knows what it lacks.

pub(crate) mod scope;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bartizan_model::tree::Element;
use bartizan_model::xml;
use tokio::sync::Mutex;

use crate::app::App;
use crate::configuration::edit::Edit;
use crate::store::side_versions::{CommittedEdit, SideVersion, is_side, version_of};
use crate::store::{Store, from_db, to_db};

/// Edits between what a device has and what is pushed to it.
const EDITS_MAX: usize = 50_000;
/// What to do when it cannot be told whose edits are whose.
const FULL_PUSH: &str = "please perform a full push";

/// How far a device's part is: a version, but for some edits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The version.
    pub(crate) version: i64,
    /// Edits that are missing are of later versions.
    pub(crate) origin: i64,
    /// Their numbers.
    pub(crate) left_out: BTreeSet<i64>,
}

impl Standing {
    /// Of what a number of the inventory means.
    ///
    /// # Errors
    /// When it is not kept.
    pub(crate) async fn of(app: &App, number: i64) -> anyhow::Result<Self> {
        let version = version_of(number);
        if !is_side(number) {
            return Ok(Self { version, origin: version, left_out: BTreeSet::new() });
        }
        let side = app.store.side_standing(number).await?;
        let side = side.ok_or_else(|| anyhow::anyhow!("what the device has is not in the database any more"))?;
        Ok(Self { version, origin: side.0, left_out: side.1.into_iter().collect() })
    }

    /// The edits that are missing of versions up to its own, in order.
    async fn left_out(&self, store: &Store) -> sqlx::Result<Vec<CommittedEdit>> {
        let (Some(first), Some(last)) = (self.left_out.first(), self.left_out.last()) else { return Ok(Vec::new()) };
        let mut edits = store.committed_edits_within(*first, *last).await?;
        edits.retain(|edit| self.left_out.contains(&edit.id));
        Ok(edits)
    }

    /// Whether an edit of an administrator is among them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn lacks_edit_of(&self, store: &Store, author: &str) -> sqlx::Result<bool> {
        let (Some(first), Some(last)) = (self.left_out.first(), self.left_out.last()) else { return Ok(false) };
        let own = store.committed_by(author, *first, *last).await?;
        Ok(own.iter().any(|id| self.left_out.contains(id)))
    }

    /// Whether a committed edit is missing.
    pub(crate) fn lacks(&self, edit: &CommittedEdit) -> bool {
        edit.version > self.version || self.left_out.contains(&edit.id)
    }
}

/// Whose edits a push is of, and what it made of the versions that devices have.
pub(crate) struct Selective {
    admins: BTreeSet<String>,
    /// The newest version that is looked at.
    until: i64,
    made: Mutex<HashMap<i64, Result<i64, Vec<String>>>>,
}

impl Selective {
    /// Of these administrators, up to a version.
    pub(crate) fn new(admins: BTreeSet<String>, until: u64) -> Self {
        Self { admins, until: to_db(until), made: Mutex::default() }
    }

    /// What the part of a device becomes that is `number` now.
    ///
    /// # Errors
    /// Lines for the device: why that cannot be told.
    pub(crate) async fn onto(&self, app: &App, number: u64) -> Result<u64, Vec<String>> {
        let number = to_db(number);
        // One at a time: devices that have the same get the same.
        let mut made = self.made.lock().await;
        if let Some(known) = made.get(&number) {
            return known.clone().map(from_db);
        }
        let outcome = self.make(app, number).await;
        made.insert(number, outcome.clone());
        outcome.map(from_db)
    }

    async fn make(&self, app: &App, number: i64) -> Result<i64, Vec<String>> {
        let internal = |error: anyhow::Error| vec![format!("{error:#}")];
        let standing = Standing::of(app, number).await.map_err(internal)?;
        if standing.version > self.until {
            return Ok(number);
        }
        let store = &app.store;
        let gap =
            store.version_without_edits(standing.origin, self.until).await.map_err(|error| internal(error.into()))?;
        if let Some(version) = gap {
            return Err(vec![format!("the edits of version {version} are not kept, {FULL_PUSH}")]);
        }
        let left_out = standing.left_out(store).await.map_err(|error| internal(error.into()))?;
        let edits = store.committed_edits(standing.version, self.until, EDITS_MAX + 1).await;
        let edits = edits.map_err(|error| internal(error.into()))?;
        if left_out.len() + edits.len() > EDITS_MAX {
            return Err(vec![format!("the device lacks more than {EDITS_MAX} edits, {FULL_PUSH}")]);
        }
        let missing = left_out.into_iter().chain(edits);
        let (chosen, rest): (Vec<_>, Vec<_>) = missing.partition(|edit| self.admins.contains(&edit.author));
        if rest.is_empty() {
            return Ok(self.until);
        }
        if chosen.is_empty() && standing.version == self.until {
            return Ok(number);
        }
        let tree = app.configuration.version(from_db(number)).await.map_err(internal)?;
        let tree =
            tree.ok_or_else(|| vec![format!("what the device has is not in the database any more, {FULL_PUSH}")])?;
        let played = tokio::task::spawn_blocking(move || play(tree, &chosen, rest));
        let (tree, rest) = played.await.map_err(|error| internal(error.into()))??;
        let side = SideVersion {
            origin: rest.iter().map(|edit| edit.version).min().unwrap_or(self.until) - 1,
            left_out: rest.iter().map(|edit| edit.id).collect(),
            text: xml::write(&tree),
        };
        let made = store.add_side_version(self.until, &side).await.map_err(internal)?;
        app.configuration.have_at_hand(from_db(made), tree);
        Ok(made)
    }
}

/// Plays the chosen edits; gives back the others as well.
fn play(
    mut tree: Arc<Element>,
    chosen: &[CommittedEdit],
    rest: Vec<CommittedEdit>,
) -> Result<(Arc<Element>, Vec<CommittedEdit>), Vec<String>> {
    for line in chosen.iter().chain(&rest) {
        if matches!(read(line)?, Edit::Load { .. }) {
            return Err(vec![
                format!("Selective push is blocked since a load was performed, {FULL_PUSH}"),
                format!("{} replaced the whole configuration", describe(line)),
            ]);
        }
    }
    for line in chosen {
        let edit = read(line)?;
        // It changes nothing, and the rule may be one that is left out.
        if matches!(edit, Edit::AuditComment { .. }) {
            continue;
        }
        if let Err(failure) = edit.apply(&mut tree) {
            return Err(vec![
                format!("{} depends on an edit of somebody else:{}", describe(line), failure.lines.join(";")),
                format!("push the edits of both, or {FULL_PUSH}"),
            ]);
        }
    }
    Ok((tree, rest))
}

fn read(line: &CommittedEdit) -> Result<Edit, Vec<String>> {
    serde_json::from_str(&line.edit)
        .map_err(|error| vec![format!("an edit of version {} cannot be read: {error}", line.version)])
}

fn describe(line: &CommittedEdit) -> String {
    let what = read(line).map(|edit| format!("`{}` of {}", edit.name(), edit.xpath())).unwrap_or_default();
    format!("{what} by `{}` in version {}", line.author, line.version)
}
