//! `target=SERIAL`: how does a request get to a firewall, and its answer back?
//!
//! The rights are those that the administrator has here, for the same request; the firewall is told them and holds to
//! them, and its config log names the administrator.

use bartizan_api::fleet::{ApiRequest, Parameter};

use super::endpoints::{PACKETS, PASSED_ON};
use super::reply::{Reply, code};
use super::{config, op, refuse_device, refuse_role, refuse_type};
use crate::accounts::{Caller, Right};
use crate::app::App;
use crate::fleet::LinkError;
use crate::http::parameters::Parameters;

/// What is for this manager, and not for the firewall.
const OURS: [&str; 4] = ["target", "key", "user", "password"];

/// Answers a request for the firewall with this serial number.
pub(crate) async fn answer(
    app: &std::sync::Arc<App>,
    caller: &Caller,
    serial: &str,
    kind: &str,
    parameters: &Parameters,
) -> Reply {
    if matches!(kind, "log" | "version") {
        return super::answer_caller(app, caller, parameters).await;
    }
    let asked = match kind {
        "op" => "cmd",
        "export" => "category",
        _ => "action",
    };
    let asked = parameters.get(asked).unwrap_or_default();
    let refusal = refuse_role(caller).or_else(|| refuse_type(caller, kind)).or_else(|| match kind {
        "config" => config::refuse(caller, asked),
        "op" => op::refuse_at_device(caller, asked),
        _ => None,
    });
    if let Some(refusal) = refusal.or_else(|| refuse_out_of_reach(caller, serial, kind, asked)) {
        return refusal;
    }
    if !PASSED_ON.contains(&kind) {
        let line = format!("type={kind} is not passed on to a firewall; {} are", PASSED_ON.join(", "));
        return Reply::error(code::NOT_POSSIBLE, &[line]);
    }
    pass_on(app, caller, serial, parameters).await.unwrap_or_else(|error| not_sent(&error))
}

/// `None`, or why somebody whose role is for a part of the manager's configuration does not reach that far.
fn refuse_out_of_reach(caller: &Caller, serial: &str, kind: &str, asked: &str) -> Option<Reply> {
    caller.role.scope()?;
    let is_whole = match kind {
        "config" | "commit" => true,
        "export" => asked != PACKETS,
        "op" => op::is_about_configuration(asked),
        _ => false,
    };
    if is_whole {
        let line = format!(
            "this is about the whole configuration of `{serial}`; the role of `{}` is for a part of the manager's",
            caller.name
        );
        return Some(Reply::unauthorized(&line));
    }
    let right = Right::ALL.iter().find(|right| right.tag() == kind)?;
    refuse_device(caller, *right, serial)
}

/// Sends a request to a firewall.
pub(super) async fn pass_on(
    app: &App,
    caller: &Caller,
    serial: &str,
    parameters: &Parameters,
) -> Result<Reply, LinkError> {
    let parameter = |(name, value): (&str, &str)| Parameter { name: name.to_owned(), value: value.to_owned() };
    let passed = parameters.all().filter(|(name, _)| !OURS.contains(name)).map(parameter);
    // A message may come as a file; what else is passed on has none.
    let file = parameters.file.as_ref().map(|file| parameter(("cmd", &file.text)));
    let (role, rights) = caller.role.to_wire();
    let request = ApiRequest {
        id: 0,
        administrator: caller.name.clone(),
        host: caller.host.to_string(),
        role: role.to_owned(),
        rights,
        parameters: passed.chain(file).collect(),
    };
    let response = app.fleet.link(serial)?.request(request, app.settings.command_timeout).await?;
    let file = (!response.file.is_empty()).then_some(response.file);
    Ok(Reply::passed_on(u16::try_from(response.status).unwrap_or(500), response.body, file))
}

/// Why there is no answer of the firewall.
pub(super) fn not_sent(error: &LinkError) -> Reply {
    let code = if matches!(error, LinkError::NotConnected(_)) { code::NOT_POSSIBLE } else { code::INTERNAL };
    Reply::error(code, &[error.to_string()])
}
