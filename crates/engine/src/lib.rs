//! The flow engine: one frame in, one verdict out.
//!
//! Sans-IO: frames, time and tables are arguments; the caller owns sockets, clocks and threads. One
//! [`Engine`] per worker; workers share nothing but the compiled tables, and tell one another what they
//! must know through [`PeerMessage`]s that the caller carries.

pub mod steer;
pub mod verdict;
