//! `bartizan k8s`: may the chart be installed, which pods are not inspected, and where does one pod's path end?
//!
//! Asks the cluster's API with the kubeconfig of whoever runs it, and changes nothing.

pub(crate) mod arguments;
mod asked;
mod cluster;
mod coverage;
mod doctor;
mod endpoints;
mod findings;
mod network;
mod preflight;

use crate::Failure;
use arguments::Kubernetes;

/// Has a verb done.
pub(crate) fn run(verb: &Kubernetes) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(1, format!("error: start a runtime: {error}")))?;
    runtime.block_on(async {
        match verb {
            Kubernetes::Preflight(preflight) => preflight::run(preflight).await,
            Kubernetes::Coverage(coverage) => coverage::run(coverage).await,
            Kubernetes::Doctor(doctor) => doctor::run(doctor).await,
        }
    })
}
