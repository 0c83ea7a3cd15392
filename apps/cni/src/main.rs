//! The program of each node: a CNI plugin when the runtime calls it, otherwise the verb that is named.

use std::process::ExitCode;

fn main() -> ExitCode {
    bartizan_cni::run()
}
