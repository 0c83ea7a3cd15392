//! What is running, and what is the candidate?
//!
//! Both are persistent trees, so a snapshot is two pointers. An edit is on disk (in the journal) before it
//! is answered or seen by anybody, and edits that wait for the disk get there together (`staged.rs`); a commit is one transaction that adds the version and drops the edits it holds. After a
//! crash the running configuration is therefore the old or the new version, whole, and the candidate is
//! the running configuration with the journal played over it.

pub(crate) mod edit;
pub(crate) mod part;
pub(crate) mod partial;
mod staged;
pub(crate) mod undo;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use bartizan_model::tree::Element;
use bartizan_model::{diff, schema, xml};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};

use crate::accounts::rights::PROTECTED;
use crate::accounts::{Caller, Role, has_superuser};
use crate::lock;
use crate::locks::{LockKind, Locks};
use crate::secrets::Secrets;
use crate::store::audit::AuditLine;
use crate::store::side_versions::is_side;
use crate::store::versions::{Entries, JournalAfter, Kept, NewVersion};
use crate::store::{Store, to_db};
use crate::xmlapi::reply::code;
use edit::{Applied, Edit, EditFailure};
use partial::{Conflict, Selection, Split};
use staged::{Staged, Written};

/// Edits the journal holds between two commits. They are played again at start.
pub(crate) const JOURNAL_MAX: usize = 500_000;
/// The config log shows what stood there before for requests of at most so many edits: finding it takes as
/// long as the edit.
const PREVIEWED_EDITS_MAX: usize = 50;
/// Edits of one commit that make a version; with more, the whole text is kept.
const VERSION_EDITS_MAX: usize = 500;
/// Versions in a row that are kept as edits; then the whole text is added, beside other work.
const STEPS_MAX: u64 = 200;
/// Versions in a row after which a commit does not end without a whole text.
const STEPS_LIMIT: u64 = 4 * STEPS_MAX;
/// Parsed old versions that are kept at hand for pushes.
const OLD_VERSIONS_AT_HAND: usize = 4;

/// The configuration of a manager that was never touched.
pub(crate) const FIRST_CONFIGURATION: &str = "<config version=\"11.2.0\" urldb=\"paloaltonetworks\">\
    <mgt-config><users><entry name=\"admin\"><permissions><role-based><superuser>yes</superuser></role-based>\
    </permissions></entry></users></mgt-config><shared/>\
    <devices><entry name=\"localhost.localdomain\"><deviceconfig><system><hostname>bartizan</hostname></system>\
    </deviceconfig></entry></devices></config>";

/// Running and candidate at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// The configuration in force.
    pub(crate) running: Arc<Element>,
    /// Its version.
    pub(crate) version: u64,
    /// The configuration being edited.
    pub(crate) candidate: Arc<Element>,
    /// Edits since the running version: whether there is something to commit, even when they cancel out.
    pub(crate) pending: usize,
    /// Number of the last edit.
    journal_end: i64,
    /// Counts the times the candidate was thrown away.
    reverts: u64,
    /// Versions since the last whole text.
    steps: u64,
}

impl Snapshot {
    /// Number of the last edit.
    pub(crate) fn journal_end(&self) -> i64 {
        self.journal_end
    }

    /// A word that is another one after every change.
    pub(crate) fn revision(&self) -> String {
        format!("{}-{}-{}", self.version, self.reverts, self.journal_end)
    }
}

/// Why edits were not applied. None of them was.
#[derive(Debug)]
pub(crate) enum ApplyError {
    /// One edit is refused.
    Edit {
        /// Which one of them, from 0.
        index: usize,
        /// Why.
        failure: EditFailure,
    },
    /// They cannot be stored.
    Store(anyhow::Error),
}

/// What edits did.
#[derive(Debug)]
pub(crate) struct Done {
    /// Of each of them.
    pub(crate) results: Vec<Applied>,
    /// The candidate that they were applied to.
    pub(crate) before: Arc<Element>,
    /// What they made of it.
    pub(crate) after: Arc<Element>,
}

