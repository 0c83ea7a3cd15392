//! Running configurations by number, and the journal of edits since the newest.
//!
//! A version is kept as a whole text, or as the edits that lead to it from the version before. The edits move from
//! the journal into the version in the transaction that commits it.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::audit::{self, AuditLine};
use super::db::{Statement, Transaction, sql};
use super::{Store, from_db, hex, hex_digest, jobs, now_us, to_db};
use crate::configuration::edit::Edit;

/// Versions that are kept, besides those that devices were pushed last; the oldest make room.
pub(crate) const VERSIONS_MAX: i64 = 1000;

/// A version without its text.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct VersionLine {
    /// Number, from 1.
    pub(crate) number: i64,
    /// When it was committed.
    pub(crate) time_us: i64,
    /// By whom.
    pub(crate) author: String,
    /// The commit's description.
    pub(crate) comment: String,
    /// SHA-256, hex, of the text, or of the digest of the version before and the edits.
    pub(crate) digest: String,
}

/// A version as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Number.
    pub(crate) number: u64,
    /// The newest whole text that is not newer than it.
    pub(crate) text: String,
    /// Versions from there to here.
    pub(crate) steps: u64,
    /// Their edits, in order, as JSON.
    pub(crate) edits: Vec<String>,
}

impl Kept {
    /// One that is kept as its text.
    pub(crate) fn whole(number: u64, text: String) -> Self {
        Self { number, text, steps: 0, edits: Vec::new() }
    }
}

/// One edit of the candidate.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct JournalLine {
    /// Order of the edits.
    pub(crate) id: i64,
    /// When.
    pub(crate) time_us: i64,
    /// Who.
    pub(crate) author: String,
    /// The edit as JSON.
    pub(crate) edit: String,
}

/// Edits of one request, and what the config log says about it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    /// Who.
    pub(crate) author: String,
    /// As JSON.
    pub(crate) edits: Vec<String>,
    /// Also of edits that were refused.
    pub(crate) audit: Vec<AuditLine>,
}

/// Edits in one statement.
const ROWS_AT_ONCE: usize = 16;

/// A version to be stored.
#[derive(Debug)]
pub(crate) struct NewVersion<'a> {
    /// Who commits.
    pub(crate) author: &'a str,
    /// The commit's description.
    pub(crate) comment: &'a str,
    /// The whole configuration; without, it is the newest one with the edits that `journal` gives up.
    pub(crate) configuration: Option<&'a str>,
    /// What becomes of the journal.
    pub(crate) journal: JournalAfter<'a>,
    /// What the config log says about it.
    pub(crate) audit: &'a [AuditLine],
}

/// What becomes of the journal when a version or a revert takes edits out of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum JournalAfter<'a> {
    /// Edits up to this number are gone.
    Beyond(i64),
    /// Those with these numbers are gone, and others are added.
    Without(&'a [i64], &'a [JournalLine]),
}

impl Store {
    /// The newest version.
    pub(crate) async fn newest_version(&self) -> anyhow::Result<Option<Kept>> {
        let newest: Option<(i64,)> =
            sql("SELECT number FROM versions ORDER BY number DESC LIMIT 1").fetch_optional(&self.writer).await?;
        match newest {
            Some((number,)) => self.version(from_db(number)).await,
            None => Ok(None),
        }
    }

    /// A version.
    pub(crate) async fn version(&self, number: u64) -> anyhow::Result<Option<Kept>> {
        let text: Option<(i64, String, String)> =
            sql("SELECT version, text, digest FROM version_texts WHERE version <= $1 ORDER BY version DESC LIMIT 1")
                .bind(to_db(number))
                .fetch_optional(&self.writer)
                .await?;
        let Some((base, text, text_digest)) = text else { return Ok(None) };
        let steps: Vec<(i64, String)> =
            sql("SELECT number, digest FROM versions WHERE number >= $1 AND number <= $2 ORDER BY number")
                .bind(base)
                .bind(to_db(number))
                .fetch_all(&self.writer)
                .await?;
        if steps.last().is_none_or(|(last, _)| from_db(*last) != number) {
            return Ok(None);
        }
        let text = checked(text, &text_digest, &format!("version {base}"))?;
        let lines: Vec<(i64, String)> =
            sql("SELECT version, edit FROM version_edits WHERE version > $1 AND version <= $2 ORDER BY version, id")
                .bind(base)
                .bind(to_db(number))
                .fetch_all(&self.writer)
                .await?;
        let mut edits = lines.as_slice();
        for (at, step) in steps.iter().enumerate().skip(1) {
            let (own, later) = edits.split_at(edits.partition_point(|(version, _)| *version <= step.0));
            edits = later;
            let digest = chained(&steps[at - 1].1, own.iter().map(|(_, edit)| edit));
            anyhow::ensure!(
                digest == step.1 && step.0 == base + at as i64,
                "version {} in the database is damaged: its edits do not have the digest `{}`; restore the database \
                 from a backup",
                step.0,
                step.1
            );
        }
        let edits = lines.into_iter().map(|(_, edit)| edit).collect();
        Ok(Some(Kept { number, text, steps: number - from_db(base), edits }))
    }

