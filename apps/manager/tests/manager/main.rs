//! The manager as its clients and its firewalls see it: a real listener, real TLS, a real database.

mod common;
mod durability;
mod envelopes;
mod fleet;
mod python_clients;
