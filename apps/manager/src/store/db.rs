//! How does one statement run on SQLite and on PostgreSQL?
//!
//! Statements are written once, with `$1` placeholders and the words that both know. What differs is here:
//! the pools, how a value is bound, and how rows are read.

use std::borrow::Cow;

use sqlx::postgres::{PgArguments, PgConnection, PgPool, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, FromRow, Postgres, SqlSafeStr as _, SqlStr, Sqlite};

use super::session::{Session, Unit};
use tokio_stream::StreamExt as _;

/// The way to read: connections to one of the two databases.
#[derive(Clone, Debug)]
pub(crate) enum Reader {
    /// A file in the data directory.
    Sqlite(SqlitePool),
    /// A server.
    Postgres(PgPool),
}

/// The way to write: the one connection that does.
#[derive(Clone, Debug)]
pub(crate) enum Writer {
    /// To a file.
    Sqlite(SqlitePool),
    /// To a server.
    Postgres(Session),
}

/// All or nothing; dropped without a commit it is undone.
pub(crate) enum Transaction {
    /// On a file.
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    /// On a server.
    Postgres(Unit),
}

/// Where a statement runs: on any connection of a pool, or within a transaction.
pub(crate) enum On<'a> {
    /// Any connection.
    SqlitePool(&'a SqlitePool),
    /// This connection.
    Sqlite(&'a mut SqliteConnection),
    /// Any connection.
    PostgresPool(&'a PgPool),
    /// This connection.
    Postgres(&'a mut PgConnection),
    /// This session, when it is free.
    Session(&'a Session),
    /// This session, which is ours.
    Unit(&'a mut Unit),
}

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A number, a time, a flag as 0 or 1.
    Integer(Option<i64>),
    /// Text.
    Text(Option<String>),
    /// Digests and address keys.
    Bytes(Option<Vec<u8>>),
}

/// What both databases' rows can be read as.
pub(crate) trait Read: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl<T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> Read for T {}

/// A statement with its values.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    text: Cow<'static, str>,
    values: Vec<Value>,
}

/// A statement, to be bound and run.
pub(crate) fn sql(text: &'static str) -> Statement {
    Statement { text: text.into(), values: Vec::new() }
}

/// Runs a statement where it belongs; `$query` and `$on` are of the one database or of the other.
macro_rules! run {
    ($statement:expr, $on:expr, |$query:ident, $executor:ident| $body:expr) => {
        match $on.into() {
            On::SqlitePool($executor) => {
                let $query = $statement.for_sqlite()?;
                $body
            }
            On::Sqlite($executor) => {
                let $query = $statement.for_sqlite()?;
                $body
            }
            On::PostgresPool($executor) => {
                let $query = $statement.for_postgres()?;
                $body
            }
            On::Postgres($executor) => {
                let $query = $statement.for_postgres()?;
                $body
            }
            On::Session(session) => {
                let mut unit = session.lock().await?;
                let $query = $statement.for_postgres()?;
                unit.run(async |$executor: &mut PgConnection| $body).await
            }
            On::Unit(unit) => {
                let $query = $statement.for_postgres()?;
                unit.run(async |$executor: &mut PgConnection| $body).await
            }
        }
    };
}

impl Statement {
    /// A statement that was put together before, with the values of its placeholders. No value that came from outside
    /// may stand in `text`.
    pub(crate) fn of(text: String, values: Vec<Value>) -> Self {
        Self { text: text.into(), values }
    }

    /// Gives the next placeholder its value.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Writes on. No value that came from outside may stand in `text`.
    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.to_mut().push_str(text);
        self
    }

    /// Writes a placeholder and gives it its value.
    pub(crate) fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        let placeholder = format!("${}", self.values.len());
        self.push(&placeholder)
    }

    /// As it is written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Runs it; how many rows it changed.
    pub(crate) async fn execute<'a>(self, on: impl Into<On<'a>>) -> sqlx::Result<u64> {
        run!(self, on, |query, executor| Ok(query.execute(executor).await?.rows_affected()))
    }

    /// Its only row.
    pub(crate) async fn fetch_one<'a, T: Read>(self, on: impl Into<On<'a>>) -> sqlx::Result<T> {
        run!(self, on, |query, executor| T::from_row(&query.fetch_one(executor).await?))
    }

    /// Its row, if there is one.
    pub(crate) async fn fetch_optional<'a, T: Read>(self, on: impl Into<On<'a>>) -> sqlx::Result<Option<T>> {
        run!(self, on, |query, executor| {
            query.fetch_optional(executor).await?.map(|row| T::from_row(&row)).transpose()
        })
    }

    /// All its rows.
    pub(crate) async fn fetch_all<'a, T: Read>(self, on: impl Into<On<'a>>) -> sqlx::Result<Vec<T>> {
        run!(self, on, |query, executor| query.fetch_all(executor).await?.iter().map(T::from_row).collect())
    }

    /// Hands over its rows one after the other.
    pub(crate) async fn fetch_each<'a, T: Read>(
        self,
        on: impl Into<On<'a>>,
        mut each: impl FnMut(T) -> sqlx::Result<()>,
    ) -> sqlx::Result<()> {
        run!(self, on, |query, executor| {
            let mut rows = query.fetch(executor);
            while let Some(row) = rows.next().await {
                each(T::from_row(&row?)?)?;
            }
            Ok(())
        })
    }

    /// The one column of its only row.
    pub(crate) async fn fetch_value<'a, T>(self, on: impl Into<On<'a>>) -> sqlx::Result<T>
    where
        (T,): Read,
    {
        Ok(self.fetch_one::<(T,)>(on).await?.0)
    }

    fn for_sqlite(self) -> sqlx::Result<sqlx::query::Query<'static, Sqlite, SqliteArguments>> {
        let mut arguments = SqliteArguments::default();
        for value in self.values {
            match value {
                Value::Integer(number) => arguments.add(number),
                Value::Text(text) => arguments.add(text),
                Value::Bytes(bytes) => arguments.add(bytes),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        let text = match self.text {
            Cow::Owned(text) => unnamed(&text, arguments.len()).unwrap_or(text).into(),
            text => text,
        };
        Ok(sqlx::query_with(safe(text), arguments))
    }

    fn for_postgres(self) -> sqlx::Result<sqlx::query::Query<'static, Postgres, PgArguments>> {
        let mut arguments = PgArguments::default();
        for value in self.values {
            match value {
                Value::Integer(number) => arguments.add(number),
                // PostgreSQL's text holds every character but this one, which a firewall's log could bring.
                Value::Text(Some(text)) if text.contains('\0') => arguments.add(text.replace('\0', "\u{fffd}")),
                Value::Text(text) => arguments.add(text),
                Value::Bytes(bytes) => arguments.add(bytes),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        Ok(sqlx::query_with(safe(self.text), arguments))
    }
}

/// The text with `?` for each `$1`, when each value is used once and in order. To SQLite `$1` is a name, which it looks
/// up among all others: a statement with a thousand values spends its time there.
fn unnamed(text: &str, values: usize) -> Option<String> {
    let mut unnamed = String::with_capacity(text.len());
    let mut parts = text.split('$');
    unnamed.push_str(parts.next()?);
    let mut found = 0;
    for part in parts {
        let end = part.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(part.len());
        found += 1;
        if part[..end].parse() != Ok(found) {
            return None;
        }
        unnamed.push('?');
        unnamed.push_str(&part[end..]);
    }
    (found == values).then_some(unnamed)
}

/// What is written here, or joined from what is, holds no value.
fn safe(text: Cow<'static, str>) -> SqlStr {
    match text {
        Cow::Borrowed(text) => text.into_sql_str(),
        Cow::Owned(text) => AssertSqlSafe(text).into_sql_str(),
    }
}

impl Writer {
    /// Begins a transaction.
    pub(crate) async fn begin(&self) -> sqlx::Result<Transaction> {
        Ok(match self {
            Self::Sqlite(pool) => Transaction::Sqlite(pool.begin().await?),
            Self::Postgres(session) => Transaction::Postgres(session.begin().await?),
        })
    }

    /// Returns when nothing can be written any more.
    pub(crate) async fn lost(&self) {
        match self {
            Self::Sqlite(_) => std::future::pending().await,
            Self::Postgres(session) => session.lost().await,
        }
    }

    /// Waits for the statement under way and closes the connection.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(session) => session.close().await,
        }
    }
}

