//! Wire formats: what do these bytes say, and how are they changed without breaking a checksum?
//!
//! Views over borrowed bytes, Ethernet to TCP, UDP and ICMP, VXLAN and GENEVE. Network byte order never leaves this
//! crate. Nothing here panics on any input.
//!
//! [`parse`] reads a frame once, [`plain`] what most frames are; [`rewrite`] changes addresses and ports in place; [`answer`] builds the
//! packets a firewall sends on its own account; [`fragment`] puts datagrams together and cuts them; [`arp`]
//! and [`ndp`] find neighbours; [`tunnel`] opens and turns VXLAN and GENEVE; [`oddity`] names what ordinary
//! packets do not have; [`handshake`] and [`sequence`] take part in TCP connections; [`segment`] does what a
//! network card would have done.

pub mod answer;
pub mod arp;
pub mod bytes;
pub mod checksum;
pub mod ethernet;
pub mod fragment;
pub mod frame;
pub mod geneve;
pub mod handshake;
pub mod mss;
pub mod ndp;
pub mod oddity;
pub mod parse;
pub mod plain;
pub mod rewrite;
pub mod segment;
pub mod sequence;
pub mod tunnel;
pub mod vxlan;
