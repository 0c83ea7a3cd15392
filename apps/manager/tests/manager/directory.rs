//! The data directory: whose is it, and who may read it?

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use bartizan_manager::{Manager, Settings};

use crate::common::Server;

fn settings(directory: &std::path::Path) -> Settings {
    let mut settings = Settings::new(directory, "127.0.0.1:0".parse().unwrap());
    settings.admin_password = Some("first".to_owned());
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_manager_on_the_same_directory_is_refused_until_the_first_one_ends() {
    let mut server = Server::start().await;
    let refused = Manager::start(settings(server.directory.path())).await.err().unwrap();
    let expected = format!("another manager uses the data directory `{}`", server.directory.path().display());
    assert!(refused.to_string().starts_with(&expected), "{refused}");
    assert_eq!(server.api(&[("type", "version")]).await.status, 200, "the first one does not mind");
    server.stop().await;
    Manager::start(settings(server.directory.path())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_may_read_the_directory_and_every_file_in_it() {
    let place = tempfile::tempdir().unwrap();
    let mode = |name: &str| fs::metadata(place.path().join(name)).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    // A database of an earlier version, open to others.
    fs::write(place.path().join("manager.db"), "").unwrap();
    fs::set_permissions(place.path().join("manager.db"), Permissions::from_mode(0o644)).unwrap();
    let manager = Manager::start(settings(place.path())).await.unwrap();
    assert_eq!((mode(""), mode("pki")), (0o700, 0o700));
    for name in ["lock", "manager.db", "manager.db-wal", "manager.db-shm", "pki/ca.key", "pki/server.key"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    drop(manager);
    fs::set_permissions(place.path(), Permissions::from_mode(0o1777)).unwrap();
    let refused = Manager::start(settings(place.path())).await.err().unwrap();
    assert!(refused.to_string().contains("is a directory for everybody"), "{refused}");
}
