//! The XML API at a firewall: by its own address and through its manager, spoken by unmodified clients.
//!
//! Needs what `tests/lab` needs, and the clients that `scripts/python-clients` installs.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test itself does")]

mod alone;
mod classes;
mod managed;
mod python;

use std::time::Duration;

/// The program.
const BINARY: &str = env!("CARGO_BIN_EXE_bartizan");
/// Password of every first administrator.
const PASSWORD: &str = "correct horse battery";
/// How long anything may take to come about.
const LIMIT: Duration = Duration::from_secs(20);
