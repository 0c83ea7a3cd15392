//! What survives a power cut?
//!
//! One database: SQLite in the data directory, or PostgreSQL. All writes go through one connection, and what
//! was answered as done is on disk; reads have connections of their own and never wait for a writer.

pub(crate) mod accounts;
pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod auth_keys;
pub(crate) mod db;
pub(crate) mod devices;
pub(crate) mod events;
pub(crate) mod incidents;
pub(crate) mod jobs;
pub(crate) mod lanes;
pub(crate) mod locks;
pub(crate) mod pending;
pub(crate) mod policies;
pub(crate) mod postgres;
pub(crate) mod pushes;
pub(crate) mod runs;
pub(crate) mod schedule_runs;
pub(crate) mod seal;
mod session;
pub(crate) mod side_versions;
pub(crate) mod slices;
pub(crate) mod snapshots;
pub(crate) mod sqlite;
pub(crate) mod tags;
mod together;
pub(crate) mod traffic;
pub(crate) mod versions;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use db::{Reader, Writer, sql};
pub use postgres::DatabaseUrl;
pub(crate) use postgres::{AUTHORITY, Member};
use pushes::Step;
use seal::Sealer;
use together::Together;

/// Connections that only read.
const READERS: u32 = 4;

/// The database.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    writer: Writer,
    reader: Reader,
    /// The key of the config log's seals.
    sealer: Sealer,
    /// Steps of pushes that wait for the disk.
    steps: Arc<Together<Step>>,
}

impl Store {
    /// Opens the database on a server, when this manager may lead there; without one that in `data_dir`.
    pub(crate) async fn open(data_dir: &Path, server: Option<Member<'_>>) -> anyhow::Result<Self> {
        let (writer, reader) = match server {
            Some(member) => postgres::open(&member).await?,
            None => sqlite::open(data_dir).await?,
        };
        let store = Self { writer, reader, sealer: Sealer::default(), steps: Arc::default() };
        store.complete_slices().await.context("cannot bring the traffic log up to date")?;
        Ok(store)
    }

    /// Returns when nothing can be written any more, which happens to a server's database only.
    pub(crate) async fn lost(&self) {
        self.writer.lost().await;
    }

    /// Waits for statements under way and closes the database.
    pub(crate) async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// A fact about the manager itself, made by `make` the first time it is asked for.
    pub(crate) async fn fact(&self, key: &str, make: impl FnOnce() -> String) -> sqlx::Result<String> {
        sql("INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(key)
            .bind(make())
            .execute(&self.writer)
            .await?;
        sql("SELECT value FROM meta WHERE key = $1").bind(key).fetch_value(&self.writer).await
    }
}

/// Microseconds since the Unix epoch, the database's clock.
pub(crate) fn now_us() -> i64 {
    Timestamp::now().as_microsecond()
}

/// SHA-256.
pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256, hex.
pub(crate) fn hex_digest(bytes: &[u8]) -> String {
    hex(&digest(bytes))
}

/// Two digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// SQL has no unsigned integers; counters beyond its largest one stay there.
pub(crate) fn to_db(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The way back from [`to_db`].
pub(crate) fn from_db(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests;
