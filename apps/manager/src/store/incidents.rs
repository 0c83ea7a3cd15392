//! What happened that a run answers or a person should, and what was done and said about it.

use std::collections::BTreeMap;

use super::db::{Transaction, sql};
use super::{Store, now_us};

/// Incidents that are kept; the oldest make room.
pub(crate) const INCIDENTS_MAX: i64 = 20_000;
/// Lines about one incident.
pub(crate) const LINES_MAX: i64 = 1000;
/// Incidents in one statement.
const ROWS: usize = 100;

/// An incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct IncidentRow {
    /// Number.
    pub(crate) id: i64,
    /// The cluster.
    pub(crate) cluster: String,
    /// `policy-created`, `policy-changed`, `policy-deleted`, `cluster-changed` or `drift`.
    pub(crate) r#type: String,
    /// `info`, `warning` or `error`.
    pub(crate) severity: String,
    /// `open`, `waiting`, `failed` or `closed`.
    pub(crate) status: String,
    /// Who takes care of it.
    pub(crate) owner: String,
    /// What it is about.
    pub(crate) subject: String,
    /// What is to be known.
    pub(crate) message: String,
    /// The run that answers it; 0 for none.
    pub(crate) run: i64,
    /// Since when.
    pub(crate) opened_us: i64,
    /// Until when.
    pub(crate) closed_us: Option<i64>,
}

/// One that is to be opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NewIncident {
    /// Its type.
    pub(crate) kind: &'static str,
    /// Its severity.
    pub(crate) severity: &'static str,
    /// What it is about.
    pub(crate) subject: String,
    /// What is to be known.
    pub(crate) message: String,
}

/// A line about an incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct TimelineRow {
    /// Number.
    pub(crate) id: i64,
    /// The incident.
    pub(crate) incident: i64,
    /// When.
    pub(crate) time_us: i64,
    /// Who.
    pub(crate) who: String,
    /// `comment`, `owner`, `severity` or `status`.
    pub(crate) kind: String,
    /// What was said, or what it became.
    pub(crate) text: String,
}

/// Opens incidents; their numbers by their subjects.
pub(super) async fn open(
    transaction: &mut Transaction,
    cluster: &str,
    run: i64,
    new: &[NewIncident],
) -> sqlx::Result<BTreeMap<String, i64>> {
    let mut numbers = BTreeMap::new();
    let now = now_us();
    for rows in new.chunks(ROWS) {
        let mut insert =
            sql("INSERT INTO automation_incidents (cluster, type, severity, status, owner, subject, message, \
             run, opened_us) VALUES ");
        for (index, one) in rows.iter().enumerate() {
            insert.push(if index == 0 { "(" } else { ", (" }).push_bind(cluster);
            insert.push(", ").push_bind(one.kind).push(", ").push_bind(one.severity).push(", 'open', '', ");
            insert.push_bind(&one.subject).push(", ").push_bind(&one.message).push(", ").push_bind(run);
            insert.push(", ").push_bind(now).push(")");
        }
        insert.push(" RETURNING id, subject");
        let rows: Vec<(i64, String)> = insert.fetch_all(&mut *transaction).await?;
        numbers.extend(rows.into_iter().map(|(id, subject)| (subject, id)));
    }
    if let Some(last) = numbers.values().max() {
        let oldest = last - INCIDENTS_MAX;
        sql("DELETE FROM automation_timeline WHERE incident <= $1").bind(oldest).execute(&mut *transaction).await?;
        sql("DELETE FROM automation_incidents WHERE id <= $1").bind(oldest).execute(&mut *transaction).await?;
    }
    Ok(numbers)
}

/// What another run left open is this one's.
pub(super) async fn hand_over(transaction: &mut Transaction, from: i64, to: i64) -> sqlx::Result<()> {
    if from == 0 {
        return Ok(());
    }
    sql("UPDATE automation_incidents SET run = $1, status = 'open' WHERE run = $2 AND status <> 'closed'")
        .bind(to)
        .bind(from)
        .execute(transaction)
        .await?;
    Ok(())
}

impl Store {
    /// Opens one that no run answers; its number.
    pub(crate) async fn open_incident(&self, cluster: &str, new: NewIncident) -> sqlx::Result<i64> {
        let mut transaction = self.writer.begin().await?;
        let numbers = open(&mut transaction, cluster, 0, &[new]).await?;
        transaction.commit().await?;
        Ok(numbers.into_values().next().unwrap_or_default())
    }

