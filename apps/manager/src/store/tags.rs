//! Which tags are kept for which addresses, and which clusters do they come from?

use super::Store;
use super::db::sql;

/// Rows that are written by one statement.
const ROWS: usize = 200;

/// The tags that a source has for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TagRow {
    /// Name of the cluster; empty for none.
    pub(crate) source: String,
    /// The address as text.
    pub(crate) address: String,
    /// JSON; without, the row goes.
    pub(crate) tags: Option<String>,
}

/// A cluster whose controller has been here.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct ClusterRow {
    /// Its name.
    pub(crate) name: String,
    /// The id of its tunnels; 0 for none.
    pub(crate) cluster_id: i64,
    /// Which process it is that tells.
    pub(crate) controller: String,
    /// Seconds after which its tags go when it is silent.
    pub(crate) ttl_s: i64,
    /// When it was heard last.
    pub(crate) seen_us: i64,
}

impl Store {
    /// All tags that are kept: source, address, JSON.
    pub(crate) async fn tags(&self) -> sqlx::Result<Vec<(String, String, String)>> {
        sql("SELECT source, address, tags FROM registered_tags").fetch_all(&self.writer).await
    }

    /// Keeps rows, or lets them go, all or none.
    pub(crate) async fn keep_tags(&self, rows: &[TagRow]) -> sqlx::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut transaction = self.writer.begin().await?;
        let kept: Vec<(&TagRow, &String)> =
            rows.iter().filter_map(|row| row.tags.as_ref().map(|tags| (row, tags))).collect();
        for rows in kept.chunks(ROWS) {
            let mut insert = sql("INSERT INTO registered_tags (source, address, tags) VALUES ");
            for (index, (row, tags)) in rows.iter().enumerate() {
                insert.push(if index == 0 { "(" } else { ", (" }).push_bind(&row.source);
                insert.push(", ").push_bind(&row.address).push(", ").push_bind(*tags).push(")");
            }
            insert.push(" ON CONFLICT (source, address) DO UPDATE SET tags = excluded.tags");
            insert.execute(&mut transaction).await?;
        }
        for row in rows.iter().filter(|row| row.tags.is_none()) {
            sql("DELETE FROM registered_tags WHERE source = $1 AND address = $2")
                .bind(&row.source)
                .bind(&row.address)
                .execute(&mut transaction)
                .await?;
        }
        transaction.commit().await
    }

    /// All clusters.
    pub(crate) async fn clusters(&self) -> sqlx::Result<Vec<ClusterRow>> {
        sql("SELECT name, cluster_id, controller, ttl_s, seen_us FROM kubernetes_clusters ORDER BY name")
            .fetch_all(&self.writer)
            .await
    }

    /// Keeps what is known of a cluster.
    pub(crate) async fn keep_cluster(&self, row: &ClusterRow) -> sqlx::Result<()> {
        sql("INSERT INTO kubernetes_clusters (name, cluster_id, controller, ttl_s, seen_us) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (name) DO UPDATE SET cluster_id = excluded.cluster_id, controller = excluded.controller, \
             ttl_s = excluded.ttl_s, seen_us = excluded.seen_us")
            .bind(&row.name)
            .bind(row.cluster_id)
            .bind(&row.controller)
            .bind(row.ttl_s)
            .bind(row.seen_us)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Forgets a cluster and its tags.
    pub(crate) async fn forget_cluster(&self, name: &str) -> sqlx::Result<()> {
        let mut transaction = self.writer.begin().await?;
        for statement in
            ["DELETE FROM registered_tags WHERE source = $1", "DELETE FROM kubernetes_clusters WHERE name = $1"]
        {
            sql(statement).bind(name).execute(&mut transaction).await?;
        }
        transaction.commit().await
    }

    /// Forgets the tags of a cluster.
    pub(crate) async fn drop_tags_of(&self, source: &str) -> sqlx::Result<()> {
        sql("DELETE FROM registered_tags WHERE source = $1").bind(source).execute(&self.writer).await?;
        Ok(())
    }
}
