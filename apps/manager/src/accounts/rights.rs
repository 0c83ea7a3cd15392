//! What may an administrator do, by the role that the configuration gives?
//!
//! `superuser` everything, `superreader` nothing that changes anything. An admin role allows what its
//! `xmlapi` enables, and `panorama-admin` all of that; who may log in with which rights is for superusers alone. A role
//! with `paths`, or one that is held for access domains, is limited to parts of the configuration besides.

use std::collections::BTreeSet;
use std::sync::Arc;

use bartizan_model::manager;
use bartizan_model::tree::Element;

use super::scope::{Access, Scope};

macro_rules! rights {
    ($($(#[doc = $doc:literal])+ $variant:ident = $tag:literal,)*) => {
        /// One thing that an admin role enables, by `type` of the XML API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Right { $($(#[doc = $doc])+ $variant,)* }

        impl Right {
            /// All of them.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its element below `xmlapi` of an admin role.
            pub(crate) fn tag(self) -> &'static str {
                match self { $(Self::$variant => $tag),* }
            }
        }
    };
}

rights! {
    /// Reading and editing the configuration.
    Config = "config",
    /// Commits and pushes.
    Commit = "commit",
    /// Operational commands.
    Operate = "op",
    /// Registered tags and logged-in users.
    UserId = "user-id",
    /// Logs.
    Log = "log",
    /// Reports.
    Report = "report",
    /// Files out.
    Export = "export",
    /// Files in.
    Import = "import",
}

/// A set of [`Right`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights(u16);

impl Rights {
    fn all() -> Self {
        Right::ALL.iter().fold(Self::default(), |rights, right| rights.with(*right))
    }

    fn with(self, right: Right) -> Self {
        Self(self.0 | 1 << right as u16)
    }

    pub(crate) fn contain(self, right: Right) -> bool {
        self.0 & 1 << right as u16 != 0
    }
}

/// What an administrator may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Everything.
    Superuser,
    /// Read everything.
    Superreader,
    /// What an admin role enables.
    Custom(Rights),
    /// What admin roles enable, in parts of the configuration.
    Limited(Arc<Limits>),
    /// A role of PAN-OS that this version stores but does not understand, or one that is not there: nothing.
    Unsupported,
}

/// A role for parts of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// All that is enabled anywhere.
    rights: Rights,
    /// What may be seen and changed.
    pub(crate) scope: Scope,
    /// With access domains: what is enabled for which groups and templates.
    domains: Option<Vec<(Rights, Reach)>>,
}

/// Device groups and templates that somebody may handle, and their devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Device groups.
    pub(crate) groups: BTreeSet<String>,
    /// Templates and template stacks.
    pub(crate) templates: BTreeSet<String>,
    /// Serials of the devices in them.
    pub(crate) devices: BTreeSet<String>,
}

/// The lists that say who may do what: for superusers alone.
pub(crate) const PROTECTED: &[&[&str]] = &[
    &["mgt-config", "users"],
    &["mgt-config", "access-domain"],
    &["mgt-config", "password-complexity"],
    &["panorama", "admin-role"],
    &["shared", "admin-role"],
];

impl Role {
    /// The role that an entry of `mgt-config/users` has in a configuration.
    pub(crate) fn of(root: &Element, user: &Element) -> Self {
        let Some(based) = user.descend(&["permissions", "role-based"]) else { return Self::Unsupported };
        let granted = |role: &str| based.child(role).is_some_and(|granted| granted.text() == "yes");
        if granted("superuser") {
            Self::Superuser
        } else if granted("superreader") {
            Self::Superreader
        } else if granted("panorama-admin") {
            Self::Custom(Rights::all())
        } else if let Some(profiles) = based.descend(&["custom", "dg-template-profiles"]) {
            for_domains(root, profiles).unwrap_or(Self::Unsupported)
        } else if let Some(profile) = based.descend(&["custom", "profile"]) {
            for_manager(root, &profile.text()).unwrap_or(Self::Unsupported)
        } else {
            Self::Unsupported
        }
    }

    /// Whether requests that only read are answered.
    pub(crate) fn may_read(&self, right: Right) -> bool {
        match self {
            Self::Superuser | Self::Superreader => true,
            Self::Custom(rights) => rights.contain(right),
            Self::Limited(limits) => limits.rights.contain(right),
            Self::Unsupported => false,
        }
    }

    /// Whether requests that change something are.
    pub(crate) fn may_change(&self, right: Right) -> bool {
        match self {
            Self::Superuser => true,
            Self::Custom(rights) => rights.contain(right),
            Self::Limited(limits) => limits.rights.contain(right),
            Self::Superreader | Self::Unsupported => false,
        }
    }

    /// The part of the configuration that it is for; `None` for all of it.
    pub(crate) fn scope(&self) -> Option<&Scope> {
        match self {
            Self::Limited(limits) => Some(&limits.scope),
            _ => None,
        }
    }

    /// The groups, templates and devices for which it has a right; `None` for all of them.
    pub(crate) fn reach(&self, right: Right) -> Option<Reach> {
        let Self::Limited(limits) = self else { return None };
        let mut reach = Reach::default();
        for (_, domain) in limits.domains.as_ref()?.iter().filter(|(rights, _)| rights.contain(right)) {
            reach.groups.extend(domain.groups.iter().cloned());
            reach.templates.extend(domain.templates.iter().cloned());
            reach.devices.extend(domain.devices.iter().cloned());
        }
        Some(reach)
    }
}

