//! Running configurations by number, and the journal of edits since the newest.

use super::audit::{self, AuditLine};
use super::db::{Transaction, sql};
use super::{Store, from_db, hex_digest, jobs, now_us, to_db};

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
    /// SHA-256, hex, of the text.
    pub(crate) digest: String,
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

/// A version to be stored.
#[derive(Debug)]
pub(crate) struct NewVersion<'a> {
    /// Who commits.
    pub(crate) author: &'a str,
    /// The commit's description.
    pub(crate) comment: &'a str,
    /// The whole configuration.
    pub(crate) configuration: &'a str,
    /// What becomes of the journal.
    pub(crate) journal: JournalAfter<'a>,
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
    /// The newest version and its text.
    pub(crate) async fn newest_version(&self) -> anyhow::Result<Option<(u64, String)>> {
        let row: Option<(i64, String, String)> =
            sql("SELECT number, configuration, digest FROM versions ORDER BY number DESC LIMIT 1")
                .fetch_optional(&self.writer)
                .await?;
        row.map(|row| Ok((from_db(row.0), checked_text(row)?))).transpose()
    }

    /// The text of a version.
    pub(crate) async fn version(&self, number: u64) -> anyhow::Result<Option<String>> {
        let row: Option<(i64, String, String)> =
            sql("SELECT number, configuration, digest FROM versions WHERE number = $1")
                .bind(to_db(number))
                .fetch_optional(&self.reader)
                .await?;
        row.map(checked_text).transpose()
    }

    /// The newest versions, newest first.
    pub(crate) async fn versions(&self, count_max: u32) -> sqlx::Result<Vec<VersionLine>> {
        sql("SELECT number, time_us, author, comment, digest FROM versions ORDER BY number DESC LIMIT $1")
            .bind(count_max)
            .fetch_all(&self.reader)
            .await
    }

    /// Stores a version, drops the edits that are part of it and finishes the job, all or nothing.
    /// `job` makes the record of the job from the new number.
    pub(crate) async fn commit_version(
        &self,
        version: NewVersion<'_>,
        job: impl FnOnce(u64) -> Option<(u64, String)>,
    ) -> sqlx::Result<u64> {
        let mut transaction = self.writer.begin().await?;
        let newest: i64 = sql("SELECT coalesce(max(number), 0) FROM versions").fetch_value(&mut transaction).await?;
        let number = newest + 1;
        sql(
            "INSERT INTO versions (number, time_us, author, comment, digest, configuration) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(number)
        .bind(now_us())
        .bind(version.author)
        .bind(version.comment)
        .bind(hex_digest(version.configuration.as_bytes()))
        .bind(version.configuration)
        .execute(&mut transaction)
        .await?;
        shorten_journal(&mut transaction, version.journal).await?;
        sql("DELETE FROM versions WHERE number <= $1 - $2 AND number NOT IN \
             (SELECT policy_version FROM devices WHERE policy_version IS NOT NULL \
              UNION SELECT template_version FROM devices WHERE template_version IS NOT NULL)")
        .bind(number)
        .bind(VERSIONS_MAX)
        .execute(&mut transaction)
        .await?;
        if let Some((id, record)) = job(from_db(number)) {
            jobs::put(&mut transaction, id, &record).await?;
        }
        transaction.commit().await?;
        Ok(from_db(number))
    }

    /// Appends edits and their config log lines, all or nothing. Returns the number of the last edit.
    pub(crate) async fn append_journal(
        &self,
        author: &str,
        edits: &[String],
        audit_lines: &[AuditLine],
    ) -> sqlx::Result<i64> {
        let mut transaction = self.writer.begin().await?;
        let now = now_us();
        let mut last = 0;
        for edit in edits {
            last = sql("INSERT INTO journal (time_us, author, edit) VALUES ($1, $2, $3) RETURNING id")
                .bind(now)
                .bind(author)
                .bind(edit)
                .fetch_value(&mut transaction)
                .await?;
        }
        audit::insert(&mut transaction, &self.sealer, audit_lines).await?;
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

    /// The first edits since the newest version, in order.
    pub(crate) async fn journal(&self, count_max: usize) -> sqlx::Result<Vec<JournalLine>> {
        sql("SELECT id, time_us, author, edit FROM journal ORDER BY id LIMIT $1")
            .bind(to_db(count_max as u64))
            .fetch_all(&self.writer)
            .await
    }
}

/// Numbers in one statement.
const NUMBERS_AT_ONCE: usize = 500;

async fn shorten_journal(transaction: &mut Transaction, journal: JournalAfter<'_>) -> sqlx::Result<()> {
    let (gone, added) = match journal {
        JournalAfter::Beyond(end) => {
            sql("DELETE FROM journal WHERE id <= $1").bind(end).execute(transaction).await?;
            return Ok(());
        }
        JournalAfter::Without(gone, added) => (gone, added),
    };
    for numbers in gone.chunks(NUMBERS_AT_ONCE) {
        let mut statement = sql("DELETE FROM journal WHERE id IN (");
        for (index, number) in numbers.iter().enumerate() {
            statement.push(if index == 0 { "" } else { ", " }).push_bind(*number);
        }
        statement.push(")");
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

fn checked_text((number, text, digest): (i64, String, String)) -> anyhow::Result<String> {
    checked(text, &digest, &format!("version {number}"))
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
