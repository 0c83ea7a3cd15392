//! Which kinds of diagnostics are there?
//!
//! Every diagnostic of this crate carries one of these identifiers. They are stable, and each has a
//! row in `docs/diagnostics.md` (a test compares the two).

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*

        /// All of them, in alphabetical order.
        pub const ALL: &[&str] = &[$($text),*];
    };
}

codes! {
    /// `any` stands in a list together with names.
    ANY_NOT_ALONE = "any-not-alone";
    /// Two branches of a choice are set.
    CHOICE = "choice";
    /// Two interfaces of one router hold the same address.
    DUPLICATE_ADDRESS = "duplicate-address";
    /// An element that may appear once appears again.
    DUPLICATE_ELEMENT = "duplicate-element";
    /// A list names the same thing twice.
    DUPLICATE_MEMBER = "duplicate-member";
    /// A name is taken in this scope.
    DUPLICATE_NAME = "duplicate-name";
    /// Two subinterfaces of one port have the same VLAN tag.
    DUPLICATE_TAG = "duplicate-tag";
    /// Two traffic objects are for one tunnel.
    DUPLICATE_TUNNEL = "duplicate-tunnel";
    /// A group contains itself.
    GROUP_CYCLE = "group-cycle";
    /// A network is written with host bits, which are ignored.
    HOST_BITS = "host-bits";
    /// An interface belongs to no router.
    INTERFACE_WITHOUT_ROUTER = "interface-without-router";
    /// An interface belongs to no zone.
    INTERFACE_WITHOUT_ZONE = "interface-without-zone";
    /// Text that is no address, prefix or range where one is needed.
    INVALID_ADDRESS = "invalid-address";
    /// A certificate that cannot be read, has ended or soon will, or lacks its key.
    INVALID_CERTIFICATE = "invalid-certificate";
    /// Text that is none of the allowed words.
    INVALID_ENUM = "invalid-enum";
    /// A tag filter that cannot be read.
    INVALID_FILTER = "invalid-filter";
    /// A name that is too long, empty, or has forbidden characters.
    INVALID_NAME = "invalid-name";
    /// Text that is no number, or one out of range.
    INVALID_NUMBER = "invalid-number";
    /// Path monitoring that cannot watch anything.
    INVALID_PATH_MONITOR = "invalid-path-monitor";
    /// Text that is no list of ports.
    INVALID_PORT = "invalid-port";
    /// Text that is no range of times.
    INVALID_SCHEDULE = "invalid-schedule";
    /// Text that is no address of a web page.
    INVALID_URL = "invalid-url";
    /// XML that cannot be read.
    INVALID_XML = "invalid-xml";
    /// A loopback address that is longer than one host.
    LOOPBACK_PREFIX = "loopback-prefix";
    /// A mandatory element is absent.
    MISSING_MEMBER = "missing-member";
    /// A static translation between different numbers of addresses.
    NAT_SIZE_MISMATCH = "nat-size-mismatch";
    /// A NAT rule translates to an interface that has no address of its own.
    NAT_WITHOUT_ADDRESS = "nat-without-address";
    /// A translated port without an original port.
    NAT_WITHOUT_PORT = "nat-without-port";
    /// A negated list that is `any`.
    NEGATED_ANY = "negated-any";
    /// A next hop of the other address family.
    NEXT_HOP_FAMILY = "next-hop-family";
    /// A next hop that no interface of the router is attached to.
    NEXT_HOP_UNREACHABLE = "next-hop-unreachable";
    /// Well-formed configuration that is stored and does nothing.
    NOT_ENFORCED = "not-enforced";
    /// An interface in a zone that the vsys does not import.
    NOT_IMPORTED = "not-imported";
    /// One router for two load balancers.
    ONE_ROUTER_TWO_LOAD_BALANCERS = "one-router-two-load-balancers";
    /// A device group has an object of its own in the place of one that is not to be overridden.
    OVERRIDE_DISABLED = "override-disabled";
    /// A static route leaves by an interface of another router.
    ROUTE_INTERFACE_FOREIGN = "route-interface-foreign";
    /// A route without next hop and without interface.
    ROUTE_WITHOUT_INTERFACE = "route-without-interface";
    /// A router forwards to itself.
    ROUTER_SELF = "router-self";
    /// A value that the vendor's schema does not allow.
    SCHEMA = "schema";
    /// A traffic object accepts its tunnel in several zones.
    TUNNEL_ANYWHERE = "tunnel-anywhere";
    /// An interface in two routers.
    TWO_ROUTERS = "two-routers";
    /// An interface in two zones.
    TWO_ZONES = "two-zones";
    /// A name of no address, group or literal.
    UNKNOWN_ADDRESS = "unknown-address";
    /// A certificate that does not exist.
    UNKNOWN_CERTIFICATE = "unknown-certificate";
    /// A device group that is not there.
    UNKNOWN_DEVICE_GROUP = "unknown-device-group";
    /// A name of no interface.
    UNKNOWN_INTERFACE = "unknown-interface";
    /// A name of no interface management or zone protection profile.
    UNKNOWN_PROFILE = "unknown-profile";
    /// A name of no router.
    UNKNOWN_ROUTER = "unknown-router";
    /// A default rule that is not there.
    UNKNOWN_RULE = "unknown-rule";
    /// A name of no schedule.
    UNKNOWN_SCHEDULE = "unknown-schedule";
    /// A name of no service or service group.
    UNKNOWN_SERVICE = "unknown-service";
    /// A name of no tag.
    UNKNOWN_TAG = "unknown-tag";
    /// A template that is not there.
    UNKNOWN_TEMPLATE = "unknown-template";
    /// A name of no zone.
    UNKNOWN_ZONE = "unknown-zone";
    /// A `$variable` without a value.
    UNRESOLVED_VARIABLE = "unresolved-variable";
    /// A variable's value does not fit its type.
    VARIABLE_TYPE = "variable-type";
    /// A zone of one type holds an interface of another.
    ZONE_TYPE = "zone-type";
}