    /// The open incidents of a run become that; `message` is only for those that have none.
    pub(crate) async fn settle_incidents(
        &self,
        run: i64,
        (status, severity): (&str, Option<&str>),
        message: &str,
    ) -> sqlx::Result<()> {
        let closed = (status == "closed").then(now_us);
        sql("UPDATE automation_incidents SET status = $1, severity = coalesce($2, severity), closed_us = $3, \
             message = CASE WHEN $4 = '' THEN message ELSE $5 END WHERE run = $6 AND status <> 'closed'")
        .bind(status)
        .bind(severity)
        .bind(closed)
        .bind(message)
        .bind(message)
        .bind(run)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Incidents of policies that have a fault: they stay open when their run is done.
    pub(crate) async fn fail_incidents(&self, faults: &[(i64, String)]) -> sqlx::Result<()> {
        if faults.is_empty() {
            return Ok(());
        }
        let mut transaction = self.writer.begin().await?;
        for (id, message) in faults {
            sql("UPDATE automation_incidents SET status = 'failed', severity = 'error', message = $1, run = 0 WHERE id = $2 \
                 AND status <> 'closed'")
            .bind(message)
            .bind(*id)
            .execute(&mut transaction)
            .await?;
        }
        transaction.commit().await
    }

    /// Closes what is open about a subject, but one.
    pub(crate) async fn close_older(&self, cluster: &str, subjects: &[String], before: i64) -> sqlx::Result<()> {
        let now = now_us();
        for subject in subjects {
            sql(
                "UPDATE automation_incidents SET status = 'closed', closed_us = $1 WHERE cluster = $2 AND subject = $3 \
                 AND status <> 'closed' AND run = 0 AND id < $4",
            )
            .bind(now)
            .bind(cluster)
            .bind(subject)
            .bind(before)
            .execute(&self.writer)
            .await?;
        }
        Ok(())
    }

    /// One of them.
    pub(crate) async fn incident(&self, id: i64) -> sqlx::Result<Option<IncidentRow>> {
        sql("SELECT * FROM automation_incidents WHERE id = $1").bind(id).fetch_optional(&self.writer).await
    }

    /// Incidents before a number, the newest first; those of one cluster or status, when it is named.
    pub(crate) async fn incidents(
        &self,
        (cluster, status): (&str, &str),
        before: i64,
        count_max: i64,
    ) -> sqlx::Result<Vec<IncidentRow>> {
        sql("SELECT * FROM automation_incidents WHERE id < $1 AND ($2 = '' OR cluster = $3) AND ($4 = '' OR status = $5) \
             ORDER BY id DESC LIMIT $6")
        .bind(before)
        .bind(cluster)
        .bind(cluster)
        .bind(status)
        .bind(status)
        .bind(count_max)
        .fetch_all(&self.writer)
        .await
    }

    /// What was done and said about one, in order.
    pub(crate) async fn timeline(&self, incident: i64) -> sqlx::Result<Vec<TimelineRow>> {
        sql("SELECT * FROM automation_timeline WHERE incident = $1 ORDER BY id")
            .bind(incident)
            .fetch_all(&self.writer)
            .await
    }

    /// Adds lines about an incident and makes it what they say. `false`: there is no such incident, or no room.
    pub(crate) async fn note_incident(&self, changed: &IncidentRow, lines: &[TimelineRow]) -> sqlx::Result<bool> {
        let mut transaction = self.writer.begin().await?;
        let count: i64 = sql("SELECT count(*) FROM automation_timeline WHERE incident = $1")
            .bind(changed.id)
            .fetch_value(&mut transaction)
            .await?;
        if count >= LINES_MAX {
            return Ok(false);
        }
        let done =
            sql("UPDATE automation_incidents SET severity = $1, status = $2, owner = $3, closed_us = $4 WHERE id = $5")
                .bind(&changed.severity)
                .bind(&changed.status)
                .bind(&changed.owner)
                .bind(changed.closed_us)
                .bind(changed.id)
                .execute(&mut transaction)
                .await?;
        for line in lines {
            sql("INSERT INTO automation_timeline (incident, time_us, who, kind, text) VALUES ($1, $2, $3, $4, $5)")
                .bind(line.incident)
                .bind(line.time_us)
                .bind(&line.who)
                .bind(&line.kind)
                .bind(&line.text)
                .execute(&mut transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(done == 1)
    }
}
