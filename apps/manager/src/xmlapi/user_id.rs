//! `type=user-id`: which firewalls hear a `uid-message`?
//!
//! The one whose own address is asked or that `target` names, or every one that is connected to the manager, which
//! keeps no tags of its own.

use std::sync::Arc;

use bartizan_model::xml;

use super::element::{Build as _, element};
use super::reply::{Reply, code};
use super::target::{not_sent, pass_on};
use crate::accounts::{Caller, Right};
use crate::app::App;
use crate::device::Device;
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
    match &app.device {
        Some(device) => register(device, message).await,
        None => send_to_all(app, caller, message).await,
    }
}

/// At the firewall itself.
async fn register(device: &Arc<dyn Device>, message: &str) -> Reply {
    let answer = device.command(message.to_owned()).await;
    let (Ok(text) | Err(text)) = &answer;
    let Ok(response) = xml::parse(text) else {
        return Reply::error(code::INVALID_COMMAND, &[text]);
    };
    if answer.is_ok() {
        return Reply::result(element("result").with(response));
    }
    let line = element("msg").with(element("line").with(response));
    Reply::xml(&element("response").attr("status", "error").with(line))
}

/// The first refusal, if any firewall refuses something.
async fn send_to_all(app: &App, caller: &Caller, message: &str) -> Reply {
    let request = Parameters::from([("type", "user-id"), ("cmd", message)]);
    let devices = match app.store.devices().await {
        Ok(devices) => devices,
        Err(error) => return Reply::internal(&error),
    };
    let mut answers = Vec::new();
    let reach = caller.role.reach(Right::UserId);
    let within = |serial: &String| reach.as_ref().is_none_or(|reach| reach.devices.contains(serial));
    for device in devices.into_iter().filter(|device| within(&device.serial)) {
        match pass_on(app, caller, &device.serial, &request).await {
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
