//! ADD: a pod starts. Is it tunnelled, and does it start at all?
//!
//! The runtime gets its answer only after the programs stand: no packet of the pod goes another way before.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Code, Failure};
use crate::api::{self, Client, Info, Metadata, Object};
use crate::datapath::program::Steering;
use crate::datapath::{self, Place, Tied};
use crate::decide::{self, Decision, Facts, Fault, Plain, Wanted};
use crate::info::{Ports, Subnets};
use crate::invocation::{Container, PodName};
use crate::journal::{self, Journal};
use crate::kubeconfig::Access;
use crate::settings::{FailureMode, Settings, Written};
use crate::state::{self, Lock, PodState};

/// How often the API server is asked before it counts as away.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

const STATIC_POD: &str = "kubernetes.io/config.hash";

/// What became of the pod.
enum Outcome {
    Tunnelled(Wanted, Tied),
    Plain(Plain),
    /// Failure mode open: it runs, uninspected, and is told about.
    Uninspected {
        reason: &'static str,
        message: String,
    },
    Refused(Failure),
}

/// Decides, does it, and writes down what was done.
///
/// # Errors
/// Failure mode closed, and the pod cannot be tunnelled as it asks: it does not start.
pub(super) fn add(written: &Written, settings: &Settings, container: &Container) -> Result<Option<String>, Failure> {
    let begun = Instant::now();
    let journal = Journal::new(&settings.places.log);
    let internal = |error: anyhow::Error| Failure::new(Code::Datapath, format!("{error:#}"));
    let _lock = Lock::take(&settings.places.state, &container.id).map_err(internal)?;
    let mut call = Call { settings, container, target: target(written, settings, container), metadata: None };
    let outcome = call.run();
    journal.line(&call.line(&outcome, begun.elapsed()));
    if let Outcome::Refused(failure) = outcome {
        return Err(failure);
    }
    let state = call.state(written, &outcome);
    state::write(&settings.places.state, &container.key(), &state).map_err(internal)?;
    Ok(Some(result(written, container)))
}

/// The interface to tie: in a chain the one that was just made, alone the pod's own.
fn target(written: &Written, settings: &Settings, container: &Container) -> Option<String> {
    match (&settings.interface, &written.previous) {
        (Some(wanted), Some(_)) => (*wanted == container.interface).then(|| wanted.clone()),
        (Some(wanted), None) => Some(wanted.clone()),
        (None, _) => Some(container.interface.clone()),
    }
}

/// The previous plugin's result as it came. Without one, that there is nothing to say.
fn result(written: &Written, container: &Container) -> String {
    match &written.previous {
        Some(Value::Object(previous)) => {
            let mut previous = previous.clone();
            previous.entry("cniVersion").or_insert_with(|| written.cni_version.clone().into());
            Value::Object(previous).to_string()
        }
        _ => {
            let interface = json!({"name": container.interface, "sandbox": container.netns});
            json!({"cniVersion": written.cni_version, "interfaces": [interface], "ips": []}).to_string()
        }
    }
}

struct Call<'a> {
    settings: &'a Settings,
    container: &'a Container,
    target: Option<String>,
    /// The pod as the API server knows it.
    metadata: Option<Metadata>,
}

