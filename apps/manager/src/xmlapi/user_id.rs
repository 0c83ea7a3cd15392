//! `type=user-id`: which firewalls hear a `uid-message`?
//!
//! The one that `target` names, or every one that is connected. The manager keeps no tags of its own.

use bartizan_model::xml;

use super::element::{Build as _, element};
use super::refuse_device;
use super::reply::{Reply, code};
use crate::accounts::{Caller, Right};
use crate::app::App;
use crate::fleet::LinkError;
use crate::http::parameters::Parameters;

pub(crate) async fn answer(app: &App, caller: &Caller, parameters: &Parameters) -> Reply {
    let Some(message) = parameters.get("cmd").or(parameters.file.as_ref().map(|file| file.text.as_str())) else {
        return Reply::bad_request("Missing value for parameter \"cmd\".");
    };
    match xml::parse(message) {
        Ok(root) if &*root.name == "uid-message" => {}
        Ok(root) => {
            let line = format!("`{}` is no `uid-message`", root.name);
            return Reply::error(code::INVALID_COMMAND, &[line]);
        }
        Err(diagnostic) => return Reply::error(code::MALFORMED_COMMAND, &[diagnostic.message]),
    }
    match parameters.get("target").filter(|target| !target.is_empty() && *target != app.serial) {
        Some(serial) if let Some(refusal) = refuse_device(caller, Right::UserId, serial) => refusal,
        Some(serial) => send(app, serial, message).await.unwrap_or_else(|error| not_sent(&error)),
        None => send_to_all(app, caller, message).await,
    }
}

async fn send(app: &App, serial: &str, message: &str) -> Result<Reply, LinkError> {
    let answer = app.fleet.link(serial)?.command(message.to_owned(), app.settings.command_timeout).await?;
    let Ok(response) = xml::parse(&answer.xml) else {
        return Ok(Reply::error(code::INVALID_COMMAND, &[answer.xml]));
    };
    if answer.ok {
        return Ok(Reply::result(element("result").with(response)));
    }
    let line = element("msg").with(element("line").with(response));
    Ok(Reply::xml(&element("response").attr("status", "error").with(line)))
}

/// The first refusal, if any firewall refuses something.
async fn send_to_all(app: &App, caller: &Caller, message: &str) -> Reply {
    let devices = match app.store.devices().await {
        Ok(devices) => devices,
        Err(error) => return Reply::internal(&error),
    };
    let mut answers = Vec::new();
    let reach = caller.role.reach(Right::UserId);
    let within = |serial: &String| reach.as_ref().is_none_or(|reach| reach.devices.contains(serial));
    for device in devices.into_iter().filter(|device| within(&device.serial)) {
        match send(app, &device.serial, message).await {
            Ok(answer) => answers.push(answer),
            Err(LinkError::NotConnected(_)) => {}
            Err(error) => answers.push(not_sent(&error)),
        }
    }
    let refusal = answers.iter().position(|answer| answer.body.contains("status=\"error\"")).unwrap_or(0);
    if answers.is_empty() {
        return Reply::error(code::NOT_POSSIBLE, &["no firewall is connected: nothing was registered"]);
    }
    answers.swap_remove(refusal)
}

fn not_sent(error: &LinkError) -> Reply {
    let code = if matches!(error, LinkError::NotConnected(_)) { code::NOT_POSSIBLE } else { code::INTERNAL };
    Reply::error(code, &[error.to_string()])
}
