//! `type=user-id`: who keeps the tags of a `uid-message`?
//!
//! The firewall whose own address is asked or that `target` names; or the manager, which tells them to the firewalls that
//! are to know. An administrator who may handle some firewalls only speaks to those that are connected, which keep it.

use std::sync::Arc;

use bartizan_model::tree::Element;
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
    let root = match xml::parse(message) {
        Ok(root) => root,
        Err(diagnostic) => return Reply::error(code::MALFORMED_COMMAND, &[diagnostic.message]),
    };
    if &*root.name != "uid-message" {
        let line = format!("`{}` is no `uid-message`", root.name);
        return Reply::error(code::INVALID_COMMAND, &[line]);
    }
    match &app.device {
        Some(device) => register(device, message).await,
        None if caller.role.reach(Right::UserId).is_some() => send_to_all(app, caller, message).await,
        None => keep(app, &root).await,
    }
}

/// At the firewall itself.
async fn register(device: &Arc<dyn Device>, message: &str) -> Reply {
    let answer = device.command(message.to_owned()).await;
    let (Ok(text) | Err(text)) = &answer;
    let Ok(response) = xml::parse(text) else {
        return Reply::error(code::INVALID_COMMAND, &[text]);
    };
    told(if answer.is_ok() { Ok(response) } else { Err(response) })
}

/// At the manager.
async fn keep(app: &App, message: &Element) -> Reply {
    match app.tags.update(&app.store, message).await {
        Ok(response) => told(response),
        Err(error) => Reply::internal(&error),
    }
}

/// A `uid-response`.
fn told(response: Result<Element, Element>) -> Reply {
    match response {
        Ok(response) => Reply::result(element("result").with(response)),
        Err(response) => {
            let line = element("msg").with(element("line").with(response));
            // With what is refused in it, for those who asked in JSON.
            Reply::passed_on(200, xml::write(&element("response").attr("status", "error").with(line)).into(), None)
        }
    }
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
    let refusal = answers.iter().position(|answer| answer.refusal.is_some()).unwrap_or(0);
    if answers.is_empty() {
        return Reply::error(code::NOT_POSSIBLE, &["no firewall is connected: nothing was registered"]);
    }
    answers.swap_remove(refusal)
}