/// Why a commit or a revert of some edits did not happen. Nothing was changed.
#[derive(Debug)]
pub(crate) enum PartialError {
    /// The edits cannot be told apart from others.
    Conflict(Conflict),
    /// They cannot be stored.
    Store(anyhow::Error),
}

impl From<Conflict> for PartialError {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(conflict)
    }
}

impl From<anyhow::Error> for PartialError {
    fn from(error: anyhow::Error) -> Self {
        Self::Store(error)
    }
}

impl From<sqlx::Error> for PartialError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl PartialError {
    /// What to tell whoever asked.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Conflict(conflict) => conflict.0.clone(),
            Self::Store(error) => vec![format!("{error:#}")],
        }
    }
}

/// The configurations and their store.
pub(crate) struct Configuration {
    store: Store,
    /// Seals the keys that edits bring.
    secrets: Arc<Secrets>,
    /// Who keeps others from editing or committing.
    pub(crate) locks: Locks,
    /// What is on disk.
    now: ArcSwap<Snapshot>,
    /// What is on its way there.
    staged: Staged,
    /// Held by whoever changes the one or the other, but for who writes what is staged.
    writing: AsyncMutex<()>,
    old: Mutex<VecDeque<(u64, Arc<Element>)>>,
}

impl Configuration {
    /// Reads the newest version, which is `first` at the first start, and plays the journal over it.
    pub(crate) async fn open(store: Store, secrets: Arc<Secrets>, first: &str) -> anyhow::Result<Self> {
        let kept = match store.newest_version().await? {
            Some(newest) => newest,
            None => {
                let version = NewVersion {
                    author: "bartizan",
                    comment: "first start",
                    configuration: Some(first),
                    journal: JournalAfter::Beyond(0),
                    audit: &[],
                };
                let number = store.commit_version(version, |_| None).await?;
                Kept::whole(number, first.to_owned())
            }
        };
        let (version, steps) = (kept.number, kept.steps);
        let running = tree_of(&kept)?;
        let mut candidate = running.clone();
        let journal = store.journal(usize::MAX).await?;
        let (pending, journal_end) = (journal.len(), journal.last().map_or(0, |line| line.id));
        for line in journal {
            let played = serde_json::from_str::<Edit>(&line.edit)
                .map_err(|error| error.to_string())
                .and_then(|edit| edit.apply(&mut candidate).map_err(|failure| failure.lines.join("; ")));
            // What was accepted once is accepted again, unless this is another version of the program.
            if let Err(error) = played {
                anyhow::bail!(
                    "edit {} of the candidate, made by `{}`, cannot be played again: {error}; start the version of \
                     the manager that accepted it and commit or revert there",
                    line.id,
                    line.author
                );
            }
        }
        let now = Arc::new(Snapshot { running, version, candidate, pending, journal_end, reverts: 0, steps });
        let locks = Locks::open(store.clone()).await?;
        Ok(Self {
            store,
            secrets,
            locks,
            staged: Staged::new(now.clone()),
            now: ArcSwap::new(now),
            writing: AsyncMutex::default(),
            old: Mutex::default(),
        })
    }

