//! The configuration: what did the administrator write, and what does it mean for one firewall?
//!
//! Text becomes a tree ([`xml`], [`tree`]), a tree is addressed and edited by XPath ([`xpath`],
//! [`edit`]), a manager's tree is rendered for one device ([`render`]), and a device's tree is read
//! into typed structures ([`device`]). An operator may also write lines of [`words`]. Whatever is wrong on the way is a [`diagnostic::Diagnostic`]
//! with its place. This crate never reads a file or a clock.

pub mod choices;
pub mod codes;
pub mod device;
pub mod diagnostic;
pub mod diff;
pub mod edit;
pub mod manager;
pub mod registered;
pub mod render;
pub mod schema;
pub mod tag_filter;
pub mod tree;
pub mod words;
pub mod xml;
pub mod xpath;