impl Call<'_> {
    fn run(&mut self) -> Outcome {
        let Some(pod) = &self.container.pod else { return Outcome::Plain(Plain::NotAPod) };
        if self.target.is_none() {
            return Outcome::Plain(Plain::OtherInterface);
        }
        if let Some(plain) = decide::without_asking(self.settings, &pod.namespace) {
            return Outcome::Plain(plain);
        }
        let (client, facts) = match self.ask(pod) {
            Ok(answer) => answer,
            Err(error) => return self.unknown(&error),
        };
        match decide::decide(self.settings, &facts) {
            Decision::Plain(plain) => Outcome::Plain(plain),
            Decision::Fault(fault) => self.fault(&client, fault),
            Decision::Tunnel(wanted) => self.tunnel(&client, &facts, wanted),
        }
    }

    /// What the API server knows; asked again when it is away for a moment.
    fn ask(&mut self, pod: &PodName) -> Result<(Client, Facts)> {
        let mut attempt = 1;
        loop {
            match self.ask_once(pod) {
                Err(_) if attempt < ATTEMPTS => std::thread::sleep(PAUSE * attempt),
                answer => return answer,
            }
            attempt += 1;
        }
    }

    fn ask_once(&mut self, pod: &PodName) -> Result<(Client, Facts)> {
        let client = Client::new(&Access::read(&self.settings.kubeconfig)?)?;
        let path = format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name);
        let object: Object = client.get(&path)?.with_context(|| format!("there is no pod `{}`", pod.name))?;
        let known = &object.metadata;
        // The API server's copy of a static pod has another identity, and keeps the kubelet's in an annotation.
        let same = |uid: &String| known.uid == *uid || known.annotations.get(STATIC_POD) == Some(uid);
        anyhow::ensure!(
            pod.uid.as_ref().is_none_or(same),
            "the pod `{}` was replaced by another of that name",
            pod.name
        );
        let path = format!("/api/v1/namespaces/{}", pod.namespace);
        let namespace: Object = client.get(&path)?.with_context(|| format!("no namespace `{}`", pod.namespace))?;
        let facts = Facts {
            namespace: pod.namespace.clone(),
            pod: object.metadata.annotations.clone(),
            of_namespace: namespace.metadata.annotations,
        };
        self.metadata = Some(object.metadata);
        Ok((client, facts))
    }

    /// Nobody can say what the pod asks for: the configuration's failure mode decides.
    fn unknown(&self, error: &anyhow::Error) -> Outcome {
        let message = format!("the API server does not say what the pod asks for: {error:#}");
        match self.settings.failure_mode {
            FailureMode::Closed => Outcome::Refused(Failure::new(Code::TryAgain, message)),
            FailureMode::Open => Outcome::Uninspected { reason: "api-server", message },
        }
    }

    fn fault(&self, client: &Client, fault: Fault) -> Outcome {
        self.tell(client, "UninspectableAnnotation", &fault.message, fault.failure_mode);
        match fault.failure_mode {
            FailureMode::Closed => Outcome::Refused(Failure::new(Code::Annotation, fault.message)),
            FailureMode::Open => Outcome::Uninspected { reason: "annotation", message: fault.message },
        }
    }

    fn tunnel(&self, client: &Client, facts: &Facts, wanted: Wanted) -> Outcome {
        let steering = match self.steering(client, facts, &wanted) {
            Ok(Ok(steering)) => steering,
            Ok(Err(message)) => return self.fault(client, Fault { failure_mode: wanted.failure_mode, message }),
            Err(error) => return self.unknown(&error),
        };
        let place = self.place();
        match datapath::tie(self.settings, &place, &steering) {
            Ok(tied) => Outcome::Tunnelled(wanted, tied),
            Err(error) => {
                let message = format!("the pod cannot be tied to the firewall: {error:#}");
                let made_clsact = false;
                let _as_far_as_it_goes = datapath::untie(&self.settings.places, &place, made_clsact);
                self.tell(client, "NotTiedToFirewall", &message, wanted.failure_mode);
                match wanted.failure_mode {
                    FailureMode::Closed => Outcome::Refused(Failure::new(Code::Datapath, message)),
                    FailureMode::Open => Outcome::Uninspected { reason: "datapath", message },
                }
            }
        }
    }

    /// The inner result is what the pod's owner has to mend.
    fn steering(&self, client: &Client, facts: &Facts, wanted: &Wanted) -> Result<Result<Steering, String>> {
        let text = |kind: &str, plural: &str, name: &str| -> Result<Result<String, String>> {
            let path = format!("/apis/paloaltonetworks.com/v1/namespaces/{}/{plural}/{name}", facts.namespace);
            let found: Option<Info> = client.get(&path)?;
            let missing = || format!("there is no {kind} `{}/{name}`", facts.namespace);
            Ok(found.map(|info| info.spec.text).ok_or_else(missing))
        };
        let ports = match &wanted.port_info {
            None => Ok(Ports::default()),
            Some(name) => text("PortInfo", "portinfos", name)?
                .and_then(|text| Ports::parse(&text).map_err(|error| format!("PortInfo `{name}`: {error}"))),
        };
        let subnets = match &wanted.subnet_info {
            None => Ok(Subnets::default()),
            Some(name) => text("SubnetInfo", "subnetinfos", name)?
                .and_then(|text| Subnets::parse(&text).map_err(|error| format!("SubnetInfo `{name}`: {error}"))),
        };
        Ok(match (ports, subnets) {
            (Ok(ports), Ok(subnets)) => {
                Ok(Steering { cluster_id: self.settings.cluster_id, failure_mode: wanted.failure_mode, ports, subnets })
            }
            (Err(one), Err(other)) => Err(format!("{one}; {other}")),
            (Err(message), _) | (_, Err(message)) => Err(message),
        })
    }

    fn tell(&self, client: &Client, reason: &str, message: &str, mode: FailureMode) {
        let Some(pod) = &self.metadata else { return };
        let consequence = match mode {
            FailureMode::Closed => "the pod does not start (failure mode closed)",
            FailureMode::Open => "the pod runs without inspection (failure mode open)",
        };
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        if let Err(error) = api::tell(client, pod, &node, reason, &format!("{message}; {consequence}")) {
            Journal::new(&self.settings.places.log)
                .line(&format!("no event on {}/{}: {error:#}", pod.namespace, pod.name));
        }
    }

    fn place(&self) -> Place {
        Place {
            netns: self.container.netns.clone(),
            interface: self.target.clone().unwrap_or_else(|| self.container.interface.clone()),
            key: self.container.key(),
        }
    }

    fn state(&self, written: &Written, outcome: &Outcome) -> PodState {
        let pod = self.container.pod.as_ref();
        let mut state = PodState {
            container: self.container.id.clone(),
            ifname: self.container.interface.clone(),
            interface: self.place().interface,
            network: written.name.clone(),
            netns: PathBuf::from(&self.container.netns),
            namespace: pod.map(|pod| pod.namespace.clone()).unwrap_or_default(),
            pod: pod.map(|pod| pod.name.clone()).unwrap_or_default(),
            uid: self.metadata.as_ref().map(|pod| pod.uid.clone()).unwrap_or_default(),
            tunnelled: false,
            reason: "tunnelled".to_owned(),
            message: String::new(),
            failure_mode: self.settings.failure_mode.to_string(),
            address: None,
            mtu: None,
            made_clsact: false,
            since: journal::now(),
        };
        match outcome {
            Outcome::Tunnelled(wanted, tied) => {
                let before = state::read(&self.settings.places.state, &self.container.key());
                state.tunnelled = true;
                state.failure_mode = wanted.failure_mode.to_string();
                state.address = Some(tied.address);
                state.mtu = Some(tied.mtu);
                state.made_clsact = tied.made_clsact || before.is_some_and(|before| before.made_clsact);
            }
            Outcome::Plain(plain) => (state.reason, state.message) = (plain.code().to_owned(), plain.to_string()),
            Outcome::Uninspected { reason, message } => {
                (state.reason, state.message) = ((*reason).to_owned(), message.clone());
                state.failure_mode = FailureMode::Open.to_string();
            }
            Outcome::Refused(failure) => state.message.clone_from(&failure.message),
        }
        state
    }

    /// `ADD shop/cart-0 (c1, eth0): tunnelled …, 6 ms`
    fn line(&self, outcome: &Outcome, took: Duration) -> String {
        let pod = self.container.pod.as_ref().map(|pod| format!("{}/{}", pod.namespace, pod.name));
        let short: String = self.container.id.chars().take(13).collect();
        let who = format!("ADD {} ({short}, {})", pod.unwrap_or_else(|| "no pod".to_owned()), self.place().interface);
        let what = match outcome {
            Outcome::Tunnelled(wanted, tied) => format!(
                "{} is tunnelled to the firewall with cluster id {}, MTU {}, failure mode {}; IPv6 {}",
                tied.address,
                self.settings.cluster_id,
                tied.mtu,
                wanted.failure_mode,
                if wanted.failure_mode == FailureMode::Open { "passes uninspected" } else { "is dropped" }
            ),
            Outcome::Plain(plain) => format!("not inspected: {plain}"),
            Outcome::Uninspected { message, .. } => {
                format!("NOT INSPECTED although it was to be (failure mode open): {message}")
            }
            Outcome::Refused(failure) => format!("REFUSED (failure mode closed): {}", failure.message),
        };
        format!("{who}: {what}; {:.1} ms", took.as_secs_f64() * 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invocation::Verb;
    use crate::settings::tests::{CHART, chart};

    fn container(interface: &str) -> Container {
        let variable = |name: &str| match name {
            "CNI_IFNAME" => Some(interface.to_owned()),
            other => Some(other.replace(['/', '='], "")),
        };
        Container::read(Verb::Add, variable).unwrap()
    }

    fn with_previous() -> Written {
        let text = CHART.replacen('{', r#"{"prevResult":{"cniVersion":"0.3.0","ips":[{"address":"10.0.0.2/24"}]},"#, 1);
        Written::parse(&text).unwrap()
    }

    #[test]
    fn a_previous_result_is_passed_on_unchanged() {
        let expected = r#"{"cniVersion":"0.3.0","ips":[{"address":"10.0.0.2/24"}]}"#;
        assert_eq!(result(&with_previous(), &container("eth0")), expected);
    }

    #[test]
    fn in_a_chain_the_named_interface_is_tied_and_alone_the_pods_own() {
        let settings = chart();
        assert_eq!(target(&with_previous(), &settings, &container("eth0")).as_deref(), Some("eth0"));
        assert_eq!(target(&with_previous(), &settings, &container("net1")), None);
        let alone = Written::parse(CHART).unwrap();
        assert_eq!(target(&alone, &settings, &container("net1")).as_deref(), Some("eth0"));
    }
}
