//! What do clusters want by their policies, and what became of each policy?

use super::Store;
use super::db::{Transaction, sql};

/// Rows that are written by one statement.
const ROWS: usize = 100;

/// What a cluster wants.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct PolicyClusterRow {
    /// Its name.
    pub(crate) name: String,
    /// Another one after every change.
    pub(crate) version: i64,
    /// JSON.
    pub(crate) told: String,
    /// Who told it.
    pub(crate) told_by: String,
    /// When.
    pub(crate) told_us: i64,
    /// JSON: what was taken up last.
    pub(crate) taken: Option<String>,
    /// Who had told that.
    pub(crate) taken_by: String,
    /// Digest of the settings and the catalogue that were used then.
    pub(crate) basis: String,
    /// The state that is enforced everywhere.
    pub(crate) enforced_digest: String,
    /// The device group with the generated objects.
    pub(crate) placed: String,
    /// The version of the configuration that a run committed last.
    pub(crate) committed: i64,
    /// The run that brings it about.
    pub(crate) run: i64,
    /// JSON: what somebody edited and stays so.
    pub(crate) kept: String,
}

/// What becomes of one of the two large texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Text {
    /// It stays as it is.
    #[default]
    Same,
    /// It becomes this.
    New(String),
    /// It becomes what was told, as that is then.
    AsTold,
}

/// A change of what is known of a cluster. Its texts are large, so they are written only when they changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClusterChange {
    /// Its name.
    pub(crate) name: String,
    /// Its version after the change.
    pub(crate) version: i64,
    /// What was told.
    pub(crate) told: Text,
    /// Who told it.
    pub(crate) told_by: String,
    /// When.
    pub(crate) told_us: i64,
    /// What was taken up.
    pub(crate) taken: Text,
    /// Who had told that.
    pub(crate) taken_by: String,
    /// Digest of settings and catalogue.
    pub(crate) basis: String,
    /// The state that is enforced everywhere.
    pub(crate) enforced_digest: String,
    /// The device group with the generated objects.
    pub(crate) placed: String,
    /// The version that a run committed last.
    pub(crate) committed: i64,
    /// The run.
    pub(crate) run: i64,
    /// JSON: what somebody edited and stays so.
    pub(crate) kept: String,
    /// Policies that changed: kind, namespace, name, and JSON; without, the row goes.
    pub(crate) states: Vec<(String, String, String, Option<String>)>,
    /// Groups that changed: tag, and JSON with whether a firewall may have rules of it; without, the row goes.
    pub(crate) groups: Vec<(String, Option<(String, bool)>)>,
}

impl Store {
    /// All clusters that told policies.
    pub(crate) async fn policy_clusters(&self) -> sqlx::Result<Vec<PolicyClusterRow>> {
        sql("SELECT * FROM policy_clusters ORDER BY name").fetch_all(&self.writer).await
    }

    /// All policies: cluster, kind, namespace, name, JSON.
    pub(crate) async fn policy_states(&self) -> sqlx::Result<Vec<(String, String, String, String, String)>> {
        sql("SELECT cluster, kind, namespace, name, state FROM policy_states").fetch_all(&self.writer).await
    }

    /// All groups: cluster, tag, JSON, whether a firewall may have rules of it.
    pub(crate) async fn policy_groups(&self) -> sqlx::Result<Vec<(String, String, String, i64)>> {
        sql("SELECT cluster, tag, members, in_force FROM policy_groups").fetch_all(&self.writer).await
    }

    /// Forgets a cluster.
    pub(crate) async fn forget_policies(&self, cluster: &str) -> sqlx::Result<()> {
        let mut transaction = self.writer.begin().await?;
        for statement in [
            "DELETE FROM policy_states WHERE cluster = $1",
            "DELETE FROM policy_groups WHERE cluster = $1",
            "DELETE FROM policy_clusters WHERE name = $1",
        ] {
            sql(statement).bind(cluster).execute(&mut transaction).await?;
        }
        transaction.commit().await
    }

    /// Writes a change down.
    pub(crate) async fn keep_policies(&self, change: &ClusterChange) -> sqlx::Result<()> {
        let mut transaction = self.writer.begin().await?;
        keep(&mut transaction, change).await?;
        transaction.commit().await
    }
}

