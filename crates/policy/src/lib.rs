//! What happens to this flow, by which rule, and why?
//!
//! [`compile`](compile::compile) turns one validated device configuration into [`tables::Compiled`];
//! [`decide`](decide::decide) answers for one flow from those tables, for the engine and, with a trace,
//! for `explain`: preview and reality are one code. This crate never sees a packet.

pub mod check;
pub mod codes;
pub mod compile;
pub mod decide;
pub mod explain;
pub mod facts;
pub mod names;
pub mod tables;
pub mod tunnels;

mod bits;
mod classifier;
mod nat;
mod objects;
mod ports;
mod proxy;
mod ranges;
mod routing;
mod security;
pub mod shadow;
