//! The command line: arguments in, one app started or one question answered, exit code out.

mod arguments;
mod operate;
mod start;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::{Arguments, Verb};

/// `EX_USAGE` of sysexits.h: the command line is wrong.
pub(crate) const USAGE: u8 = 64;
/// `EX_UNAVAILABLE`: no firewall answers.
pub(crate) const UNAVAILABLE: u8 = 69;
/// `EX_CONFIG`: the configuration is refused.
pub(crate) const CONFIG: u8 = 78;

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
        Verb::Validate { file } => operate::validate(&file),
        Verb::Show(question) => operate::ask("show", question),
        Verb::Test(question) => operate::ask("test", question),
        Verb::Clear(question) => operate::ask("clear", question),
        Verb::Request(question) => operate::ask("request", question),
        Verb::Explain(question) => operate::ask("explain", question),
        Verb::Replay(replay) => operate::replay(replay),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "{}", failure.text.trim_end());
            ExitCode::from(failure.code)
        }
    }
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
        Self::new(1, format!("error: {error:#}"))
    }
}
