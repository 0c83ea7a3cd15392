//! Which firewall rules say what a cluster's NetworkPolicies and ClusterNetworkPolicies say?
//!
//! [`check`] and [`check_cluster`] read one policy with its firewall attributes and refuse it with every reason at once.
//! [`translate`] makes an ordered list of rules of all checked policies of a cluster, [`Plan::render`] the objects of a
//! device group, and [`change::plan`] the fewest edits that bring a device group there. [`catalogue::Catalogue`] says which
//! profiles and applications a team may name. Who belongs to a dynamic group is [`Plan::members`], for one pod
//! [`Members`]: it follows the pods without a commit. [`manifests`] reads a cluster from a folder of files, and [`trial`] asks the rules what they would do
//! there.

pub mod attributes;
mod block;
pub mod catalogue;
pub mod change;
mod check;
mod checked;
mod clause;
pub mod cluster;
pub mod cluster_policy;
pub mod graph;
mod group;
pub mod manifests;
mod members;
mod names;
mod order;
pub mod policy;
mod ports;
mod problem;
mod reach;
mod render;
mod rules;
mod selector;
pub mod trial;
mod unknown;

pub use block::Block;
pub use catalogue::Catalogue;
pub use check::{check, check_cluster};
pub use checked::{Checked, Tier};
pub use clause::Direction;
pub use group::Group;
pub use members::Members;
pub use names::owner;
pub use ports::{PortRange, Ports, Protocol};
pub use problem::{Kind, Problem, Reason};
pub use render::Objects;
pub use rules::{End, Plan, Rule, Settings, Tagged, TooMany, translate};
pub use selector::{LabelSelector, Selector, parse as parse_selector};
pub use unknown::Ranges;
