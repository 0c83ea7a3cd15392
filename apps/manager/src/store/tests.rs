//! The two databases beside each other.

use std::time::Duration;

use bartizan_api::fleet::log_record::Line;
use bartizan_api::fleet::{LogRecord, TrafficLog};
use bartizan_lab::postgres::{Durability, Postgres};

use tokio::time::timeout;

use super::db::sql;
use super::traffic::{LogBatch, LogsStored};
use super::versions::{Entries, JournalAfter, Kept, NewVersion};
use super::{AUTHORITY, DatabaseUrl, Member, Store};
use crate::logs::filter::Filter;
use crate::logs::query::{Log, Query};

/// Who holds the leader's lock, as the server shows it.
const LEADER: &str =
    "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory'";

fn member<'a>(url: &'a DatabaseUrl, name: &'a str) -> Member<'a> {
    Member { url, name, authority: None }
}

/// A store of each kind. The server ends with the value.
pub(super) async fn both() -> (Store, Store, (tempfile::TempDir, Postgres)) {
    let place = tempfile::tempdir().unwrap();
    let server = Postgres::start(Durability::None).unwrap();
    let url = DatabaseUrl::parse(&server.database().unwrap()).unwrap();
    let sqlite = Store::open(place.path(), None).await.unwrap();
    let postgres = Store::open(place.path(), Some(member(&url, "first"))).await.unwrap();
    (sqlite, postgres, (place, server))
}

/// Table, column, type as SQLite calls it, whether it may be absent, default.
type Column = (String, String, String, bool, Option<String>);

#[tokio::test]
async fn both_have_the_same_tables_columns_and_indexes() {
    let (sqlite, postgres, _server) = both().await;
    let columns = "SELECT t.name, c.name, c.type, c.\"notnull\" = 0 AND c.pk = 0, c.dflt_value \
         FROM sqlite_schema t, pragma_table_info(t.name) c \
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name NOT LIKE '_sqlx_%'";
    let mut expected: Vec<Column> = sql(columns).fetch_all(&sqlite.reader).await.unwrap();
    let columns = "SELECT table_name::text, column_name::text, CASE data_type WHEN 'bigint' THEN 'INTEGER' \
         WHEN 'text' THEN 'TEXT' WHEN 'bytea' THEN 'BLOB' ELSE data_type::text END, is_nullable = 'YES', \
         replace(column_default, '::text', '') FROM information_schema.columns \
         WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx\\_%'";
    let mut found: Vec<Column> = sql(columns).fetch_all(&postgres.reader).await.unwrap();
    assert!(expected.len() > 100, "{expected:?}");
    expected.sort();
    found.sort();
    assert_eq!(expected, found);

    let indexes = "SELECT i.tbl_name, i.name FROM sqlite_schema i WHERE i.type = 'index' AND i.sql IS NOT NULL";
    let mut expected: Vec<(String, String)> = sql(indexes).fetch_all(&sqlite.reader).await.unwrap();
    let indexes = "SELECT tablename::text, indexname::text FROM pg_indexes WHERE schemaname = 'public' \
         AND indexname NOT LIKE '%\\_pkey'";
    let mut found: Vec<(String, String)> = sql(indexes).fetch_all(&postgres.reader).await.unwrap();
    expected.sort();
    found.sort();
    assert_eq!(expected, found);
}

#[tokio::test]
async fn what_is_dropped_halfway_is_undone() {
    let (sqlite, postgres, _server) = both().await;
    for store in [&sqlite, &postgres] {
        let count = async || sql("SELECT count(*) FROM meta").fetch_value::<i64>(&store.writer).await.unwrap();
        let mut transaction = store.writer.begin().await.unwrap();
        sql("INSERT INTO meta (key, value) VALUES ($1, $2)")
            .bind("a")
            .bind("b")
            .execute(&mut transaction)
            .await
            .unwrap();
        drop(transaction);
        assert_eq!(count().await, 0);
        // A refused statement undoes what was done before it.
        let mut transaction = store.writer.begin().await.unwrap();
        let twice = "INSERT INTO meta (key, value) VALUES ('a', 'b')";
        sql(twice).execute(&mut transaction).await.unwrap();
        assert!(sql(twice).execute(&mut transaction).await.is_err());
        drop(transaction);
        assert_eq!(count().await, 0);
        assert!(sql(twice).execute(&store.reader).await.is_err(), "readers do not write");
        assert_eq!(store.fact("a", || "c".to_owned()).await.unwrap(), "c");
        assert_eq!(store.fact("a", || "d".to_owned()).await.unwrap(), "c");
    }
}

#[tokio::test]
async fn a_character_that_postgresql_cannot_hold_does_not_stop_the_rest() {
    let (_, postgres, _server) = both().await;
    assert_eq!(postgres.fact("a", || "x\0y".to_owned()).await.unwrap(), "x\u{fffd}y");
}

