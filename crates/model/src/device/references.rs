//! Which object does this name mean?
//!
//! Objects are listed nearest scope first, so the first of a name is the one. [`Names`] is an index for
//! those who look up many.

use std::collections::{BTreeSet, HashMap};

use super::{
    Address, AddressGroup, AddressValue, DeviceConfig, GroupMembers, Interface, ManagementProfile, Router, Schedule,
    Service, ServiceGroup, Zone, ZoneProtection,
};
use crate::tag_filter::TagFilter;

impl DeviceConfig {
    /// An interface by its normalised name.
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.name == name)
    }

    /// Whether a port has subinterfaces and no address: it needs neither zone nor router itself.
    pub(super) fn only_carries_parts(&self, interface: &Interface) -> bool {
        let bare = interface.addresses.is_empty() && interface.dhcp.is_none();
        bare && self.interfaces.iter().any(|other| other.parent() == Some(&interface.name))
    }

    /// An interface management profile.
    pub fn management_profile(&self, name: &str) -> Option<&ManagementProfile> {
        self.management_profiles.iter().find(|profile| profile.name == name)
    }

    /// A zone protection profile.
    pub fn zone_protection(&self, name: &str) -> Option<&ZoneProtection> {
        self.zone_protections.iter().find(|profile| profile.name == name)
    }

    /// A zone.
    pub fn zone(&self, name: &str) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.name == name)
    }

    /// The zone that holds an interface.
    pub fn zone_of(&self, interface: &str) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.interfaces.iter().any(|name| name == interface))
    }

    /// A router.
    pub fn router(&self, name: &str) -> Option<&Router> {
        self.routers.iter().find(|router| router.name == name)
    }

    /// The router that an interface belongs to.
    pub fn router_of(&self, interface: &str) -> Option<&Router> {
        self.routers.iter().find(|router| router.interfaces.iter().any(|name| name == interface))
    }

    /// The nearest address object of that name.
    pub fn address(&self, name: &str) -> Option<&Address> {
        self.addresses.iter().find(|address| address.name == name)
    }

    /// The nearest address group of that name.
    pub fn address_group(&self, name: &str) -> Option<&AddressGroup> {
        self.address_groups.iter().find(|group| group.name == name)
    }

    /// The schedule of that name.
    pub fn schedule(&self, name: &str) -> Option<&Schedule> {
        self.schedules.iter().find(|schedule| schedule.name == name)
    }

    /// The nearest service of that name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The nearest service group of that name.
    pub fn service_group(&self, name: &str) -> Option<&ServiceGroup> {
        self.service_groups.iter().find(|group| group.name == name)
    }

    /// Indexes the objects, for many look-ups.
    pub fn names(&self) -> Names<'_> {
        Names {
            addresses: index(&self.addresses, |address| &address.name),
            address_groups: index(&self.address_groups, |group| &group.name),
            services: index(&self.services, |service| &service.name),
            service_groups: index(&self.service_groups, |group| &group.name),
            config: self,
        }
    }
}

/// Objects by name, the nearest scope before the others.
#[derive(Debug)]
pub struct Names<'a> {
    config: &'a DeviceConfig,
    addresses: HashMap<&'a str, &'a Address>,
    address_groups: HashMap<&'a str, &'a AddressGroup>,
    services: HashMap<&'a str, &'a Service>,
    service_groups: HashMap<&'a str, &'a ServiceGroup>,
}

impl<'a> Names<'a> {
    /// The nearest address object of that name.
    pub fn address(&self, name: &str) -> Option<&'a Address> {
        self.addresses.get(name).copied()
    }

    /// The nearest address group of that name.
    pub fn address_group(&self, name: &str) -> Option<&'a AddressGroup> {
        self.address_groups.get(name).copied()
    }

    /// The nearest service of that name.
    pub fn service(&self, name: &str) -> Option<&'a Service> {
        self.services.get(name).copied()
    }

    /// The nearest service group of that name.
    pub fn service_group(&self, name: &str) -> Option<&'a ServiceGroup> {
        self.service_groups.get(name).copied()
    }

    /// What a name or literal of a rule stands for, groups expanded (static and dynamic, cycles cut).
    /// Nothing when it is neither an object nor a literal. What an external list holds is not known here.
    pub fn address_values(&self, name: &str) -> Option<Vec<AddressValue>> {
        if let Some(address) = self.address(name) {
            return Some(vec![address.value.clone()]);
        }
        if self.config.external_lists.iter().any(|list| list.name == name) {
            return Some(Vec::new());
        }
        let Some(group) = self.address_group(name) else {
            return AddressValue::parse(name).map(|value| vec![value]);
        };
        let mut values = Vec::new();
        let mut seen = BTreeSet::from([group.name.as_str()]);
        let mut open = vec![group];
        while let Some(group) = open.pop() {
            match &group.members {
                GroupMembers::Static(members) => {
                    for member in members {
                        match (self.address(member), self.address_group(member)) {
                            _ if !seen.insert(member) => {}
                            (Some(address), _) => values.push(address.value.clone()),
                            (None, Some(group)) => open.push(group),
                            (None, None) => values.extend(AddressValue::parse(member)),
                        }
                    }
                }
                GroupMembers::Dynamic(filter) => {
                    values.extend(self.tagged(filter).into_iter().map(|address| address.value.clone()));
                }
            }
        }
        Some(values)
    }

    /// The visible address objects whose tags satisfy a dynamic group's filter; none for a bad filter.
    pub fn tagged(&self, filter: &str) -> Vec<&'a Address> {
        let Ok(filter) = TagFilter::parse(filter) else { return Vec::new() };
        self.config.addresses.iter().filter(|address| filter.matches(&address.tags)).collect()
    }

    /// The services a name stands for, groups expanded (cycles cut). Nothing when there is no such name.
    pub fn service_values(&self, name: &str) -> Option<Vec<&'a Service>> {
        if let Some(service) = self.service(name) {
            return Some(vec![service]);
        }
        let group = self.service_group(name)?;
        let mut services = Vec::new();
        let mut seen = BTreeSet::from([group.name.as_str()]);
        let mut open = vec![group];
        while let Some(group) = open.pop() {
            for member in &group.members {
                match (self.service(member), self.service_group(member)) {
                    _ if !seen.insert(member) => {}
                    (Some(service), _) => services.push(service),
                    (None, Some(group)) => open.push(group),
                    (None, None) => {}
                }
            }
        }
        Some(services)
    }
}

/// First of each name.
fn index<'a, T>(items: &'a [T], name: impl Fn(&'a T) -> &'a String) -> HashMap<&'a str, &'a T> {
    let mut index = HashMap::with_capacity(items.len());
    for item in items {
        index.entry(name(item).as_str()).or_insert(item);
    }
    index
}
