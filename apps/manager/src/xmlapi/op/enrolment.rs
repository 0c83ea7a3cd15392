//! Who may have a serial of the inventory, and with which certificate: `request device re-enrol`, `remove` and
//! `renew-certificate`.

use bartizan_model::tree::Element;

use super::super::reply::{Reply, code};
use crate::accounts::Caller;
use crate::app::App;
use crate::topology::Topology;

/// `request device re-enrol serial S`: the next device that names the serial and shows an auth key gets it.
pub(super) async fn allow(app: &App, caller: &Caller, command: &Element) -> Reply {
    let Some(serial) = serial(command, "re-enrol") else {
        return missing();
    };
    match app.store.allow_re_enrolment(&serial).await {
        Ok(true) => {
            super::note(app, caller, "re-enrol", format!("device {serial}")).await;
            Reply::text(&format!("{serial} may enrol again, once"))
        }
        Ok(false) => unknown(&serial),
        Err(error) => Reply::internal(&error),
    }
}

/// `request device remove serial S`: ends the certificate and the connection of a device.
pub(super) async fn remove(app: &App, caller: &Caller, command: &Element) -> Reply {
    let Some(serial) = serial(command, "remove") else {
        return missing();
    };
    let places = places(&Topology::read(&app.configuration.snapshot().running), &serial);
    if !places.is_empty() {
        let mut lines = vec![format!(" {serial} cannot be removed because the running configuration names it in:")];
        lines.extend(places);
        lines.push("delete it there and commit, then remove it".to_owned());
        return Reply::error(code::NOT_POSSIBLE, &lines);
    }
    match app.store.remove_device(&serial).await {
        Ok(true) => {
            app.fleet.end(&serial);
            super::note(app, caller, "remove", format!("device {serial}")).await;
            Reply::text(&format!("{serial} removed"))
        }
        Ok(false) => unknown(&serial),
        Err(error) => Reply::internal(&error),
    }
}

/// `request device renew-certificate serial S`: the device makes itself a new key now, and its certificate ends.
pub(super) async fn renew(app: &App, caller: &Caller, command: &Element) -> Reply {
    let Some(serial) = serial(command, "renew-certificate") else {
        return missing();
    };
    match app.fleet.link(&serial).and_then(|link| link.renew_certificate()) {
        Ok(()) => {
            super::note(app, caller, "renew-certificate", format!("device {serial}")).await;
            Reply::text(&format!(
                "{serial} was asked for a new key; `show devices all` tells when its certificate ends"
            ))
        }
        Err(error) => Reply::error(code::NOT_POSSIBLE, &[format!(" {error}")]),
    }
}

fn places(topology: &Topology, serial: &str) -> Vec<String> {
    let group = topology.group_of(serial).map(|name| format!(" device-group -> {name} -> devices"));
    let stack = topology.stack_of(serial).map(|name| format!(" template-stack -> {name} -> devices"));
    group.into_iter().chain(stack).collect()
}

fn serial(command: &Element, verb: &str) -> Option<String> {
    let asked = command.descend(&["device", verb, "serial"])?;
    super::argument(Some(asked))
}

fn unknown(serial: &str) -> Reply {
    Reply::error(code::NOT_PRESENT, &[format!("`{serial}` is not in the inventory")])
}

fn missing() -> Reply {
    Reply::error(code::INVALID_COMMAND, &["invalid client cli: `serial` is missing"])
}
