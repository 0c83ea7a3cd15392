//! Which ports do the cluster's services have?
//!
//! For the service objects at the manager: of each port its number, that of the pods behind it, and that of the nodes. Ports
//! of pods that are only named are known from the endpoint slices, which have the numbers.

use std::collections::{BTreeMap, BTreeSet};

use bartizan_playbook::Protocol;
use serde_json::{Value, json};

use crate::objects::{Behind, Key, Kind, Object, ServicePort, SlicePort};
use crate::policies::name_of;

/// Most services that are told.
const SERVICES_MAX: usize = 10_000;

/// What is known of services and their ports.
#[derive(Debug, Default)]
pub(crate) struct Services {
    services: BTreeMap<(String, String), Vec<ServicePort>>,
    /// By namespace and name of the slice, the service's name and its ports.
    slices: BTreeMap<(String, String), (String, Vec<SlicePort>)>,
    /// By service, its slices.
    slices_of: BTreeMap<(String, String), BTreeSet<String>>,
    changed: bool,
}

impl Services {
    /// Learns of an object, or that it is gone.
    pub(crate) fn learn(&mut self, key: &Key, object: Option<&Object>) {
        let place = (key.namespace.clone(), key.name.clone());
        match (key.kind, object) {
            (Kind::Service, Some(Object::Service(service))) if !service.ports.is_empty() => {
                let before = self.services.insert(place, service.ports.clone());
                self.changed |= before.as_ref() != Some(&service.ports);
            }
            (Kind::Service, _) => self.changed |= self.services.remove(&place).is_some(),
            (Kind::Slice, object) => {
                let after = match object {
                    Some(Object::Slice(slice)) if !slice.service.is_empty() => {
                        Some((slice.service.clone(), slice.ports.clone()))
                    }
                    _ => None,
                };
                self.put_slice(place, after);
            }
            _ => {}
        }
    }

    fn put_slice(&mut self, place: (String, String), after: Option<(String, Vec<SlicePort>)>) {
        let (namespace, name) = place.clone();
        let before = self.slices.remove(&place);
        if before == after {
            self.slices.extend(after.map(|after| (place, after)));
            return;
        }
        self.changed = true;
        if let Some((service, _)) = before {
            let of = (namespace.clone(), service);
            if let Some(slices) = self.slices_of.get_mut(&of) {
                slices.remove(&name);
                if slices.is_empty() {
                    self.slices_of.remove(&of);
                }
            }
        }
        if let Some(after) = after {
            self.slices_of.entry((namespace, after.0.clone())).or_default().insert(name);
            self.slices.insert(place, after);
        }
    }

    /// Whether something changed since this was asked.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// What the manager is told: the services in the order of their names, each with its ports.
    pub(crate) fn told(&self) -> Vec<Value> {
        let one = |((namespace, name), ports): (&(String, String), &Vec<ServicePort>)| {
            let ports: Vec<Value> = self.ports(namespace, name, ports).iter().map(told).collect();
            json!({ "namespace": namespace, "name": name, "ports": ports })
        };
        self.services.iter().take(SERVICES_MAX).map(one).collect()
    }

    fn ports(&self, namespace: &str, name: &str, ports: &[ServicePort]) -> BTreeSet<(&'static str, &'static str, u16)> {
        let mut found = BTreeSet::new();
        for port in ports {
            let protocol = name_of(port.protocol);
            found.insert(("port", protocol, port.number));
            found.extend(port.node.map(|node| ("nodePort", protocol, node)));
            match &port.target {
                Behind::Number(number) => {
                    found.insert(("targetPort", protocol, *number));
                }
                Behind::Name => {
                    let numbers = self.behind(namespace, name, &port.name, port.protocol);
                    found.extend(numbers.map(|number| ("targetPort", protocol, number)));
                }
            }
        }
        found
    }

    /// The numbers that endpoint slices have for a port of a service.
    fn behind<'a>(
        &'a self,
        namespace: &str,
        service: &str,
        port: &'a str,
        protocol: Protocol,
    ) -> impl Iterator<Item = u16> + 'a {
        let namespace = namespace.to_owned();
        let names = self.slices_of.get(&(namespace.clone(), service.to_owned())).into_iter().flatten();
        let slices = names.filter_map(move |name| self.slices.get(&(namespace.clone(), name.clone())));
        let ports = slices.flat_map(|(_, ports)| ports);
        ports.filter(move |one| one.name == port && one.protocol == protocol).map(|one| one.number)
    }
}

fn told((kind, protocol, number): &(&'static str, &'static str, u16)) -> Value {
    json!({ "kind": kind, "protocol": protocol, "number": number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{Service, Slice};

    fn key(kind: Kind, name: &str) -> Key {
        Key { kind, namespace: "shop".to_owned(), name: name.to_owned() }
    }

    fn port(name: &str, number: u16, target: Behind, node: Option<u16>) -> ServicePort {
        ServicePort { name: name.to_owned(), protocol: Protocol::Tcp, number, target, node }
    }

    fn slice(port: &str, number: u16) -> Object {
        let ports = vec![SlicePort { name: port.to_owned(), protocol: Protocol::Tcp, number }];
        Object::Slice(Slice { service: "web".to_owned(), ports, ..Slice::default() })
    }

    fn lines(services: &Services) -> Vec<String> {
        let line = |port: &Value| format!("{} {}", port["kind"].as_str().unwrap(), port["number"]);
        services.told().iter().flat_map(|one| one["ports"].as_array().unwrap().iter().map(line)).collect()
    }

    #[test]
    fn a_service_has_its_ports_those_of_the_nodes_and_those_of_the_pods_behind_it() {
        let mut services = Services::default();
        let ports = vec![port("web", 80, Behind::Name, Some(30080)), port("admin", 81, Behind::Number(8081), None)];
        let service = Object::Service(Service { ports, ..Service::default() });
        services.learn(&key(Kind::Service, "web"), Some(&service));
        assert!(services.take_changed() && !services.take_changed());
        assert_eq!(lines(&services), ["nodePort 30080", "port 80", "port 81", "targetPort 8081"], "no pod yet");
        services.learn(&key(Kind::Slice, "web-a"), Some(&slice("web", 8080)));
        services.learn(&key(Kind::Slice, "web-b"), Some(&slice("web", 9090)));
        services.learn(&key(Kind::Slice, "web-c"), Some(&slice("other", 7)));
        assert!(services.take_changed());
        let with_pods =
            ["nodePort 30080", "port 80", "port 81", "targetPort 8080", "targetPort 8081", "targetPort 9090"];
        assert_eq!(lines(&services), with_pods);
        services.learn(&key(Kind::Slice, "web-b"), Some(&slice("web", 9090)));
        services.learn(&key(Kind::Service, "web"), Some(&service));
        assert!(!services.take_changed(), "nothing is new");
        services.learn(&key(Kind::Slice, "web-b"), None);
        assert!(services.take_changed());
        assert!(!lines(&services).contains(&"targetPort 9090".to_owned()));
        services.learn(&key(Kind::Service, "web"), None);
        assert!(services.take_changed() && services.told().is_empty());
    }
}