    /// Keeps a version also as a whole text, so that fewer edits lead to those after it.
    pub(crate) async fn keep_text(&self, number: u64, text: &str) -> sqlx::Result<()> {
        let mut transaction = self.writer.begin().await?;
        keep_text(&mut transaction, to_db(number), text).await?;
        transaction.commit().await
    }

    /// The newest versions, newest first.
    pub(crate) async fn versions(&self, count_max: u32) -> sqlx::Result<Vec<VersionLine>> {
        sql("SELECT number, time_us, author, comment, digest FROM versions ORDER BY number DESC LIMIT $1")
            .bind(count_max)
            .fetch_all(&self.reader)
            .await
    }

    /// Stores a version, drops the edits that are part of it, finishes the job and says so in the config log, all or
    /// nothing.
    /// `job` makes the record of the job from the new number.
    pub(crate) async fn commit_version(
        &self,
        version: NewVersion<'_>,
        job: impl FnOnce(u64) -> Option<(u64, String)>,
    ) -> sqlx::Result<u64> {
        let mut transaction = self.writer.begin().await?;
        let newest: Option<(i64, String)> = sql("SELECT number, digest FROM versions ORDER BY number DESC LIMIT 1")
            .fetch_optional(&mut transaction)
            .await?;
        let (newest, before) = newest.unwrap_or_default();
        let number = newest + 1;
        take_edits(&mut transaction, number, version.journal).await?;
        let digest = match version.configuration {
            Some(text) => {
                keep_text(&mut transaction, number, text).await?;
                hex_digest(text.as_bytes())
            }
            None => {
                let edits: Vec<(String,)> = sql("SELECT edit FROM version_edits WHERE version = $1 ORDER BY id")
                    .bind(number)
                    .fetch_all(&mut transaction)
                    .await?;
                chained(&before, edits.iter().map(|(edit,)| edit))
            }
        };
        sql("INSERT INTO versions (number, time_us, author, comment, digest) VALUES ($1, $2, $3, $4, $5)")
            .bind(number)
            .bind(now_us())
            .bind(version.author)
            .bind(version.comment)
            .bind(digest)
            .execute(&mut transaction)
            .await?;
        shorten_journal(&mut transaction, version.journal).await?;
        let comments = audit_comments(&mut transaction, number).await?;
        audit::insert(&mut transaction, &self.sealer, &comments).await?;
        forget_versions(&mut transaction, number - VERSIONS_MAX).await?;
        if let Some((id, record)) = job(from_db(number)) {
            jobs::put(&mut transaction, id, &record).await?;
        }
        audit::insert(&mut transaction, &self.sealer, version.audit).await?;
        transaction.commit().await?;
        Ok(from_db(number))
    }

    /// Appends edits and their config log lines, all or nothing. The number of the last edit, if there is one.
    pub(crate) async fn append_journal(&self, entries: &[&Entries]) -> sqlx::Result<Option<i64>> {
        let mut transaction = self.writer.begin().await?;
        let now = now_us();
        let mut last = None;
        let edits: Vec<_> =
            entries.iter().flat_map(|entries| entries.edits.iter().map(|edit| (&entries.author, edit))).collect();
        for rows in edits.chunks(ROWS_AT_ONCE) {
            let mut statement = sql("INSERT INTO journal (time_us, author, edit) VALUES ");
            for (index, (author, edit)) in rows.iter().enumerate() {
                statement.push(if index == 0 { "(" } else { ", (" }).push_bind(now);
                statement.push(", ").push_bind(*author).push(", ").push_bind(*edit).push(")");
            }
            statement.push(" RETURNING id");
            let numbers: Vec<(i64,)> = statement.fetch_all(&mut transaction).await?;
            last = numbers.into_iter().map(|(number,)| number).chain(last).max();
        }
        let lines: Vec<AuditLine> = entries.iter().flat_map(|entries| entries.audit.iter().cloned()).collect();
        audit::insert(&mut transaction, &self.sealer, &lines).await?;
        transaction.commit().await?;
        Ok(last)
    }