    /// Both trees as they are now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.now.load_full()
    }

    /// Applies edits to the candidate in order, all or none.
    pub(crate) async fn apply(self: &Arc<Self>, caller: &Caller, edits: Vec<Edit>) -> Result<Vec<Applied>, ApplyError> {
        Ok(self.apply_telling(caller, edits).await?.results)
    }

    /// The same, with the candidate before and after these edits and no others.
    pub(crate) async fn apply_telling(self: &Arc<Self>, caller: &Caller, edits: Vec<Edit>) -> Result<Done, ApplyError> {
        let edits = edits.into_iter().map(|edit| edit.sealed(&self.secrets)).collect::<anyhow::Result<_>>();
        let edits = edits.map_err(ApplyError::Store)?;
        let (this, caller) = (self.clone(), caller.clone());
        // A task of its own: a client that goes away must not stop us between disk and memory.
        tokio::spawn(async move { this.apply_to_end(&caller, edits).await })
            .await
            .unwrap_or_else(|error| Err(ApplyError::Store(error.into())))
    }

    async fn apply_to_end(&self, caller: &Caller, edits: Vec<Edit>) -> Result<Done, ApplyError> {
        let (done, written) = {
            let _writing = self.writing.lock().await;
            let base = self.staged.tip();
            let Change { outcome, journal, audit, candidate } = self.change(&base.snapshot, caller, &edits)?;
            let before = base.snapshot.candidate.clone();
            let done = outcome.map(|results| Done {
                results,
                after: candidate.clone().unwrap_or_else(|| before.clone()),
                before,
            });
            let after = candidate.map(|candidate| {
                let pending = base.snapshot.pending + journal.len();
                Arc::new(Snapshot { candidate, pending, ..Snapshot::clone(&base.snapshot) })
            });
            let entries = Entries { author: caller.name.clone(), edits: journal, audit };
            (done, self.staged.add(&base, entries, after).map_err(ApplyError::Store)?)
        };
        self.write(Some(written)).await.map_err(ApplyError::Store)?;
        done
    }

    /// What edits make of a candidate, and what is to be written about it, also when they are refused.
    fn change(&self, now: &Snapshot, caller: &Caller, edits: &[Edit]) -> Result<Change, ApplyError> {
        if now.pending + edits.len() > JOURNAL_MAX {
            let failure = EditFailure::denied(format!(
                "the candidate holds {} uncommitted edits, at most {JOURNAL_MAX} are kept; commit or revert them first",
                now.pending
            ));
            return Err(ApplyError::Edit { index: 0, failure });
        }
        let mut candidate = now.candidate.clone();
        let mut applied = Vec::with_capacity(edits.len());
        let mut journal = Vec::with_capacity(edits.len());
        let mut audit = Vec::with_capacity(edits.len());
        let previewed = edits.len() <= PREVIEWED_EDITS_MAX;
        for (index, edit) in edits.iter().enumerate() {
            if let Some(lock) = self.locks.in_the_way_of_edit(&caller.name, edit) {
                let lines = vec![format!("Configuration is locked by {}", lock.admin), lock.describe()];
                return Err(ApplyError::Edit { index, failure: EditFailure { code: code::DENIED, lines } });
            }
            let before = if previewed { edit.preview_before(&candidate) } else { String::new() };
            match edit.apply(&mut candidate) {
                Ok(outcome) => applied.push(outcome),
                Err(failure) => {
                    let line = edit.audit_line(caller, before, "Failed");
                    return Ok(Change::refused(index, failure, line));
                }
            }
            if applied[index] == Applied::Changed {
                journal.push(serde_json::to_string(edit).map_err(|error| ApplyError::Store(error.into()))?);
            }
            if !matches!(edit, Edit::Expect { .. }) {
                audit.push(edit.audit_line(caller, before, "Succeeded"));
            }
        }
        if let Some((index, failure)) = outside_of_schema(edits, &now.candidate, &candidate) {
            let line = edits[index].audit_line(caller, String::new(), "Failed");
            return Ok(Change::refused(index, failure, line));
        }
        if let Some(failure) = overstepped(caller, &now.candidate, &candidate) {
            return Err(ApplyError::Edit { index: edits.len().saturating_sub(1), failure });
        }
        if !has_superuser(&candidate) && has_superuser(&now.candidate) {
            let failure = EditFailure::denied(
                "nobody could log in as superuser after this: give a user with `superuser` a `phash` made by `request \
                 password-hash` first"
                    .to_owned(),
            );
            return Err(ApplyError::Edit { index: edits.len().saturating_sub(1), failure });
        }
        let candidate = Some(candidate).filter(|_| !journal.is_empty());
        Ok(Change { outcome: Ok(applied), journal, audit, candidate })
    }

    /// Writes what is staged, all of it at once. With `written` it returns when that is on disk, whoever wrote it.
    async fn write(&self, written: Option<Written>) -> anyhow::Result<()> {
        let _turn = self.staged.turn().await;
        if let Some(done) = written.and_then(Written::outcome) {
            return done;
        }
        let batch = self.staged.take();
        if batch.is_empty() {
            return Ok(());
        }
        let entries: Vec<&Entries> = batch.entries().collect();
        match self.store.append_journal(&entries).await {
            Ok(journal_end) => {
                let publish = |after: &Snapshot, journal_end: Option<i64>| {
                    let journal_end = journal_end.unwrap_or(after.journal_end);
                    let now = Arc::new(Snapshot { journal_end, ..Snapshot::clone(after) });
                    self.now.store(now.clone());
                    now
                };
                self.staged.done(batch, |after| publish(after, journal_end));
                Ok(())
            }
            Err(error) => {
                self.staged.failed(batch, &self.snapshot(), &error.to_string());
                Err(error.into())
            }
        }
    }

    /// Waits until nothing is on its way to the disk, and keeps others from adding to it.
    async fn settled(&self) -> anyhow::Result<(MutexGuard<'_, ()>, Arc<Snapshot>)> {
        let writing = self.writing.lock().await;
        self.write(None).await?;
        Ok((writing, self.snapshot()))
    }

    /// What is on disk changed otherwise than by edits; nothing is staged.
    fn publish(&self, now: Snapshot) {
        let now = Arc::new(now);
        self.now.store(now.clone());
        self.staged.reset(now);
    }

    /// Throws the candidate away, or the edits that are selected; gives back how many.
    pub(crate) async fn revert(
        self: &Arc<Self>,
        caller: &Caller,
        selection: Option<Selection>,
    ) -> Result<usize, PartialError> {
        let (this, caller) = (self.clone(), caller.clone());
        tokio::spawn(async move { this.revert_to_end(&caller, selection).await })
            .await
            .unwrap_or_else(|error| Err(PartialError::Store(error.into())))
    }

    async fn revert_to_end(&self, caller: &Caller, selection: Option<Selection>) -> Result<usize, PartialError> {
        let (_writing, now) = self.settled().await?;
        let line = caller.did("revert", "/config");
        let foreign = self.locks.list(LockKind::Config).into_iter().find(|lock| lock.admin != caller.name);
        if let (None, Some(lock)) = (&selection, foreign) {
            let lines = vec![format!("Configuration is locked by {}", lock.admin), lock.describe()];
            return Err(PartialError::Conflict(Conflict(lines)));
        }
        if let (None, Some(failure)) = (&selection, overstepped(caller, &now.candidate, &now.running)) {
            return Err(PartialError::Conflict(Conflict(failure.lines)));
        }
        let (candidate, pending) = match selection {
            None => {
                self.store.forget_edits(JournalAfter::Beyond(i64::MAX), &[line]).await?;
                (now.running.clone(), 0)
            }
            Some(selection) => {
                let journal = self.store.journal(usize::MAX).await?;
                let running = now.running.clone();
                let split = tokio::task::spawn_blocking(move || partial::without(&running, journal, &selection));
                let Split { taken, candidate, .. } = split.await.map_err(anyhow::Error::from)??;
                if let Some(failure) = overstepped(caller, &now.candidate, &candidate) {
                    return Err(PartialError::Conflict(Conflict(failure.lines)));
                }
                let line = AuditLine { after: format!("{} edit(s)", taken.len()), ..line };
                self.store.forget_edits(JournalAfter::Without(&taken, &[]), &[line]).await?;
                (candidate, now.pending - taken.len())
            }
        };
        self.publish(Snapshot { candidate, pending, reverts: now.reverts + 1, ..Snapshot::clone(&now) });
        Ok(now.pending - pending)
    }

    /// Whether there is something to commit: all that is pending, or of the selected edits.
    pub(crate) async fn pending(&self, selection: Option<&Selection>) -> anyhow::Result<bool> {
        let now = self.snapshot();
        match selection {
            None => Ok(now.pending > 0),
            Some(selection) => {
                let journal = self.store.journal_until(now.journal_end).await?;
                Ok(journal.iter().any(|line| partial::is_meant(line, selection)))
            }
        }
    }

    /// What a commit of the selected edits of `snapshot` would make of it.
    pub(crate) async fn split(&self, snapshot: &Snapshot, selection: &Selection) -> Result<Split, PartialError> {
        self.split_now(snapshot, selection, snapshot.journal_end).await
    }

    async fn split_now(&self, now: &Snapshot, selection: &Selection, end: i64) -> Result<Split, PartialError> {
        let journal = self.store.journal_until(now.journal_end).await?;
        let (running, candidate, selection) = (now.running.clone(), now.candidate.clone(), selection.clone());
        let split = move || partial::split(&running, &candidate, journal, (&selection, end));
        Ok(tokio::task::spawn_blocking(split).await.map_err(anyhow::Error::from)??)
    }

    /// Makes the candidate of `snapshot` the running configuration, or what it is by the selected edits alone.
    /// `job` makes the finished record of the commit's job from the new version; it is stored in the same
    /// transaction, as is the line of the config log.
    pub(crate) async fn commit(
        self: &Arc<Self>,
        snapshot: &Snapshot,
        selected: Option<(&Selection, Split)>,
        (line, comment): (&AuditLine, &str),
        job: impl FnOnce(u64) -> Option<(u64, String)>,
    ) -> Result<u64, PartialError> {
        let (_writing, now) = self.settled().await?;
        if now.reverts != snapshot.reverts {
            let line = "edits were reverted while the candidate was checked; nothing was committed".to_owned();
            return Err(PartialError::Conflict(Conflict(vec![line])));
        }
        let split = match selected {
            Some((_, split)) if now.journal_end == snapshot.journal_end => Some(split),
            // Edits that came since are not part of it, and stay.
            Some((selection, _)) => Some(self.split_now(&now, selection, snapshot.journal_end).await?),
            None => None,
        };
        let (tree, journal) = match &split {
            Some(split) => (&split.chosen, JournalAfter::Without(&split.taken, &split.moves)),
            None => (&snapshot.candidate, JournalAfter::Beyond(snapshot.journal_end)),
        };
        let edits = split.as_ref().map_or(snapshot.pending, |split| split.taken.len());
        let is_whole = edits > VERSION_EDITS_MAX || now.steps >= STEPS_LIMIT;
        let text = is_whole.then(|| xml::write(tree));
        let steps = if is_whole { 0 } else { now.steps + 1 };
        let (author, configuration) = (line.admin.as_str(), text.as_deref());
        let new = NewVersion { author, comment, configuration, journal, audit: std::slice::from_ref(line) };
        let version = self.store.commit_version(new, job).await?;
        let after = match split {
            Some(split) => Snapshot {
                running: split.chosen,
                version,
                pending: now.pending - split.taken.len() + split.moves.len(),
                journal_end: self.store.journal_end().await?.max(now.journal_end),
                candidate: split.candidate,
                reverts: now.reverts,
                steps,
            },
            None => Snapshot {
                running: snapshot.candidate.clone(),
                version,
                pending: now.pending - snapshot.pending,
                steps,
                ..Snapshot::clone(&now)
            },
        };
        let running = after.running.clone();
        self.publish(after);
        if steps > 0 && steps.is_multiple_of(STEPS_MAX) {
            tokio::spawn(self.clone().keep_text(version, running));
        }
        Ok(version)
    }

    /// Adds the whole text of a version that is kept as edits.
    async fn keep_text(self: Arc<Self>, version: u64, tree: Arc<Element>) {
        let Ok(text) = tokio::task::spawn_blocking(move || xml::write(&tree)).await else { return };
        if let Err(error) = self.store.keep_text(version, &text).await {
            tracing::error!(%error, version, "the text of a version cannot be stored; its edits are");
            return;
        }
        match self.settled().await {
            Ok((_writing, now)) => self.publish(Snapshot { steps: now.version - version, ..Snapshot::clone(&now) }),
            Err(error) => tracing::error!(%error, "edits cannot be stored"),
        }
    }

    /// The tree of a version.
    pub(crate) async fn version(&self, number: u64) -> anyhow::Result<Option<Arc<Element>>> {
        let now = self.snapshot();
        if now.version == number {
            return Ok(Some(now.running.clone()));
        }
        if let Some((_, tree)) = lock(&self.old).iter().find(|(version, _)| *version == number) {
            return Ok(Some(tree.clone()));
        }
        let kept = match is_side(to_db(number)) {
            true => self.store.side_version(to_db(number)).await?.map(|side| Kept::whole(number, side.text)),
            false => self.store.version(number).await?,
        };
        let Some(kept) = kept else { return Ok(None) };
        let tree = tokio::task::spawn_blocking(move || tree_of(&kept)).await??;
        self.have_at_hand(number, tree.clone());
        Ok(Some(tree))
    }

    /// The tree of a version is not to be read for a while.
    pub(crate) fn have_at_hand(&self, number: u64, tree: Arc<Element>) {
        let mut old = lock(&self.old);
        old.push_front((number, tree));
        old.truncate(OLD_VERSIONS_AT_HAND);
    }
}