/// Writes a change down within a transaction of the caller.
pub(super) async fn keep(transaction: &mut Transaction, change: &ClusterChange) -> sqlx::Result<()> {
    if let Text::New(told) = &change.told {
        sql("INSERT INTO policy_clusters (name, version, told, told_by, told_us, taken_by, basis, enforced_digest, placed, \
             committed, run) VALUES ($1, 0, $2, '', 0, '', '', '', '', 0, 0) ON CONFLICT (name) DO UPDATE SET told = excluded.told")
        .bind(&change.name)
        .bind(told)
        .execute(&mut *transaction)
        .await?;
    }
    sql("UPDATE policy_clusters SET version = $1, told_by = $2, told_us = $3, taken_by = $4, basis = $5, \
         enforced_digest = $6, placed = $7, committed = $8, run = $9, kept = $10 WHERE name = $11")
    .bind(change.version)
    .bind(&change.told_by)
    .bind(change.told_us)
    .bind(&change.taken_by)
    .bind(&change.basis)
    .bind(&change.enforced_digest)
    .bind(&change.placed)
    .bind(change.committed)
    .bind(change.run)
    .bind(&change.kept)
    .bind(&change.name)
    .execute(&mut *transaction)
    .await?;
    match &change.taken {
        Text::Same => {}
        Text::AsTold => {
            let taken = sql("UPDATE policy_clusters SET taken = told WHERE name = $1").bind(&change.name);
            taken.execute(&mut *transaction).await?;
        }
        Text::New(taken) => {
            let new = sql("UPDATE policy_clusters SET taken = $1 WHERE name = $2").bind(taken).bind(&change.name);
            new.execute(&mut *transaction).await?;
        }
    }
    let kept: Vec<_> = change
        .states
        .iter()
        .filter_map(|(kind, space, name, state)| Some((kind, space, name, state.as_ref()?)))
        .collect();
    for rows in kept.chunks(ROWS) {
        let mut insert = sql("INSERT INTO policy_states (cluster, kind, namespace, name, state) VALUES ");
        for (index, (kind, namespace, name, state)) in rows.iter().enumerate() {
            insert.push(if index == 0 { "(" } else { ", (" }).push_bind(&change.name).push(", ").push_bind(*kind);
            insert.push(", ").push_bind(*namespace).push(", ").push_bind(*name).push(", ").push_bind(*state).push(")");
        }
        insert.push(" ON CONFLICT (cluster, kind, namespace, name) DO UPDATE SET state = excluded.state");
        insert.execute(&mut *transaction).await?;
    }
    for (kind, namespace, name, _) in change.states.iter().filter(|(.., state)| state.is_none()) {
        sql("DELETE FROM policy_states WHERE cluster = $1 AND kind = $2 AND namespace = $3 AND name = $4")
            .bind(&change.name)
            .bind(kind)
            .bind(namespace)
            .bind(name)
            .execute(&mut *transaction)
            .await?;
    }
    keep_groups(transaction, change).await
}

async fn keep_groups(transaction: &mut Transaction, change: &ClusterChange) -> sqlx::Result<()> {
    let kept: Vec<_> = change.groups.iter().filter_map(|(tag, group)| Some((tag, group.as_ref()?))).collect();
    for rows in kept.chunks(ROWS) {
        let mut insert = sql("INSERT INTO policy_groups (cluster, tag, members, in_force) VALUES ");
        for (index, (tag, (members, in_force))) in rows.iter().enumerate() {
            insert.push(if index == 0 { "(" } else { ", (" }).push_bind(&change.name).push(", ").push_bind(*tag);
            insert.push(", ").push_bind(members).push(", ").push_bind(i64::from(*in_force)).push(")");
        }
        insert
            .push(" ON CONFLICT (cluster, tag) DO UPDATE SET members = excluded.members, in_force = excluded.in_force");
        insert.execute(&mut *transaction).await?;
    }
    for (tag, _) in change.groups.iter().filter(|(_, group)| group.is_none()) {
        let gone = sql("DELETE FROM policy_groups WHERE cluster = $1 AND tag = $2").bind(&change.name).bind(tag);
        gone.execute(&mut *transaction).await?;
    }
    Ok(())
}