    /// Forgets edits: what they did to the candidate is undone.
    pub(crate) async fn forget_edits(&self, journal: JournalAfter<'_>, audit_lines: &[AuditLine]) -> sqlx::Result<()> {
        let mut transaction = self.writer.begin().await?;
        shorten_journal(&mut transaction, journal).await?;
        audit::insert(&mut transaction, &self.sealer, audit_lines).await?;
        transaction.commit().await
    }

    /// Number of the last edit; 0 without any.
    pub(crate) async fn journal_end(&self) -> sqlx::Result<i64> {
        sql("SELECT coalesce(max(id), 0) FROM journal").fetch_value(&self.writer).await
    }

    /// Who edited since the newest version.
    pub(crate) async fn journal_authors(&self) -> sqlx::Result<Vec<String>> {
        let rows: Vec<(String,)> =
            sql("SELECT DISTINCT author FROM journal ORDER BY author").fetch_all(&self.writer).await?;
        Ok(rows.into_iter().map(|(author,)| author).collect())
    }

    /// The edits up to this one, in order.
    pub(crate) async fn journal_until(&self, end: i64) -> sqlx::Result<Vec<JournalLine>> {
        sql("SELECT id, time_us, author, edit FROM journal WHERE id <= $1 ORDER BY id")
            .bind(end)
            .fetch_all(&self.writer)
            .await
    }

    /// The audit comments among the edits up to this one, in order.
    pub(crate) async fn audit_comments_until(&self, end: i64) -> sqlx::Result<Vec<JournalLine>> {
        sql("SELECT id, time_us, author, edit FROM journal WHERE id <= $1 \
             AND edit LIKE '{\"action\":\"audit-comment\",%' ORDER BY id")
        .bind(end)
        .fetch_all(&self.writer)
        .await
    }

    /// The first edits since the newest version, in order.
    pub(crate) async fn journal(&self, count_max: usize) -> sqlx::Result<Vec<JournalLine>> {
        sql("SELECT id, time_us, author, edit FROM journal ORDER BY id LIMIT $1")
            .bind(to_db(count_max as u64))
            .fetch_all(&self.writer)
            .await
    }
}

/// The lines of the config log that tell of the audit comments of a version.
async fn audit_comments(transaction: &mut Transaction, version: i64) -> sqlx::Result<Vec<AuditLine>> {
    // As an edit that is one is written down.
    let rows: Vec<(String, String)> = sql("SELECT author, edit FROM version_edits WHERE version = $1 \
         AND edit LIKE '{\"action\":\"audit-comment\",%' ORDER BY id")
    .bind(version)
    .fetch_all(transaction)
    .await?;
    let line = |(admin, edit): (String, String)| match serde_json::from_str(&edit) {
        Ok(Edit::AuditComment { xpath, comment }) => Some(AuditLine {
            admin,
            cmd: audit::AUDIT_COMMENT.to_owned(),
            path: xpath,
            result: "Succeeded".to_owned(),
            after: comment,
            config_version: version,
            ..AuditLine::default()
        }),
        Ok(_) | Err(_) => None,
    };
    Ok(rows.into_iter().filter_map(line).collect())
}

/// Numbers in one statement.
const NUMBERS_AT_ONCE: usize = 500;

/// Copies the edits that leave the journal into their version.
async fn take_edits(transaction: &mut Transaction, version: i64, journal: JournalAfter<'_>) -> sqlx::Result<()> {
    let copy = || {
        let mut statement = sql("INSERT INTO version_edits (version, id, time_us, author, edit) SELECT ");
        // A bare placeholder in a list of columns has no type on PostgreSQL.
        statement
            .push("CAST(")
            .push_bind(version)
            .push(" AS BIGINT), id, time_us, author, edit FROM journal WHERE id ");
        statement
    };
    match journal {
        JournalAfter::Beyond(end) => {
            let mut statement = copy();
            statement.push("<= ").push_bind(end);
            statement.execute(transaction).await?;
        }
        JournalAfter::Without(gone, _) => {
            for numbers in gone.chunks(NUMBERS_AT_ONCE) {
                let mut statement = copy();
                push_list(&mut statement, numbers);
                statement.execute(&mut *transaction).await?;
            }
        }
    }
    Ok(())
}

