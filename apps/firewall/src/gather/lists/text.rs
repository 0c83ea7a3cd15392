//! Which addresses does the text of a list hold?
//!
//! One address, network or range a line. What follows white space, `#`, `;` or `//` is a remark.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use serde::Serialize;

/// Members that are kept of one list.
pub const MEMBERS_MAX: usize = 150_000;
/// Lines that are no address and are kept to be shown.
const BAD_MAX: usize = 100;
/// Characters of such a line that are kept.
const BAD_CHARS_MAX: usize = 80;

/// A list that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Its networks, sorted, each once.
    pub members: Vec<IpNet>,
    /// There were more than are kept.
    pub full: bool,
    /// The first lines that are no address.
    pub bad: Vec<BadLine>,
    /// How many there are.
    pub bad_total: usize,
}

/// A line that is no address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: usize,
    /// What stands there.
    pub text: String,
}

/// Reads a list.
pub fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().zip(1..) {
        let (line, number): (&str, usize) = (number, line);
        let entry = line.split(['#', ';']).next().unwrap_or_default();
        let entry = entry.split("//").next().unwrap_or_default().split_whitespace().next();
        let Some(entry) = entry else { continue };
        match networks(entry) {
            Some(networks) if parsed.members.len() + networks.len() <= MEMBERS_MAX => parsed.members.extend(networks),
            Some(_) => parsed.full = true,
            None => {
                parsed.bad_total += 1;
                if parsed.bad.len() < BAD_MAX {
                    let text = line.trim().chars().take(BAD_CHARS_MAX).collect();
                    parsed.bad.push(BadLine { line: number, text });
                }
            }
        }
    }
    parsed.members.sort_unstable();
    parsed.members.dedup();
    parsed
}

fn networks(entry: &str) -> Option<Vec<IpNet>> {
    if let Ok(ip) = entry.parse::<IpAddr>() {
        return Some(vec![ip.into()]);
    }
    if let Ok(network) = entry.parse::<IpNet>() {
        return Some(vec![network.trunc()]);
    }
    let (first, last) = entry.split_once('-')?;
    match (first.parse().ok()?, last.parse().ok()?) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
            Some(Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect())
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
            Some(Ipv6Subnets::new(first, last, 0).map(IpNet::V6).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_addresses_networks_ranges_or_bad() {
        let text = "\u{feff}192.0.2.1\r\n# remark\n\n 10.1.2.3/8 ; all of it\n192.0.2.1\n\
                    192.0.2.4-192.0.2.6 // three\n2001:db8::/32\nexample.com\n10.0.0.9-10.0.0.1\n2001:db8::-10.0.0.1\n";
        let parsed = parse(text);
        let members: Vec<_> = parsed.members.iter().map(ToString::to_string).collect();
        assert_eq!(members, ["10.0.0.0/8", "192.0.2.1/32", "192.0.2.4/31", "192.0.2.6/32", "2001:db8::/32"]);
        let bad: Vec<_> = parsed.bad.iter().map(|bad| (bad.line, &*bad.text)).collect();
        assert_eq!(bad, [(8, "example.com"), (9, "10.0.0.9-10.0.0.1"), (10, "2001:db8::-10.0.0.1")]);
        assert!(!parsed.full);
    }

    #[test]
    fn a_list_and_its_bad_lines_are_bounded() {
        let text: String =
            (0..MEMBERS_MAX as u32 + 5).map(|at| format!("{}\n", std::net::Ipv4Addr::from_bits(at))).collect();
        let parsed = parse(&text);
        assert_eq!((parsed.members.len(), parsed.full), (MEMBERS_MAX, true));
        let parsed = parse(&vec!["x".repeat(500); 500].join("\n"));
        assert_eq!((parsed.bad.len(), parsed.bad_total, parsed.bad[0].text.len()), (BAD_MAX, 500, BAD_CHARS_MAX));
    }
}
