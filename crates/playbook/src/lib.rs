//! Which firewall rules say what a cluster's NetworkPolicies say?
//!
//! [`check`] reads one policy with its firewall attributes and refuses it with every reason at once. [`translate`] makes
//! an ordered list of rules of all checked policies of a cluster, [`Plan::render`] the objects of a device group, and
//! [`change::plan`] the fewest edits that bring a device group there. [`catalogue::Catalogue`] says which profiles and
//! applications a team may name. Who belongs to a dynamic group is
//! [`Plan::members`]: it follows the pods without a commit. [`manifests`] reads a cluster from a folder of files, and
//! [`trial`] asks the rules what they would do there.

pub mod attributes;
mod block;
pub mod catalogue;
pub mod change;
mod clause;
pub mod cluster;
pub mod graph;
mod group;
pub mod manifests;
mod names;
pub mod policy;
mod ports;
mod problem;
mod render;
mod rules;
mod selector;
pub mod trial;

pub use block::Block;
pub use catalogue::Catalogue;
pub use clause::{Checked, Direction, check};
pub use group::Group;
pub use ports::{PortRange, Ports, Protocol};
pub use problem::{Kind, Problem, Reason};
pub use render::Objects;
pub use rules::{End, Plan, Rule, Settings, translate};
pub use selector::{LabelSelector, Selector, parse as parse_selector};
