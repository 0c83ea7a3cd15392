//! What does the runtime want of the plugin? The environment of a CNI call.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// A verb of CNI 1.1.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Add,
    Del,
    Check,
    Gc,
    Status,
    Version,
}

/// A container's attachment to a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) id: String,
    /// Empty when the namespace is gone (DEL).
    pub(crate) netns: PathBuf,
    pub(crate) interface: String,
    pub(crate) pod: Option<PodName>,
}

/// The pod that a runtime's `CNI_ARGS` name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodName {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: Option<String>,
}

impl Verb {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "ADD" => Self::Add,
            "DEL" => Self::Del,
            "CHECK" => Self::Check,
            "GC" => Self::Gc,
            "STATUS" => Self::Status,
            "VERSION" => Self::Version,
            _ => return None,
        })
    }
}

impl Container {
    /// Reads `CNI_CONTAINERID`, `CNI_NETNS`, `CNI_IFNAME` and `CNI_ARGS`.
    ///
    /// # Errors
    /// Names the variable that is missing or unusable.
    pub(crate) fn read(verb: Verb, variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let wanted =
            |name: &str| variable(name).filter(|value| !value.is_empty()).ok_or_else(|| format!("`{name}` is missing"));
        let id = wanted("CNI_CONTAINERID")?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if !id.starts_with(|c: char| c.is_ascii_alphanumeric()) || !id.chars().all(allowed) || id.len() > 200 {
            return Err(format!("`CNI_CONTAINERID`: `{id}` is not made of letters, digits, `_`, `.` and `-`"));
        }
        let interface = wanted("CNI_IFNAME")?;
        let unfit = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
        if interface.len() > 15 || interface.chars().any(unfit) || interface == "." || interface == ".." {
            return Err(format!("`CNI_IFNAME`: `{interface}` is no name of an interface"));
        }
        let netns = if verb == Verb::Del { variable("CNI_NETNS").unwrap_or_default() } else { wanted("CNI_NETNS")? };
        let pod = pod(&variable("CNI_ARGS").unwrap_or_default())?;
        Ok(Self { id, netns: netns.into(), interface, pod })
    }

    /// The name that state and counters are kept under. The BPF file system takes no dots.
    pub(crate) fn key(&self) -> String {
        key(&self.id, &self.interface)
    }
}

/// The name that an attachment's state and counters are kept under.
pub(crate) fn key(container: &str, interface: &str) -> String {
    format!("{container}-{interface}").replace('.', "~")
}

fn pod(args: &str) -> Result<Option<PodName>, String> {
    let args: BTreeMap<&str, &str> = args.split(';').filter_map(|pair| pair.split_once('=')).collect();
    let (Some(namespace), Some(name)) = (args.get("K8S_POD_NAMESPACE"), args.get("K8S_POD_NAME")) else {
        return Ok(None);
    };
    // They become part of a path of the API.
    for name in [namespace, name] {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if name.is_empty() || name.len() > 253 || !name.chars().all(allowed) || name.starts_with('.') {
            return Err(format!("`CNI_ARGS`: `{name}` is no name of a pod or namespace"));
        }
    }
    let uid = args.get("K8S_POD_UID").filter(|uid| !uid.is_empty()).map(|uid| (*uid).to_owned());
    Ok(Some(PodName { namespace: (*namespace).to_owned(), name: (*name).to_owned(), uid }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Container, String> {
        Container::read(Verb::Add, |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn a_kubelets_call_names_container_and_pod() {
        let container = read(&[
            ("CNI_CONTAINERID", "c1.x"),
            ("CNI_NETNS", "/run/netns/a"),
            ("CNI_IFNAME", "eth0"),
            ("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-0;K8S_POD_UID=u1"),
        ]);
        let container = container.unwrap();
        assert_eq!(container.key(), "c1~x-eth0");
        let pod = PodName { namespace: "shop".to_owned(), name: "cart-0".to_owned(), uid: Some("u1".to_owned()) };
        assert_eq!(container.pod, Some(pod));
    }

    #[test]
    fn what_would_become_a_path_is_refused() {
        let with = |id: &str, interface: &str, args: &str| {
            read(&[("CNI_CONTAINERID", id), ("CNI_NETNS", "/n"), ("CNI_IFNAME", interface), ("CNI_ARGS", args)])
                .unwrap_err()
        };
        assert!(with("../x", "eth0", "").contains("CNI_CONTAINERID"));
        assert!(with("c", "a/b", "").contains("CNI_IFNAME"));
        assert!(with("c", "eth0", "K8S_POD_NAMESPACE=../..;K8S_POD_NAME=x").contains("CNI_ARGS"));
        assert_eq!(read(&[("CNI_CONTAINERID", "c"), ("CNI_IFNAME", "eth0")]).unwrap_err(), "`CNI_NETNS` is missing");
    }
}
