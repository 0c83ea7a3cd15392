//! `show devices`, and commands that are forwarded to a firewall.

use std::collections::BTreeMap;

use bartizan_model::tree::Element;
use bartizan_model::xml;

use super::super::element::{Build as _, element, entry};
use super::super::reply::{Reply, code};
use crate::accounts::Caller;
use crate::app::App;
use crate::fleet::LinkError;
use crate::inventory::{Known, within_reach};
use crate::times;
use crate::topology::Topology;

/// `show devices all|connected`
pub(super) async fn show(app: &App, caller: &Caller, filter: &str) -> Reply {
    let (_, known) = match known(app, caller).await {
        Ok(known) => known,
        Err(refusal) => return refusal,
    };
    let shown = known.values().filter(|known| filter == "all" || known.attached.is_some());
    Reply::result(element("result").with(element("devices").with_all(shown.map(Known::to_element))))
}

/// Sends a command to a firewall and passes its answer on.
pub(crate) async fn forward(app: &App, serial: &str, command: &str) -> Reply {
    let answer = match app.fleet.link(serial) {
        Ok(link) => link.command(command.to_owned(), app.settings.command_timeout).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) if answer.ok => match xml::parse(&format!("<result>{}</result>", answer.xml)) {
            Ok(result) => Reply::result(result),
            Err(diagnostic) => Reply::internal(&format!("`{serial}` answered what is not XML: {diagnostic}")),
        },
        Ok(answer) => {
            let text = xml::parse(&format!("<result>{}</result>", answer.xml)).map(|result| result.text());
            Reply::error(code::INVALID_COMMAND, &[text.unwrap_or(answer.xml)])
        }
        Err(error @ LinkError::NotConnected(_)) => Reply::error(code::NOT_POSSIBLE, &[error.to_string()]),
        Err(error) => Reply::error(code::INTERNAL, &[error.to_string()]),
    }
}

/// The groups and templates that the caller may handle, and their devices by serial.
pub(super) async fn known(app: &App, caller: &Caller) -> Result<(Topology, BTreeMap<String, Known>), Reply> {
    within_reach(app, caller).await.map_err(|error| Reply::internal(&error))
}

impl Known {
    /// The entry that all inventories show.
    pub(super) fn to_element(&self) -> Element {
        let device = &self.device;
        let attached = self.attached.as_ref();
        let (since, uptime) = attached.map_or((0, 0), |attached| (attached.since_us, attached.uptime_s));
        let address = self.address();
        let version = self.device.policy_version.map(|version| version.to_string()).unwrap_or_default();
        let vsys = entry("vsys1")
            .leaf("display-name", "vsys1")
            .leaf("shared-policy-status", self.policy_status())
            .leaf("shared-policy-md5sum", &device.pushed_digest)
            .leaf("shared-policy-version", &version);
        let mut line = entry(&device.serial);
        let fields: [(&str, &str); 29] = [
            ("serial", &device.serial),
            ("connected", if self.attached.is_some() { "yes" } else { "no" }),
            ("unsupported-version", "no"),
            ("wildfire-rt", "no"),
            ("deactivated", "no"),
            ("hostname", &device.hostname),
            ("ip-address", &address),
            ("ipv6-address", "unknown"),
            ("mac-addr", ""),
            ("uptime", &times::uptime(uptime)),
            ("family", "vm"),
            ("model", "PA-VM"),
            ("sw-version", &device.software_version),
            ("app-version", "0-0"),
            ("av-version", "0"),
            ("wildfire-version", "0"),
            ("threat-version", "0"),
            ("url-db", "paloaltonetworks"),
            ("url-filtering-version", "0"),
            ("logdb-version", ""),
            ("domain", ""),
            ("vpn-disable-mode", "no"),
            ("operational-mode", "normal"),
            ("certificate-status", ""),
            ("certificate-subject-name", &device.serial),
            ("custom-certificate-usage", "no"),
            ("multi-vsys", "no"),
            ("last-masterkey-push-status", "Unknown"),
            ("express-mode", "no"),
        ];
        for (name, value) in fields {
            line = line.leaf(name, value);
        }
        let expiry = match device.certificate_expiry_us {
            0 => "none".to_owned(),
            expiry => times::date_time(expiry),
        };
        let connected_at = if since == 0 { String::new() } else { times::date_time(since) };
        line.leaf("certificate-expiry", &expiry)
            .leaf("connected-at", &connected_at)
            .leaf(
                "last-seen",
                &if device.last_seen_us == 0 { String::new() } else { times::date_time(device.last_seen_us) },
            )
            .leaf("last-masterkey-push-timestamp", "")
            .leaf("device-cert-present", "None")
            .leaf("device-cert-expiry-date", "N/A")
            .with(element("vsys").with(vsys))
    }
}
