//! Runs of playbooks, their steps, and the playbooks themselves.

use std::collections::BTreeMap;

use super::db::{Transaction, sql};
use super::incidents::{self, NewIncident};
use super::policies::{self, ClusterChange};
use super::{Store, now_us};

/// Runs that are kept; the oldest make room, with their steps.
pub(crate) const RUNS_MAX: i64 = 2000;
/// Versions of one playbook that are kept, besides those that runs are of.
const VERSIONS_MAX: i64 = 100;

/// A run.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct RunRow {
    /// Number.
    pub(crate) id: i64,
    /// Which cluster it is about.
    pub(crate) cluster: String,
    /// Which playbook.
    pub(crate) playbook: String,
    /// Which version of it.
    pub(crate) version: i64,
    /// `running`, `waiting`, `failed`, `done`, `superseded` or `rejected`.
    pub(crate) state: String,
    /// The task that is done, waits or failed.
    pub(crate) task: String,
    /// Whose change it is, or who asked for it.
    pub(crate) requester: String,
    /// JSON: what it is about.
    pub(crate) inputs: String,
    /// Since when.
    pub(crate) started_us: i64,
    /// Until when.
    pub(crate) finished_us: Option<i64>,
    /// Why it failed.
    pub(crate) error: String,
}

/// A task that was done once.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct StepRow {
    /// The run.
    pub(crate) run: i64,
    /// From 1.
    pub(crate) number: i64,
    /// The task.
    pub(crate) task: String,
    /// `running`, `waiting`, `failed` or `done`.
    pub(crate) state: String,
    /// JSON: what it was told.
    pub(crate) inputs: String,
    /// JSON: what came of it.
    pub(crate) outputs: String,
    /// Since when.
    pub(crate) started_us: i64,
    /// Until when.
    pub(crate) finished_us: Option<i64>,
    /// Why it failed.
    pub(crate) error: String,
}

/// A version of a playbook.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct PlaybookRow {
    /// Its name.
    pub(crate) name: String,
    /// From 1.
    pub(crate) version: i64,
    /// Who wrote it; empty for the program.
    pub(crate) author: String,
    /// When.
    pub(crate) time_us: i64,
    /// YAML.
    pub(crate) text: String,
}

/// A run that is to be made.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewRun {
    /// The cluster.
    pub(crate) cluster: String,
    /// The playbook.
    pub(crate) playbook: String,
    /// Its version.
    pub(crate) version: i64,
    /// Its first task.
    pub(crate) task: String,
    /// Whose change it is.
    pub(crate) requester: String,
    /// JSON.
    pub(crate) inputs: String,
    /// What it answers.
    pub(crate) incidents: Vec<NewIncident>,
    /// The run whose place it takes; 0 for none.
    pub(crate) instead_of: i64,
}

impl Store {
    /// Makes a run with its incidents, together with the change of the cluster that `change` makes of its number and the
    /// numbers of the incidents by their subjects.
    pub(crate) async fn begin_run(
        &self,
        new: &NewRun,
        change: impl FnOnce(i64, &BTreeMap<String, i64>) -> Option<ClusterChange>,
    ) -> sqlx::Result<i64> {
        let mut transaction = self.writer.begin().await?;
        let now = now_us();
        let run: i64 = sql("INSERT INTO automation_runs (cluster, playbook, version, state, task, requester, inputs, \
             started_us, error) VALUES ($1, $2, $3, 'running', $4, $5, $6, $7, '') RETURNING id")
        .bind(&new.cluster)
        .bind(&new.playbook)
        .bind(new.version)
        .bind(&new.task)
        .bind(&new.requester)
        .bind(&new.inputs)
        .bind(now)
        .fetch_value(&mut transaction)
        .await?;
        sql("UPDATE automation_runs SET state = 'superseded', finished_us = $1 WHERE cluster = $2 AND id <> $3 \
             AND state IN ('running', 'waiting', 'failed')")
        .bind(now)
        .bind(&new.cluster)
        .bind(run)
        .execute(&mut transaction)
        .await?;
        incidents::hand_over(&mut transaction, new.instead_of, run).await?;
        let numbers = incidents::open(&mut transaction, &new.cluster, run, &new.incidents).await?;
        if let Some(change) = change(run, &numbers) {
            policies::keep(&mut transaction, &change).await?;
        }
        sql("DELETE FROM automation_steps WHERE run <= $1").bind(run - RUNS_MAX).execute(&mut transaction).await?;
        sql("DELETE FROM automation_runs WHERE id <= $1").bind(run - RUNS_MAX).execute(&mut transaction).await?;
        transaction.commit().await?;
        Ok(run)
    }

    /// A run.
    pub(crate) async fn run(&self, id: i64) -> sqlx::Result<Option<RunRow>> {
        sql("SELECT * FROM automation_runs WHERE id = $1").bind(id).fetch_optional(&self.writer).await
    }