#[tokio::test]
async fn a_second_manager_waits_for_the_session_of_the_first_which_then_writes_no_more() {
    let place = tempfile::tempdir().unwrap();
    let server = Postgres::start(Durability::None).unwrap();
    let url = DatabaseUrl::parse(&server.database().unwrap()).unwrap();
    let first = Store::open(place.path(), Some(member(&url, "first"))).await.unwrap();
    let second = async { Store::open(place.path(), Some(member(&url, "second"))).await.unwrap() };
    tokio::pin!(second);
    assert!(timeout(Duration::from_millis(700), &mut second).await.is_err(), "two lead");
    assert_eq!(server.sql("postgres", &format!("{LEADER} AND granted")).unwrap(), "first");

    server.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'").unwrap();
    first.lost().await;
    let second = second.await;
    assert!(first.fact("a", || "first".to_owned()).await.is_err());
    assert_eq!(second.fact("a", || "second".to_owned()).await.unwrap(), "second");
    assert_eq!(server.sql("postgres", LEADER).unwrap(), "second");
}

#[tokio::test]
async fn a_manager_with_another_authority_is_none_of_them() {
    let place = tempfile::tempdir().unwrap();
    let server = Postgres::start(Durability::None).unwrap();
    let url = DatabaseUrl::parse(&server.database().unwrap()).unwrap();
    let first = Store::open(place.path(), Some(member(&url, "first"))).await.unwrap();
    first.fact(AUTHORITY, || "aa".to_owned()).await.unwrap();
    for authority in [None, Some("bb")] {
        let stranger = Member { authority, ..member(&url, "stranger") };
        let refused = Store::open(place.path(), Some(stranger)).await.err().unwrap().to_string();
        assert!(refused.contains("fingerprint aa: copy `pki/ca.pem`"), "{refused}");
    }
    first.close().await;
    Store::open(place.path(), Some(Member { authority: Some("aa"), ..member(&url, "second") })).await.unwrap();
}

#[tokio::test]
async fn records_are_stored_in_their_order_and_once_each() {
    let (sqlite, postgres, _server) = both().await;
    let record = |number: usize| {
        let line = TrafficLog { rule: format!("rule-{number}"), source_port: 7, ..Default::default() };
        LogRecord { line: Some(Line::Traffic(line)) }
    };
    let batch = |first: usize, last: usize| LogBatch {
        serial: "a".into(),
        boot_id: "b".into(),
        sequence: last as u64,
        records: (first..=last).map(record).collect(),
    };
    for store in [&sqlite, &postgres] {
        let mut open = None;
        let stored = store.add_logs(&mut open, &[batch(1, 40)], 1000).await.unwrap();
        assert_eq!(stored, LogsStored { stored: 40, ..LogsStored::default() });
        // A slice that turns within a batch, known or read again.
        for open in [&mut open, &mut None] {
            let stored = store.add_logs(open, &[batch(1, 40), batch(31, 57)], 50).await.unwrap();
            assert_eq!(stored.stored + stored.repeated, 67, "{stored:?}");
        }
        let query = Query::after(Log::Traffic, Filter::All, 0, i64::MAX, 100);
        let rows = store.traffic(&query).await.unwrap();
        let rules: Vec<String> = rows.iter().map(|row| row.rule.clone()).collect();
        assert_eq!(rules, (1..=57).map(|number| format!("rule-{number}")).collect::<Vec<_>>());
        assert!(rows.iter().all(|row| row.source_port == 7 && row.destination.0.is_empty()), "{rows:?}");
        assert_eq!(store.slices().await.unwrap().len(), 2);
    }
}

/// Lines by number, and what the seals say of them.
#[tokio::test]
async fn a_changed_config_log_is_told_on_both() {
    let (sqlite, postgres, _server) = both().await;
    for store in [sqlite, postgres] {
        let line = |path: &str| super::audit::AuditLine { path: path.to_owned(), ..Default::default() };
        store.add_audit(&[line("of before")]).await.unwrap();
        store.seal_with([7; 32]);
        for number in 0..5 {
            store.add_audit(&[line(&number.to_string()), line("second")]).await.unwrap();
        }
        let chain = store.audit_chain(None).await.unwrap();
        assert_eq!((chain.intact, chain.unsealed, chain.broken, chain.found), (10, 1, None, false));
        assert!(store.audit_chain(Some(&chain.head)).await.unwrap().found);

        let broken = async |change: &'static str, back: &'static str| {
            assert_eq!(sql(change).execute(&store.writer).await.unwrap(), 1, "{change}");
            let found = store.audit_chain(None).await.unwrap().broken;
            if !back.is_empty() {
                sql(back).execute(&store.writer).await.unwrap();
                assert_eq!(store.audit_chain(None).await.unwrap().broken, None, "{back}");
            }
            found.map(|(line, _)| line)
        };
        let (change, back) =
            ("UPDATE audit SET admin = 'eve' WHERE id = 4", "UPDATE audit SET admin = '' WHERE id = 4");
        assert_eq!(broken(change, back).await, Some(4));
        // What stands in two columns is not what stands in one.
        let (change, back) = (
            "UPDATE audit SET path = '', result = 'second' WHERE id = 5",
            "UPDATE audit SET path = 'second', result = '' WHERE id = 5",
        );
        assert_eq!(broken(change, back).await, Some(5));
        assert_eq!(
            broken("UPDATE audit SET id = 100 WHERE id = 11", "UPDATE audit SET id = 11 WHERE id = 100").await,
            None
        );
        assert_eq!(
            broken("UPDATE audit SET id = 99 WHERE id = 10", "UPDATE audit SET id = 10 WHERE id = 99").await,
            Some(11)
        );
        // Cut off at the end: only who noted the last seal can tell.
        assert_eq!(broken("DELETE FROM audit WHERE id = 11", "").await, None);
        assert!(!store.audit_chain(Some(&chain.head)).await.unwrap().found);
        assert_eq!(broken("DELETE FROM audit WHERE id = 6", "").await, Some(7));
        assert_eq!(sql("DELETE FROM audit WHERE id < 8").execute(&store.writer).await.unwrap(), 6);
        let chain = store.audit_chain(None).await.unwrap();
        assert_eq!(chain.broken, Some((8, "lines before it were taken out")));
        assert_eq!(broken("UPDATE audit SET seal = '' WHERE id = 9", "").await, Some(9));
    }
}

