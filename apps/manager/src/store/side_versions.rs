//! What did devices get that is no version: one without the edits of some administrators?
//!
//! Kept while a device has it, or may come back to it. The number tells which version it is but for those edits.

use super::db::sql;
use super::versions::checked;
use super::{Store, hex_digest};

/// The lowest bits of a number hold the version.
const VERSION_BITS: u32 = 32;

/// A version without some of the edits that led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SideVersion {
    /// Edits that were left out are of later versions.
    pub(crate) origin: i64,
    /// Numbers of the edits that were left out.
    pub(crate) left_out: Vec<i64>,
    /// The configuration.
    pub(crate) text: String,
}

/// An edit that was committed.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct CommittedEdit {
    /// With which version.
    pub(crate) version: i64,
    /// Its number in the journal.
    pub(crate) id: i64,
    /// When it was made.
    pub(crate) time_us: i64,
    /// By whom.
    pub(crate) author: String,
    /// The edit as JSON.
    pub(crate) edit: String,
}

/// The version that a number means, whole or without some edits.
pub(crate) fn version_of(number: i64) -> i64 {
    number & ((1 << VERSION_BITS) - 1)
}

/// Whether a number is of a version without some edits.
pub(crate) fn is_side(number: i64) -> bool {
    number >> VERSION_BITS != 0
}

impl Store {
    /// Keeps one; its number. What nobody has any more is forgotten.
    pub(crate) async fn add_side_version(&self, version: i64, side: &SideVersion) -> anyhow::Result<i64> {
        let mut transaction = self.writer.begin().await?;
        let newest: i64 =
            sql("SELECT coalesce(max(number), 0) FROM side_versions").fetch_value(&mut transaction).await?;
        // The newest one stays, so that no number is given twice.
        sql("DELETE FROM side_versions WHERE number < $1 AND number NOT IN (\
             SELECT coalesce(policy_version, 0) FROM devices UNION SELECT coalesce(template_version, 0) FROM devices \
             UNION SELECT policy_version FROM pushes UNION SELECT template_version FROM pushes \
             UNION SELECT coalesce(policy_before, 0) FROM pushes UNION SELECT coalesce(template_before, 0) FROM pushes)")
        .bind(newest)
        .execute(&mut transaction)
        .await?;
        let number = (((newest >> VERSION_BITS) + 1) << VERSION_BITS) | version;
        sql("INSERT INTO side_versions (number, origin, left_out, digest, text) VALUES ($1, $2, $3, $4, $5)")
            .bind(number)
            .bind(side.origin)
            .bind(serde_json::to_string(&side.left_out)?)
            .bind(hex_digest(side.text.as_bytes()))
            .bind(&side.text)
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(number)
    }

    /// One of them.
    pub(crate) async fn side_version(&self, number: i64) -> anyhow::Result<Option<SideVersion>> {
        let row: Option<(i64, String, String, String)> =
            sql("SELECT origin, left_out, digest, text FROM side_versions WHERE number = $1")
                .bind(number)
                .fetch_optional(&self.writer)
                .await?;
        let Some((origin, left_out, digest, text)) = row else { return Ok(None) };
        let text = checked(text, &digest, &format!("version {number}"))?;
        Ok(Some(SideVersion { origin, left_out: serde_json::from_str(&left_out)?, text }))
    }

    /// From which version on it lacks edits, and which; its text stays where it is.
    pub(crate) async fn side_standing(&self, number: i64) -> anyhow::Result<Option<(i64, Vec<i64>)>> {
        let row: Option<(i64, String)> = sql("SELECT origin, left_out FROM side_versions WHERE number = $1")
            .bind(number)
            .fetch_optional(&self.writer)
            .await?;
        let Some((origin, left_out)) = row else { return Ok(None) };
        Ok(Some((origin, serde_json::from_str(&left_out)?)))
    }

    /// Committed edits with numbers from the one to the other, in order.
    pub(crate) async fn committed_edits_within(&self, first: i64, last: i64) -> sqlx::Result<Vec<CommittedEdit>> {
        sql("SELECT version, id, time_us, author, edit FROM version_edits WHERE id >= $1 AND id <= $2 \
             ORDER BY version, id")
        .bind(first)
        .bind(last)
        .fetch_all(&self.writer)
        .await
    }

    /// The numbers of an administrator's committed edits, from the one to the other.
    pub(crate) async fn committed_by(&self, author: &str, first: i64, last: i64) -> sqlx::Result<Vec<i64>> {
        let rows: Vec<(i64,)> = sql("SELECT id FROM version_edits WHERE id >= $1 AND id <= $2 AND author = $3")
            .bind(first)
            .bind(last)
            .bind(author)
            .fetch_all(&self.writer)
            .await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Edits of the versions behind `after` up to `until`, in order; the last ones when they are more than `count_max`.
    pub(crate) async fn committed_edits(
        &self,
        after: i64,
        until: i64,
        count_max: usize,
    ) -> sqlx::Result<Vec<CommittedEdit>> {
        let mut edits: Vec<CommittedEdit> = sql("SELECT version, id, time_us, author, edit FROM version_edits \
             WHERE version > $1 AND version <= $2 ORDER BY version DESC, id DESC LIMIT $3")
        .bind(after)
        .bind(until)
        .bind(super::to_db(count_max as u64))
        .fetch_all(&self.writer)
        .await?;
        edits.reverse();
        Ok(edits)
    }

    /// Edits in which a name occurs, before the one with number `before`, the newest first.
    pub(crate) async fn edits_that_name(
        &self,
        name: &str,
        before: i64,
        count_max: usize,
    ) -> sqlx::Result<Vec<CommittedEdit>> {
        // As it stands within the JSON of an edit.
        let quoted = serde_json::to_string(name).unwrap_or_default();
        let mut pattern = String::from("%");
        for letter in quoted.trim_matches('"').chars() {
            if matches!(letter, '%' | '_' | '!') {
                pattern.push('!');
            }
            pattern.push(letter);
        }
        pattern.push('%');
        sql("SELECT version, id, time_us, author, edit FROM version_edits WHERE id < $1 AND edit LIKE $2 ESCAPE '!' \
             ORDER BY id DESC LIMIT $3")
        .bind(before)
        .bind(pattern)
        .bind(super::to_db(count_max as u64))
        .fetch_all(&self.reader)
        .await
    }

    /// The first version behind `after` up to `until` whose edits are not known.
    pub(crate) async fn version_without_edits(&self, after: i64, until: i64) -> sqlx::Result<Option<i64>> {
        let known: i64 = sql("SELECT count(*) FROM versions WHERE number > $1 AND number <= $2")
            .bind(after)
            .bind(until)
            .fetch_value(&self.writer)
            .await?;
        if known != until - after {
            return Ok(Some(after + 1));
        }
        let row: Option<(i64,)> = sql("SELECT number FROM versions WHERE number > $1 AND number <= $2 \
             AND EXISTS (SELECT 1 FROM version_texts WHERE version = number) \
             AND NOT EXISTS (SELECT 1 FROM version_edits WHERE version = number) ORDER BY number LIMIT 1")
        .bind(after)
        .bind(until)
        .fetch_optional(&self.writer)
        .await?;
        Ok(row.map(|(number,)| number))
    }
}
