//! What does the manager, or the firewall, say of itself?

use bartizan_model::manager;
use bartizan_model::tree::Element;

use super::element::{Build as _, element, leaf};
use super::reply::Reply;
use crate::accounts::{Caller, Present};
use crate::app::App;
use crate::store::now_us;
use crate::store::slices::Slice;
use crate::times;

/// The version whose schema clients are to use; they choose by it. Bartizan's own version is in
/// `bartizan-version`.
pub(crate) const SOFTWARE_VERSION: &str = "11.2.3";

/// Decides whether clients treat us as Panorama or as a firewall.
pub(crate) fn model(app: &App) -> &'static str {
    if app.device.is_some() { "PA-VM" } else { "Panorama" }
}

/// What clients must find as the version of the application database; there is none yet.
const CONTENT_VERSION: &str = "0-0";

/// `show system info`
pub(super) fn info(app: &App) -> Reply {
    let running = app.configuration.snapshot().running.clone();
    let setting = |name: &str| {
        manager::container(&running, "deviceconfig")
            .and_then(|device| device.descend(&["system", name]))
            .map(|value| value.text())
            .unwrap_or_default()
    };
    let own = app.device.as_ref().map(|device| device.hostname());
    let hostname = Some(setting("hostname")).filter(|name| !name.is_empty()).or(own).unwrap_or_default();
    let family = if app.device.is_some() { "vm" } else { "pc" };
    let mut address = setting("ip-address");
    if address.is_empty() {
        address = app.settings.listen.ip().to_string();
    }
    let system = element("system")
        .leaf("hostname", if hostname.is_empty() { "bartizan" } else { &hostname })
        .leaf("ip-address", &address)
        .leaf("public-ip-address", "unknown")
        .leaf("netmask", &setting("netmask"))
        .leaf("default-gateway", &setting("default-gateway"))
        .leaf("is-dhcp", "no")
        .leaf("ipv6-address", "unknown")
        .leaf("ipv6-link-local-address", "")
        .leaf("mac-address", "")
        .leaf("time", &format!("{}\n", times::system(now_us())))
        .leaf("uptime", &times::uptime(app.started.elapsed().as_secs()))
        .leaf("devicename", if hostname.is_empty() { "bartizan" } else { &hostname })
        .leaf("family", family)
        .leaf("model", model(app))
        .leaf("serial", &app.serial())
        .leaf("vm-mode", "")
        .leaf("sw-version", SOFTWARE_VERSION)
        .leaf("app-version", CONTENT_VERSION)
        .leaf("app-release-date", "")
        .leaf("av-version", "0")
        .leaf("threat-version", "0")
        .leaf("wildfire-version", "0")
        .leaf("url-db", "paloaltonetworks")
        .leaf("url-filtering-version", "0")
        .leaf("logdb-version", SOFTWARE_VERSION)
        .leaf("platform-family", family)
        .leaf("vpn-disable-mode", "off")
        .leaf("multi-vsys", "off")
        .leaf("operational-mode", "normal")
        .with_all(of_managers(app))
        .leaf("advanced-routing", "on")
        .leaf("device-certificate-status", "None")
        .leaf("plugin_versions", "")
        .leaf("bartizan-version", env!("CARGO_PKG_VERSION"));
    Reply::result(element("result").with(system))
}

/// What only a manager says.
fn of_managers(app: &App) -> Vec<Element> {
    match app.device {
        Some(_) => Vec::new(),
        None => vec![leaf("system-mode", "panorama"), leaf("licensed-device-capacity", "0")],
    }
}

/// `show admins`: who made a request a short while ago.
pub(super) fn admins(app: &App, caller: &Caller) -> Reply {
    let now = now_us();
    let admin = |one: Present| {
        let idle = (now - one.last_us) / 1_000_000;
        let idle = format!("{:02}:{:02}:{:02}s", idle / 3600, idle / 60 % 60, idle % 60);
        let line = element("entry")
            .leaf("admin", &one.name)
            .leaf("from", &one.host.to_string())
            .leaf("type", one.door.as_str())
            .leaf("session-start", &times::date_time(one.since_us))
            .leaf("idle-for", &idle);
        let is_self = (&one.name, one.host, one.door) == (&caller.name, caller.host, caller.door);
        if is_self { line.with(element("self")) } else { line }
    };
    let list = app.accounts.presence.list(now).into_iter().map(admin);
    Reply::result(element("result").with(element("admins").with_all(list)))
}

/// `show logging-status`, our extension: what became of the firewalls' logs since the start, and what is kept.
pub(super) async fn logging(app: &App) -> Reply {
    let counters = app.logs.counters();
    let slices = match app.store.slices().await {
        Ok(slices) => slices,
        Err(error) => return Reply::internal(&error),
    };
    let bounds = app.room().bounds(&app.configuration);
    let rows: i64 = slices.iter().map(Slice::rows).sum();
    let bytes: i64 = slices.iter().map(|slice| slice.bytes).sum();
    let oldest = slices.first().filter(|slice| slice.rows() > 0).map(|slice| times::date_time(slice.begun_us));
    let traffic = element("traffic")
        .leaf("records", &rows.to_string())
        .leaf("records-at-most", &bounds.rows_max.to_string())
        .leaf("slices", &slices.len().to_string())
        .leaf("indexed-slices", &slices.iter().filter(|slice| slice.indexed != 0).count().to_string())
        .leaf("bytes-of-full-slices", &bytes.to_string())
        .leaf("bytes-at-most", &bounds.bytes_max.to_string())
        .leaf("since", &oldest.unwrap_or_default());
    let status: Element = element("logging-status")
        .leaf("stored", &counters.stored.to_string())
        .leaf("repeated", &counters.repeated.to_string())
        .leaf("deleted-by-retention", &counters.deleted.to_string())
        .with(traffic);
    Reply::result(element("result").with(status))
}
