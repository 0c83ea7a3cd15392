//! How does a router spread flows over routes of equal cost?

use super::context::Context;
use super::node::Node;
use super::value::interface_name;
use crate::choices;

/// Paths of one destination when the configuration does not say, and the most there may be (PAN-OS).
const PATHS: (u8, u32) = (2, 4);
/// Weight of an interface when the configuration does not say (PAN-OS).
const WEIGHT: u8 = 100;

/// Equal-cost multi-path of one router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ecmp {
    /// Routes of one prefix in force at the same time, 2 to 4.
    pub paths_max: u8,
    /// What chooses among them.
    pub algorithm: EcmpAlgorithm,
}

/// What chooses the path of a flow. A session keeps its path whatever the algorithm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EcmpAlgorithm {
    /// Source and destination address.
    #[default]
    IpModulo,
    /// A keyed hash.
    IpHash {
        /// Of the source address only, so that a client keeps its path.
        source_only: bool,
        /// Of the ports too.
        ports: bool,
        /// Key.
        seed: u32,
    },
    /// Shares by the outgoing interface: name and weight, 1 to 255; others weigh 100.
    Weighted(Vec<(String, u8)>),
    /// Equal shares.
    Balanced,
}

/// Reads `ecmp`; nothing when it is absent or off.
pub(super) fn read(context: &mut Context, table: &Node<'_>) -> Option<Ecmp> {
    let node = table.child("ecmp")?;
    if context.yes_no(&node, "enable") != Some(true) {
        return None;
    }
    let paths_max = context.number(&node, "max-path", 2..=PATHS.1).unwrap_or(PATHS.0);
    let branch = node.child("algorithm").and_then(|node| context.choice(&node, choices::ECMP_ALGORITHM));
    let algorithm = branch.map_or(EcmpAlgorithm::IpModulo, |branch| match branch.tag() {
        "ip-hash" => EcmpAlgorithm::IpHash {
            source_only: context.yes_no(&branch, "src-only").unwrap_or(false),
            ports: context.yes_no(&branch, "use-port").unwrap_or(false),
            seed: context.number(&branch, "hash-seed", 0..=u32::MAX).unwrap_or(0),
        },
        "weighted-round-robin" => EcmpAlgorithm::Weighted(weights(context, &branch)),
        "balanced-round-robin" => EcmpAlgorithm::Balanced,
        _ => EcmpAlgorithm::IpModulo,
    });
    Some(Ecmp { paths_max, algorithm })
}

fn weights(context: &mut Context, branch: &Node<'_>) -> Vec<(String, u8)> {
    let entries = branch.entries_at(&["interface"]);
    let read =
        |entry: Node<'_>| (interface_name(entry.name()), context.number(&entry, "weight", 1..=255).unwrap_or(WEIGHT));
    entries.into_iter().map(read).collect()
}
