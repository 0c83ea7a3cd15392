//! The database as a file in the data directory.
//!
//! All writes go through one connection with `synchronous=FULL`, so that what was answered as done is on
//! disk; reads have connections of their own and never wait for a writer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::READERS;
use super::db::{Reader, Writer};
use crate::files;

/// How long a statement waits for another process (a backup, `sqlite3`) to let go of the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The tables.
pub(crate) static MIGRATOR: Migrator = sqlx::migrate!("./migrations/sqlite");

/// The database's file.
pub(crate) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("manager.db")
}

/// How it is opened.
pub(crate) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
}

/// Opens the database in `data_dir`, makes it when it is missing, and brings its tables up to date. The way to
/// write, and the way to read.
pub(super) async fn open(data_dir: &Path) -> anyhow::Result<(Writer, Reader)> {
    let path = path(data_dir);
    // SQLite gives its other files (`-wal`, `-shm`) the mode of the database; those of an earlier run keep theirs.
    files::make_private_file(&path)?;
    for suffix in ["-wal", "-shm"] {
        let beside = data_dir.join(format!("manager.db{suffix}"));
        if beside.exists() {
            files::make_private_file(&beside)?;
        }
    }
    let options = options(&path);
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options.clone())
        .await
        .with_context(|| format!("cannot open the database `{}`", path.display()))?;
    MIGRATOR
        .run(&writer)
        .await
        .with_context(|| format!("cannot bring the database `{}` up to date", path.display()))?;
    let reader = SqlitePoolOptions::new().max_connections(READERS).connect_with(options.read_only(true)).await?;
    Ok((Writer::Sqlite(writer), Reader::Sqlite(reader)))
}
