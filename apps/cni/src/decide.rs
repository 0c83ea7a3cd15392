//! Is a pod tunnelled, and if not, why?
//!
//! Pure: what the configuration and the annotations say comes in, a decision goes out. A pod's annotation
//! beats its namespace's.

use std::collections::BTreeMap;
use std::fmt;

use crate::settings::{FailureMode, Scope, Settings};

/// Turns inspection on or off.
pub(crate) const FIREWALL: &str = "paloaltonetworks.com/firewall";
/// Names a PortInfo.
pub(crate) const BYPASS_PORTS: &str = "paloaltonetworks.com/bypassfirewall";
/// Names a SubnetInfo, and turns inspection on.
pub(crate) const SUBNETS: &str = "paloaltonetworks.com/subnetfirewall";
/// `open` or `closed`.
pub(crate) const FAILURE_MODE: &str = "bartizan.io/failure-mode";

/// Annotations by name.
pub(crate) type Annotations = BTreeMap<String, String>;

/// What the API server knows about a pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) namespace: String,
    pub(crate) pod: Annotations,
    pub(crate) of_namespace: Annotations,
}

/// Why a pod is not tunnelled, of its own or its administrators' will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    NotAPod,
    OtherInterface,
    Teardown,
    ExcludedNamespace,
    NotAnnotated,
    OptedOut,
}

/// A pod that is to be tunnelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) failure_mode: FailureMode,
    /// Name of a PortInfo in the pod's namespace.
    pub(crate) port_info: Option<String>,
    /// Name of a SubnetInfo in the pod's namespace.
    pub(crate) subnet_info: Option<String>,
}

/// A pod that was to be tunnelled as somebody wrote, if it could be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) failure_mode: FailureMode,
    pub(crate) message: String,
}

/// What is to be done about a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Plain(Plain),
    Tunnel(Wanted),
    Fault(Fault),
}

impl Plain {
    /// The word that state files and coverage facts use.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::NotAPod => "not-a-pod",
            Self::OtherInterface => "other-interface",
            Self::Teardown => "teardown",
            Self::ExcludedNamespace => "excluded-namespace",
            Self::NotAnnotated => "not-annotated",
            Self::OptedOut => "opted-out",
        }
    }
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAPod => "the runtime names no Kubernetes pod",
            Self::OtherInterface => "another interface of the pod is the one that is tunnelled",
            Self::Teardown => "the configuration says `mode: teardown`",
            Self::ExcludedNamespace => "its namespace is excluded by the configuration",
            Self::NotAnnotated => "neither it nor its namespace is annotated `paloaltonetworks.com/firewall`",
            Self::OptedOut => "it is annotated `paloaltonetworks.com/firewall: none`",
        })
    }
}

/// What can be said before the API server is asked.
pub(crate) fn without_asking(settings: &Settings, namespace: &str) -> Option<Plain> {
    if settings.teardown {
        Some(Plain::Teardown)
    } else if settings.excluded_namespaces.iter().any(|excluded| excluded == namespace) {
        Some(Plain::ExcludedNamespace)
    } else {
        None
    }
}

/// What is to be done about a pod.
pub(crate) fn decide(settings: &Settings, facts: &Facts) -> Decision {
    if let Some(plain) = without_asking(settings, &facts.namespace) {
        return Decision::Plain(plain);
    }
    let mode = failure_mode(settings, facts);
    let fault = |message: String| {
        let failure_mode = mode.as_ref().copied().unwrap_or(settings.failure_mode);
        Decision::Fault(Fault { failure_mode, message })
    };
    match first(facts, FIREWALL) {
        Some("none") => return Decision::Plain(Plain::OptedOut),
        Some(value) if !accepted(settings, value) => return fault(unknown_value(settings, value)),
        None if settings.scope == Scope::Annotated && first(facts, SUBNETS).is_none() => {
            return Decision::Plain(Plain::NotAnnotated);
        }
        _ => {}
    }
    let failure_mode = match &mode {
        Ok(mode) => *mode,
        Err(message) => return fault(message.clone()),
    };
    match (reference(facts, BYPASS_PORTS, "PortInfo"), reference(facts, SUBNETS, "SubnetInfo")) {
        (Ok(port_info), Ok(subnet_info)) => Decision::Tunnel(Wanted { failure_mode, port_info, subnet_info }),
        (Err(one), Err(other)) => fault(format!("{one}; {other}")),
        (Err(message), _) | (_, Err(message)) => fault(message),
    }
}

