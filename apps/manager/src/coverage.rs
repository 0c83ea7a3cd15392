//! Which parts of the manager's own configuration are kept without doing anything?
//!
//! Templates, device groups and shared are checked as what firewalls get of them; here is the rest of the tree.

use std::collections::BTreeMap;

use bartizan_model::codes;
use bartizan_model::diagnostic::{Diagnostic, Origin};
use bartizan_model::tree::{Element, quote};

/// What does something, or is checked elsewhere. `*` is any entry.
const HONOURED: &[&str] = &[
    "devices/*/device-group",
    "devices/*/template",
    "devices/*/template-stack",
    "devices/*/deviceconfig/setting/management/api/key/lifetime",
    "devices/*/deviceconfig/setting/management/four-eyes",
    "devices/*/deviceconfig/setting/management/quota-settings",
    "devices/*/deviceconfig/setting/management/rule-require-audit-comment",
    "devices/*/deviceconfig/system/hostname",
    "devices/*/deviceconfig/system/ssl-tls-service-profile",
    "devices/*/deviceconfig/system/timezone",
    "devices/*/plugins/kubernetes/monitoring-definition",
    "devices/*/plugins/kubernetes/policy-automation",
    "devices/*/plugins/kubernetes/policy-catalogue",
    "devices/*/plugins/kubernetes/setup/notify-group",
    "devices/*/scheduled-config-push",
    "mgt-config/access-domain",
    "mgt-config/devices",
    "mgt-config/password-complexity",
    "mgt-config/password-profile",
    "mgt-config/users",
    "panorama/admin-role",
    "panorama/certificate",
    "panorama/log-settings/config",
    "panorama/log-settings/http",
    "panorama/log-settings/iptag",
    "panorama/log-settings/syslog",
    "panorama/log-settings/system",
    "panorama/ssl-tls-service-profile",
    "panorama/vsys",
    "predefined",
    "readonly",
    "shared",
];

/// One warning for each kind of element that nothing reads.
pub(crate) fn check(root: &Element) -> Vec<Diagnostic> {
    let mut found = BTreeMap::new();
    walk(root, "", "/config", &mut found);
    let told = |(path, (xpath, places)): (String, (String, usize))| {
        let tag = path.rsplit('/').next().unwrap_or_default().to_owned();
        let elsewhere = match places {
            1 => String::new(),
            2 => " (here and in 1 more place)".to_owned(),
            _ => format!(" (here and in {} more places)", places - 1),
        };
        let message = format!("`{tag}` is stored but does nothing at the manager{elsewhere}");
        Diagnostic::warning(codes::NOT_ENFORCED, Origin::xpath(xpath), message)
    };
    found.into_iter().map(told).collect()
}

/// The first XPath and the number of places by path.
type Found = BTreeMap<String, (String, usize)>;

fn walk(parent: &Element, path: &str, xpath: &str, found: &mut Found) {
    for child in parent.elements() {
        let name = child.attribute("name");
        let step = if name.is_some() && &*child.name == "entry" { "*" } else { &child.name };
        let here = if path.is_empty() { step.to_owned() } else { format!("{path}/{step}") };
        if HONOURED.contains(&here.as_str()) {
            continue;
        }
        let at = match name {
            Some(name) => format!("{xpath}/{}[@name={}]", child.name, quote(name)),
            None => format!("{xpath}/{}", child.name),
        };
        if HONOURED.iter().any(|honoured| honoured.strip_prefix(&here).is_some_and(|rest| rest.starts_with('/'))) {
            walk(child, &here, &at, found);
        } else if child.elements().next().is_some() || !child.text().is_empty() {
            found.entry(here).and_modify(|(_, places)| *places += 1).or_insert((at, 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use bartizan_model::xml;

    use super::*;

    #[test]
    fn what_nothing_reads_is_told_once_for_each_kind() {
        let root = xml::parse(
            "<config><mgt-config><users><entry name=\"a\"><x>1</x></entry></users></mgt-config><shared><y>1</y></shared>\
             <panorama><log-collector-group><entry name=\"c\"/></log-collector-group><log-settings><email><entry name=\"m\"/>\
             </email><syslog><entry name=\"s\"/></syslog></log-settings><empty/></panorama><devices>\
             <entry name=\"one\"><scheduled-config-push><entry name=\"s\"/></scheduled-config-push><deviceconfig><system><hostname>h</hostname><dns-setting><servers/></dns-setting></system></deviceconfig></entry>\
             <entry name=\"two\"><deviceconfig><system><dns-setting><servers/></dns-setting></system></deviceconfig></entry></devices></config>",
        )
        .unwrap();
        let told: Vec<_> =
            check(&root).into_iter().map(|one| format!("{} {}", one.origin.xpath, one.message)).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told[0].contains("entry[@name='one']/deviceconfig/system/dns-setting")
                && told[0].contains("in 1 more place")
        );
        assert!(told[1].starts_with("/config/panorama/log-collector-group `log-collector-group`"), "{told:?}");
        assert!(told[2].starts_with("/config/panorama/log-settings/email "), "{told:?}");
    }
}
