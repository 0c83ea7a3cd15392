//! Zones: which interface is on which side?

use std::collections::BTreeMap;

use super::context::{Context, NAME_LENGTH_MAX};
use super::interface::OtherInterfaces;
use super::node::Node;
use super::value::interface_name;
use super::{DeviceConfig, Scope, Zone, protection};
use crate::diagnostic::Diagnostic;
use crate::{choices, codes};

/// Reads the zones of a vsys.
pub(super) fn read(context: &mut Context, config: &mut DeviceConfig, vsys: &Node<'_>, others: &OtherInterfaces) {
    let mut owners = BTreeMap::new();
    let imported = vsys
        .descend(&["import", "network", "interface"])
        .map(|list| list.element().members().map(|name| interface_name(&name)).collect::<Vec<_>>());
    for node in vsys.entries_at(&["zone"]) {
        let Some(name) = context.entry_name(&node, NAME_LENGTH_MAX) else { continue };
        let kind = node.child("network").and_then(|network| context.choice(&network, choices::ZONE));
        let protection = protection::reference(context, config, &node);
        let mut zone = Zone { name, origin: node.origin(), interfaces: Vec::new(), protection };
        if let Some(kind) = kind.filter(|kind| kind.tag() != "external") {
            for member in kind.members() {
                if let Some(interface) = membership(context, config, others, &member, &zone.name) {
                    check_import(context, &member, &interface, imported.as_deref());
                    check_single(context, &mut owners, &member, &interface, &zone.name);
                    zone.interfaces.push(interface);
                }
            }
        }
        config.zones.push(zone);
    }
    if context.scope == Scope::Device {
        warn_without_zone(context, config);
    }
}

/// The interface's name if it is a layer-3 one in a layer-3 zone.
fn membership(
    context: &mut Context,
    config: &DeviceConfig,
    others: &OtherInterfaces,
    member: &Node<'_>,
    zone: &str,
) -> Option<String> {
    let text = member.text();
    if context.is_variable(member, &text) {
        return None;
    }
    let name = interface_name(&text);
    let kind = member.parent()?.tag();
    if context.scope != Scope::Device {
        return Some(name);
    }
    if config.interface(&name).is_some() {
        if kind == "layer3" {
            return Some(name);
        }
        let message = format!("zone `{zone}` is of type `{kind}`, but `{name}` is a layer-3 interface");
        context.error(codes::ZONE_TYPE, member, message);
        context.help("list it below `network/layer3`");
    } else if let Some(what) = others.get(&name) {
        if kind == "layer3" && what.contains("of type") {
            let message = format!("zone `{zone}` is of type `layer3`, but `{name}` is {what}");
            context.error(codes::ZONE_TYPE, member, message);
            context.help("give the interface `layer3` settings, or the zone the interface's type");
        } else {
            let message = format!("`{name}` is {what}, which is not enforced: zone `{zone}` sees no packets of it");
            context.warning(codes::NOT_ENFORCED, member, message);
        }
    } else {
        let known = config.interfaces.iter().map(|interface| interface.name.as_str());
        context.unknown(codes::UNKNOWN_INTERFACE, member, format!("no interface `{text}` is configured"), &name, known);
    }
    None
}

fn check_import(context: &mut Context, member: &Node<'_>, interface: &str, imported: Option<&[String]>) {
    if imported.is_some_and(|imported| !imported.iter().any(|name| name == interface)) {
        let message = format!("`{interface}` is in a zone of `vsys1`, which does not import it");
        context.warning(codes::NOT_IMPORTED, member, message);
        context.help(format!("add `{interface}` to `import/network/interface` of the vsys"));
    }
}

fn check_single(
    context: &mut Context,
    owners: &mut BTreeMap<String, String>,
    member: &Node<'_>,
    interface: &str,
    zone: &str,
) {
    match owners.get(interface) {
        Some(other) if other != zone => {
            let message = format!("`{interface}` is in zone `{other}` and in zone `{zone}`");
            context.error(codes::TWO_ZONES, member, message);
            context.help("remove it from one of the two");
        }
        _ => {
            owners.insert(interface.to_owned(), zone.to_owned());
        }
    }
}

fn warn_without_zone(context: &mut Context, config: &DeviceConfig) {
    for interface in config.interfaces.iter().filter(|interface| !config.only_carries_parts(interface)) {
        if !config.zones.iter().any(|zone| zone.interfaces.contains(&interface.name)) {
            let message = format!("`{}` is in no zone, so its packets are dropped", interface.name);
            let origin = interface.origin.clone();
            context.diagnostics.push(
                Diagnostic::warning(codes::INTERFACE_WITHOUT_ZONE, origin, message)
                    .with_help("add it to `network/layer3` of a zone"),
            );
        }
    }
}
