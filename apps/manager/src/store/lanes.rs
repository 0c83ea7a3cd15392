//! How far has each way of log forwarding come?

use super::Store;
use super::db::sql;
use crate::logs::query::Log;

/// Lanes that are remembered; those that were used least lately make room.
const LANES_MAX: i64 = 1000;

impl Store {
    /// Numbers of the oldest and the newest record of a log; without any the newest is 0 and the oldest 1.
    pub(crate) async fn log_bounds(&self, log: Log) -> sqlx::Result<(i64, i64)> {
        let table = match log {
            Log::Traffic => "SELECT coalesce(min(first_id), 1), coalesce(max(last_id), 0) FROM sliced_logs",
            Log::Config => "SELECT coalesce(min(id), 1), coalesce(max(id), 0) FROM audit",
            Log::System | Log::Threat | Log::IpTag => {
                "SELECT coalesce(min(id), 1), coalesce(max(id), 0) FROM event_logs"
            }
        };
        sql(table).fetch_optional(&self.reader).await.map(|bounds| bounds.unwrap_or((1, 0)))
    }

    /// The last record that a lane looked at, and how many made room before.
    pub(crate) async fn lane(&self, name: &str) -> sqlx::Result<Option<(i64, i64)>> {
        sql("SELECT position, lost FROM forwarding WHERE lane = $1").bind(name).fetch_optional(&self.reader).await
    }

    /// Keeps both.
    pub(crate) async fn keep_lane(&self, name: &str, position: i64, lost: i64) -> sqlx::Result<()> {
        sql("INSERT INTO forwarding (lane, position, lost, used_us) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (lane) DO UPDATE SET position = excluded.position, lost = excluded.lost, used_us = excluded.used_us")
            .bind(name)
            .bind(position)
            .bind(lost)
            .bind(super::now_us())
            .execute(&self.writer)
            .await?;
        sql("DELETE FROM forwarding WHERE lane IN (SELECT lane FROM forwarding ORDER BY used_us DESC LIMIT 1000000 OFFSET $1)")
            .bind(LANES_MAX)
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}
