//! All tables of a database, whichever it is: read at one moment, or filled in one transaction.
//!
//! The catalogue names them, so that a new table is part of a backup without a word here.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Column as _, ConnectOptions as _, Connection as _, FromRow, Row, TypeInfo as _};

use super::file::{Cell, Line};
use crate::store::db::{On, Statement, Value, sql};
use crate::store::{DatabaseUrl, postgres, slices, sqlite};

/// What a manager that makes or reads a backup is called at a server.
const NAME: &str = "bartizan-backup";
/// How often, and after how long again, the leader's lock is asked for: a server gives up the lock of a connection
/// only when it notices that its other end has gone, which on a busy one is some time after a manager stopped.
const TRIES: u32 = 50;
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// A table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Its name.
    pub(super) name: String,
    columns: Vec<(String, Kind)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Integer,
    Text,
    Bytes,
}

enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// A connection on which a transaction is open, or will be.
pub(super) struct Tables {
    connection: Connection,
    place: String,
}

impl Tables {
    /// The tables as they are at this moment.
    pub(super) async fn read_only(data_dir: &Path, database: Option<&DatabaseUrl>) -> anyhow::Result<Self> {
        let mut tables = match database {
            Some(url) => {
                let connection = Connection::Postgres(postgres::connect(url, &url.session(NAME)).await?);
                Self { connection, place: format!("the database `{url}`") }
            }
            None => {
                let path = sqlite::path(data_dir);
                ensure!(path.exists(), "there is no database `{}`", path.display());
                let connection = sqlite::options(&path).read_only(true).connect().await;
                let connection = connection.with_context(|| format!("cannot open `{}`", path.display()))?;
                Self { connection: Connection::Sqlite(connection), place: format!("the database `{}`", path.display()) }
            }
        };
        let begin = match tables.connection {
            Connection::Sqlite(_) => "BEGIN",
            Connection::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        sql(begin).execute(&mut tables.connection).await?;
        Ok(tables)
    }

    /// The tables of a database that nobody uses, of that version; made when they are missing.
    pub(super) async fn to_fill(data_dir: &Path, database: Option<&DatabaseUrl>, version: i64) -> anyhow::Result<Self> {
        let mut tables = match database {
            Some(url) => {
                let place = format!("the database `{url}`");
                let mut connection = postgres::connect(url, &url.session(NAME)).await?;
                ensure!(lead(&mut connection).await?, "a manager uses {place}: stop all that do first");
                brought_to(version, postgres::MIGRATOR.run_to(version, &mut connection).await, &postgres::MIGRATOR)?;
                Self { connection: Connection::Postgres(connection), place }
            }
            None => {
                let path = sqlite::path(data_dir);
                crate::files::make_private_file(&path)?;
                let connection = sqlite::options(&path).connect().await;
                let mut connection = connection.with_context(|| format!("cannot open `{}`", path.display()))?;
                brought_to(version, sqlite::MIGRATOR.run_to(version, &mut connection).await, &sqlite::MIGRATOR)?;
                Self { connection: Connection::Sqlite(connection), place: format!("the database `{}`", path.display()) }
            }
        };
        let found = tables.version().await?;
        ensure!(
            found == version,
            "{} has tables of version {found}, the backup those of version {version}: restore into an empty one",
            tables.place
        );
        Ok(tables)
    }

    /// What database it is.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Number of the last migration.
    pub(super) async fn version(&mut self) -> anyhow::Result<i64> {
        let version = sql("SELECT coalesce(max(version), 0) FROM _sqlx_migrations").fetch_value(&mut self.connection);
        version.await.with_context(|| format!("{} holds no manager's data", self.place))
    }

    /// All tables, by name.
    pub(super) async fn list(&mut self) -> anyhow::Result<Vec<Table>> {
        let columns = match self.connection {
            Connection::Sqlite(_) => {
                "SELECT t.name, c.name, c.type FROM sqlite_schema t, pragma_table_info(t.name) c \
                 WHERE t.type = 'table' ORDER BY t.name, c.cid"
            }
            Connection::Postgres(_) => {
                "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns \
                 WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position"
            }
        };
        let columns: Vec<(String, String, String)> = sql(columns).fetch_all(&mut self.connection).await?;
        let mut tables: Vec<Table> = Vec::new();
        for (table, column, kind) in columns {
            // The database's own, and the list of migrations.
            if table.starts_with("sqlite_") || table.starts_with("_sqlx_") {
                continue;
            }
            let kind =
                Kind::named(&kind).with_context(|| format!("column `{column}` of `{table}` is of type {kind}"))?;
            match tables.last_mut() {
                Some(last) if last.name == table => last.columns.push((column, kind)),
                _ => tables.push(Table { name: table, columns: vec![(column, kind)] }),
            }
        }
        Ok(tables)
    }

    /// Hands over the rows of a table; how many there were.
    pub(super) async fn rows(
        &mut self,
        table: &Table,
        mut each: impl FnMut(Vec<Cell>) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        let order = if table.columns.len() > 1 { "1, 2" } else { "1" };
        let mut select = sql("SELECT ");
        select.push(&table.column_list()).push(&format!(" FROM \"{}\" ORDER BY {order}", table.name));
        let mut count = 0;
        select
            .fetch_each(&mut self.connection, |Cells(cells)| {
                count += 1;
                each(cells).map_err(|error| sqlx::Error::Encode(error.into()))
            })
            .await
            .with_context(|| format!("cannot read the table `{}`", table.name))?;
        Ok(count)
    }

    /// Whether no table has a row.
    pub(super) async fn is_empty(&mut self, known: &[Table]) -> anyhow::Result<bool> {
        for table in known {
            let mut exists = sql("SELECT EXISTS (SELECT 1 FROM \"");
            exists.push(&table.name).push("\")");
            if exists.fetch_value::<bool>(&mut self.connection).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Begins the transaction that fills the tables, and empties them. Slices of the traffic log go.
    pub(super) async fn begin(&mut self, known: &[Table]) -> anyhow::Result<()> {
        sql("BEGIN").execute(&mut self.connection).await?;
        for table in known {
            let way = if slices::number_of(&table.name).is_some() { "DROP TABLE \"" } else { "DELETE FROM \"" };
            let mut empty = sql(way);
            empty.push(&table.name).push("\"");
            empty.execute(&mut self.connection).await?;
        }
        Ok(())
    }

    /// Makes the slice of the traffic log that has a table of that name, if there is none yet; its tables.
    pub(super) async fn make_slice(&mut self, name: &str) -> anyhow::Result<Vec<Table>> {
        let Some(number) = slices::number_of(name) else { return Ok(Vec::new()) };
        let postgres = matches!(self.connection, Connection::Postgres(_));
        for text in slices::tables(number, postgres).into_iter().chain(slices::indexes(number)) {
            let mut make = sql("");
            make.push(&text);
            make.execute(&mut self.connection).await?;
        }
        let tables = self.list().await?.into_iter();
        Ok(tables.filter(|table| slices::number_of(&table.name) == Some(number)).collect())
    }

    /// Adds rows.
    pub(super) async fn insert(&mut self, table: &Table, rows: Vec<Vec<Cell>>) -> anyhow::Result<()> {
        let Some(last) = rows.len().checked_sub(1) else {
            return Ok(());
        };
        let mut insert = sql("INSERT INTO \"");
        insert.push(&table.name).push("\" (").push(&table.column_list()).push(") VALUES ");
        for (index, row) in rows.into_iter().enumerate() {
            table.push_row(&mut insert, row)?;
            insert.push(if index == last { "" } else { ", " });
        }
        let done = insert.execute(&mut self.connection).await;
        done.map(drop).with_context(|| format!("cannot fill the table `{}`", table.name))
    }

    /// Makes it last. New rows get numbers above those that are there.
    pub(super) async fn commit(mut self, known: &[Table]) -> anyhow::Result<()> {
        if let Connection::Postgres(connection) = &mut self.connection {
            let numbered: Vec<(String, String)> =
                sql("SELECT table_name::text, column_name::text FROM information_schema.columns \
                 WHERE table_schema = current_schema() AND is_identity = 'YES'")
                .fetch_all(&mut *connection)
                .await?;
            for (table, column) in numbered.iter().filter(|(name, _)| known.iter().any(|table| table.name == *name)) {
                let mut set = sql("SELECT setval(pg_get_serial_sequence('\"");
                set.push(&format!(
                    "{table}\"', '{column}'), (SELECT coalesce(max(\"{column}\"), 0) + 1 FROM \"{table}\"), false)"
                ));
                set.execute(&mut *connection).await?;
            }
        }
        sql("COMMIT").execute(&mut self.connection).await?;
        match self.connection {
            Connection::Sqlite(connection) => connection.close().await?,
            Connection::Postgres(connection) => connection.close().await?,
        }
        Ok(())
    }
}

impl Table {
    /// The line before its rows.
    pub(super) fn head(&self) -> Line {
        Line::Table { table: self.name.clone(), columns: self.columns.iter().map(|(name, _)| name.clone()).collect() }
    }

    /// The same table with its columns in another order.
    pub(super) fn with_columns(&self, names: &[String]) -> anyhow::Result<Self> {
        let column = |name: &String| {
            let found = self.columns.iter().find(|(known, _)| known == name);
            found.cloned().with_context(|| format!("the table `{}` has no column `{name}`", self.name))
        };
        let columns: Vec<_> = names.iter().map(column).collect::<anyhow::Result<_>>()?;
        // Slices of the traffic log have had fewer.
        let may_be_fewer = slices::number_of(&self.name).is_some();
        let is_whole = may_be_fewer || columns.len() == self.columns.len();
        ensure!(is_whole, "columns of the table `{}` are missing in the backup", self.name);
        Ok(Self { name: self.name.clone(), columns })
    }

    fn column_list(&self) -> String {
        let mut list = String::new();
        for (index, (name, _)) in self.columns.iter().enumerate() {
            let _ = write!(list, "{}\"{name}\"", if index == 0 { "" } else { ", " });
        }
        list
    }

    fn push_row(&self, insert: &mut Statement, row: Vec<Cell>) -> anyhow::Result<()> {
        ensure!(row.len() == self.columns.len(), "a row of the table `{}` has {} fields", self.name, row.len());
        for (index, (cell, (name, kind))) in row.into_iter().zip(&self.columns).enumerate() {
            let value = kind.value(cell).with_context(|| format!("column `{name}` of `{}`", self.name))?;
            insert.push(if index == 0 { "(" } else { ", " }).push_bind(value);
        }
        insert.push(")");
        Ok(())
    }
}

impl Kind {
    /// As the two databases call it.
    fn named(name: &str) -> Option<Self> {
        match name {
            "INTEGER" | "INT8" | "bigint" => Some(Self::Integer),
            "TEXT" | "text" => Some(Self::Text),
            "BLOB" | "BYTEA" | "bytea" => Some(Self::Bytes),
            _ => None,
        }
    }

    fn value(self, cell: Cell) -> anyhow::Result<Value> {
        Ok(match (self, cell) {
            (Self::Integer, Cell::Null(())) => Value::Integer(None),
            (Self::Integer, Cell::Integer(number)) => Value::Integer(Some(number)),
            (Self::Text, Cell::Null(())) => Value::Text(None),
            (Self::Text, Cell::Text(text)) => Value::Text(Some(text)),
            (Self::Bytes, Cell::Null(())) => Value::Bytes(None),
            (Self::Bytes, Cell::Bytes { bytes }) => Value::Bytes(Some(BASE64_STANDARD.decode(bytes)?)),
            (_, cell) => bail!("{cell:?} is of another type"),
        })
    }
}

/// Whether the leader's lock is this connection's now.
async fn lead(connection: &mut PgConnection) -> sqlx::Result<bool> {
    for _ in 1..TRIES {
        if postgres::try_lead(connection).await? {
            return Ok(true);
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
    postgres::try_lead(connection).await
}

/// A row of any table.
struct Cells(Vec<Cell>);

impl<'r> FromRow<'r, SqliteRow> for Cells {
    fn from_row(row: &'r SqliteRow) -> sqlx::Result<Self> {
        let kinds = row.columns().iter().map(|column| Kind::named(column.type_info().name()));
        kinds.enumerate().map(|(index, kind)| cell(row, index, kind)).collect::<sqlx::Result<_>>().map(Self)
    }
}

impl<'r> FromRow<'r, PgRow> for Cells {
    fn from_row(row: &'r PgRow) -> sqlx::Result<Self> {
        let kinds = row.columns().iter().map(|column| Kind::named(column.type_info().name()));
        kinds.enumerate().map(|(index, kind)| cell(row, index, kind)).collect::<sqlx::Result<_>>().map(Self)
    }
}

fn cell<'r, R: Row>(row: &'r R, index: usize, kind: Option<Kind>) -> sqlx::Result<Cell>
where
    usize: sqlx::ColumnIndex<R>,
    Option<i64>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    Option<String>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    Option<Vec<u8>>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    let cell = match kind {
        Some(Kind::Integer) => row.try_get::<Option<i64>, _>(index)?.map(Cell::Integer),
        Some(Kind::Text) => row.try_get::<Option<String>, _>(index)?.map(Cell::Text),
        Some(Kind::Bytes) => {
            row.try_get::<Option<Vec<u8>>, _>(index)?.map(|bytes| Cell::Bytes { bytes: BASE64_STANDARD.encode(bytes) })
        }
        None => return Err(sqlx::Error::ColumnIndexOutOfBounds { index, len: index }),
    };
    Ok(cell.unwrap_or(Cell::Null(())))
}

fn brought_to(version: i64, done: Result<(), MigrateError>, migrator: &Migrator) -> anyhow::Result<()> {
    ensure!(
        migrator.version_exists(version),
        "the backup has tables of version {version}, which this program does not know: restore it with the version of \
         the program that made it, or a newer one"
    );
    done.context("cannot make the tables")
}

impl<'a> From<&'a mut Connection> for On<'a> {
    fn from(connection: &'a mut Connection) -> Self {
        match connection {
            Connection::Sqlite(connection) => Self::Sqlite(connection),
            Connection::Postgres(connection) => Self::Postgres(connection),
        }
    }
}

impl<'a> From<&'a mut PgConnection> for On<'a> {
    fn from(connection: &'a mut PgConnection) -> Self {
        Self::Postgres(connection)
    }
}
