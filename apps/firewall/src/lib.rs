//! The firewall process: packet I/O around the engine, the link to the manager, and the control socket.
//!
//! [`run`] is the whole life of one: read the configuration, open the ports, start the workers, answer
//! until told to stop, and leave nothing behind. The engine decides; everything with an effect is here.

pub mod api;
pub mod auth_key;
pub mod autoconf;
pub mod capture;
pub mod clock;
pub mod command;
pub mod control;
pub mod dataplane;
pub mod dhcp;
pub mod firewall;
pub mod gather;
pub mod hex;
pub mod huge;
pub mod load;
pub mod local;
pub mod logs;
pub mod manager;
pub mod offline;
pub mod pathmon;
pub mod port;
pub mod replay;
pub mod responder;
pub mod run;
pub mod settings;
pub mod snippet;
pub mod store;
pub mod wake;
pub mod worker;

pub use run::{Refused, run};
pub use settings::Settings;

/// A new name for this process among its predecessors.
pub fn boot_id() -> String {
    hex::encode(&rand::random::<[u8; 16]>())
}

/// This host's name.
pub fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}
