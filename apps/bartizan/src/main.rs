//! The command line: arguments in, one app started or one question answered, exit code out.

mod arguments;
mod controller;
mod device;
mod k8s;
mod operate;
mod policy;
mod remote;
mod start;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::arguments::{Arguments, Verb};

/// It cannot be done.
pub(crate) const FAILURE: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// A configuration is refused.
pub(crate) const VALIDATION: u8 = 3;
/// There are differences.
pub(crate) const DIFFERENCES: u8 = 4;
/// Some devices of a push failed, others did not.
pub(crate) const PARTIAL: u8 = 5;
/// The job goes on.
pub(crate) const TIMEOUT: u8 = 6;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, everything else is a mistake.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    let outcome = match arguments.verb {
        Verb::Firewall(firewall) => start::firewall(firewall),
        Verb::Manager(manager) => start::manager(manager),
        Verb::Controller(arguments) => controller::run(*arguments),
        Verb::Validate { file: Some(file), .. } => operate::validate(&file),
        Verb::Validate { file: None, common } => remote::validate(&common.server, common.output),
        Verb::Remote(remote) => remote::run(remote),
        Verb::Policy(verb) => policy::run(&verb),
        Verb::K8s(verb) => k8s::run(&verb),
        Verb::Completions { shell } => {
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, "bartizan", &mut std::io::stdout());
            Ok(())
        }
        Verb::Show(question) => operate::ask("show", question),
        Verb::Test(question) => operate::ask("test", question),
        Verb::Clear(question) => operate::ask("clear", question),
        Verb::Request(question) => operate::ask("request", question),
        Verb::Debug(question) => operate::ask("debug", question),
        Verb::Explain(question) => operate::ask("explain", question),
        Verb::Replay(replay) => operate::replay(replay),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.text.is_empty() {
                let _ = writeln!(std::io::stderr(), "{}", failure.text.trim_end());
            }
            ExitCode::from(failure.code)
        }
    }
}

/// Has a verb done that waits for others: one thread, which does nothing else.
pub(crate) fn wait_for<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| Failure::new(FAILURE, format!("error: start a runtime: {error}")))?.block_on(work)
}

/// Why a command failed, in words, with the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(FAILURE, format!("error: {error:#}"))
    }
}