impl Reader {
    /// Waits for statements under way and closes the connections.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Transaction {
    /// Makes it last.
    pub(crate) async fn commit(self) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            Self::Postgres(unit) => unit.commit().await,
        }
    }
}

impl<'a> From<&'a Reader> for On<'a> {
    fn from(reader: &'a Reader) -> Self {
        match reader {
            Reader::Sqlite(pool) => Self::SqlitePool(pool),
            Reader::Postgres(pool) => Self::PostgresPool(pool),
        }
    }
}

impl<'a> From<&'a Writer> for On<'a> {
    fn from(writer: &'a Writer) -> Self {
        match writer {
            Writer::Sqlite(pool) => Self::SqlitePool(pool),
            Writer::Postgres(session) => Self::Session(session),
        }
    }
}

impl<'a> From<&'a mut Transaction> for On<'a> {
    fn from(transaction: &'a mut Transaction) -> Self {
        match transaction {
            Transaction::Sqlite(transaction) => Self::Sqlite(transaction),
            Transaction::Postgres(unit) => Self::Unit(unit),
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(Some(number.into()))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Integer(number)
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(Some(text.clone()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Some(bytes.to_vec()))
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(bytes: [u8; N]) -> Self {
        Self::Bytes(Some(bytes.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_order_lose_their_numbers_and_others_keep_them() {
        assert_eq!(unnamed("a = $1 AND b IN ($2,$3)", 3).as_deref(), Some("a = ? AND b IN (?,?)"));
        assert_eq!(unnamed("a = $2 AND b = $1", 2), None);
        assert_eq!(unnamed("a = $1 AND b = $1", 1), None);
    }
}
