//! The database on a PostgreSQL server.
//!
//! As with SQLite, all writes go through one connection, `session.rs`. It holds an advisory lock for as long as
//! it lives, so that the server itself sees to it that only one of several managers leads; the others wait here.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::Connection as _;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use tokio::time::timeout;

use super::READERS;
use super::db::{Reader, Writer};
use super::session::Session;

/// The tables.
pub(crate) static MIGRATOR: Migrator = sqlx::migrate!("./migrations/postgres");

/// The advisory lock of the manager that leads: "bartizan" in ASCII.
const LEADER_LOCK: i64 = 0x6261_7274_697a_616e;
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a manager that stands by asks whether it may lead.
const STANDBY_INTERVAL: Duration = Duration::from_millis(500);
/// What was answered as done is on the server's disk, whatever its default says; and a manager whose machine is gone
/// is noticed, and its lock free, within 11 s.
const SESSION: [(&str, &str); 4] = [
    ("synchronous_commit", "on"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
];
/// The fact about all managers of a database: the fingerprint of their authority.
pub(crate) const AUTHORITY: &str = "authority";

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

impl DatabaseUrl {
    /// How a connection is made that the others see under that name.
    pub(crate) fn session(&self, name: &str) -> PgConnectOptions {
        self.0.clone().application_name(name).options(SESSION)
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

/// One of the managers of a database, as the others see it.
#[derive(Clone, Debug)]
pub(crate) struct Member<'a> {
    /// The database.
    pub(crate) url: &'a DatabaseUrl,
    /// What the others call it: host and listen address.
    pub(crate) name: &'a str,
    /// Fingerprint of the authority in its data directory, if there is one.
    pub(crate) authority: Option<&'a str>,
}

/// Connects, waits until no other manager leads, and brings the tables up to date. The way to write, and the way
/// to read.
pub(super) async fn open(member: &Member<'_>) -> anyhow::Result<(Writer, Reader)> {
    let url = member.url;
    let options = url.session(member.name);
    let mut connection = connect(url, &options).await?;
    lead(member, &options, &mut connection).await?;
    MIGRATOR.run(&mut connection).await.with_context(|| format!("cannot bring the database `{url}` up to date"))?;
    let reader = PgPoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_with(options.options([("default_transaction_read_only", "on")]))
        .await?;
    Ok((Writer::Postgres(Session::new(connection)), Reader::Postgres(reader)))
}

/// Connects to a server that keeps what it is given.
pub(crate) async fn connect(url: &DatabaseUrl, options: &PgConnectOptions) -> anyhow::Result<PgConnection> {
    let connecting = async {
        let mut connection = PgConnection::connect_with(options).await?;
        examine(&mut connection).await?;
        Ok(connection)
    };
    timeout(CONNECT_TIMEOUT, connecting)
        .await
        .unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} s", CONNECT_TIMEOUT.as_secs())))
        .with_context(|| format!("cannot use the database `{url}`"))
}

/// Returns when the connection holds the lock of the one that leads.
async fn lead(member: &Member<'_>, options: &PgConnectOptions, connection: &mut PgConnection) -> anyhow::Result<()> {
    let mut known = None;
    loop {
        let asked = timeout(CONNECT_TIMEOUT, ask(member, connection)).await;
        match asked.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))) {
            Ok(Standing::Leads) => return Ok(()),
            Ok(Standing::Foreign(line)) => anyhow::bail!(line),
            Ok(Standing::Waits(leader)) if known.as_ref() == Some(&leader) => {}
            Ok(Standing::Waits(leader)) => {
                tracing::info!("standing by: `{leader}` leads the managers of the database `{}`", member.url);
                known = Some(leader);
            }
            Err(error) => {
                tracing::warn!("standing by, and the database does not answer: {error:#}");
                known = None;
                if let Ok(fresh) = connect(member.url, options).await {
                    *connection = fresh;
                }
            }
        }
        tokio::time::sleep(STANDBY_INTERVAL).await;
    }
}

/// What a manager that would lead is told.
enum Standing {
    /// It leads.
    Leads,
    /// Another one does.
    Waits(String),
    /// It is not one of them.
    Foreign(String),
}

/// Takes the leader's lock, if nobody has it.
pub(crate) async fn try_lead(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LEADER_LOCK).fetch_one(connection).await
}

async fn ask(member: &Member<'_>, connection: &mut PgConnection) -> anyhow::Result<Standing> {
    let leads = try_lead(connection).await?;
    let founded: bool =
        sqlx::query_scalar("SELECT to_regclass('meta') IS NOT NULL").fetch_one(&mut *connection).await?;
    if founded {
        let theirs: Option<String> = sqlx::query_scalar("SELECT value FROM meta WHERE key = $1")
            .bind(AUTHORITY)
            .fetch_optional(&mut *connection)
            .await?;
        if let Some(theirs) = theirs.filter(|theirs| member.authority != Some(theirs)) {
            return Ok(Standing::Foreign(format!(
                "the managers of the database `{}` have an authority with the fingerprint {theirs}: copy `pki/ca.pem` \
                 and `pki/ca.key` from the data directory of one of them",
                member.url
            )));
        }
    }
    if leads {
        return Ok(Standing::Leads);
    }
    // The halves of the key, as the server shows them.
    let leader: Option<String> = sqlx::query_scalar(
        "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) \
         WHERE locktype = 'advisory' AND granted AND classid::bigint = $1 >> 32 AND objid::bigint = $1 & 4294967295 \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .bind(LEADER_LOCK)
    .fetch_optional(connection)
    .await?;
    Ok(Standing::Waits(leader.unwrap_or_else(|| "a manager that just ends".to_owned())))
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
