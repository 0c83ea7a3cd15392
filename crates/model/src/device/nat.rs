//! NAT rules: whose addresses are rewritten, and to what?

use super::context::Context;
use super::node::Node;
use super::references::Names;
use super::rules::{self, Known};
use super::value::{self, interface_name};
use super::{
    AddressValue, DestinationTranslation, Distribution, Interface, NatRule, NatSettings, PortPool, Scope,
    SourceTranslation,
};
use crate::{choices, codes};

/// Reads the settings of `deviceconfig/setting/nat`.
pub(super) fn read_settings(context: &mut Context, device: &Node<'_>) -> NatSettings {
    let nat = ["deviceconfig", "setting", "nat"].iter().try_fold(device.clone(), |node, tag| node.child(tag));
    let ratio = [("1x", 1), ("2x", 2), ("4x", 4), ("8x", 8)];
    let oversubscription = nat.and_then(|nat| context.word(&nat, "dipp-oversub", &ratio));
    oversubscription.map_or_else(NatSettings::default, |oversubscription| NatSettings { oversubscription })
}

/// Reads the rules of all rulebases in the order of evaluation.
pub(super) fn read(context: &mut Context, known: &Known<'_>, rulebases: &[Node<'_>]) -> Vec<NatRule> {
    let nodes = rules::in_order(context, rulebases, "nat");
    let names = known.config.names();
    let reader = Reader { known, names };
    nodes.iter().filter_map(|node| reader.rule(context, node)).collect()
}

struct Reader<'k> {
    known: &'k Known<'k>,
    names: Names<'k>,
}

