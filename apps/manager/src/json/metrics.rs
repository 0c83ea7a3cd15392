//! What does a machine ask that watches over this one? `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::problem::Problem;
use super::route::Access;
use crate::app::App;
use crate::http::Peer;

/// The text format of OpenMetrics, which Prometheus reads.
const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(ready)).route("/metrics", get(metrics))
}

/// Whether requests can be answered: the store is asked.
async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.store.newest_traffic().await {
        Ok(_) if !*app.stop.borrow() => "ok\n".into_response(),
        Ok(_) => (StatusCode::SERVICE_UNAVAILABLE, "the manager stops\n").into_response(),
        Err(error) => {
            tracing::error!(%error, "the store does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n").into_response()
        }
    }
}

/// For whoever may ask `show system info`, and for everybody when the manager was told so.
async fn metrics(State(app): State<Arc<App>>, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    if !app.settings.metrics_open
        && let Err(problem) = super::admit(&app, &peer, &headers, Access::Command("show system info")).await
    {
        return problem.into_response();
    }
    match text(&app).await {
        Ok(text) => ([(CONTENT_TYPE, FORMAT)], text).into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn text(app: &App) -> Result<String, Problem> {
    let mut registry = Registry::with_prefix("bartizan_manager");
    let mut gauge = |name: &str, help: &str, value: i64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let snapshot = app.configuration.snapshot();
    gauge(
        "uptime_seconds",
        "Seconds since the start",
        i64::try_from(app.started.elapsed().as_secs()).unwrap_or(i64::MAX),
    );
    gauge(
        "running_version",
        "Number of the running configuration",
        i64::try_from(snapshot.version).unwrap_or(i64::MAX),
    );
    gauge("pending_edits", "Edits that are not committed", count(snapshot.pending));
    gauge("devices_enrolled", "Devices in the inventory", count(app.store.devices().await?.len()));
    gauge("devices_connected", "Devices that are connected", count(app.fleet.attached()));
    let jobs = Family::<Vec<(String, String)>, Gauge>::default();
    registry.register("jobs", "Jobs that are kept, by kind and result", jobs.clone());
    for job in app.jobs.all() {
        let labels = [("kind", job.kind.as_str()), ("result", job.outcome.as_str())];
        jobs.get_or_create(&labels.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()).inc();
    }
    let counters = app.logs.counters();
    for (name, help, value) in [
        ("log_records_stored", "Records of firewalls that were written since the start", counters.stored),
        ("log_records_repeated", "Records that came again since the start", counters.repeated),
        ("log_records_deleted", "Records that made room since the start", counters.deleted),
    ] {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    }
    let mut text = String::new();
    encode(&mut text, &registry).map_err(anyhow::Error::from)?;
    Ok(text)
}
