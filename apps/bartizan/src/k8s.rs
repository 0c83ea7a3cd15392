//! `bartizan k8s`: may the chart be installed, which pods are not inspected, where does the path of a pod or a policy end,
//! and which clusters does the manager know?
//!
//! Asks the cluster's API with the kubeconfig of whoever runs it, and the manager; changes nothing.

pub(crate) mod arguments;
mod asked;
mod cluster;
mod clusters;
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
    crate::wait_for(async {
        match verb {
            Kubernetes::Preflight(preflight) => preflight::run(preflight).await,
            Kubernetes::Coverage(coverage) => coverage::run(coverage).await,
            Kubernetes::Doctor(doctor) => doctor::run(doctor).await,
            Kubernetes::Clusters(clusters) => clusters::run(clusters).await,
        }
    })
}