impl Reader<'_> {
    /// A rule with a kind of translation that is not supported is left out, with a warning.
    fn rule(&self, context: &mut Context, node: &Node<'_>) -> Option<NatRule> {
        self.known.objects.tags(context, node);
        let source = rules::members(context, node, "source");
        let destination = rules::members(context, node, "destination");
        let mut rule = NatRule {
            name: node.name().to_owned(),
            origin: node.origin(),
            disabled: context.yes_no(node, "disabled").unwrap_or(false),
            from: self.known.zones(context, node, "from"),
            to: self.known.zones(context, node, "to"),
            to_interface: self.to_interface(context, node),
            source: self.known.addresses(context, &source),
            destination: self.known.addresses(context, &destination),
            service: self.service(context, node),
            source_translation: None,
            destination_translation: None,
        };
        let supported = self.is_ipv4(context, node);
        let source_kind = node
            .child("source-translation")
            .map(|parent| context.choice(&parent, choices::SOURCE_TRANSLATION).unwrap_or(parent));
        if let Some(kind) = &source_kind {
            rule.source_translation = self.source_translation(context, &rule, kind);
        }
        if let Some(parent) = context.choice(node, choices::DESTINATION_TRANSLATION) {
            rule.destination_translation = self.destination_translation(context, &rule, &parent);
        }
        supported.then_some(rule)
    }

    fn is_ipv4(&self, context: &mut Context, node: &Node<'_>) -> bool {
        let kind = context.word(node, "nat-type", &[("ipv4", "ipv4"), ("nat64", "nat64"), ("nptv6", "nptv6")]);
        let Some(kind) = kind.filter(|kind| *kind != "ipv4") else { return true };
        let at = node.child("nat-type").unwrap_or_else(|| node.clone());
        let message = format!("`{kind}` is not enforced: NAT rule `{}` is left out", node.name());
        context.warning(codes::NOT_ENFORCED, &at, message);
        false
    }

    fn to_interface(&self, context: &mut Context, node: &Node<'_>) -> Option<String> {
        let name = context.text(node, "to-interface").filter(|name| name != "any")?;
        let leaf = node.child("to-interface")?;
        self.interface(context, &leaf, &name);
        Some(interface_name(&name))
    }

    fn interface(&self, context: &mut Context, leaf: &Node<'_>, text: &str) -> Option<&Interface> {
        let name = interface_name(text);
        let found = self.known.config.interface(&name);
        if found.is_none() && context.scope == Scope::Device {
            let known = self.known.config.interfaces.iter().map(|interface| interface.name.as_str());
            let message = format!("no layer-3 interface `{text}` is configured");
            context.unknown(codes::UNKNOWN_INTERFACE, leaf, message, &name, known);
        }
        found
    }

    fn service(&self, context: &mut Context, node: &Node<'_>) -> Option<String> {
        let name = context.text(node, "service").filter(|name| name != "any")?;
        let leaf = node.child("service")?;
        self.known.objects.check_service(context, &leaf, &name);
        Some(name)
    }

    fn source_translation(&self, context: &mut Context, rule: &NatRule, kind: &Node<'_>) -> Option<SourceTranslation> {
        match kind.tag() {
            "dynamic-ip-and-port" => self.dynamic_ip_and_port(context, kind, false),
            "persistent-dynamic-ip-and-port" => self.dynamic_ip_and_port(context, kind, true),
            "static-ip" => self.static_ip(context, rule, kind),
            "dynamic-ip" => self.dynamic_ip(context, kind),
            _ => {
                context.error(
                    codes::MISSING_MEMBER,
                    kind,
                    format!("NAT rule `{}` does not say how to translate the source", rule.name),
                );
                context.help("use `dynamic-ip-and-port` or `static-ip`, or remove `source-translation`");
                None
            }
        }
    }

    fn dynamic_ip_and_port(
        &self,
        context: &mut Context,
        kind: &Node<'_>,
        persistent: bool,
    ) -> Option<SourceTranslation> {
        let pool = self.port_pool(context, kind)?;
        Some(SourceTranslation::DynamicIpAndPort { pool, persistent })
    }

    fn dynamic_ip(&self, context: &mut Context, kind: &Node<'_>) -> Option<SourceTranslation> {
        let Some(branch) = kind.child("translated-address") else {
            context.error(codes::MISSING_MEMBER, kind, "the translation names no address");
            context.help("name the addresses of the pool in `translated-address`");
            return None;
        };
        let addresses = self.pool_members(context, &branch)?;
        let fallback = kind.child("fallback");
        let fallback = fallback.and_then(|fallback| self.port_pool(context, &fallback));
        Some(SourceTranslation::DynamicIp { addresses, fallback })
    }

    /// The addresses of a pool of ports, below `kind`.
    fn port_pool(&self, context: &mut Context, kind: &Node<'_>) -> Option<PortPool> {
        match context.choice(kind, choices::SOURCE_POOL) {
            Some(branch) if branch.tag() == "interface-address" => self.interface_address(context, &branch),
            Some(branch) => Some(PortPool::Addresses(self.pool_members(context, &branch)?)),
            None => {
                context.error(codes::MISSING_MEMBER, kind, "the translation names no address");
                context.help("use `interface-address` or `translated-address`");
                None
            }
        }
    }

    fn pool_members(&self, context: &mut Context, branch: &Node<'_>) -> Option<Vec<String>> {
        let members: Vec<Node<'_>> = branch.members().collect();
        if members.is_empty() {
            context.error(codes::MISSING_MEMBER, branch, "the pool of translated addresses is empty");
            return None;
        }
        Some(self.known.addresses(context, &members))
    }

    fn interface_address(&self, context: &mut Context, branch: &Node<'_>) -> Option<PortPool> {
        let Some(leaf) = branch.child("interface") else {
            context.error(codes::MISSING_MEMBER, branch, "`interface-address` names no `interface`");
            return None;
        };
        let text = context.text(branch, "interface")?;
        let name = interface_name(&text);
        let interface = self.interface(context, &leaf, &text);
        let wanted = context.text(branch, "ip");
        let mut address = None;
        if let Some(interface) = interface {
            let known = interface.dhcp.is_none() && !context.doubtful.contains(&name);
            if interface.addresses.is_empty() && known {
                let message = format!("`{name}` has no address to translate to");
                context.error(codes::NAT_WITHOUT_ADDRESS, &leaf, message);
                context.help(format!("give `{name}` an address, or name another interface"));
            } else if let (Some(text), Some(at)) = (wanted, branch.child("ip")) {
                address = self.address_on(context, &at, &text, interface);
            }
        }
        Some(PortPool::Interface { interface: name, address })
    }

    fn address_on(
        &self,
        context: &mut Context,
        at: &Node<'_>,
        text: &str,
        interface: &Interface,
    ) -> Option<ipnet::IpNet> {
        let named = self.known.config.address(text).and_then(|address| address.value.bounds()).map(|(first, _)| first);
        let wanted = value::prefix(text).map(|net| net.addr()).or(named);
        let found = interface.addresses.iter().find(|net| Some(net.addr()) == wanted).copied();
        if found.is_none() && interface.dhcp.is_none() && !context.doubtful.contains(&interface.name) {
            let own: Vec<String> = interface.addresses.iter().map(ToString::to_string).collect();
            let message = format!("`{}` does not have the address `{text}`", interface.name);
            context.error(codes::NAT_WITHOUT_ADDRESS, at, message);
            context.help(format!("it has `{}`", own.join("`, `")));
        }
        found
    }

    fn static_ip(&self, context: &mut Context, rule: &NatRule, kind: &Node<'_>) -> Option<SourceTranslation> {
        let bidirectional = context.yes_no(kind, "bi-directional").unwrap_or(false);
        let address = self.translated_address(context, rule, kind, "source", &rule.source)?;
        Some(SourceTranslation::Static { address, bidirectional })
    }

    fn destination_translation(
        &self,
        context: &mut Context,
        rule: &NatRule,
        parent: &Node<'_>,
    ) -> Option<DestinationTranslation> {
        let port = context.number(parent, "translated-port", 1..=65535);
        if port.is_some() && rule.service.is_none() {
            let at = parent.child("translated-port").unwrap_or_else(|| parent.clone());
            context.error(codes::NAT_WITHOUT_PORT, &at, "`translated-port` needs a service whose port it replaces");
            context.help("name a TCP or UDP service in `service`, or remove `translated-port`");
        }
        if parent.tag() == "destination-translation" {
            let address = self.translated_address(context, rule, parent, "destination", &rule.destination)?;
            return Some(DestinationTranslation { address, port, distribution: None });
        }
        let distribution = context.word(parent, "distribution", Distribution::ALL);
        let (leaf, address) = self.translated_to(context, rule, parent)?;
        self.known.objects.check_address(context, &leaf, &address);
        let distribution = Some(distribution.unwrap_or(Distribution::RoundRobin));
        Some(DestinationTranslation { address, port, distribution })
    }

    /// The address of a one-to-one translation: it stands for as many addresses as the original.
    fn translated_address(
        &self,
        context: &mut Context,
        rule: &NatRule,
        parent: &Node<'_>,
        side: &str,
        original: &[String],
    ) -> Option<String> {
        let (leaf, text) = self.translated_to(context, rule, parent)?;
        self.known.objects.check_address(context, &leaf, &text);
        let after = self.size(std::slice::from_ref(&text))?;
        if original.is_empty() {
            let message = format!("`{text}` cannot stand for every {side} address");
            context.error(codes::NAT_SIZE_MISMATCH, &leaf, message);
            context.help(format!("name the original addresses in `{side}`, as many as are translated to"));
        } else if let Some(before) = self.size(original).filter(|before| *before != after) {
            let message = format!("{before} original {side} addresses become {after} translated ones");
            context.error(codes::NAT_SIZE_MISMATCH, &leaf, message);
            context.help("use prefixes of equal length on both sides");
        }
        Some(text)
    }

    fn translated_to<'n>(
        &self,
        context: &mut Context,
        rule: &NatRule,
        parent: &Node<'n>,
    ) -> Option<(Node<'n>, String)> {
        let Some(leaf) = parent.child("translated-address") else {
            let message = format!("NAT rule `{}` has no `translated-address`", rule.name);
            context.error(codes::MISSING_MEMBER, parent, message);
            return None;
        };
        let text = context.text(parent, "translated-address")?;
        Some((leaf, text))
    }

    /// How many addresses the names stand for; nothing when one is unknown or cannot be known yet.
    fn size(&self, names: &[String]) -> Option<u128> {
        let mut total = 0u128;
        for name in names {
            let values = self.names.address_values(name)?;
            for value in &values {
                total = total.saturating_add(AddressValue::size(value)?);
            }
        }
        (total > 0).then_some(total)
    }
}
