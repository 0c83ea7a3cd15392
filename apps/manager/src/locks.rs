//! Who may edit and commit while somebody asked the others to wait?
//!
//! A lock holds for everybody but its owner, until the owner commits or removes it, or another superuser
//! removes it. It is on disk before it is answered, and survives a restart.

use std::sync::{Mutex, PoisonError};

use crate::configuration::edit::Edit;
use crate::configuration::partial::touches;
use crate::store::Store;
use crate::store::locks::LockRow;

/// The scope that is everything.
pub(crate) const EVERYTHING: &str = "shared";
/// Locks that may exist at once.
const LOCKS_MAX: usize = 1000;

/// What a lock keeps others from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockKind {
    /// Editing.
    Config,
    /// Committing.
    Commit,
}

impl LockKind {
    /// As it is stored and spelled in commands.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Commit => "commit",
        }
    }
}

/// Why a lock was not taken or removed: lines for the client.
pub(crate) type Refusal = Vec<String>;

/// All locks.
pub(crate) struct Locks {
    store: Store,
    held: Mutex<Vec<LockRow>>,
    changing: tokio::sync::Mutex<()>,
}

impl Locks {
    /// Reads those that were held before.
    pub(crate) async fn open(store: Store) -> anyhow::Result<Self> {
        let held = Mutex::new(store.locks().await?);
        Ok(Self { store, held, changing: tokio::sync::Mutex::default() })
    }

    /// The locks of one kind.
    pub(crate) fn list(&self, kind: LockKind) -> Vec<LockRow> {
        self.rows().iter().filter(|row| row.kind == kind.as_str()).cloned().collect()
    }

    /// Who keeps `admin` from making an edit.
    pub(crate) fn in_the_way_of_edit(&self, admin: &str, edit: &Edit) -> Option<LockRow> {
        let rows = self.rows();
        let mut foreign = rows.iter().filter(|row| row.kind == LockKind::Config.as_str() && row.admin != admin);
        foreign.find(|row| row.scope == EVERYTHING || touches(edit, &row.scope)).cloned()
    }

    /// Who keeps `admin` from committing.
    pub(crate) fn in_the_way_of_commit(&self, admin: &str) -> Option<LockRow> {
        self.rows().iter().find(|row| row.kind == LockKind::Commit.as_str() && row.admin != admin).cloned()
    }

    /// Takes a lock.
    ///
    /// # Errors
    /// When the database fails; the refusal says who has it already.
    pub(crate) async fn add(
        &self,
        kind: LockKind,
        scope: &str,
        admin: &str,
        comment: &str,
    ) -> anyhow::Result<Result<(), Refusal>> {
        let _changing = self.changing.lock().await;
        if let Some(row) = self.find(kind, scope) {
            return Ok(Err(match kind {
                LockKind::Commit => vec!["Commit lock is already held".to_owned(), format!("by `{}`", row.admin)],
                LockKind::Config if row.admin == admin => {
                    vec![format!("You already own a config lock for scope {scope}")]
                }
                LockKind::Config => vec![format!("Config for scope {scope} is currently locked by {}", row.admin)],
            }));
        }
        if self.rows().len() >= LOCKS_MAX {
            return Ok(Err(vec![format!("{LOCKS_MAX} locks are held, more are not kept; remove some first")]));
        }
        let created_us = self.store.add_lock(kind.as_str(), scope, admin, comment).await?;
        self.rows().push(LockRow {
            kind: kind.as_str().to_owned(),
            scope: scope.to_owned(),
            admin: admin.to_owned(),
            comment: comment.to_owned(),
            created_us,
        });
        Ok(Ok(()))
    }

    /// Ends a lock of `owner`.
    ///
    /// # Errors
    /// When the database fails; the refusal says that there is none, or whose it is.
    pub(crate) async fn remove(&self, kind: LockKind, scope: &str, owner: &str) -> anyhow::Result<Result<(), Refusal>> {
        let _changing = self.changing.lock().await;
        let none = match kind {
            LockKind::Commit => "Commit lock is not currently held".to_owned(),
            LockKind::Config => format!("Config is not currently locked for scope {scope}"),
        };
        match self.find(kind, scope) {
            None => return Ok(Err(vec![none])),
            Some(row) if row.admin != owner => {
                let line = format!(
                    "it is held by `{0}`, not by `{owner}`; a superuser removes it with `remove` and `admin {0}`",
                    row.admin
                );
                return Ok(Err(vec![none, line]));
            }
            Some(_) => {}
        }
        self.store.remove_lock(kind.as_str(), scope).await?;
        self.rows().retain(|row| row.kind != kind.as_str() || row.scope != scope);
        Ok(Ok(()))
    }

    /// Ends all locks of an administrator, who has committed.
    pub(crate) async fn release(&self, admin: &str) -> anyhow::Result<()> {
        let _changing = self.changing.lock().await;
        if self.rows().iter().any(|row| row.admin == admin) {
            self.store.remove_locks_of(admin).await?;
            self.rows().retain(|row| row.admin != admin);
        }
        Ok(())
    }

    fn find(&self, kind: LockKind, scope: &str) -> Option<LockRow> {
        self.rows().iter().find(|row| row.kind == kind.as_str() && row.scope == scope).cloned()
    }

    fn rows(&self) -> std::sync::MutexGuard<'_, Vec<LockRow>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
