//! Is a manager that begins from a backup the one that the backup was made of, on either database?

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use bartizan_lab::postgres::{Durability, Postgres};
use bartizan_manager::DatabaseUrl;
use bartizan_manager::backup::{Amount, backup, restore};

use crate::common::device::Device;
use crate::common::{PASSWORD, Server, between};
use crate::fleet::record;

const ADDRESSES: &str = "/config/shared/address";

/// A manager with something in most tables.
async fn filled() -> Server {
    let server = Server::start_with(|settings| settings.traffic_logs_max = 12).await;
    let mut device = Device::join(&server).await;
    device.log("boot", 14, (1..=14).map(record).collect()).await;
    while !server.op("<show><logging-status/></show>").await.contains("<indexed-slices>3<") {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    server.set(ADDRESSES, "<entry name='running'><ip-netmask>10.0.0.1</ip-netmask></entry>").await;
    assert!(server.commit().await.contains("<result>OK</result>"));
    server.set(ADDRESSES, "<entry name='candidate ✓'><fqdn>a.example</fqdn></entry>").await;
    server.op("<save><config><to>kept.xml</to></config></save>").await;
    server.op("<request><config-lock><add><comment>mine</comment></add></config-lock></request>").await;
    server
        .op("<request><authkey><add><name>east</name><lifetime>60</lifetime><count>5</count></add></authkey></request>")
        .await;
    server
}

/// The traffic log, which is in slices that not all begin with the first.
async fn traffic(server: &Server) -> String {
    let asked = server.body(&[("type", "log"), ("log-type", "traffic"), ("query", "(port.dst eq 443)")]).await;
    let job = between(&asked, "<job>", "</job>");
    let found = server.body(&[("type", "log"), ("action", "get"), ("job-id", job)]).await;
    let logs = between(&found, "<logs ", "</logs>").to_owned();
    assert!(logs.contains("count=\"11\""), "{found}");
    logs
}

/// What a manager says of itself, but its uptime.
async fn told(server: &Server) -> Vec<String> {
    let mut told = Vec::new();
    for command in [
        "<show><config><running/></config></show>",
        "<show><config><candidate/></config></show>",
        "<show><config><saved>kept.xml</saved></config></show>",
        "<show><config-locks/></show>",
        "<show><jobs><all/></jobs></show>",
        "<request><authkey><list>*</list></authkey></request>",
    ] {
        told.push(server.op(command).await);
    }
    told.push(traffic(server).await);
    told.push(between(&server.op("<show><system><info/></system></show>").await, "<serial>", "</serial>").to_owned());
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_manager_begins_another_one_on_each_database() {
    let postgres = Postgres::start(Durability::None).unwrap();
    let source = filled().await;
    let expected = told(&source).await;
    let file = source.file("backup");
    let written = backup(source.directory.path(), source.database(), &file, true).await.unwrap();
    assert!(written.tables > 12 && written.rows > 8, "{written:?}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "it holds a key");

    // To SQLite, and from there to PostgreSQL, and back.
    let mut file = file;
    for database in [None, Some(postgres.database().unwrap()), None] {
        let url = database.map(|url| DatabaseUrl::parse(&url).unwrap());
        let place = tempfile::tempdir().unwrap();
        let read = restore(place.path(), url.as_ref(), &file, false).await.unwrap();
        let mut server = Server::on(place, url, &source.key).await;
        assert_eq!(told(&server).await, expected);
        assert!(server.commit().await.contains("<result>OK</result>"), "new rows have free numbers");
        server.stop().await;
        assert_eq!(read, written);
        restore(server.directory.path(), server.database(), &file, true).await.unwrap();
        let next = server.file("backup");
        assert_eq!(backup(server.directory.path(), server.database(), &next, true).await.unwrap(), written);
        assert_eq!(lines(&next), lines(&file), "the same rows in the same order");
        let kept = source.file("between");
        std::fs::rename(&next, &kept).unwrap();
        file = kept;
    }
}

/// The lines but the first and the last, and with the columns of a row in the order of their names.
fn lines(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let mut order = Vec::new();
    let mut lines = Vec::new();
    for line in text.lines().skip(1) {
        match serde_json::from_str(line).unwrap() {
            serde_json::Value::Object(table) if table.contains_key("table") => {
                let columns = table["columns"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
                order = columns.enumerate().map(|(index, name)| (name, index)).collect();
                order.sort();
                lines.push(format!("{} {order:?}", table["table"]).replace(char::is_numeric, ""));
            }
            serde_json::Value::Array(row) => {
                lines.push(order.iter().map(|(_, index)| row[*index].to_string()).collect::<Vec<_>>().join(","));
            }
            other if other.get("sha256").is_some() => {}
            other => lines.push(other.to_string()),
        }
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_whole_or_would_overwrite_something_is_refused_and_changes_nothing() {
    let mut source = filled().await;
    let file = source.file("backup");
    let first = backup(source.directory.path(), source.database(), &file, false).await.unwrap();
    let why = |outcome: anyhow::Result<Amount>| format!("{:#}", outcome.unwrap_err());
    let again = why(backup(source.directory.path(), source.database(), &file, false).await);
    assert!(again.starts_with("cannot make the new file"), "{again}");
    let busy = why(restore(source.directory.path(), source.database(), &file, true).await);
    assert!(busy.starts_with("another manager uses the data directory"), "{busy}");
    source.stop().await;
    let full = why(restore(source.directory.path(), source.database(), &file, false).await);
    assert!(full.contains("is not empty; restore with `--replace`"), "{full}");
    assert_eq!(restore(source.directory.path(), source.database(), &file, true).await.unwrap(), first);

    let text = std::fs::read_to_string(&file).unwrap();
    let place = tempfile::tempdir().unwrap();
    let bad = source.file("bad");
    for (content, reason) in [
        (text.replace("10.0.0.1", "10.0.0.2"), "is damaged: it does not have the digest"),
        (text[..text.trim_end().rfind('\n').unwrap() + 1].to_owned(), "is not whole"),
        (format!("{text}[1]\n"), "it goes on after its last line"),
        ("{\"a\":1}\n".to_owned(), "is not a backup of a manager"),
        (String::new(), "is empty"),
    ] {
        std::fs::write(&bad, content).unwrap();
        let refused = why(restore(place.path(), None, &bad, false).await);
        assert!(refused.contains(reason), "{refused}");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "{reason}: nothing was made");
    }
    // The authority of another manager stays.
    let mut other = Server::start().await;
    other.stop().await;
    let foreign = why(restore(other.directory.path(), other.database(), &file, false).await);
    assert!(foreign.contains("holds the authority of another manager"), "{foreign}");
    other.start_again().await;
    let answer = other.send(&[("type", "keygen"), ("user", "admin"), ("password", PASSWORD)], &[]).await;
    assert!(answer.body.contains("<key>"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_waits_for_a_manager_that_is_just_going() {
    let postgres = Postgres::start(Durability::None).unwrap();
    let url = DatabaseUrl::parse(&postgres.database().unwrap()).unwrap();
    let mut server = Server::on(tempfile::tempdir().unwrap(), Some(url.clone()), "").await;
    let file = server.file("backup");
    let written = backup(server.directory.path(), server.database(), &file, false).await.unwrap();
    let place = tempfile::tempdir().unwrap();
    let restored = restore(place.path(), Some(&url), &file, true);
    let (restored, ()) = tokio::join!(restored, async {
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        server.stop().await;
    });
    assert_eq!(restored.unwrap(), written);
}
