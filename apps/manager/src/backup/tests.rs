//! Backups of other versions of the program.

use sqlx::ConnectOptions as _;

use super::file::{FORMAT, Line, Target};
use super::*;
use crate::logs::filter::Filter;
use crate::logs::query::{Log, Query};
use crate::pki::Pki;
use crate::store::{Store, sqlite};

#[tokio::test]
async fn a_backup_of_an_older_version_is_brought_up_to_date_and_one_of_a_newer_is_refused() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Pki::open(old.path(), "127.0.0.1:0".parse().unwrap()).unwrap();
    let mut connection = sqlite::options(&sqlite::path(old.path())).create_if_missing(true).connect().await.unwrap();
    sqlite::MIGRATOR.run_to(2, &mut connection).await.unwrap();
    sqlx::query("INSERT INTO meta (key, value) VALUES ('serial', 'BZM1')").execute(&mut connection).await.unwrap();
    let file = old.path().join("backup");
    let written = backup(old.path(), None, &file, true).await.unwrap();
    assert_eq!(restore(new.path(), None, &file, false).await.unwrap(), written);
    let store = Store::open(new.path(), None).await.unwrap();
    assert_eq!(store.fact("serial", String::new).await.unwrap(), "BZM1");
    assert!(store.locks().await.unwrap().is_empty(), "the table of a later version is there");
    assert_eq!(pki::fingerprint_in(new.path()).unwrap(), pki::fingerprint_in(old.path()).unwrap());
    store.close().await;
    // What is there now has newer tables than the backup.
    let refused = restore(new.path(), None, &file, true).await.unwrap_err().to_string();
    assert!(refused.contains("the backup those of version 2: restore into an empty one"), "{refused}");

    let newer = old.path().join("newer");
    let mut target = Target::create(&newer).unwrap();
    target.put(&Line::Head { backup: FORMAT, tables_version: 999, created_us: 0 }).unwrap();
    for (name, text) in FILES.map(|name| (name, std::fs::read_to_string(old.path().join(name)).unwrap())) {
        target.put(&Line::File { file: name.to_owned(), text }).unwrap();
    }
    target.finish().unwrap();
    let place = tempfile::tempdir().unwrap();
    let refused = restore(place.path(), None, &newer, false).await.unwrap_err().to_string();
    assert!(refused.starts_with("the backup has tables of version 999"), "{refused}");
    assert!(!place.path().join("pki").exists());
}

/// A slice of a manager that did not know clusters, with one record.
const OLD_SLICE: [&str; 3] = [
    "INSERT INTO slice_1_word_logs VALUES (1, 'S', 'end', 'r', '', 'ssl', 'a', 'b', 'e1', 'e2', 6, 'allow', 'tcp-fin')",
    "INSERT INTO slice_1_logs VALUES (1, 5, 4, 1, x'01', x'02', x'', x'', 77, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6)",
    "INSERT INTO sliced_logs VALUES (1, 1, 1, 4, 4, 5, 5, 0, 0)",
];

#[tokio::test]
async fn the_traffic_log_of_a_backup_without_cluster_ids_is_restored() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Pki::open(old.path(), "127.0.0.1:0".parse().unwrap()).unwrap();
    let mut connection = sqlite::options(&sqlite::path(old.path())).create_if_missing(true).connect().await.unwrap();
    sqlite::MIGRATOR.run_to(112, &mut connection).await.unwrap();
    for text in OLD_SLICE {
        sqlx::query(text).execute(&mut connection).await.unwrap();
    }
    let file = old.path().join("backup");
    let written = backup(old.path(), None, &file, true).await.unwrap();
    assert_eq!(restore(new.path(), None, &file, false).await.unwrap(), written);
    for place in [&old, &new] {
        let store = Store::open(place.path(), None).await.unwrap();
        let found = store.traffic(&Query::after(Log::Traffic, Filter::All, 0, i64::MAX, 5)).await.unwrap();
        assert_eq!(found.iter().map(|row| (row.session_id, row.cluster_id)).collect::<Vec<_>>(), [(77, 0)]);
        store.close().await;
    }
}
