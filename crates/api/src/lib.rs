//! The contract between manager and firewall: which messages do they exchange?
//!
//! Generated from `proto/bartizan/fleet/v1/fleet.proto`. Compatibility: fields are only added.

#[expect(missing_docs, unused_qualifications, clippy::large_enum_variant, reason = "generated code")]
pub mod fleet {
    tonic::include_proto!("bartizan.fleet.v1");
}