/// What edits make of a candidate.
struct Change {
    outcome: Result<Vec<Applied>, ApplyError>,
    /// For the journal.
    journal: Vec<String>,
    audit: Vec<AuditLine>,
    /// If it is another one.
    candidate: Option<Arc<Element>>,
}

impl Change {
    fn refused(index: usize, failure: EditFailure, line: AuditLine) -> Self {
        let outcome = Err(ApplyError::Edit { index, failure });
        Self { outcome, journal: Vec::new(), audit: vec![line], candidate: None }
    }
}

/// Why a change is refused to somebody who is no superuser: it says who may do what, or is outside of what the role is for.
fn overstepped(caller: &Caller, before: &Arc<Element>, after: &Arc<Element>) -> Option<EditFailure> {
    if caller.role == Role::Superuser {
        return None;
    }
    if let Some(changed) = PROTECTED.iter().find(|path| before.descend(path) != after.descend(path)) {
        let line = format!("`{}` is for superusers to change; `{}` is none", changed.join("/"), caller.name);
        return Some(EditFailure::denied(line));
    }
    let places = caller.role.scope()?.overstepped(before, after);
    if places.is_empty() {
        return None;
    }
    let mut lines = vec![format!("the role of `{}` does not allow to change:", caller.name)];
    lines.extend(places);
    Some(EditFailure { code: code::DENIED, lines })
}

