//! Which kinds of diagnostics does compiling add to those of `model::codes`?
//!
//! Each has a row in `docs/diagnostics.md`, under "When it is compiled" (a test compares the two).

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*

        /// All of them, in alphabetical order.
        pub const ALL: &[&str] = &[$($text),*];
    };
}

codes! {
    /// A NAT rule claims a whole connected network.
    NAT_CLAIMS_NETWORK = "nat-claims-network";
    /// A NAT rule translates one family and matches only the other.
    NAT_FAMILY_MISMATCH = "nat-family-mismatch";
    /// A bidirectional NAT rule is for one service, its reverse for all.
    NAT_REVERSE_SERVICE = "nat-reverse-service";
    /// A static source translation works in one direction only.
    NAT_REVERSE_SUGGESTED = "nat-reverse-suggested";
    /// A NAT rule translates to something that is not one range of addresses.
    NAT_TRANSLATED_ADDRESS = "nat-translated-address";
    /// Routers send a destination to one another in a circle.
    ROUTER_LOOP = "router-loop";
    /// The tables of a rule base would need too much memory.
    RULE_BASE_TOO_LARGE = "rule-base-too-large";
    /// A rule that no flow can reach.
    SHADOWED_RULE = "shadowed-rule";
    /// More names than ids since the process started.
    TOO_MANY_NAMES = "too-many-names";
    /// A rule lists an object whose addresses are not known.
    UNRESOLVED_ADDRESS = "unresolved-address";
}

#[cfg(test)]
mod tests {
    use super::ALL;

    const DOCUMENT: &str = include_str!("../../../docs/diagnostics.md");

    #[test]
    fn every_code_has_its_row_and_every_row_its_code() {
        let section = DOCUMENT.split("\n## ").find(|section| section.starts_with("When it is compiled")).unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |").map(|(code, _)| code));
        assert_eq!(rows.collect::<Vec<_>>(), ALL);
    }
}
