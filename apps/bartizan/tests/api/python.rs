//! Unmodified Python clients on a host of the lab.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use bartizan_lab::Namespace;

/// Each test finds its interpreters made by one of them.
static MAKING: Mutex<()> = Mutex::new(());

/// A client, by its line of what `scripts/python-clients` prints.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Client {
    /// pan-os-python.
    PanOsPython,
    /// pan-python.
    PanPython,
}

/// Runs a script of this folder, which must end by printing `ok`.
pub(crate) fn run(host: &Namespace, client: Client, script: &str, arguments: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api");
    let (python, script) = (interpreter(client), folder.join(script).display().to_string());
    let words = [&[python.to_str().unwrap(), script.as_str()], arguments].concat();
    let finished = host.try_run(&words).unwrap();
    let ended_well = finished.code == Some(0) && finished.stdout.trim_end().ends_with("ok");
    assert!(ended_well, "{words:?}:\n{}\n{}", finished.stdout, finished.stderr);
}

fn interpreter(client: Client) -> PathBuf {
    let _making = MAKING.lock().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/python-clients");
    let made = Command::new(script).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().lines().nth(client as usize).unwrap().into()
}
