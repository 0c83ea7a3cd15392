//! NAT for the operator: the rules in force, and how full their pools are.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use bartizan_engine::verdict::{PoolLevel, PoolUse};
use bartizan_model::device::{NatRule, PortPool, SourceTranslation};
use bartizan_policy::tables::{Compiled, Ranges, RulePool};

use super::values::protocol_name;
use crate::command::Command;
use crate::command::answer::{Answer, IpPool, IpPoolAddress};
use crate::dataplane::Dataplane;
use crate::firewall::{Firewall, Running};

/// Ports of an address that are given out.
const PORTS: u64 = 64_512;

/// `show running ippool`, and `show running nat-rule-ippool rule NAME` with the addresses of that rule.
pub(super) fn pools(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    let running = firewall.running().ok_or("no configuration is enforced yet")?;
    let tables = &running.compiled;
    let wanted = command.value("rule");
    let mut pools = Vec::new();
    for pool in tables.rule_pools() {
        let name = tables.nat_rule_name(pool.rule);
        if wanted.is_none_or(|wanted| wanted == name) {
            pools.push(describe(name, &pool, tables, firewall.dataplane(), wanted.is_some()));
        }
    }
    match wanted {
        Some(wanted) if pools.is_empty() => Err(format!("no NAT rule `{wanted}` has a pool of addresses")),
        _ => Ok(Answer::IpPools(pools)),
    }
}

fn describe(name: &str, pool: &RulePool<'_>, tables: &Compiled, dataplane: &Dataplane, all: bool) -> IpPool {
    let ratio = tables.nat_settings.oversubscription;
    let each = PORTS * u64::from(ratio);
    let holds = |ranges: &[&Ranges], ip: IpAddr| {
        ranges.iter().flat_map(|ranges| ranges.iter()).any(|(first, last)| *first <= ip && ip <= *last)
    };
    let in_use = dataplane.nat().usage(|address| holds(&pool.ports, address));
    let (used, total) = if pool.hosts.is_empty() {
        // The fuller family tells how much is left; without a difference it is IPv4, if there is such an address.
        let families = [false, true].map(|v4| (most_used(&in_use, v4), size(&pool.ports, v4).saturating_mul(each)));
        let full = |(used, total): &(u64, u64)| (u128::from(*used) << 64) / u128::from(*total).max(1);
        families.into_iter().filter(|(_, total)| *total > 0).max_by_key(full).unwrap_or_default()
    } else {
        let all = size(&pool.hosts, true).saturating_add(size(&pool.hosts, false));
        (dataplane.nat().hosts_in_use(|address| holds(&pool.hosts, address)) as u64, all)
    };
    let level = in_use.iter().map(|row| row.level).max_by_key(|level| *level as u8).unwrap_or(PoolLevel::Normal);
    let address = |row: PoolUse| IpPoolAddress {
        address: row.address.to_string(),
        protocol: protocol_name(row.protocol),
        used: row.used.into(),
        available: each.saturating_sub(row.used.into()),
        allocates: row.taken,
        state: row.level.as_str(),
    };
    IpPool {
        rule: name.to_owned(),
        kind: pool.kind,
        used,
        available: total.saturating_sub(used),
        ratio,
        state: level.as_str(),
        addresses: if all { in_use.into_iter().map(address).collect() } else { Vec::new() },
    }
}

/// Ports of a family in use by the protocol that has most: each has ports of its own.
fn most_used(in_use: &[PoolUse], v4: bool) -> u64 {
    let mut used = BTreeMap::<u8, u64>::new();
    for row in in_use.iter().filter(|row| row.address.is_ipv4() == v4) {
        *used.entry(row.protocol).or_default() += u64::from(row.used);
    }
    used.into_values().max().unwrap_or(0)
}

/// Addresses of a family.
fn size(pools: &[&Ranges], v4: bool) -> u64 {
    let one = |(first, last): &(IpAddr, IpAddr)| match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) if v4 => u64::from(last.to_bits().saturating_sub(first.to_bits())) + 1,
        (IpAddr::V6(first), IpAddr::V6(last)) if !v4 => {
            u64::try_from(last.to_bits().saturating_sub(first.to_bits())).unwrap_or(u64::MAX).saturating_add(1)
        }
        _ => 0,
    };
    pools.iter().flat_map(|ranges| ranges.iter()).map(one).fold(0, u64::saturating_add)
}

