//! `show devices`, and commands that are forwarded to a firewall.

use std::collections::BTreeMap;

use bartizan_model::tree::Element;
use bartizan_model::xml;

use super::super::element::{Build as _, element, entry};
use super::super::reply::{Reply, code};
use crate::accounts::{Caller, Right};
use crate::app::App;
use crate::fleet::LinkError;
use crate::store::devices::Device;
use crate::store::pending::PendingPush;
use crate::sync::{self, SyncState};
use crate::times;
use crate::topology::Topology;

/// A device with all that is known of it.
pub(super) struct Known {
    /// The inventory's line; a device that is only configured has an empty one.
    pub(super) device: Device,
    /// Whether it is attached, where from and since when.
    attached: Option<(String, i64, u64)>,
    /// What of it is as it should be.
    pub(super) state: SyncState,
    /// Its device group.
    pub(super) group: Option<String>,
    /// Its template stack.
    pub(super) stack: Option<String>,
    /// What it has yet to get.
    pending: Option<PendingPush>,
}

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
pub(super) async fn forward(app: &App, serial: &str, command: &str) -> Reply {
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
    let reach = caller.role.reach(Right::Operate);
    let topology = Topology::read(&app.configuration.snapshot().candidate).within(reach.as_ref());
    let mut devices = inventory(app, &topology).await.map_err(|error| Reply::internal(&error))?;
    if reach.is_some() {
        devices.retain(|serial, _| topology.devices.contains_key(serial));
    }
    Ok((topology, devices))
}

/// All devices that enrolled or are configured, by serial.
async fn inventory(app: &App, topology: &Topology) -> anyhow::Result<BTreeMap<String, Known>> {
    let mut known: BTreeMap<String, Device> =
        app.store.devices().await?.into_iter().map(|device| (device.serial.clone(), device)).collect();
    for serial in topology.devices.keys() {
        known.entry(serial.clone()).or_insert_with(|| Device { serial: serial.clone(), ..Device::default() });
    }
    let pending = app.store.pending_pushes().await?.into_iter();
    let mut pending: BTreeMap<String, PendingPush> = pending.map(|push| (push.serial.clone(), push)).collect();
    let mut devices = BTreeMap::new();
    for (serial, device) in known {
        let link = app.fleet.link(&serial).ok();
        let attached = link.map(|link| {
            let uptime = link.health().map_or(link.hello.uptime_s, |health| health.uptime_s);
            (link.address.ip().to_string(), link.since_us, uptime.unsigned_abs())
        });
        let state = sync::state(app, &device).await?;
        let group = topology.group_of(&serial).map(str::to_owned);
        let stack = topology.stack_of(&serial).map(str::to_owned);
        let pending = pending.remove(&serial);
        devices.insert(serial, Known { device, attached, state, group, stack, pending });
    }
    Ok(devices)
}

impl Known {
    /// `In Sync`, `Out of Sync`, or nothing for a device without a device group.
    pub(super) fn policy_status(&self) -> &'static str {
        status(self.group.is_some(), self.state.policy)
    }

    /// The same for its templates.
    pub(super) fn template_status(&self) -> &'static str {
        status(self.stack.is_some(), self.state.templates)
    }

    /// The entry that all inventories show.
    pub(super) fn to_element(&self) -> Element {
        let device = &self.device;
        let (from, since, uptime) =
            self.attached.clone().map_or_else(|| (String::new(), 0, 0), |(from, since, uptime)| (from, since, uptime));
        let address = if device.management_address.is_empty() { from.as_str() } else { &device.management_address };
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
            ("ip-address", address),
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
            .with_all(self.pending.iter().map(|push| {
                element("pending-push")
                    .leaf("jobid", &push.job.to_string())
                    .leaf("version", &push.version.to_string())
                    .leaf("admin", &push.admin)
                    .leaf("time", &times::date_time(push.time_us))
            }))
            .with(element("vsys").with(vsys))
    }
}

fn status(placed: bool, in_sync: bool) -> &'static str {
    match (placed, in_sync) {
        (false, _) => "",
        (true, true) => "In Sync",
        (true, false) => "Out of Sync",
    }
}
