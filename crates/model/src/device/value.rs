//! What does this text mean: an address, a range, a list of ports, an interface?
//!
//! Pure text to value; who asks decides what a `None` means for the operator.

use std::net::IpAddr;

use ipnet::IpNet;

use super::AddressValue;

impl AddressValue {
    /// A literal as rules and address objects spell it: `10.0.0.5`, `10.0.0.0/8`, `10.0.0.1-10.0.0.9`.
    /// Names, FQDNs and wildcards are not literals.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((first, last)) = text.split_once('-') {
            let first: IpAddr = first.trim().parse().ok()?;
            let last: IpAddr = last.trim().parse().ok()?;
            let ordered = first.is_ipv4() == last.is_ipv4() && first <= last;
            return ordered.then_some(Self::Range(first, last));
        }
        prefix(text).map(Self::Prefix)
    }

    /// First and last address, unless the value cannot be known yet (FQDN, wildcard).
    pub fn bounds(&self) -> Option<(IpAddr, IpAddr)> {
        match self {
            Self::Prefix(net) => Some((net.network(), net.broadcast())),
            Self::Range(first, last) => Some((*first, *last)),
            Self::Fqdn(_) | Self::Wildcard(_) => None,
        }
    }

    /// How many addresses it stands for, unless that cannot be known yet. All of IPv6 counts as `u128::MAX`.
    pub fn size(&self) -> Option<u128> {
        match self.bounds()? {
            (IpAddr::V4(first), IpAddr::V4(last)) => Some(u128::from(u32::from(last) - u32::from(first)) + 1),
            (IpAddr::V6(first), IpAddr::V6(last)) => Some((u128::from(last) - u128::from(first)).saturating_add(1)),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        }
    }
}

/// `10.0.0.1/24` or `10.0.0.1`, which is a host.
pub(super) fn prefix(text: &str) -> Option<IpNet> {
    match text.parse::<IpNet>() {
        Ok(net) => Some(net),
        Err(_) => text.parse::<IpAddr>().ok().map(IpNet::from),
    }
}

/// Whether the text was meant as an address: then a misspelling is an invalid address, not an unknown name.
pub(super) fn resembles_address(text: &str) -> bool {
    let digits_and = |extra: &[char]| {
        text.chars().any(|char| char.is_ascii_digit())
            && text.chars().all(|char| char.is_ascii_digit() || extra.contains(&char))
    };
    let hex_only = text.chars().all(|char| char.is_ascii_hexdigit() || matches!(char, ':' | '/' | '.' | '-'));
    (digits_and(&['.', '/', '-']) && text.contains('.')) || (hex_only && text.matches(':').count() >= 2)
}

/// `80`, `80,443`, `8000-8099`: inclusive ranges in the order written.
pub(super) fn ports(text: &str) -> Option<Vec<(u16, u16)>> {
    text.split(',').map(|part| port_range(part.trim())).collect()
}

fn port_range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u16>().ok())?;
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

/// The one spelling of an interface name: `eth1/2` is `ethernet1/2`.
pub fn interface_name(text: &str) -> String {
    match text.strip_prefix("eth") {
        Some(rest) if rest.starts_with(|char: char| char.is_ascii_digit()) => format!("ethernet{rest}"),
        _ => text.to_owned(),
    }
}

/// `ethernet1/2`: a slot and a port, both from one.
pub(super) fn is_ethernet(name: &str) -> bool {
    name.strip_prefix("ethernet")
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(|(slot, port)| is_number(slot, 99) && is_number(port, 999))
}

/// `ethernet1/2.100`, a part of the port `ethernet1/2`; PAN-OS numbers them 1 to 9999.
pub(super) fn is_subinterface(name: &str, port: &str) -> bool {
    name.strip_prefix(port).and_then(|rest| rest.strip_prefix('.')).is_some_and(|number| is_number(number, 9999))
}

/// `loopback.7`: PAN-OS numbers them 1 to 9999.
pub(super) fn is_loopback(name: &str) -> bool {
    name.strip_prefix("loopback.").is_some_and(|number| is_number(number, 9999))
}

fn is_number(text: &str, max: u32) -> bool {
    !text.starts_with('0')
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse::<u32>().is_ok_and(|number| (1..=max).contains(&number))
}

/// `10.0.0.0/0.0.255.0`, an address and a mask whose set bits do not matter.
pub(super) fn is_wildcard(text: &str) -> bool {
    use std::net::Ipv4Addr;
    text.split_once('/')
        .is_some_and(|(address, mask)| address.parse::<Ipv4Addr>().is_ok() && mask.parse::<Ipv4Addr>().is_ok())
}

/// A DNS name: labels of letters, digits, hyphens and underscores; 255 characters at most.
pub(super) fn is_fqdn(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '*'))
    };
    text.len() <= 255 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::super::AddressValue;
    use super::{interface_name, is_ethernet, is_loopback, ports, resembles_address};

    #[test]
    fn literals_are_hosts_prefixes_and_ranges() {
        let bounds = |text: &str| AddressValue::parse(text)?.bounds().map(|(a, b)| format!("{a} {b}"));
        for (text, expected) in [
            ("10.0.0.5", Some("10.0.0.5 10.0.0.5")),
            ("10.0.0.5/24", Some("10.0.0.0 10.0.0.255")),
            ("10.0.0.1-10.0.0.9", Some("10.0.0.1 10.0.0.9")),
            ("2001:db8::/126", Some("2001:db8:: 2001:db8::3")),
            ("::1-::3", Some("::1 ::3")),
            ("10.0.0.9-10.0.0.1", None),
            ("10.0.0.1-::9", None),
            ("10.0.0.0/33", None),
            ("web-1", None),
            ("", None),
        ] {
            assert_eq!(bounds(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn sizes_count_addresses() {
        assert_eq!(AddressValue::parse("0.0.0.0/0").unwrap().size(), Some(1 << 32));
        assert_eq!(AddressValue::parse("::/0").unwrap().size(), Some(u128::MAX));
        assert_eq!(AddressValue::parse("10.0.0.1-10.0.0.4").unwrap().size(), Some(4));
    }

    #[test]
    fn ports_are_numbers_ranges_and_lists() {
        assert_eq!(ports("80, 443,8000-8099"), Some(vec![(80, 80), (443, 443), (8000, 8099)]));
        for bad in ["", "x", "80,", "99-1", "65536", "+80", "1-2-3"] {
            assert_eq!(ports(bad), None, "{bad}");
        }
    }

    #[test]
    fn interfaces_have_one_spelling() {
        assert_eq!(interface_name("eth1/2"), "ethernet1/2");
        assert_eq!(interface_name("ethernet1/2"), "ethernet1/2");
        assert!(is_ethernet("ethernet1/2") && !is_ethernet("ethernet1") && !is_ethernet("ethernet1/0"));
        assert!(is_loopback("loopback.1") && !is_loopback("loopback") && !is_loopback("loopback.10000"));
    }

    #[test]
    fn a_misspelt_address_is_told_from_a_name() {
        for text in ["10.0.0.300", "10.0.0.0/33", "1.2.3", "fe80::1::2", "10.0.0.9-10.0.0.1"] {
            assert!(resembles_address(text), "{text}");
        }
        for text in ["web", "web-1.2", "db", "10", "cafe", ""] {
            assert!(!resembles_address(text), "{text}");
        }
    }
}