#[cfg(test)]
mod tests {
    use super::ALL;

    const DOCUMENT: &str = include_str!("../../../docs/diagnostics.md");
    /// Everything that makes diagnostics.
    const SOURCES: &[&str] = &[
        include_str!("device.rs"),
        include_str!("device/context.rs"),
        include_str!("device/coverage.rs"),
        include_str!("device/interface.rs"),
        include_str!("device/nat.rs"),
        include_str!("device/objects.rs"),
        include_str!("device/protection.rs"),
        include_str!("device/path_monitor.rs"),
        include_str!("device/router.rs"),
        include_str!("device/rules.rs"),
        include_str!("device/security.rs"),
        include_str!("device/external_list.rs"),
        include_str!("device/schedule.rs"),
        include_str!("device/traffic_object.rs"),
        include_str!("device/zone.rs"),
        include_str!("render.rs"),
        include_str!("render/groups.rs"),
        include_str!("render/variables.rs"),
        include_str!("schema.rs"),
        include_str!("xml.rs"),
        include_str!("../../../apps/manager/src/certificates/check.rs"),
    ];

    #[test]
    fn every_code_has_its_row_and_every_row_its_code() {
        let rows: Vec<&str> = DOCUMENT
            .lines()
            // The rest is what `policy` adds.
            .take_while(|line| !line.starts_with("## "))
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` |").map(|(code, _)| code))
            .collect();
        assert_eq!(rows, ALL);
    }

    #[test]
    fn every_code_is_used_and_every_diagnostic_has_a_code() {
        let sources = SOURCES.concat();
        for code in ALL {
            let name = code.replace('-', "_").to_uppercase();
            assert!(sources.contains(&format!("codes::{name}")), "{code} is never reported");
        }
        for literal in ["Diagnostic::error(\"", "Diagnostic::warning(\""] {
            assert!(!sources.contains(literal), "a diagnostic has a code that is not listed");
        }
    }
}