    /// Runs that are under way.
    pub(crate) async fn open_runs(&self) -> sqlx::Result<Vec<RunRow>> {
        sql("SELECT * FROM automation_runs WHERE state = 'running' ORDER BY id").fetch_all(&self.writer).await
    }

    /// Runs before a number, the newest first; those of one cluster or in one state, when it is named.
    pub(crate) async fn runs(
        &self,
        (cluster, state): (&str, &str),
        before: i64,
        count_max: i64,
    ) -> sqlx::Result<Vec<RunRow>> {
        sql("SELECT * FROM automation_runs WHERE id < $1 AND ($2 = '' OR cluster = $3) AND ($4 = '' OR state = $5) \
             ORDER BY id DESC LIMIT $6")
        .bind(before)
        .bind(cluster)
        .bind(cluster)
        .bind(state)
        .bind(state)
        .bind(count_max)
        .fetch_all(&self.writer)
        .await
    }

    /// What a run did, in order.
    pub(crate) async fn steps(&self, run: i64) -> sqlx::Result<Vec<StepRow>> {
        sql("SELECT * FROM automation_steps WHERE run = $1 ORDER BY number").bind(run).fetch_all(&self.writer).await
    }

    /// Writes down how far a run is: its row, and one of its steps, if it is told.
    pub(crate) async fn keep_run(&self, run: &RunRow, steps: &[&StepRow]) -> sqlx::Result<()> {
        let mut transaction = self.writer.begin().await?;
        keep(&mut transaction, run, steps).await?;
        transaction.commit().await
    }

    /// The newest version of every playbook.
    pub(crate) async fn playbooks(&self) -> sqlx::Result<Vec<PlaybookRow>> {
        sql("SELECT * FROM automation_playbooks AS one WHERE version = (SELECT max(version) FROM automation_playbooks \
             AS other WHERE other.name = one.name) ORDER BY name")
        .fetch_all(&self.writer)
        .await
    }

    /// Versions of a playbook, the newest first.
    pub(crate) async fn playbook_versions(&self, name: &str) -> sqlx::Result<Vec<PlaybookRow>> {
        sql("SELECT * FROM automation_playbooks WHERE name = $1 ORDER BY version DESC")
            .bind(name)
            .fetch_all(&self.writer)
            .await
    }

    /// A version of a playbook.
    pub(crate) async fn playbook(&self, name: &str, version: i64) -> sqlx::Result<Option<PlaybookRow>> {
        sql("SELECT * FROM automation_playbooks WHERE name = $1 AND version = $2")
            .bind(name)
            .bind(version)
            .fetch_optional(&self.writer)
            .await
    }

    /// Adds a version of a playbook; its number.
    pub(crate) async fn add_playbook(&self, name: &str, author: &str, text: &str) -> sqlx::Result<i64> {
        let mut transaction = self.writer.begin().await?;
        let newest: i64 = sql("SELECT coalesce(max(version), 0) FROM automation_playbooks WHERE name = $1")
            .bind(name)
            .fetch_value(&mut transaction)
            .await?;
        sql("INSERT INTO automation_playbooks (name, version, author, time_us, text) VALUES ($1, $2, $3, $4, $5)")
            .bind(name)
            .bind(newest + 1)
            .bind(author)
            .bind(now_us())
            .bind(text)
            .execute(&mut transaction)
            .await?;
        sql("DELETE FROM automation_playbooks WHERE name = $1 AND version <= $2 AND version NOT IN \
             (SELECT version FROM automation_runs WHERE playbook = $3)")
        .bind(name)
        .bind(newest + 1 - VERSIONS_MAX)
        .bind(name)
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        Ok(newest + 1)
    }
}

async fn keep(transaction: &mut Transaction, run: &RunRow, steps: &[&StepRow]) -> sqlx::Result<()> {
    sql("UPDATE automation_runs SET state = $1, task = $2, finished_us = $3, error = $4 WHERE id = $5")
        .bind(&run.state)
        .bind(&run.task)
        .bind(run.finished_us)
        .bind(&run.error)
        .bind(run.id)
        .execute(&mut *transaction)
        .await?;
    for step in steps {
        sql(
            "INSERT INTO automation_steps (run, number, task, state, inputs, outputs, started_us, finished_us, error) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (run, number) DO UPDATE SET \
             state = excluded.state, outputs = excluded.outputs, finished_us = excluded.finished_us, \
             error = excluded.error",
        )
        .bind(step.run)
        .bind(step.number)
        .bind(&step.task)
        .bind(&step.state)
        .bind(&step.inputs)
        .bind(&step.outputs)
        .bind(step.started_us)
        .bind(step.finished_us)
        .bind(&step.error)
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}
