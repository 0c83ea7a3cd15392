//! What survives a power cut?
//!
//! One SQLite database in the data directory. All writes go through one connection with
//! `synchronous=FULL`, so that what was answered as done is on disk; reads have connections of their own
//! and never wait for a writer.

pub(crate) mod accounts;
pub(crate) mod audit;
pub(crate) mod auth_keys;
pub(crate) mod devices;
pub(crate) mod events;
pub(crate) mod jobs;
pub(crate) mod locks;
pub(crate) mod pushes;
pub(crate) mod snapshots;
pub(crate) mod traffic;
pub(crate) mod versions;

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use crate::files;

/// How long a statement waits for another process (a backup, `sqlite3`) to let go of the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that only read.
const READERS: u32 = 4;

/// The database.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    writer: SqlitePool,
    reader: SqlitePool,
}

impl Store {
    /// Opens the database in `data_dir`, makes it when it is missing, and brings its tables up to date.
    pub(crate) async fn open(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join("manager.db");
        // SQLite gives its other files (`-wal`, `-shm`) the mode of the database; those of an earlier run keep theirs.
        files::make_private_file(&path)?;
        for suffix in ["-wal", "-shm"] {
            let beside = data_dir.join(format!("manager.db{suffix}"));
            if beside.exists() {
                files::make_private_file(&beside)?;
            }
        }
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await
            .with_context(|| format!("cannot open the database `{}`", path.display()))?;
        sqlx::migrate!("./migrations")
            .run(&writer)
            .await
            .with_context(|| format!("cannot bring the database `{}` up to date", path.display()))?;
        let reader = SqlitePoolOptions::new().max_connections(READERS).connect_with(options.read_only(true)).await?;
        Ok(Self { writer, reader })
    }

    /// Waits for statements under way and closes the database.
    pub(crate) async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// A fact about the manager itself, made by `make` the first time it is asked for.
    pub(crate) async fn fact(&self, key: &str, make: impl FnOnce() -> String) -> sqlx::Result<String> {
        sqlx::query("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(key)
            .bind(make())
            .execute(&self.writer)
            .await?;
        sqlx::query_scalar("SELECT value FROM meta WHERE key = ?").bind(key).fetch_one(&self.writer).await
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
    let mut text = String::with_capacity(64);
    for byte in digest(bytes) {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// SQLite has no unsigned integers; counters beyond its largest one stay there.
pub(crate) fn to_db(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The way back from [`to_db`].
pub(crate) fn from_db(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
