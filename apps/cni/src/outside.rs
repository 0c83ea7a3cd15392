//! Which readers meet text from outside? One door to each, for the fuzz targets.
//!
//! Every function reads as a call of the plugin would, and says what then has to hold; a panic in one of them is a fault.

use std::collections::BTreeMap;

use crate::decide::{Annotations, Decision, Facts, decide};
use crate::info::{MAXIMUM, Ports, Subnets};
use crate::invocation::{Container, Verb};
use crate::settings::Written;

/// Most that a name may have in the BPF file system, with what stands around it (`NAME_MAX` of Linux).
const NAME_MAX: usize = 255;

/// A network configuration on standard input, and `CNI_ARGS`.
///
/// # Panics
/// When what is read could not be kept, or a fault is not told.
pub fn call(configuration: &str, arguments: &str) {
    if let Ok(written) = Written::parse(configuration) {
        // Whatever else is wrong, DEL finds what ADD left.
        let places = written.places();
        match written.settings() {
            Ok(settings) => {
                assert!((1..=2048).contains(&settings.cluster_id.number()));
                assert!(settings.override_mtu.is_none_or(|mtu| (576..=65485).contains(&mtu)));
                assert!(settings.health.port != 0 && settings.places == places);
                let ranges = settings.pass_ranges.iter().chain(&settings.firewall_ranges);
                assert!(ranges.into_iter().all(|range| *range == range.trunc()));
            }
            Err(why) => assert!(!why.is_empty()),
        }
    }
    let variable = |name: &str| match name {
        "CNI_CONTAINERID" => Some(arguments.lines().next().unwrap_or_default().to_owned()),
        "CNI_IFNAME" => Some(arguments.lines().nth(1).unwrap_or("eth0").to_owned()),
        "CNI_ARGS" => Some(arguments.lines().nth(2).unwrap_or_default().to_owned()),
        _ => None,
    };
    if let Ok(container) = Container::read(Verb::Del, variable) {
        let key = container.key();
        let is_kept = |one: char| one.is_ascii_graphic() || !one.is_ascii();
        assert!(key.len() < NAME_MAX && !key.contains(['/', '.']) && key.chars().all(is_kept), "{key}");
        for name in container.pod.iter().flat_map(|pod| [&pod.namespace, &pod.name]) {
            assert!(!name.contains('/') && !name.starts_with('.'), "`{name}` would be another path");
        }
    }
}

/// `spec.portinfo`.
///
/// # Panics
/// When there are more ports than a program holds, or none.
pub fn ports(text: &str) {
    match Ports::parse(text) {
        Ok(ports) => assert!((1..=MAXIMUM).contains(&ports.iter().count()) && !ports.is_empty()),
        Err(why) => assert!(!why.is_empty()),
    }
}

/// `spec.subnetinfo`.
///
/// # Panics
/// When there are more ranges than a program holds, or none.
pub fn subnets(text: &str) {
    match Subnets::parse(text) {
        Ok(Subnets::All) => panic!("a text without a range is refused"),
        Ok(Subnets::Bypass(ranges) | Subnets::Inspect(ranges)) => {
            assert!((1..=MAXIMUM).contains(&ranges.len()));
            assert!(ranges.iter().all(|range| *range == range.trunc()));
        }
        Err(why) => assert!(!why.is_empty()),
    }
}

/// Annotations of a pod and of its namespace, a line `NAME=VALUE` each.
///
/// # Panics
/// When a name of a custom resource would lead elsewhere in the API's paths.
pub fn annotations(of_pod: &str, of_namespace: &str) {
    let read = |text: &str| -> Annotations {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
    };
    let facts = Facts { namespace: "shop".to_owned(), pod: read(of_pod), of_namespace: read(of_namespace) };
    let written = r#"{"traffic_object_id":"1","firewall":["pan-fw"],"kubernetes":{"kubeconfig":"/k"}}"#;
    let Ok(settings) = Written::parse(written).and_then(|written| written.settings()) else {
        panic!("a plain configuration is one");
    };
    match decide(&settings, &facts) {
        Decision::Tunnel(wanted) => {
            for name in wanted.port_info.iter().chain(&wanted.subnet_info) {
                assert!(!name.is_empty() && !name.contains('/'), "`{name}` would be another path");
            }
        }
        Decision::Fault(fault) => assert!(!fault.message.is_empty()),
        Decision::Plain(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_said_is_read_or_refused() {
        let good = r#"{"traffic_object_id":"7","override_mtu":"1400","passiprange":"10.0.0.1/8","kubernetes":{"kubeconfig":"/k"}}"#;
        let call_of = "1f0c6a2b93d11\neth0.100\nK8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-0";
        for configuration in [good, "{}", "no JSON", r#"{"traffic_object_id":2049,"interfaces":["a","b"]}"#] {
            call(configuration, call_of);
        }
        call(good, "../x\neth0\nK8S_POD_NAMESPACE=..;K8S_POD_NAME=a/b");
        ["TCP:80,UDP:53", "", "TCP:0", "TCP:1-9,GRE:1"].into_iter().for_each(ports);
        ["BYPASS:10.0.0.1/8", "", "INSPECT:fe80::/10", "10.0.0.0/8,BYPASS:1.1.1.1/32"].into_iter().for_each(subnets);
        annotations("paloaltonetworks.com/bypassfirewall=shop/metrics", "paloaltonetworks.com/firewall=pan-fw");
        annotations("paloaltonetworks.com/bypassfirewall=shop/../x", "paloaltonetworks.com/firewall=true\nno pair");
    }
}
