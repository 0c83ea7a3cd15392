//! Which rules refuse pods that nobody has told about yet?
//!
//! A pod that has just started has an address before its labels are known as tags. Until then it is in no group, and a
//! policy that isolates it does not mean it. What is among the addresses of pods and no known pod waits: what opens a
//! connection asks again after a second.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use bartizan_model::tree::Element;

use crate::block::Block;
use crate::group::Group;
use crate::names;
use crate::render::{Objects, leaf, members, members_or_any, with};
use crate::rules::Plan;

/// Addresses that the pods of a cluster get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<IpNet>);

impl Ranges {
    /// Reads prefixes such as `10.244.0.0/16`.
    ///
    /// # Errors
    /// Those that are none.
    pub fn read<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, Vec<String>> {
        let (mut nets, mut wrong) = (Vec::new(), Vec::new());
        for text in texts {
            match text.parse::<IpNet>() {
                Ok(net) if net.prefix_len() > 0 => nets.push(net.trunc()),
                Ok(_) | Err(_) => wrong.push(text.to_owned()),
            }
        }
        nets.sort_unstable();
        if wrong.is_empty() { Ok(Self(IpNet::aggregate(&nets))) } else { Err(wrong) }
    }

    /// All other addresses.
    fn others(&self) -> Vec<String> {
        let everything = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
        let outside = everything.into_iter().flat_map(|family| Block::without(family, &self.0).prefixes());
        outside.map(|net| net.to_string()).collect()
    }
}

impl Plan {
    /// Puts two rules before all others: what comes from, or goes to, an address of the ranges that no known pod has is
    /// refused. Only where the plan speaks of every pod ([`crate::Settings::allow_the_rest`]): else nobody's tag says that a pod
    /// is known. Gives how many it put there.
    pub fn refuse_unknown(&self, objects: &mut Objects, ranges: &Ranges) -> usize {
        let known = Group::every_pod().tag(&self.settings.cluster);
        if ranges.0.is_empty() || !objects.groups.contains_key(&known) {
            return 0;
        }
        let mut others = vec![known];
        others.extend(ranges.others());
        let rules = [
            ("unknown-out", "from", "source", "to", "destination"),
            ("unknown-in", "to", "destination", "from", "source"),
        ];
        let count = rules.len();
        for (at, (name, zone, end, other_zone, other_end)) in rules.into_iter().enumerate() {
            let name = names::rule(&self.settings.cluster, name, name);
            let parts = [
                members_or_any(zone, self.settings.zones.iter().map(String::as_str)),
                members(other_zone, ["any"]),
                members(end, others.iter().map(String::as_str)),
                leaf(if end == "source" { "negate-source" } else { "negate-destination" }, "yes"),
                members(other_end, ["any"]),
                members("source-user", ["any"]),
                members("category", ["any"]),
                members("application", ["any"]),
                members("service", ["any"]),
                leaf("action", "drop"),
                leaf("description", "Pods wait until their labels are known: a policy may be about them"),
                members("tag", [objects.owner.as_str()]),
            ];
            let entry = with(Element::entry(&name), parts);
            objects.rules.insert(at, (name, entry));
        }
        count
    }
}