fn admin_role<'a>(root: &'a Element, name: &str) -> Option<&'a Element> {
    let lists = ["panorama", "shared"].into_iter().filter_map(|place| root.descend(&[place, "admin-role"]));
    lists.filter_map(|list| list.entry_named(name)).next()?.child("role").map(|role| &**role)
}

fn enabled(role: &Element) -> Option<Rights> {
    let api = role.child("xmlapi")?;
    let enabled = |right: &&Right| api.child(right.tag()).is_some_and(|switch| switch.text() == "enable");
    Some(Right::ALL.iter().filter(enabled).fold(Rights::default(), |rights, right| rights.with(*right)))
}

/// A role for the manager: all of its configuration, or the `paths` that it lists.
fn for_manager(root: &Element, name: &str) -> Option<Role> {
    let role = admin_role(root, name)?.child("panorama")?;
    let rights = enabled(role)?;
    let Some(paths) = role.child("paths") else { return Some(Role::Custom(rights)) };
    let mut scope = Scope::default();
    for (path, entry) in paths.entries() {
        scope.put_xpath(path, access(entry)?).ok()?;
    }
    Some(Role::Limited(Arc::new(Limits { rights, scope, domains: None })))
}

fn access(entry: &Element) -> Option<Access> {
    match entry.child("access").map(|access| access.text()).as_deref() {
        Some("write") => Some(Access::Write),
        Some("read") => Some(Access::Read),
        Some("hidden") => Some(Access::Hidden),
        _ => None,
    }
}

/// What is wrong with the `paths` of an admin role, with the name of the entry.
pub(crate) fn wrong_paths(role: &Element) -> Vec<(String, String)> {
    let paths = role.descend(&["role", "panorama", "paths"]).into_iter().flat_map(Element::entries);
    paths
        .filter_map(|(path, entry)| {
            let wrong = match access(entry) {
                None => "its `access` is none of `read`, `write` and `hidden`".to_owned(),
                Some(access) => Scope::default().put_xpath(path, access).err()?,
            };
            Some((path.to_owned(), wrong))
        })
        .collect()
}

/// Roles for device groups and templates, each in an access domain. One that is not there, or is for something else,
/// enables nothing.
fn for_domains(root: &Element, profiles: &Element) -> Option<Role> {
    let domains: Vec<(Rights, Domain)> = profiles
        .entries()
        .filter_map(|(domain, held)| {
            let role = admin_role(root, &held.child("profile")?.text())?;
            Some((enabled(role.child("device-group")?)?, Domain::read(root, domain)?))
        })
        .collect();
    if domains.is_empty() {
        return None;
    }
    let (mut rights, mut scope) = (Rights::default(), Scope::default());
    for (enabled, domain) in &domains {
        rights = Rights(rights.0 | enabled.0);
        if enabled.contain(Right::Config) {
            domain.open(root, &mut scope);
        }
    }
    for place in ["shared", "panorama"] {
        scope.put(&[("config", None), (place, None), ("admin-role", None)], Access::Hidden);
    }
    let domains = domains.into_iter().map(|(rights, domain)| (rights, domain.reach)).collect();
    Some(Role::Limited(Arc::new(Limits { rights, scope, domains: Some(domains) })))
}

struct Domain {
    reach: Reach,
    shared: Access,
}

impl Domain {
    fn read(root: &Element, name: &str) -> Option<Self> {
        let entry = root.descend(&["mgt-config", "access-domain"])?.entry_named(name)?;
        let names = |tag: &str| entry.child(tag).into_iter().flat_map(|list| list.members()).collect::<BTreeSet<_>>();
        let (groups, templates) = (names("device-groups"), names("templates"));
        let devices = manager::devices(root).into_iter().filter(|device| {
            let within = |name: &Option<String>, names: &BTreeSet<String>| {
                name.as_ref().is_some_and(|name| names.contains(name))
            };
            within(&device.device_group, &groups) || within(&device.stack, &templates)
        });
        let devices = devices.map(|device| device.serial).collect();
        let shared = match entry.child("shared-access").map(|access| access.text()).as_deref() {
            Some("write" | "shared-only") => Access::Write,
            _ => Access::Read,
        };
        Some(Self { reach: Reach { groups, templates, devices }, shared })
    }

    /// Its own groups and templates to change; what they inherit to read.
    fn open(&self, root: &Element, scope: &mut Scope) {
        let own = [("config", None), ("devices", None), ("entry", Some("localhost.localdomain"))];
        let hierarchy = [("config", None), ("readonly", None), ("devices", None), own[2], ("device-group", None)];
        scope.allow(&[("config", None), ("predefined", None)], Access::Read);
        scope.allow(&[("config", None), ("shared", None)], self.shared);
        let mut group = |name: &str, access: Access| {
            scope.allow(&[&own[..], &[("device-group", None), ("entry", Some(name))]].concat(), access);
            scope.allow(&[&hierarchy[..], &[("entry", Some(name))]].concat(), Access::Read);
        };
        for name in &self.reach.groups {
            group(name, Access::Write);
            manager::ancestors(root, name).iter().for_each(|above| group(above, Access::Read));
        }
        let mut template = |kind: &str, name: &str, access: Access| {
            scope.allow(&[&own[..], &[(kind, None), ("entry", Some(name))]].concat(), access);
        };
        for name in &self.reach.templates {
            template("template", name, Access::Write);
            template("template-stack", name, Access::Write);
            manager::templates_of(root, name).iter().for_each(|of| template("template", of, Access::Read));
        }
        for serial in &self.reach.devices {
            let entry = [("config", None), ("mgt-config", None), ("devices", None), ("entry", Some(&**serial))];
            scope.allow(&entry, Access::Read);
        }
    }
}
