//! Which ports and ranges of a pod go without a firewall, as its PortInfo and SubnetInfo say?
//!
//! The two texts inside of the custom resources: `TCP:8080,UDP:53` and `BYPASS:10.0.0.0/8,10.1.0.0/16` or
//! `INSPECT:…` (also spelled `FIREWALL:…`).

use std::num::NonZeroU16;

use ipnet::Ipv4Net;

/// Entries that either kind may have.
pub(crate) const MAXIMUM: usize = 10;

/// Transport of a port that bypasses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

/// Far ports that a pod reaches without a firewall; at most [`MAXIMUM`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ports(Vec<(Protocol, NonZeroU16)>);

/// Ranges that steer a pod's packets; at most [`MAXIMUM`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Subnets {
    /// Everything to the firewall.
    #[default]
    All,
    /// These go without.
    Bypass(Vec<Ipv4Net>),
    /// Only these go to the firewall.
    Inspect(Vec<Ipv4Net>),
}

impl Ports {
    /// Reads `spec.portinfo`.
    ///
    /// # Errors
    /// Everything that is wrong, in a sentence each.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut problems = Vec::new();
        let mut ports = Vec::new();
        for item in items(text) {
            match port(item) {
                Ok(port) if ports.contains(&port) => {}
                Ok(port) => ports.push(port),
                Err(problem) => problems.push(problem),
            }
        }
        conclude(ports, problems, "a port such as `TCP:8080`", "ports").map(Self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Protocol, NonZeroU16)> + '_ {
        self.0.iter().copied()
    }
}

impl Subnets {
    /// Reads `spec.subnetinfo`.
    ///
    /// # Errors
    /// Everything that is wrong, in a sentence each.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut problems = Vec::new();
        let mut ranges = Vec::new();
        let mut mode: Option<bool> = None;
        for item in items(text) {
            let (word, range) = match item.split_once(':') {
                Some((word, range)) if !word.contains('.') => (Some(word.trim()), range.trim()),
                _ => (None, item),
            };
            match word.map(bypasses) {
                Some(None) => problems.push(format!("`{item}` begins with neither `BYPASS:` nor `INSPECT:`")),
                Some(said) if mode.is_some() && mode != said => {
                    problems.push(format!("`{item}`: ranges either bypass or are inspected, not both"));
                }
                Some(said) => mode = said,
                None if mode.is_none() => {
                    problems.push(format!("`{item}` stands before any `BYPASS:` or `INSPECT:`"));
                }
                None => {}
            }
            match range.parse::<Ipv4Net>() {
                Ok(range) if ranges.contains(&range.trunc()) => {}
                Ok(range) => ranges.push(range.trunc()),
                Err(_) => problems.push(format!("`{range}` is no IPv4 range such as `10.0.0.0/8`")),
            }
        }
        let ranges = conclude(ranges, problems, "a range such as `BYPASS:10.0.0.0/8`", "ranges")?;
        Ok(if mode == Some(true) { Self::Bypass(ranges) } else { Self::Inspect(ranges) })
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn port(item: &str) -> Result<(Protocol, NonZeroU16), String> {
    let (protocol, number) = item.split_once(':').ok_or_else(|| format!("`{item}` is no port such as `TCP:8080`"))?;
    let protocol = match protocol.trim().to_ascii_uppercase().as_str() {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        _ => return Err(format!("`{item}`: the protocol is `TCP` or `UDP`")),
    };
    let number = number.trim();
    if number.contains('-') {
        return Err(format!("`{item}` is a range: list single ports"));
    }
    let number = number.parse().map_err(|_| format!("`{item}`: the port is a number from 1 to 65535"))?;
    Ok((protocol, number))
}

fn bypasses(word: &str) -> Option<bool> {
    match word.to_ascii_uppercase().as_str() {
        "BYPASS" => Some(true),
        "INSPECT" | "FIREWALL" => Some(false),
        _ => None,
    }
}

fn conclude<T>(found: Vec<T>, mut problems: Vec<String>, example: &str, many: &str) -> Result<Vec<T>, String> {
    if found.is_empty() && problems.is_empty() {
        problems.push(format!("is empty: write {example}"));
    }
    if found.len() > MAXIMUM {
        problems.push(format!("has {} {many}, at most {MAXIMUM} are possible", found.len()));
    }
    if problems.is_empty() { Ok(found) } else { Err(problems.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str) -> String {
        match Ports::parse(text) {
            Ok(ports) => {
                ports.iter().map(|(protocol, port)| format!("{protocol:?} {port}")).collect::<Vec<_>>().join(", ")
            }
            Err(problems) => format!("no: {problems}"),
        }
    }

    fn subnets(text: &str) -> String {
        match Subnets::parse(text) {
            Ok(subnets) => format!("{subnets:?}"),
            Err(problems) => format!("no: {problems}"),
        }
    }

    #[test]
    fn port_info_lists_single_ports() {
        let cases = [
            ("TCP:8080,TCP:8081", "Tcp 8080, Tcp 8081"),
            (" udp:53 , TCP:443,TCP:443", "Udp 53, Tcp 443"),
            ("", "no: is empty: write a port such as `TCP:8080`"),
            ("TCP:8000-8100", "no: `TCP:8000-8100` is a range: list single ports"),
            ("8080", "no: `8080` is no port such as `TCP:8080`"),
            (
                "SCTP:9,TCP:0,TCP:70000",
                "no: `SCTP:9`: the protocol is `TCP` or `UDP`; `TCP:0`: the port is a number from 1 to 65535; \
                 `TCP:70000`: the port is a number from 1 to 65535",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(ports(text), expected, "{text}");
        }
    }

    #[test]
    fn an_eleventh_entry_is_refused() {
        let eleven: Vec<String> = (1..=11).map(|port| format!("TCP:{port}")).collect();
        assert_eq!(ports(&eleven.join(",")), "no: has 11 ports, at most 10 are possible");
        assert!(!ports(&eleven[..10].join(",")).starts_with("no"));
        let eleven: Vec<String> = (1..=11).map(|net| format!("10.{net}.0.0/16")).collect();
        assert_eq!(subnets(&format!("BYPASS:{}", eleven.join(","))), "no: has 11 ranges, at most 10 are possible");
    }

    #[test]
    fn subnet_info_bypasses_or_inspects() {
        let cases = [
            ("BYPASS:10.0.0.0/8,10.1.2.3/16", "Bypass([10.0.0.0/8, 10.1.0.0/16])"),
            ("BYPASS:10.0.0.0/8,BYPASS:192.168.0.0/16", "Bypass([10.0.0.0/8, 192.168.0.0/16])"),
            ("INSPECT:0.0.0.0/0", "Inspect([0.0.0.0/0])"),
            ("firewall:172.16.0.0/12", "Inspect([172.16.0.0/12])"),
            (
                "BYPASS:10.0.0.0/8,INSPECT:10.1.0.0/16",
                "no: `INSPECT:10.1.0.0/16`: ranges either bypass or are inspected, not both",
            ),
            ("10.0.0.0/8", "no: `10.0.0.0/8` stands before any `BYPASS:` or `INSPECT:`"),
            ("ALLOW:10.0.0.0/8", "no: `ALLOW:10.0.0.0/8` begins with neither `BYPASS:` nor `INSPECT:`"),
            ("BYPASS:fd00::/8", "no: `fd00::/8` is no IPv4 range such as `10.0.0.0/8`"),
            ("", "no: is empty: write a range such as `BYPASS:10.0.0.0/8`"),
        ];
        for (text, expected) in cases {
            assert_eq!(subnets(text), expected, "{text}");
        }
    }
}
