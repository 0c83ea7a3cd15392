//! The database on a PostgreSQL server.
//!
//! As with SQLite, all writes go through one connection, `session.rs`. It holds an advisory lock for as long as
//! it lives, so that the server itself sees to it that no second manager writes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use tokio::time::timeout;

use super::READERS;
use super::db::{Reader, Writer};
use super::session::Session;

/// The advisory lock of the manager that writes: "bartizan" in ASCII.
const WRITER_LOCK: i64 = 0x6261_7274_697a_616e;
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the server is, and who we are there.
#[derive(Clone)]
pub struct DatabaseUrl(PgConnectOptions);

impl DatabaseUrl {
    /// Reads a URL such as `postgres://bartizan:secret@db.example/bartizan?sslmode=verify-full`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !(text.starts_with("postgres://") || text.starts_with("postgresql://")) {
            return Err("it takes a URL such as `postgres://user@host/database`; without the option the database is \
                        a file in the data directory"
                .to_owned());
        }
        let options = PgConnectOptions::from_str(text).map_err(|error| error.to_string())?;
        if options.get_database().is_none() {
            return Err(
                "the database is missing: write its name at the end, as in `postgres://user@host/bartizan`".to_owned()
            );
        }
        Ok(Self(options))
    }
}

/// Without the password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (self.0.get_host(), self.0.get_port());
        write!(formatter, "{}@{host}:{port}/{}", self.0.get_username(), self.0.get_database().unwrap_or_default())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DatabaseUrl({self})")
    }
}

/// Connects and brings the tables up to date. The way to write, and the way to read.
pub(super) async fn open(url: &DatabaseUrl) -> anyhow::Result<(Writer, Reader)> {
    // What was answered as done is on the server's disk, whatever its default says.
    let options = url.0.clone().application_name("bartizan-manager").options([("synchronous_commit", "on")]);
    let mut connection = timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options))
        .await
        .map_err(|_| anyhow::anyhow!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))
        .and_then(|connected| Ok(connected?))
        .with_context(|| format!("cannot connect to the database `{url}`"))?;
    examine(&mut connection).await.with_context(|| format!("cannot use the database `{url}`"))?;
    anyhow::ensure!(take_writer_lock(&mut connection).await?, "another manager uses the database `{url}`");
    sqlx::migrate!("./migrations/postgres")
        .run(&mut connection)
        .await
        .with_context(|| format!("cannot bring the database `{url}` up to date"))?;
    let reader = PgPoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_with(options.options([("default_transaction_read_only", "on")]))
        .await?;
    Ok((Writer::Postgres(Session::new(connection)), Reader::Postgres(reader)))
}

/// Whether the server keeps what it is given.
async fn examine(connection: &mut PgConnection) -> anyhow::Result<()> {
    let (encoding, fsync): (String, String) =
        sqlx::query_as("SELECT current_setting('server_encoding'), current_setting('fsync')")
            .fetch_one(connection)
            .await?;
    anyhow::ensure!(
        encoding == "UTF8",
        "its encoding is {encoding}, which cannot hold every name; make it with `CREATE DATABASE … ENCODING 'UTF8' \
         TEMPLATE template0`"
    );
    if fsync == "off" {
        tracing::warn!("the database server runs with `fsync=off`: a power cut may lose what was answered as done");
    }
    Ok(())
}

async fn take_writer_lock(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(WRITER_LOCK).fetch_one(connection).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_shown_without_its_password() {
        let url = DatabaseUrl::parse("postgres://bartizan:secret@db.example:5433/fleet").unwrap();
        assert_eq!(format!("{url} {url:?}").matches("bartizan@db.example:5433/fleet").count(), 2);
        assert!(!format!("{url:?}").contains("secret"));
        assert!(DatabaseUrl::parse("mysql://a/b").unwrap_err().starts_with("it takes a URL such as `postgres://"));
        assert!(DatabaseUrl::parse("postgres://db.example").unwrap_err().starts_with("the database is missing"));
    }
}
