//! Is a manager on PostgreSQL the same manager?

use std::process::Command;

use bartizan_lab::postgres::{Durability, Postgres};
use bartizan_manager::{DatabaseUrl, Manager, Settings};

use crate::common::STORE_VARIABLE;

fn settings(directory: &std::path::Path, url: &str) -> Settings {
    let mut settings = Settings::new(directory, "127.0.0.1:0".parse().unwrap());
    settings.database = Some(DatabaseUrl::parse(url).unwrap());
    settings
}

#[test]
fn every_test_passes_on_postgresql_too() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--skip", "postgres::"])
        .env(STORE_VARIABLE, "postgres")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("test result: ok. ") && !text.contains(" 0 passed"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_used_is_refused_with_the_reason() {
    let place = tempfile::tempdir().unwrap();
    let refused = async |url: &str| format!("{:#}", Manager::start(settings(place.path(), url)).await.err().unwrap());
    let server = Postgres::start(Durability::None).unwrap();
    let url = server.database().unwrap();

    let away = refused(&url.replace("bartizan-pg-", "nowhere-")).await;
    assert!(away.starts_with("cannot use the database `bartizan@"), "{away}");
    server.sql("postgres", "CREATE DATABASE small ENCODING 'LATIN1' TEMPLATE template0").unwrap();
    let latin = refused(&url.replace("/manager0", "/small")).await;
    assert!(latin.contains("its encoding is LATIN1"), "{latin}");
}
