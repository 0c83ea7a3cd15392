//! The verbs of the manager: one request or a few by its JSON API, one answer, an honest exit code.

mod apply;
pub(crate) mod arguments;
mod automation;
pub(crate) mod client;
mod configuration;
mod files;
mod jobs;
mod login;
mod logs;
pub(crate) mod output;
mod plan;

use std::sync::Arc;

use bartizan_model::tree::Element;

use crate::Failure;
use arguments::Remote;

/// Has a verb of the manager done.
pub(crate) fn run(remote: Remote) -> Result<(), Failure> {
    crate::wait_for(async {
        match remote {
            Remote::Login(login) => login::login(&login).await,
            Remote::Logout(server) => login::logout(&server).await,
            Remote::Get(get) => configuration::get(&get).await,
            Remote::Set(words) => configuration::write("set", &words).await,
            Remote::Delete(words) => configuration::write("delete", &words).await,
            Remote::Diff(diff) => configuration::diff(&diff).await,
            Remote::Export(export) => configuration::export(&export).await,
            Remote::Commit(commit) => jobs::commit(&commit).await,
            Remote::Push(push) => jobs::push(&push).await,
            Remote::Rollback(rollback) => jobs::rollback(&rollback).await,
            Remote::Jobs(jobs) => jobs::jobs(&jobs).await,
            Remote::Logs(logs) => logs::logs(&logs).await,
            Remote::Devices(devices) => logs::devices(&devices).await,
            Remote::Apply(apply) => apply::apply(&apply).await,
            Remote::Automation(automation) => automation::run(automation).await,
        }
    })
}

/// A whole configuration of the manager: `running`, `candidate`, or a version.
pub(crate) fn configuration(server: &arguments::Server, source: &str) -> Result<Arc<Element>, Failure> {
    crate::wait_for(async { configuration::tree(&client::Client::new(server)?, source).await })
}

/// `bartizan validate` without a file: the candidate of the manager.
pub(crate) fn validate(server: &arguments::Server, output: arguments::Form) -> Result<(), Failure> {
    crate::wait_for(jobs::validate(server, output))
}
