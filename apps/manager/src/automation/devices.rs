//! Which firewalls are to enforce the rules of a cluster, and do they?

use bartizan_model::manager;
use bartizan_model::tree::Element;

use super::settings::AUTHOR;
use super::state::Cluster;
use crate::app::App;
use crate::selective::Standing;
use crate::store::devices::Device;
use crate::topology::Topology;

/// A firewall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Enforcer {
    /// Its serial number.
    pub(crate) serial: String,
    /// Its host name, as far as it is known.
    pub(crate) name: String,
    /// SHA-256, hex, of the configuration that it enforces.
    pub(crate) digest: String,
    /// Whether that holds what runs have committed.
    pub(crate) enforced: bool,
    /// Whether it is connected.
    pub(crate) connected: bool,
}

/// Serial numbers of the firewalls of a device group and those below it.
pub(crate) fn of_group(root: &Element, group: &str) -> Vec<String> {
    let below = manager::descendants(root, group);
    let topology = Topology::read(root);
    let is_meant = |name: &str| name == group || below.contains(name);
    let groups = topology.groups.iter().filter(|known| is_meant(&known.name));
    groups.flat_map(|known| known.devices.iter().cloned()).collect()
}

/// The firewalls that have the rules of a cluster, or are to get them, with how far they are.
pub(crate) async fn of(app: &App, cluster: &Cluster) -> anyhow::Result<Vec<Enforcer>> {
    if cluster.placed.is_empty() {
        return Ok(Vec::new());
    }
    let snapshot = app.configuration.snapshot();
    let mut found = Vec::new();
    for serial in of_group(&snapshot.running, &cluster.placed) {
        let connected = app.fleet.link(&serial).is_ok();
        let device = app.store.device(&serial).await?.unwrap_or_default();
        let enforced = holds(app, &device, cluster.committed).await?;
        found.push(Enforcer { serial, name: device.hostname, digest: device.running_digest, enforced, connected });
    }
    Ok(found)
}

/// Whether a firewall enforces what was committed by runs up to a version.
pub(crate) async fn is_up_to(app: &App, serial: &str, version: i64) -> anyhow::Result<bool> {
    let device = app.store.device(serial).await?.unwrap_or_default();
    holds(app, &device, version).await
}

/// The same of what is known of it.
async fn holds(app: &App, device: &Device, version: i64) -> anyhow::Result<bool> {
    let Some(policy) = device.policy_version else { return Ok(false) };
    if device.pushed_digest.is_empty() || device.running_digest != device.pushed_digest {
        return Ok(false);
    }
    let Ok(standing) = Standing::of(app, policy).await else { return Ok(false) };
    if standing.version < version {
        return Ok(false);
    }
    Ok(!standing.lacks_edit_of(&app.store, AUTHOR).await?)
}
