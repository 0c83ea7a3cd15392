//! Wire formats: what do these bytes say, and how are they changed without breaking a checksum?
//!
//! Views over borrowed bytes, Ethernet to TCP, UDP and ICMP. Network byte order never leaves this
//! crate. Nothing here panics on any input.

pub mod frame;
