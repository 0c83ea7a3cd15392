//! One edit of the candidate: what was asked, what it does, and how the config log tells of it.

use std::sync::Arc;

use bartizan_model::tree::Element;
use bartizan_model::xml;
use serde::{Deserialize, Serialize};

use crate::accounts::Caller;
use crate::store::audit::AuditLine;
use crate::xmlapi::reply::code;

/// Elements a preview in the config log may have; larger ones are only named.
const PREVIEW_ELEMENTS_MAX: usize = 200;
/// Tags whose content never reaches the config log.
const SECRET_TAGS: &[&str] = &["phash", "password", "private-key", "secret", "passphrase", "key"];

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub(crate) enum Edit {
    /// Merge.
    Set {
        /// Where.
        xpath: String,
        /// What.
        element: String,
    },
    /// Replace, or create.
    Edit {
        /// Where.
        xpath: String,
        /// What.
        element: String,
    },
    /// Remove.
    Delete {
        /// What.
        xpath: String,
    },
    /// Give an entry another name.
    Rename {
        /// Which.
        xpath: String,
        /// The name.
        newname: String,
    },
    /// Copy an entry under another name.
    Clone {
        /// Where to.
        xpath: String,
        /// Which.
        from: String,
        /// The name.
        newname: String,
    },
    /// Change an entry's place among its siblings.
    Move {
        /// Which.
        xpath: String,
        /// `top`, `bottom`, `before` or `after`.
        r#where: String,
        /// The sibling for `before` and `after`.
        dst: String,
    },
    /// Replace the whole candidate.
    Load {
        /// For the config log: where it came from.
        source: String,
        /// The new candidate.
        configuration: String,
    },
}

/// What an edit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// The candidate is another one.
    Changed,
    /// There was nothing to delete.
    Absent,
}

/// Why an edit is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EditFailure {
    /// Code of the XML API.
    pub(crate) code: u16,
    /// What is wrong; the line in the form of PAN-OS first.
    pub(crate) lines: Vec<String>,
}