fn push_list(statement: &mut Statement, numbers: &[i64]) {
    for (index, number) in numbers.iter().enumerate() {
        statement.push(if index == 0 { "IN (" } else { ", " }).push_bind(*number);
    }
    statement.push(")");
}

async fn keep_text(transaction: &mut Transaction, version: i64, text: &str) -> sqlx::Result<()> {
    sql("INSERT INTO version_texts (version, digest, text) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(version)
        .bind(hex_digest(text.as_bytes()))
        .bind(text)
        .execute(transaction)
        .await?;
    Ok(())
}

/// Deletes versions up to this one that no device was pushed last and to which no kept version goes back.
pub(super) async fn forget_versions(transaction: &mut Transaction, end: i64) -> sqlx::Result<()> {
    if end <= 0 {
        return Ok(());
    }
    let old: Vec<(i64,)> =
        sql("SELECT number FROM versions WHERE number <= $1").bind(end).fetch_all(&mut *transaction).await?;
    let pushed: Vec<(i64,)> = sql("SELECT policy_version FROM devices WHERE policy_version IS NOT NULL \
         UNION SELECT template_version FROM devices WHERE template_version IS NOT NULL \
         UNION SELECT version FROM pending_pushes")
    .fetch_all(&mut *transaction)
    .await?;
    let texts: Vec<(i64,)> = sql("SELECT version FROM version_texts").fetch_all(&mut *transaction).await?;
    let texts: BTreeSet<i64> = texts.into_iter().map(|(version,)| version).collect();
    let wanted = pushed.into_iter().map(|(version,)| version).filter(|version| *version <= end);
    let needed: Vec<(i64, i64)> = wanted
        .chain([end + 1])
        .map(|version| (texts.range(..=version).next_back().copied().unwrap_or(version), version))
        .collect();
    for (number,) in old {
        if needed.iter().any(|(first, last)| (*first..=*last).contains(&number)) {
            continue;
        }
        for statement in [
            "DELETE FROM versions WHERE number = $1",
            "DELETE FROM version_texts WHERE version = $1",
            "DELETE FROM version_edits WHERE version = $1",
        ] {
            sql(statement).bind(number).execute(&mut *transaction).await?;
        }
    }
    Ok(())
}

async fn shorten_journal(transaction: &mut Transaction, journal: JournalAfter<'_>) -> sqlx::Result<()> {
    let (gone, added) = match journal {
        JournalAfter::Beyond(end) => {
            sql("DELETE FROM journal WHERE id <= $1").bind(end).execute(transaction).await?;
            return Ok(());
        }
        JournalAfter::Without(gone, added) => (gone, added),
    };
    for numbers in gone.chunks(NUMBERS_AT_ONCE) {
        let mut statement = sql("DELETE FROM journal WHERE id ");
        push_list(&mut statement, numbers);
        statement.execute(&mut *transaction).await?;
    }
    for line in added {
        sql("INSERT INTO journal (time_us, author, edit) VALUES ($1, $2, $3)")
            .bind(line.time_us)
            .bind(&line.author)
            .bind(&line.edit)
            .execute(&mut *transaction)
            .await?;
    }
    Ok(())
}

/// The digest of a version that is kept as edits.
fn chained<'e>(before: &str, edits: impl Iterator<Item = &'e String>) -> String {
    let mut digest = Sha256::new();
    digest.update(before);
    for edit in edits {
        digest.update((edit.len() as u64).to_be_bytes());
        digest.update(edit);
    }
    hex(&digest.finalize())
}

/// The text of a configuration, if it is still what was stored.
pub(super) fn checked(text: String, digest: &str, what: &str) -> anyhow::Result<String> {
    anyhow::ensure!(
        hex_digest(text.as_bytes()) == digest,
        "{what} in the database is damaged: its text does not have the digest `{digest}`; restore the database from a \
         backup"
    );
    Ok(text)
}
