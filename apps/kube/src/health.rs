//! How is the controller? `/healthz`, `/readyz` and `/metrics`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::lease::Role;
use crate::manager::{Failure, Objects};
use crate::policies::Counts;

/// The text format of OpenMetrics, which Prometheus reads.
const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is known, for those who ask.
#[derive(Debug, Default)]
pub(crate) struct Status {
    numbers: Mutex<Numbers>,
}

#[derive(Clone, Debug, Default)]
struct Numbers {
    is_leader: bool,
    is_listed: bool,
    manager_answers: bool,
    manager_failures: u64,
    events: u64,
    watch_failures: std::collections::BTreeMap<&'static str, u64>,
    objects: Objects,
    addresses: usize,
    left_out: usize,
    addresses_told: u64,
    tags_told: u64,
    refused: u64,
    warnings: usize,
    policies: Counts,
    policies_told: u64,
    policies_not_told: u64,
}

impl Status {
    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A watch broke, and will be taken up again.
    pub(crate) fn watch_failed(&self, kind: &'static str, error: &(dyn std::error::Error + 'static)) {
        tracing::warn!(kind, error, "a watch broke; it is taken up again");
        *self.numbers().watch_failures.entry(kind).or_default() += 1;
    }

    /// Events came.
    pub(crate) fn happened(&self, events: usize, is_listed: bool) {
        let mut numbers = self.numbers();
        numbers.events += events as u64;
        numbers.is_listed = is_listed;
    }

    pub(crate) fn is(&self, role: Role) {
        self.numbers().is_leader = role == Role::Leader;
    }

    pub(crate) fn manager_answered(&self, failure: Option<&Failure>) {
        let mut numbers = self.numbers();
        numbers.manager_answers = failure.is_none();
        numbers.manager_failures += u64::from(failure.is_some());
    }

    pub(crate) fn counted(&self, objects: Objects) {
        self.numbers().objects = objects;
    }

    pub(crate) fn told(&self, addresses: usize, tags: usize, refused: usize) {
        let mut numbers = self.numbers();
        numbers.addresses_told += addresses as u64;
        numbers.tags_told += tags as u64;
        numbers.refused += refused as u64;
    }

    pub(crate) fn tagged(&self, addresses: usize, left_out: usize) {
        let mut numbers = self.numbers();
        (numbers.addresses, numbers.left_out) = (addresses, left_out);
    }

    pub(crate) fn warned(&self, warnings: usize) {
        self.numbers().warnings = warnings;
    }

    pub(crate) fn policies(&self, counts: Counts) {
        self.numbers().policies = counts;
    }

    pub(crate) fn policies_told(&self, is_done: bool) {
        let mut numbers = self.numbers();
        *(if is_done { &mut numbers.policies_told } else { &mut numbers.policies_not_told }) += 1;
    }

    fn text(&self) -> Result<String, std::fmt::Error> {
        let now = self.numbers().clone();
        let mut registry = Registry::with_prefix("bartizan_controller");
        let mut gauge = |name: &str, help: &str, value: usize| {
            let gauge = Gauge::<i64>::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            registry.register(name, help, gauge);
        };
        gauge("leader", "Whether this controller tells the manager", now.is_leader.into());
        gauge("synced", "Whether all objects were listed", now.is_listed.into());
        gauge("manager_up", "Whether the manager answered when it was asked last", now.manager_answers.into());
        gauge("manager_warnings", "What the manager says is not as it should be", now.warnings);
        gauge("tagged_addresses", "Addresses with tags at the manager", now.addresses);
        gauge("tags_left_out", "Tags beyond those that an address may have, at the last change", now.left_out);
        gauge(
            "protected_namespaces",
            "Namespaces whose annotation sends pods through a firewall",
            now.objects.protected_namespaces,
        );
        gauge("policies_faulty", "Policies with a fault: their rules are not made", now.policies.faulty);
        gauge(
            "policies_too_many",
            "Whether the policies need more rules than there may be",
            now.policies.too_many.into(),
        );
        gauge("policy_groups", "Groups of pods that rules speak of", now.policies.groups);
        let objects = Family::<Vec<(String, String)>, Gauge>::default();
        registry.register("objects", "Objects of the cluster, by kind", objects.clone());
        let counts = [
            ("pods", now.objects.pods),
            ("services", now.objects.services),
            ("nodes", now.objects.nodes),
            ("namespaces", now.objects.namespaces),
            ("policies", now.policies.policies),
        ];
        for (kind, count) in counts {
            let labels = vec![("kind".to_owned(), kind.to_owned())];
            objects.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let failures = Family::<Vec<(String, String)>, Counter>::default();
        registry.register("watch_failures", "Watches that broke and were taken up again, by kind", failures.clone());
        for (kind, count) in now.watch_failures {
            failures.get_or_create(&vec![("kind".to_owned(), kind.to_owned())]).inc_by(count);
        }
        for (name, help, value) in [
            ("events", "Events of the API server", now.events),
            ("addresses_told", "Addresses whose tags were changed at the manager", now.addresses_told),
            ("tags_told", "Tags that came or went at the manager", now.tags_told),
            ("addresses_refused", "Addresses whose tags the manager did not take", now.refused),
            ("policies_told", "States of the policies that the manager took", now.policies_told),
            (
                "policies_not_told",
                "States of the policies that it did not take; they are told again",
                now.policies_not_told,
            ),
            ("manager_failures", "Requests that the manager did not answer, or refused", now.manager_failures),
        ] {
            let counter = Counter::<u64>::default();
            counter.inc_by(value);
            registry.register(name, help, counter);
        }
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// Answers those who ask.
pub(crate) fn router(status: Arc<Status>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(status)
}

async fn ready(State(status): State<Arc<Status>>) -> Response {
    if status.numbers().is_listed {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "the objects of the cluster are not listed yet\n").into_response()
}

async fn metrics(State(status): State<Arc<Status>>) -> Response {
    match status.text() {
        Ok(text) => ([(CONTENT_TYPE, FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
