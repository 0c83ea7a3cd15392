//! What may an administrator do, by the role that the configuration gives?
//!
//! `superuser` everything, `superreader` nothing that changes anything. An admin role allows what its
//! `xmlapi` enables, and `panorama-admin` all of that; who may log in with which rights is for superusers alone.

use bartizan_model::tree::Element;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Everything.
    Superuser,
    /// Read everything.
    Superreader,
    /// What an admin role enables.
    Custom(Rights),
    /// A role of PAN-OS that this version stores but does not understand, or one that is not there: nothing.
    Unsupported,
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
        } else if let Some(profile) = based.descend(&["custom", "profile"]) {
            admin_role(root, &profile.text()).map_or(Self::Unsupported, Self::Custom)
        } else {
            Self::Unsupported
        }
    }

    /// Whether requests that only read are answered.
    pub(crate) fn may_read(self, right: Right) -> bool {
        match self {
            Self::Superuser | Self::Superreader => true,
            Self::Custom(rights) => rights.contain(right),
            Self::Unsupported => false,
        }
    }

    /// Whether requests that change something are.
    pub(crate) fn may_change(self, right: Right) -> bool {
        match self {
            Self::Superuser => true,
            Self::Custom(rights) => rights.contain(right),
            Self::Superreader | Self::Unsupported => false,
        }
    }
}

/// What a role for the whole manager enables; one for device groups and templates needs access domains, which
/// this version does not have.
fn admin_role(root: &Element, name: &str) -> Option<Rights> {
    let lists = ["panorama", "shared"].into_iter().filter_map(|place| root.descend(&[place, "admin-role"]));
    let role = lists.filter_map(|list| list.entry_named(name)).next()?;
    let api = role.descend(&["role", "panorama", "xmlapi"])?;
    let enabled = |right: &&Right| api.child(right.tag()).is_some_and(|switch| switch.text() == "enable");
    Some(Right::ALL.iter().filter(enabled).fold(Rights::default(), |rights, right| rights.with(*right)))
}
