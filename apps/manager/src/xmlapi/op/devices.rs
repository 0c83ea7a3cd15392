//! `show devices`: which firewalls are there, and how are they?

use std::collections::BTreeMap;

use bartizan_model::tree::Element;

use super::super::element::{Build as _, element, entry};
use super::super::reply::Reply;
use crate::accounts::Caller;
use crate::app::App;
use crate::inventory::{Known, within_reach};
use crate::store::side_versions::version_of;
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
        let version = self.device.policy_version.map(|number| version_of(number).to_string()).unwrap_or_default();
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
