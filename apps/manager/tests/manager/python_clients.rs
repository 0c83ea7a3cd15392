//! Unmodified Python clients against a real manager.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use crate::common::{PASSWORD, Server};

/// Each test finds its interpreter made by one of them.
static MAKING: Mutex<()> = Mutex::new(());

/// The interpreter of an environment that `scripts/python-clients` makes.
fn python(client: &Client) -> String {
    let _making = MAKING.lock().unwrap();
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scripts/python-clients");
    let made = Command::new(script).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let pythons = String::from_utf8(made.stdout).unwrap();
    pythons.lines().nth(client.line).unwrap().to_owned()
}

/// A client, by its line of what `scripts/python-clients` prints.
#[derive(Debug)]
struct Client {
    line: usize,
}

const PAN_OS_PYTHON: Client = Client { line: 0 };
const PAN_PYTHON: Client = Client { line: 1 };

async fn run(client: &'static Client, script: &'static str) {
    let server = Server::start().await;
    let port = server.address.port().to_string();
    let output = tokio::task::spawn_blocking(move || {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/manager/python").join(script);
        Command::new(python(client)).arg(script).arg(port).arg(PASSWORD).output().unwrap()
    })
    .await
    .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.trim().ends_with("ok"), "{out}\n{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pan_os_python_builds_commits_and_pushes() {
    run(&PAN_OS_PYTHON, "panos_session.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_class_of_pan_os_python_lives_its_whole_life() {
    run(&PAN_OS_PYTHON, "every_class.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_panxapi_asks_is_answered() {
    run(&PAN_PYTHON, "panxapi_session.py").await;
}
