//! What in a candidate about administrators is wrong, or is kept without being honoured?

use bartizan_model::codes::{
    CHOICE, INVALID_NUMBER, NOT_ENFORCED, UNKNOWN_DEVICE_GROUP, UNKNOWN_PROFILE, UNKNOWN_TEMPLATE,
};
use bartizan_model::diagnostic::{Diagnostic, Origin};
use bartizan_model::tree::{Element, quote};

use super::policy;
use super::rights::{Role, wrong_paths};
use super::{KEY_LIFETIME, KEY_LIFETIME_MINUTES_MAX, is_verifiable, key_lifetime, users};
use crate::topology::Topology;

/// Parts of an admin role that say what the vendor's web page, CLI and REST API allow.
const OTHER_INTERFACES: [&str; 3] = ["webui", "cli", "restapi"];

/// All of it.
pub(crate) fn check(candidate: &Element) -> Vec<Diagnostic> {
    let mut diagnostics: Vec<_> = users(candidate).flat_map(|(name, user)| of_user(candidate, name, user)).collect();
    for place in ["panorama", "shared"] {
        let roles = candidate.descend(&[place, "admin-role"]).into_iter().flat_map(Element::entries);
        diagnostics.extend(roles.flat_map(|(name, role)| of_role(place, name, role)));
    }
    diagnostics.extend(access_domains(candidate));
    diagnostics.extend(policy::check(candidate));
    diagnostics.extend(key_lifetime(candidate).err().map(|text| {
        let message =
            format!("`{text}` is no lifetime of API keys, which is 0 (none) to {KEY_LIFETIME_MINUTES_MAX} minutes");
        Diagnostic::error(INVALID_NUMBER, Origin::xpath(KEY_LIFETIME), message)
    }));
    diagnostics
}

fn of_user(candidate: &Element, name: &str, user: &Element) -> Vec<Diagnostic> {
    let at = |step: &str| Origin::xpath(format!("/config/mgt-config/users/entry[@name={}]/{step}", quote(name)));
    let mut diagnostics = Vec::new();
    if user.child("phash").is_some_and(|phash| !is_verifiable(&phash.text())) {
        let message = format!("the password hash of `{name}` cannot be verified, so it admits nobody");
        let help = "set one made by `request password-hash`";
        diagnostics.push(Diagnostic::warning(NOT_ENFORCED, at("phash"), message).with_help(help));
    }
    if Role::of(candidate, user) == Role::Unsupported {
        let message = format!("the role of `{name}` is not supported, so it allows nothing");
        let help = "`superuser`, `superreader`, `panorama-admin` and `custom` are supported; the last one with an \
                    admin role for the manager, or with admin roles for device groups and templates in access domains";
        diagnostics.push(Diagnostic::warning(NOT_ENFORCED, at("permissions"), message).with_help(help));
    }
    diagnostics
}

fn of_role(place: &str, name: &str, role: &Element) -> Vec<Diagnostic> {
    let here = format!("/config/{place}/admin-role/entry[@name={}]/role", quote(name));
    let mut diagnostics: Vec<_> = wrong_paths(role)
        .into_iter()
        .map(|(path, wrong)| {
            let at = Origin::xpath(format!("{here}/panorama/paths/entry[@name={}]", quote(&path)));
            let help = "a path is `/config/…` with tags and `entry[@name='…']`; its `access` is read, write or hidden";
            Diagnostic::error(CHOICE, at, format!("`{path}` limits nothing: {wrong}")).with_help(help)
        })
        .collect();
    for kind in ["panorama", "device-group"] {
        let Some(held) = role.descend(&["role", kind]) else { continue };
        for interface in OTHER_INTERFACES.into_iter().filter(|interface| held.child(interface).is_some()) {
            let message = format!(
                "`{interface}` of the admin role `{name}` is not enforced; `xmlapi` counts for every interface"
            );
            diagnostics.push(Diagnostic::warning(
                NOT_ENFORCED,
                Origin::xpath(format!("{here}/{kind}/{interface}")),
                message,
            ));
        }
    }
    diagnostics
}

/// Every name in an access domain is of something that is there.
fn access_domains(candidate: &Element) -> Vec<Diagnostic> {
    let domains = candidate.descend(&["mgt-config", "access-domain"]).into_iter().flat_map(Element::entries);
    let mut domains = domains.peekable();
    if domains.peek().is_none() {
        return Vec::new();
    }
    let topology = Topology::read(candidate);
    let group = |name: &str| topology.groups.iter().any(|group| group.name == name);
    let template = |name: &str| {
        topology.templates.iter().any(|known| known == name) || topology.stacks.iter().any(|stack| stack.name == name)
    };
    let mut diagnostics = Vec::new();
    for (domain, entry) in domains {
        let here = format!("/config/mgt-config/access-domain/entry[@name={}]", quote(domain));
        let mut unknown = |list: &str, known: &dyn Fn(&str) -> bool, code, what: &str| {
            let members = entry.child(list).into_iter().flat_map(|list| list.members());
            for name in members.filter(|name| !known(name)) {
                let at = Origin::xpath(format!("{here}/{list}/member[text()={}]", quote(&name)));
                let message = format!("access domain `{domain}` names {what} `{name}`, which does not exist");
                diagnostics.push(Diagnostic::error(code, at, message));
            }
        };
        unknown("device-groups", &group, UNKNOWN_DEVICE_GROUP, "device group");
        unknown("templates", &template, UNKNOWN_TEMPLATE, "template or template stack");
        if let Some(access) = entry.child("shared-access").map(|access| access.text())
            && !matches!(&*access, "read" | "write" | "shared-only")
        {
            let message =
                format!("`{access}` is no access to shared objects; there are `read`, `write` and `shared-only`");
            diagnostics.push(Diagnostic::error(CHOICE, Origin::xpath(format!("{here}/shared-access")), message));
        }
    }
    diagnostics.extend(users(candidate).flat_map(|(name, user)| domains_of(candidate, name, user)));
    diagnostics
}

/// The access domains that an administrator is in are there.
fn domains_of(candidate: &Element, name: &str, user: &Element) -> Vec<Diagnostic> {
    let profiles = ["permissions", "role-based", "custom", "dg-template-profiles"];
    let known = candidate.descend(&["mgt-config", "access-domain"]);
    let held = user.descend(&profiles).into_iter().flat_map(Element::entries);
    held.filter(|(domain, _)| known.is_none_or(|known| known.entry_named(domain).is_none()))
        .map(|(domain, _)| {
            let (user, entry) = (quote(name), quote(domain));
            let at =
                format!("/config/mgt-config/users/entry[@name={user}]/{}/entry[@name={entry}]", profiles.join("/"));
            let message = format!("`{name}` is in the access domain `{domain}`, which does not exist");
            Diagnostic::error(UNKNOWN_PROFILE, Origin::xpath(at), message)
        })
        .collect()
}
