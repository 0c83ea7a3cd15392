//! Which addresses that are not its own does an interface answer for in ARP and NDP?
//!
//! Neighbours ask for every address inside a connected network. The firewall answers for those that its
//! NAT rules translate there, and for loopbacks of the same router, never for a gateway.

use std::net::IpAddr;

use bartizan_model::diagnostic::Diagnostic;
use ipnet::IpNet;

use crate::codes;
use crate::nat::{NatTable, Rule};
use crate::ranges::{AddressSet, Key, Ranges, ends};
use crate::routing::{Hop, Routers};
use crate::tables::{IfaceId, Interface};

/// Fills in [`Interface::proxy`].
pub(crate) fn claim(
    interfaces: &mut [Option<Interface>],
    nat: &NatTable,
    routers: &Routers,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let loopbacks: Vec<_> = interfaces
        .iter()
        .flatten()
        .filter(|interface| interface.loopback)
        .flat_map(|interface| interface.addresses.iter().map(|own| (interface.router, own.addr())))
        .collect();
    for (at, interface) in interfaces.iter_mut().enumerate() {
        let Some(interface) = interface.as_mut().filter(|interface| !interface.loopback) else { continue };
        let id = IfaceId(at as u16);
        let mut claimed = Vec::new();
        for network in &interface.addresses {
            for rule in nat.rules.iter().filter(|rule| concerns(rule, id, interface)) {
                claimed.extend(translated(rule, *network, interface, diagnostics));
            }
            let inside = loopbacks.iter().filter(|(router, own)| *router == interface.router && network.contains(own));
            claimed.extend(inside.map(|(_, own)| (*own, *own)));
        }
        let own = interface.addresses.iter().map(IpNet::addr);
        let gateways =
            routers.0.iter().flatten().flat_map(|table| &table.entries).filter_map(|entry| match entry.hop {
                Some(Hop::Gateway(by, gateway)) if by == id => Some(gateway),
                _ => None,
            });
        let others: Vec<_> = own.chain(gateways).map(|ip| (ip, ip)).collect();
        interface.proxy = without(&AddressSet::of(&claimed), &AddressSet::of(&others)).ranges();
    }
}

fn without(set: &AddressSet, other: &AddressSet) -> AddressSet {
    AddressSet { v4: set.v4.without(&other.v4), v6: set.v6.without(&other.v6) }
}

/// Whether flows of a rule leave, or would leave untranslated, by this interface.
fn concerns(rule: &Rule, id: IfaceId, interface: &Interface) -> bool {
    let zone = match (&rule.to, interface.zone) {
        (None, _) => true,
        (Some(zones), Some(zone)) => zones.contains(&zone),
        (Some(_), None) => false,
    };
    rule.idle.is_none() && zone && rule.to_interface.is_none_or(|only| only == id)
}

/// The part of a rule's addresses inside a connected network.
fn translated(
    rule: &Rule,
    network: IpNet,
    interface: &Interface,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<(IpAddr, IpAddr)> {
    fn inside<K: Key>(set: &Ranges<K>, ends: Option<(K, K)>) -> Ranges<K> {
        ends.map_or_else(Ranges::none, |ends| set.within(ends))
    }
    let claims = AddressSet::of(&rule.claims);
    let (v4, v6) = match ends(network) {
        (IpAddr::V4(first), IpAddr::V4(last)) => (Some((first.to_bits(), last.to_bits())), None),
        (IpAddr::V6(first), IpAddr::V6(last)) => (None, Some((first.to_bits(), last.to_bits()))),
        _ => (None, None),
    };
    let found = AddressSet { v4: inside(&claims.v4, v4), v6: inside(&claims.v6, v6) }.ranges();
    // Answering for all of a network would take it away from its hosts.
    if found == [ends(network)] && network.prefix_len() < network.max_prefix_len() {
        let message = format!(
            "a NAT rule claims all of `{}`, the network of `{}`; ARP and NDP requests for it are not answered",
            network.trunc(),
            interface.name
        );
        let warning = Diagnostic::warning(codes::NAT_CLAIMS_NETWORK, rule.origin.clone(), message);
        diagnostics.push(warning.with_help("name only the addresses that the firewall translates"));
        return Vec::new();
    }
    found
}