fn first<'a>(facts: &'a Facts, name: &str) -> Option<&'a str> {
    facts.pod.get(name).or_else(|| facts.of_namespace.get(name)).map(|value| value.trim())
}

fn accepted(settings: &Settings, value: &str) -> bool {
    if settings.accepted.is_empty() {
        value.starts_with("pan-fw")
    } else {
        settings.accepted.iter().any(|accepted| accepted == value)
    }
}

fn unknown_value(settings: &Settings, value: &str) -> String {
    let instead = match settings.accepted.as_slice() {
        [] => "a value that begins with `pan-fw`".to_owned(),
        values => values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(" or "),
    };
    format!("annotation `{FIREWALL}: {value}` is not known here: write {instead}, or `none`")
}

fn failure_mode(settings: &Settings, facts: &Facts) -> Result<FailureMode, String> {
    match first(facts, FAILURE_MODE) {
        None => Ok(settings.failure_mode),
        Some(value) => FailureMode::parse(value)
            .ok_or_else(|| format!("annotation `{FAILURE_MODE}: {value}` is neither `open` nor `closed`")),
    }
}

/// `NAMESPACE/NAME` or `NAME`, in the pod's own namespace: another team's object must not open this one's ports.
fn reference(facts: &Facts, annotation: &str, kind: &str) -> Result<Option<String>, String> {
    let Some(value) = first(facts, annotation) else { return Ok(None) };
    let (namespace, name) = value.split_once('/').unwrap_or((&facts.namespace, value));
    if namespace != facts.namespace {
        return Err(format!(
            "annotation `{annotation}: {value}` names a {kind} of namespace `{namespace}`: a pod of `{}` can only use \
             one of its own namespace",
            facts.namespace
        ));
    }
    let character = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if name.is_empty() || name.len() > 253 || !name.chars().all(character) {
        return Err(format!("annotation `{annotation}: {value}` is no name of a {kind}: write `NAMESPACE/NAME`"));
    }
    Ok(Some(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::chart;

    fn facts(pod: &[(&str, &str)], of_namespace: &[(&str, &str)]) -> Facts {
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Facts { namespace: "shop".to_owned(), pod: map(pod), of_namespace: map(of_namespace) }
    }

    fn told(settings: &Settings, facts: &Facts) -> String {
        match decide(settings, facts) {
            Decision::Plain(plain) => format!("plain: {}", plain.code()),
            Decision::Tunnel(wanted) => {
                let mut text = format!("tunnel, {}", wanted.failure_mode);
                for (kind, name) in [("ports", wanted.port_info), ("subnets", wanted.subnet_info)] {
                    if let Some(name) = name {
                        text += &format!(", {kind} {name}");
                    }
                }
                text
            }
            Decision::Fault(fault) => format!("{}: {}", fault.failure_mode, fault.message),
        }
    }

    #[test]
    fn annotations_turn_inspection_on_and_the_pods_own_wins() {
        let settings = chart();
        let on = (FIREWALL, "pan-fw");
        let off = (FIREWALL, "none");
        assert_eq!(told(&settings, &facts(&[], &[])), "plain: not-annotated");
        assert_eq!(told(&settings, &facts(&[on], &[])), "tunnel, closed");
        assert_eq!(told(&settings, &facts(&[], &[on])), "tunnel, closed");
        assert_eq!(told(&settings, &facts(&[off], &[on])), "plain: opted-out");
        assert_eq!(told(&settings, &facts(&[on], &[off])), "tunnel, closed");
    }

    #[test]
    fn excluded_namespaces_stay_out_whatever_is_annotated() {
        let mut settings = chart();
        settings.excluded_namespaces.push("shop".to_owned());
        assert_eq!(told(&settings, &facts(&[(FIREWALL, "pan-fw")], &[])), "plain: excluded-namespace");
    }

    #[test]
    fn inspect_all_inspects_all_but_those_that_opt_out() {
        let mut settings = chart();
        settings.scope = Scope::All;
        assert_eq!(told(&settings, &facts(&[], &[])), "tunnel, closed");
        assert_eq!(told(&settings, &facts(&[(FIREWALL, "none")], &[])), "plain: opted-out");
    }

    #[test]
    fn an_unknown_value_follows_the_failure_mode_and_says_what_is_accepted() {
        let settings = chart();
        let message = "annotation `paloaltonetworks.com/firewall: true` is not known here: write `pan-fw`, or `none`";
        assert_eq!(told(&settings, &facts(&[(FIREWALL, "true")], &[])), format!("closed: {message}"));
        let open = facts(&[(FIREWALL, "true"), (FAILURE_MODE, "open")], &[]);
        assert_eq!(told(&settings, &open), format!("open: {message}"));
        let mut settings = settings;
        settings.accepted.clear();
        assert_eq!(told(&settings, &facts(&[(FIREWALL, "pan-fw-2")], &[])), "tunnel, closed");
    }

    #[test]
    fn failure_modes_come_from_pod_then_namespace_then_configuration() {
        let mut settings = chart();
        let on = (FIREWALL, "pan-fw");
        assert_eq!(told(&settings, &facts(&[on], &[(FAILURE_MODE, "open")])), "tunnel, open");
        assert_eq!(
            told(&settings, &facts(&[on, (FAILURE_MODE, "closed")], &[(FAILURE_MODE, "open")])),
            "tunnel, closed"
        );
        settings.failure_mode = FailureMode::Open;
        assert_eq!(told(&settings, &facts(&[on], &[])), "tunnel, open");
        assert_eq!(
            told(&settings, &facts(&[on, (FAILURE_MODE, "ajar")], &[])),
            "open: annotation `bartizan.io/failure-mode: ajar` is neither `open` nor `closed`"
        );
    }

    /// The vendor's plugin fails the pod's creation; the annotation's name says the opposite of what it does.
    #[test]
    fn subnet_info_turns_inspection_on_and_is_of_the_pods_own_namespace() {
        let settings = chart();
        assert_eq!(
            told(&settings, &facts(&[], &[(SUBNETS, "shop/bypassfirewall")])),
            "tunnel, closed, subnets bypassfirewall"
        );
        assert_eq!(
            told(&settings, &facts(&[(FIREWALL, "pan-fw")], &[(SUBNETS, "ns-secure/bypassfirewall")])),
            "closed: annotation `paloaltonetworks.com/subnetfirewall: ns-secure/bypassfirewall` names a SubnetInfo of \
             namespace `ns-secure`: a pod of `shop` can only use one of its own namespace"
        );
    }

    #[test]
    fn port_info_is_named_with_or_without_its_namespace() {
        let settings = chart();
        let on = (FIREWALL, "pan-fw");
        assert_eq!(
            told(&settings, &facts(&[on, (BYPASS_PORTS, "shop/metrics")], &[])),
            "tunnel, closed, ports metrics"
        );
        assert_eq!(told(&settings, &facts(&[on, (BYPASS_PORTS, "metrics")], &[])), "tunnel, closed, ports metrics");
        assert_eq!(
            told(&settings, &facts(&[on, (BYPASS_PORTS, "shop/../x")], &[])),
            "closed: annotation `paloaltonetworks.com/bypassfirewall: shop/../x` is no name of a PortInfo: write \
             `NAMESPACE/NAME`"
        );
    }
}