/// Values that the schema does not allow, and the edit that brought the first of them. A configuration that is loaded
/// is taken as it is; the commit tells.
fn outside_of_schema(edits: &[Edit], before: &Element, after: &Element) -> Option<(usize, EditFailure)> {
    if edits.iter().any(|edit| matches!(edit, Edit::Load { .. })) {
        return None;
    }
    let found = schema::check(Some(before), after);
    let first = found.first()?;
    let index = edits.iter().rposition(|edit| first.xpath.starts_with(edit.xpath()));
    let lines = found.into_iter().map(|violation| violation.line).collect();
    Some((index.unwrap_or(edits.len().saturating_sub(1)), EditFailure { code: code::INVALID_OBJECT, lines }))
}

/// What one configuration changes of another, for people: as XML under its paths, or as `set` and `delete` lines.
pub(crate) fn difference(old: &Arc<Element>, new: &Arc<Element>, as_lines: bool) -> String {
    let changes = diff::diff(old, new);
    if as_lines { diff::set_lines(&changes).join("\n") } else { diff::unified(&changes) }
}

/// The tree of a version from what is kept of it.
fn tree_of(kept: &Kept) -> anyhow::Result<Arc<Element>> {
    let what = || format!("version {} of the configuration", kept.number);
    let root = xml::parse(&kept.text).map_err(|diagnostic| anyhow::anyhow!("{diagnostic}")).with_context(what)?;
    let mut root = Arc::new(root);
    for edit in &kept.edits {
        let edit: Edit = serde_json::from_str(edit).with_context(what)?;
        edit.apply(&mut root).map_err(|failure| anyhow::anyhow!(failure.lines.join("; "))).with_context(what)?;
    }
    Ok(root)
}
