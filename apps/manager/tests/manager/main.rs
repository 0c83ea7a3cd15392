//! The manager as its clients and its firewalls see it: a real listener, real TLS, a real database.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod approvals;
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
mod overrides;
mod parts;
mod policies;
mod postgres;
mod python_clients;
mod queue;
mod reports;
mod roles;
mod rules;
mod runs;
mod schedules;
mod schema;
mod selective;
mod tags;
mod together;
mod variables;
mod verdicts;
mod versions;
