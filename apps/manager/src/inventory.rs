//! What is known of each device: what it said, where it has its place, and whether it has what it should have?

use std::collections::BTreeMap;

use bartizan_api::fleet::Health;

use crate::accounts::{Caller, Right};
use crate::app::App;
use crate::store::devices::Device;
use crate::store::pending::PendingPush;
use crate::sync::{self, SyncState};
use crate::topology::Topology;

/// A device with all that is known of it.
pub(crate) struct Known {
    /// The inventory's line; a device that is only configured has an empty one.
    pub(crate) device: Device,
    /// Its connection, while it has one.
    pub(crate) attached: Option<Attached>,
    /// What of it is as it should be.
    pub(crate) state: SyncState,
    /// Its device group.
    pub(crate) group: Option<String>,
    /// Its template stack.
    pub(crate) stack: Option<String>,
    /// What it has yet to get.
    pub(crate) pending: Option<PendingPush>,
}

/// The connection of a device.
pub(crate) struct Attached {
    /// Where it came from.
    pub(crate) from: String,
    /// Since when.
    pub(crate) since_us: i64,
    /// How long its process runs.
    pub(crate) uptime_s: u64,
    /// What it said last of itself.
    pub(crate) health: Option<Health>,
}

/// The groups and templates of the candidate that the caller may handle, and their devices by serial.
pub(crate) async fn within_reach(app: &App, caller: &Caller) -> anyhow::Result<(Topology, BTreeMap<String, Known>)> {
    let reach = caller.role.reach(Right::Operate);
    let topology = Topology::read(&app.configuration.snapshot().candidate).within(reach.as_ref());
    let mut devices = inventory(app, &topology).await?;
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
            let health = link.health();
            let uptime = health.map_or(link.hello.uptime_s, |health| health.uptime_s);
            let from = link.address.ip().to_string();
            Attached { from, since_us: link.since_us, uptime_s: uptime.unsigned_abs(), health }
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
    pub(crate) fn policy_status(&self) -> &'static str {
        status(self.group.is_some(), self.state.policy)
    }

    /// The same for its templates.
    pub(crate) fn template_status(&self) -> &'static str {
        status(self.stack.is_some(), self.state.templates)
    }

    /// Where it can be reached: what it says, or else where it came from.
    pub(crate) fn address(&self) -> String {
        if !self.device.management_address.is_empty() {
            return self.device.management_address.clone();
        }
        self.attached.as_ref().map(|attached| attached.from.clone()).unwrap_or_default()
    }
}

fn status(placed: bool, in_sync: bool) -> &'static str {
    match (placed, in_sync) {
        (false, _) => "",
        (true, true) => "In Sync",
        (true, false) => "Out of Sync",
    }
}