/// Versions 1 to 8: 1 and 5 as texts, the others by an edit each.
async fn eight_versions(store: &Store) {
    for number in 1..=8 {
        let edits = vec![format!("edit {number}")];
        let entries = Entries { author: "admin".to_owned(), edits, audit: Vec::new() };
        let end = store.append_journal(&[&entries]).await.unwrap().unwrap();
        let text = format!("text {number}");
        let configuration = (number == 1).then_some(text.as_str());
        let journal = if number == 3 { JournalAfter::Without(&[end], &[]) } else { JournalAfter::Beyond(end) };
        let new = NewVersion { author: "admin", comment: "", configuration, journal, audit: &[] };
        assert_eq!(store.commit_version(new, |_| None).await.unwrap(), number);
        assert_eq!(store.journal(9).await.unwrap().len(), 0);
    }
    store.keep_text(5, "text 5").await.unwrap();
}

fn kept(number: u64, text: &str, edits: std::ops::RangeInclusive<u64>) -> Kept {
    let edits: Vec<String> = edits.map(|number| format!("edit {number}")).collect();
    Kept { number, text: text.to_owned(), steps: edits.len() as u64, edits }
}

#[tokio::test]
async fn a_version_is_the_text_before_it_and_the_edits_in_between() {
    let (sqlite, postgres, _server) = both().await;
    for store in [&sqlite, &postgres] {
        eight_versions(store).await;
        assert_eq!(store.version(4).await.unwrap().unwrap(), kept(4, "text 1", 2..=4));
        assert_eq!(
            store.version(5).await.unwrap().unwrap(),
            Kept { number: 5, text: "text 5".into(), steps: 0, edits: Vec::new() }
        );
        assert_eq!(store.newest_version().await.unwrap().unwrap(), kept(8, "text 5", 6..=8));
        assert_eq!(store.version(9).await.unwrap(), None);
        let digests: Vec<String> = store.versions(9).await.unwrap().into_iter().map(|line| line.digest).collect();
        assert_eq!(digests.iter().collect::<std::collections::BTreeSet<_>>().len(), 8, "{digests:?}");
        sql("UPDATE version_edits SET edit = 'other' WHERE version = 3").execute(&store.writer).await.unwrap();
        let error = store.version(4).await.unwrap_err().to_string();
        assert!(error.starts_with("version 3 in the database is damaged"), "{error}");
        assert!(store.newest_version().await.is_ok(), "what stands after a text does not need what was before");
    }
}

#[tokio::test]
async fn old_versions_go_but_for_those_that_others_need() {
    let (sqlite, postgres, _server) = both().await;
    for store in [&sqlite, &postgres] {
        eight_versions(store).await;
        sql("INSERT INTO devices (serial, certificate_digest, certificate_expiry_us, hostname, software_version, \
             management_address, enrolled_us, last_seen_us, policy_version) VALUES ('1', '', 0, '', '', '', 0, 0, 3)")
        .execute(&store.writer)
        .await
        .unwrap();
        let forget = async |end| {
            let mut transaction = store.writer.begin().await.unwrap();
            super::versions::forget_versions(&mut transaction, end).await.unwrap();
            transaction.commit().await.unwrap();
            store.versions(9).await.unwrap().into_iter().map(|line| line.number).collect::<Vec<_>>()
        };
        assert_eq!(forget(6).await, [8, 7, 6, 5, 3, 2, 1], "a device has 3, and 7 goes back to 5");
        sql("UPDATE devices SET policy_version = 8").execute(&store.writer).await.unwrap();
        assert_eq!(forget(6).await, [8, 7, 6, 5]);
        assert_eq!(store.version(3).await.unwrap(), None);
        assert_eq!(store.newest_version().await.unwrap().unwrap(), kept(8, "text 5", 6..=8));
        let left: i64 =
            sql("SELECT count(*) FROM version_edits WHERE version < 5").fetch_value(&store.writer).await.unwrap();
        assert_eq!(left, 0);
    }
}
