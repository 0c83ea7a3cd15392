//! Is this the process of a bench that has its own network?

use std::process::Command;

/// Set in that process.
const INSIDE: &str = "BARTIZAN_BENCH_INSIDE";

/// Whether it is; otherwise the bench has run there.
pub(crate) fn is_inside() -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["sh", "-c", "ip link set lo up && exec \"$0\""]).arg(std::env::current_exe().unwrap());
    assert!(command.env(INSIDE, "yes").status().unwrap().success());
    false
}
