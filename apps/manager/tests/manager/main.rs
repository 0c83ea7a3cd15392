//! The manager as its clients and its firewalls see it: a real listener, real TLS, a real database.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod backup;
mod certificates;
mod common;
mod deliveries;
mod directory;
mod envelopes;
mod fleet;
mod forwarding;
mod forwarding_http;
mod json;
mod load;
mod migration;
mod postgres;
mod python_clients;
mod queue;
mod reports;
mod roles;
mod schedules;
mod schema;
mod together;
mod verdicts;
mod versions;