/// `show running nat-policy`: the rules as PAN-OS lists them.
pub(super) fn policy(running: &Running) -> Answer {
    let mut text = String::new();
    for (at, rule) in running.config.nat_rules.iter().filter(|rule| !rule.disabled).enumerate() {
        let any = |names: &[String]| match names {
            [] => "any".to_owned(),
            [one] => one.clone(),
            many => format!("[ {} ]", many.join(" ")),
        };
        let service = rule.service.as_deref().unwrap_or("any");
        let lines = [
            ("nat-type", "ipv4".to_owned()),
            ("from", any(&rule.from)),
            ("source", any(&rule.source)),
            ("to", any(&rule.to)),
            ("to-interface", rule.to_interface.clone().unwrap_or_default()),
            ("destination", any(&rule.destination)),
            ("service", service.to_owned()),
            ("translate-to", format!("\"{}\"", translation(rule))),
            ("terminal", "no".to_owned()),
        ];
        let _ = writeln!(text, "\"{}; index: {}\" {{", rule.name, at + 1);
        for (name, value) in lines {
            let _ = writeln!(text, "        {name} {value};");
        }
        text.push_str("}\n");
    }
    Answer::NatPolicy(text)
}

fn translation(rule: &NatRule) -> String {
    let pool = |pool: &PortPool| match pool {
        PortPool::Interface { interface, address } => {
            address.map_or_else(|| interface.clone(), |address| format!("{interface} {}", address.addr()))
        }
        PortPool::Addresses(names) => names.join(" "),
    };
    let source = rule.source_translation.as_ref().map(|source| match source {
        SourceTranslation::DynamicIpAndPort { pool: addresses, persistent: false } => {
            format!("src: {} (dynamic-ip-and-port)", pool(addresses))
        }
        SourceTranslation::DynamicIpAndPort { pool: addresses, persistent: true } => {
            format!("src: {} (persistent-dynamic-ip-and-port)", pool(addresses))
        }
        SourceTranslation::DynamicIp { addresses, fallback } => {
            let fallback = fallback.as_ref().map(|addresses| format!(", fallback {}", pool(addresses)));
            format!("src: {} (dynamic-ip){}", addresses.join(" "), fallback.unwrap_or_default())
        }
        SourceTranslation::Static { address, bidirectional } => {
            format!("src: {address} (static-ip){}", if *bidirectional { " (bi-directional)" } else { "" })
        }
    });
    let destination = rule.destination_translation.as_ref().map(|destination| {
        let port = destination.port.map_or_else(String::new, |port| format!(":{port}"));
        let spread = destination.distribution.map_or_else(String::new, |by| format!(" ({})", by.as_str()));
        format!("dst: {}{port}{spread}", destination.address)
    });
    let parts: Vec<_> = source.into_iter().chain(destination).collect();
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use bartizan_model::device::{DestinationTranslation, Distribution};

    use super::*;

    #[test]
    fn a_translation_is_said_as_pan_os_says_it() {
        let rule = NatRule {
            source_translation: Some(SourceTranslation::DynamicIp {
                addresses: vec!["192.0.2.0/28".to_owned()],
                fallback: Some(PortPool::Interface { interface: "ethernet1/2".to_owned(), address: None }),
            }),
            destination_translation: Some(DestinationTranslation {
                address: "servers".to_owned(),
                port: Some(8080),
                distribution: Some(Distribution::LeastSessions),
            }),
            ..NatRule::default()
        };
        assert_eq!(
            translation(&rule),
            "src: 192.0.2.0/28 (dynamic-ip), fallback ethernet1/2; dst: servers:8080 (least-sessions)"
        );
    }

    #[test]
    fn addresses_are_counted_by_family() {
        let ranges = |first: &str, last: &str| -> Ranges { [(first.parse().unwrap(), last.parse().unwrap())].into() };
        let (v4, v6) = (ranges("192.0.2.1", "192.0.2.4"), ranges("2001:db8::1", "2001:db8::2"));
        assert_eq!([true, false].map(|family| size(&[&v4, &v6], family)), [4, 2]);
    }
}
