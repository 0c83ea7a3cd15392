//! Unmodified Python clients against a real manager.

use std::path::PathBuf;
use std::process::Command;

use crate::common::{PASSWORD, Server};

/// The interpreter of the environment that `scripts/python-clients` makes.
fn python() -> String {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scripts/python-clients");
    let made = Command::new(script).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

async fn run(script: &'static str) {
    let server = Server::start().await;
    let port = server.address.port().to_string();
    let output = tokio::task::spawn_blocking(move || {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/manager/python").join(script);
        Command::new(python()).arg(script).arg(port).arg(PASSWORD).output().unwrap()
    })
    .await
    .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.trim().ends_with("ok"), "{out}\n{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pan_os_python_builds_commits_and_pushes() {
    run("panos_session.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_class_of_pan_os_python_lives_its_whole_life() {
    run("every_class.py").await;
}
