//! What does the node agent tell those who ask by HTTP? `/healthz`, `/readyz`, `/metrics`, `/coverage`.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tiny_http::{Header, Response, Server};

use super::{Shared, coverage};
use crate::datapath::node::read_counters;
use crate::state;

/// Pods whose counters are told one by one.
const MAXIMUM_PODS: usize = 256;

type Labels = Vec<(&'static str, String)>;

/// Serves from a thread of its own.
pub(super) fn serve(shared: &Arc<Shared>) -> Result<()> {
    let server = Server::http(shared.environment.listen).map_err(|error| anyhow!("{error}"))?;
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        for request in server.incoming_requests() {
            let (status, kind, text) = answer(&shared, request.url());
            let mut response = Response::from_string(text).with_status_code(status);
            if let Ok(header) = Header::from_bytes("Content-Type", kind) {
                response = response.with_header(header);
            }
            let _went_away = request.respond(response);
        }
    });
    Ok(())
}

fn answer(shared: &Shared, url: &str) -> (u16, &'static str, String) {
    const TEXT: &str = "text/plain; charset=utf-8";
    match url.split('?').next().unwrap_or_default() {
        "/healthz" if shared.alive() => (200, TEXT, "ok\n".to_owned()),
        "/healthz" => (503, TEXT, "a loop is stuck\n".to_owned()),
        "/readyz" if shared.known().stands => (200, TEXT, "ok\n".to_owned()),
        "/readyz" => (503, TEXT, "the plugin is not in the CNI configuration\n".to_owned()),
        "/metrics" => match metrics(shared) {
            Ok(text) => (200, "application/openmetrics-text; version=1.0.0; charset=utf-8", text),
            Err(error) => (500, TEXT, format!("{error:#}\n")),
        },
        "/coverage" => match coverage::facts(shared).map(|facts| serde_json::to_string(&facts)) {
            Some(Ok(text)) => (200, "application/json", text),
            _ => (503, TEXT, "pods and namespaces are not known yet\n".to_owned()),
        },
        _ => (404, TEXT, "there are /healthz, /readyz, /metrics and /coverage\n".to_owned()),
    }
}

fn metrics(shared: &Shared) -> Result<String> {
    let mut registry = Registry::with_prefix("pan_cni");
    pods(&mut registry, shared);
    packets(&mut registry, shared)?;
    firewalls(&mut registry, shared);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn pods(registry: &mut Registry, shared: &Shared) {
    let family = Family::<Labels, Gauge>::default();
    registry.register("pods", "Pods of this node, by what becomes of their packets", family.clone());
    let Some(facts) = coverage::facts(shared) else { return };
    let labels =
        |inspected: bool, reason: &str| vec![("inspected", inspected.to_string()), ("reason", reason.to_owned())];
    family.get_or_create(&labels(true, "tunnelled")).set(facts.inspected as i64);
    for (reason, number) in &facts.not_inspected {
        family.get_or_create(&labels(false, reason)).set(*number as i64);
    }
}

fn packets(registry: &mut Registry, shared: &Shared) -> Result<()> {
    let family = Family::<Labels, Counter>::default();
    registry.register("packets", "Packets of inspected pods, by what became of them", family.clone());
    let places = &shared.environment.settings.places;
    for (key, state) in state::all(&places.state).into_iter().filter(|(_, state)| state.tunnelled).take(MAXIMUM_PODS) {
        for (what, number) in read_counters(&places.bpf, &key)?.unwrap_or_default() {
            let labels =
                vec![("namespace", state.namespace.clone()), ("pod", state.pod.clone()), ("what", what.to_owned())];
            family.get_or_create(&labels).inc_by(number);
        }
    }
    Ok(())
}

fn firewalls(registry: &mut Registry, shared: &Shared) {
    let (well, used) = (Family::<Labels, Gauge>::default(), Family::<Labels, Gauge>::default());
    registry.register("firewall_well", "1 while the firewall answers its health check", well.clone());
    registry.register(
        "firewall_used",
        "1 for the firewall that pods are tunnelled to, and how near it is",
        used.clone(),
    );
    let counters = [
        ("firewall_changes", "Changes of the firewall that pods are tunnelled to, or to none"),
        ("configuration_repairs", "How often the plugin was put into the CNI configuration"),
        ("api_problems", "Failures to reach the API server"),
    ]
    .map(|(name, help)| {
        let counter = Counter::<u64>::default();
        registry.register(name, help, counter.clone());
        counter
    });
    let known = shared.known();
    for (counter, number) in counters.iter().zip([known.swaps, known.repairs, known.api_problems]) {
        counter.inc_by(number);
    }
    for (address, is_well) in &known.well {
        well.get_or_create(&vec![("address", address.to_string())]).set(i64::from(*is_well));
    }
    if let Some(choice) = &known.choice {
        let labels = vec![("address", choice.address.to_string()), ("nearness", choice.nearness.word().to_owned())];
        used.get_or_create(&labels).set(1);
    }
}
