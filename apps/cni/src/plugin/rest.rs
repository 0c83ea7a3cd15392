//! DEL, CHECK, GC and STATUS: does a pod's tie still stand, and is nothing of it left when it goes?

use anyhow::Result;

use super::{Code, Failure};
use crate::datapath::node::Node;
use crate::datapath::{self, Place};
use crate::invocation::{Container, key};
use crate::journal::Journal;
use crate::settings::{Places, Settings, Written};
use crate::state::{self, Lock, PodState};

/// Removes all that ADD made. What is gone already is no failure.
pub(super) fn del(places: &Places, container: &Container) -> Result<Option<String>, Failure> {
    let internal = |error: anyhow::Error| Failure::new(Code::Datapath, format!("{error:#}"));
    let _lock = Lock::take(&places.state, &container.id).map_err(internal)?;
    let known = state::read(&places.state, &container.key());
    let place = Place {
        netns: container.netns.clone(),
        interface: known.as_ref().map_or_else(|| container.interface.clone(), |known| known.interface.clone()),
        key: container.key(),
    };
    // A pod that was left alone is left alone.
    if known.as_ref().is_none_or(|known| known.tunnelled) {
        let made_clsact = known.as_ref().is_some_and(|known| known.made_clsact);
        datapath::untie(places, &place, made_clsact).map_err(internal)?;
    }
    state::remove(&places.state, &place.key).map_err(internal)?;
    if let Some(known) = known.filter(|known| known.tunnelled) {
        let line = format!("DEL {}/{} ({}): no longer tunnelled", known.namespace, known.pod, known.interface);
        Journal::new(&places.log).line(&line);
    }
    Ok(None)
}

/// Whether all that ADD made is still there.
pub(super) fn check(settings: &Settings, container: &Container) -> Result<Option<String>, Failure> {
    let Some(known) = state::read(&settings.places.state, &container.key()) else {
        let message = format!("the container `{}` was not added by this plugin", container.id);
        return Err(Failure::new(Code::UnknownContainer, message));
    };
    if !known.tunnelled {
        return Ok(None);
    }
    let place = Place { netns: container.netns.clone(), interface: known.interface, key: container.key() };
    match datapath::missing(&place) {
        Ok(missing) if missing.is_empty() => Ok(None),
        Ok(missing) => Err(Failure::new(Code::Changed, format!("the pod lacks {}", missing.join(", ")))),
        Err(error) => Err(Failure::new(Code::Changed, format!("{error:#}"))),
    }
}

/// Forgets the pods that the runtime no longer knows.
pub(super) fn gc(written: &Written) -> Result<Option<String>, Failure> {
    let places = written.places();
    let Some(valid) = &written.valid_attachments else {
        return Err(Failure::new(Code::InvalidConfiguration, "`cni.dev/valid-attachments` is missing"));
    };
    let valid: Vec<String> = valid.iter().map(|one| key(&one.container, &one.ifname)).collect();
    let mut problems = Vec::new();
    let stale = state::all(&places.state).into_iter();
    for (key, state) in stale.filter(|(key, state)| state.network == written.name && !valid.contains(key)) {
        if let Err(error) = collect(&places, &key, &state) {
            problems.push(format!("{}/{}: {error:#}", state.namespace, state.pod));
        }
    }
    for key in counters_without_pod(&places) {
        if !valid.contains(&key)
            && let Err(error) = datapath::forget(&places.bpf, &key)
        {
            problems.push(format!("{error:#}"));
        }
    }
    if problems.is_empty() { Ok(None) } else { Err(Failure::new(Code::Datapath, problems.join("; "))) }
}

fn collect(places: &Places, key: &str, state: &PodState) -> Result<()> {
    let _lock = Lock::take(&places.state, &state.container)?;
    let place = Place { netns: state.netns.clone(), interface: state.interface.clone(), key: key.to_owned() };
    if state.tunnelled {
        datapath::untie(places, &place, state.made_clsact)?;
    }
    state::remove(&places.state, key)?;
    Journal::new(&places.log).line(&format!("GC {}/{}: the runtime no longer knows it", state.namespace, state.pod));
    Ok(())
}

fn counters_without_pod(places: &Places) -> Vec<String> {
    let known = state::all(&places.state);
    let Ok(entries) = std::fs::read_dir(places.bpf.join("pods")) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| !known.iter().any(|(key, _)| key == name)).collect()
}

/// Ready, unless the configuration makes the firewall's health the node's.
pub(super) fn status(settings: &Settings) -> Result<Option<String>, Failure> {
    if !settings.status_follows_endpoints {
        return Ok(None);
    }
    match Node::open(&settings.places.bpf).and_then(|node| node.endpoint()) {
        Ok(Some(_)) => Ok(None),
        Ok(None) => Err(Failure::new(Code::NotAvailable, "no firewall is well, and `status_follows_endpoints` is set")),
        Err(error) => Err(Failure::new(Code::NotAvailable, format!("{error:#}"))),
    }
}
