//! The flow engine: one frame in, one verdict out.
//!
//! Sans-IO: frames, time and tables are arguments; the caller owns sockets, clocks and threads. One
//! [`Engine`] per worker; workers share nothing but the compiled tables, and tell one another what they
//! must know through [`PeerMessage`](verdict::PeerMessage)s that the caller carries.
//!
//! Start reading at `pipeline.rs`: the stages of a frame, in order, each a file of its name.

mod ahead;
pub mod counters;
mod decide;
pub mod engine;
mod forward;
mod fragments;
mod hairpin;
pub mod hits;
mod hop;
mod host;
mod icmp;
mod index;
mod ingress;
mod install;
mod key;
mod log;
pub mod look;
mod lookup;
mod mss;
mod nat;
mod neighbor;
mod notice;
mod outbox;
mod path;
pub mod pipeline;
mod plain;
pub mod probe;
pub mod protection;
mod reject;
mod relay;
mod rematch;
mod rewrite;
mod screen;
mod session;
pub mod settings;
pub mod steer;
mod table;
mod tcp;
mod timer;
mod tunnel;
pub mod verdict;
mod vlan;

pub use counters::Counters;
pub use engine::Engine;
pub use settings::{LocalLink, Settings};
