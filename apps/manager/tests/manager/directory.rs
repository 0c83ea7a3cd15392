//! The data directory: whose is it, and who may read it?

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
