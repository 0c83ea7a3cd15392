//! One edit of the candidate: what was asked, what it does, and how the config log tells of it.

use std::sync::Arc;

use bartizan_model::edit::{self, Destination, EditError};
use bartizan_model::tree::Element;
use bartizan_model::xml;
use serde::{Deserialize, Serialize};

use crate::accounts::Caller;
use crate::secrets::Secrets;
use crate::store::audit::AuditLine;
use crate::store::hex_digest;
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
    #[serde(rename = "edit")]
    Replace {
        /// Where.
        xpath: String,
        /// What.
        element: String,
    },
    /// Put an element of its own in the place of an inherited one.
    Override {
        /// Where.
        xpath: String,
        /// What.
        element: String,
        /// That it is inherited was found out elsewhere, in what was pushed to a firewall.
        #[serde(default)]
        is_checked: bool,
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
    /// Bring entries into another list.
    MultiMove {
        /// Which list.
        xpath: String,
        /// Which entries.
        selected: Vec<Entries>,
        /// Tell every reason against it.
        all_errors: bool,
    },
    /// Copy entries into another list.
    MultiClone {
        /// Which list.
        xpath: String,
        /// Which entries.
        selected: Vec<Entries>,
        /// Tell every reason against it.
        all_errors: bool,
    },
    /// Nothing but a note why a rule is what it is; it goes with the edits.
    AuditComment {
        /// Which rule.
        xpath: String,
        /// Why.
        comment: String,
    },
    /// Nothing, unless the node is another one than somebody read: then all is refused.
    Expect {
        /// Which.
        xpath: String,
        /// SHA-256, hex, of the node as XML; empty when it was not there.
        digest: String,
    },
    /// Replace the whole candidate.
    Load {
        /// For the config log: where it came from.
        source: String,
        /// The new candidate.
        configuration: String,
    },
}

/// Entries of one list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entries {
    /// XPath of the list.
    pub(crate) source: String,
    /// Their names.
    pub(crate) names: Vec<String>,
}

/// What an edit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// The candidate is another one.
    Changed,
    /// It says what the candidate says already.
    Unchanged,
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

impl Edit {
    /// With the secrets that it brings sealed, so that they are in clear neither on disk nor in the tree.
    ///
    /// # Errors
    /// When one cannot be sealed.
    pub(crate) fn sealed(mut self, secrets: &Secrets) -> anyhow::Result<Self> {
        let (text, parent) = match &mut self {
            Self::Set { xpath, element } => (element, &**xpath),
            Self::Replace { xpath, element } | Self::Override { xpath, element, .. } => {
                (element, xpath.rsplit_once('/').map_or("", |(parent, _)| parent))
            }
            Self::Load { configuration, .. } => (configuration, ""),
            _ => return Ok(self),
        };
        if let Some(sealed) = secrets.seal_within(text, parent)? {
            *text = sealed;
        }
        Ok(self)
    }
}

/// The nodes an XPath means.
pub(crate) fn select(root: &Element, xpath: &str) -> Result<Vec<Arc<Element>>, EditFailure> {
    Ok(edit::get(root, xpath)?.iter().map(|found| Arc::new(found.to_element())).collect())
}

impl From<EditError> for EditFailure {
    fn from(error: EditError) -> Self {
        Self { code: error.code.into(), lines: error.lines }
    }
}

impl EditFailure {
    /// Not possible now.
    pub(crate) fn denied(line: String) -> Self {
        Self { code: code::DENIED, lines: vec![line] }
    }
}

impl Edit {
    /// Reads the parameters of a request; an error says which one is missing or wrong.
    pub(crate) fn from_request<'a>(action: &str, get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, String> {
        let text =
            |name: &str| get(name).map(str::to_owned).ok_or_else(|| format!("Missing value for parameter \"{name}\"."));
        let xpath = text("xpath")?;
        match action {
            "set" => Ok(Self::Set { xpath, element: text("element")? }),
            "edit" => Ok(Self::Replace { xpath, element: text("element")? }),
            // The request names what holds the element.
            "override" => {
                let element = text("element")?;
                let step = xml::parse(&element).map(|root| format!("/{}", root.step())).unwrap_or_default();
                let xpath = format!("{}{step}", xpath.trim_end_matches('/'));
                Ok(Self::Override { xpath, element, is_checked: false })
            }
            "delete" => Ok(Self::Delete { xpath }),
            "rename" => Ok(Self::Rename { xpath, newname: text("newname")? }),
            "clone" => Ok(Self::Clone { xpath, from: text("from")?, newname: text("newname")? }),
            "move" => {
                let place = text("where")?;
                let dst = match place.as_str() {
                    // Some clients send a `dst` here as well; it means nothing.
                    "top" | "bottom" => String::new(),
                    "before" | "after" => text("dst")?,
                    other => return Err(format!("Illegal value for parameter \"where\" [{other}].")),
                };
                Ok(Self::Move { xpath, r#where: place, dst })
            }
            "multi-move" | "multi-clone" => {
                let (selected, all_errors) = selected(&text("element")?)?;
                Ok(match action {
                    "multi-move" => Self::MultiMove { xpath, selected, all_errors },
                    _ => Self::MultiClone { xpath, selected, all_errors },
                })
            }
            other => Err(format!("Illegal value for parameter \"action\" [{other}].")),
        }
    }

    /// Changes the tree; a refused edit leaves it as it was.
    pub(crate) fn apply(&self, root: &mut Arc<Element>) -> Result<Applied, EditFailure> {
        let outcome = match self {
            Self::Set { xpath, element } => edit::set(root, xpath, element),
            Self::Replace { xpath, element } | Self::Override { xpath, element, is_checked: true } => {
                edit::edit(root, xpath, element)
            }
            Self::Override { xpath, element, .. } => edit::override_inherited(root, xpath, element),
            Self::Delete { xpath } => edit::delete(root, xpath),
            Self::Rename { xpath, newname } => edit::rename(root, xpath, newname),
            Self::Clone { xpath, from, newname } => edit::clone(root, xpath, from, newname),
            Self::Move { xpath, r#where: place, dst } => {
                Destination::parse(place, Some(dst)).and_then(|to| edit::move_entry(root, xpath, &to))
            }
            Self::MultiMove { xpath, selected, all_errors } => {
                edit::multi_move(root, xpath, &of_model(selected), *all_errors)
            }
            Self::MultiClone { xpath, selected, all_errors } => {
                edit::multi_clone(root, xpath, &of_model(selected), *all_errors)
            }
            Self::Expect { xpath, digest } => return expect(root, xpath, digest),
            Self::AuditComment { xpath, .. } => {
                rule_at(root, xpath)?;
                return Ok(Applied::Changed);
            }
            Self::Load { configuration, .. } => {
                *root = Arc::new(xml::parse(configuration).map_err(|diagnostic| EditFailure {
                    code: code::INVALID_OBJECT,
                    lines: vec![diagnostic.message],
                })?);
                return Ok(Applied::Changed);
            }
        }?;
        Ok(match outcome.changed {
            true => Applied::Changed,
            false if matches!(self, Self::Delete { .. }) => Applied::Absent,
            false => Applied::Unchanged,
        })
    }

    /// Its action.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Set { .. } => "set",
            Self::Replace { .. } => "edit",
            Self::Override { .. } => "override",
            Self::Delete { .. } => "delete",
            Self::Rename { .. } => "rename",
            Self::Clone { .. } => "clone",
            Self::Move { .. } => "move",
            Self::MultiMove { .. } => "multi-move",
            Self::MultiClone { .. } => "multi-clone",
            Self::Expect { .. } => "expect",
            Self::AuditComment { .. } => "comment",
            Self::Load { .. } => "load",
        }
    }

    /// Which node it is about.
    pub(crate) fn xpath(&self) -> &str {
        match self {
            Self::Set { xpath, .. }
            | Self::Replace { xpath, .. }
            | Self::Override { xpath, .. }
            | Self::Delete { xpath }
            | Self::Rename { xpath, .. }
            | Self::Clone { xpath, .. }
            | Self::Move { xpath, .. }
            | Self::MultiMove { xpath, .. }
            | Self::MultiClone { xpath, .. }
            | Self::AuditComment { xpath, .. }
            | Self::Expect { xpath, .. } => xpath,
            Self::Load { .. } => "/config",
        }
    }

    /// Which part of a manager's configuration it is about, in the words of `show config list changes`.
    pub(crate) fn component(&self) -> &'static str {
        let xpath = self.xpath();
        let parts = ["device-group", "template-stack", "template"];
        if xpath.starts_with("/config/shared") {
            return "shared-object";
        }
        let below = |part: &&&str| xpath.contains(&format!("/{part}/")) || xpath.ends_with(&format!("/{part}"));
        parts.iter().find(below).copied().unwrap_or("device-and-network")
    }

    /// What is there now, for the config log.
    pub(crate) fn preview_before(&self, root: &Element) -> String {
        match self {
            Self::Replace { xpath, .. } | Self::Override { xpath, .. } | Self::Delete { xpath } => {
                match select(root, xpath).as_deref() {
                    Ok([only]) => preview(only),
                    Ok(_) | Err(_) => String::new(),
                }
            }
            _ => String::new(),
        }
    }

    /// Its line in the config log.
    pub(crate) fn audit_line(&self, caller: &Caller, before: String, result: &str) -> AuditLine {
        let after = match self {
            Self::Set { element, .. } | Self::Replace { element, .. } | Self::Override { element, .. } => {
                mask(self.xpath(), element.clone())
            }
            Self::Rename { newname, .. } | Self::Clone { newname, .. } => newname.clone(),
            Self::Move { r#where: place, dst, .. } => format!("{place} {dst}").trim_end().to_owned(),
            Self::MultiMove { selected, .. } | Self::MultiClone { selected, .. } => selected
                .iter()
                .map(|one| format!("{}: {}", one.source, one.names.join(", ")))
                .collect::<Vec<_>>()
                .join("; "),
            Self::Load { source, .. } => source.clone(),
            Self::AuditComment { comment, .. } => comment.clone(),
            Self::Delete { .. } | Self::Expect { .. } => String::new(),
        };
        let before = mask(self.xpath(), before);
        AuditLine { result: result.into(), before, after, ..caller.did(self.name(), self.xpath()) }
    }
}

/// The canonical XPath of a rule.
///
/// # Errors
/// When there is none, or it is none.
pub(crate) fn rule_at(root: &Element, xpath: &str) -> Result<String, EditFailure> {
    let found = edit::get(root, xpath)?;
    let [rule] = found.as_slice() else {
        let lines = vec!["No such node".to_owned(), format!("{xpath} does not name one rule")];
        return Err(EditFailure { code: code::NOT_PRESENT, lines });
    };
    let is_rule = rule.element().attribute("name").is_some()
        && rule.xpath.contains("rulebase/")
        && rule.xpath.rsplit_once("/entry[").is_some_and(|(list, _)| list.ends_with("/rules"));
    if !is_rule {
        let line = format!("{} is no rule; only rules have audit comments", rule.xpath);
        return Err(EditFailure { code: code::INVALID_OBJECT, lines: vec![line] });
    }
    Ok(rule.xpath.clone())
}

/// Whether a node is still the one that somebody read.
fn expect(root: &Arc<Element>, xpath: &str, digest: &str) -> Result<Applied, EditFailure> {
    let now = match select(root, xpath)?.as_slice() {
        [] => String::new(),
        [node, ..] => hex_digest(xml::write(node).as_bytes()),
    };
    if now == digest {
        return Ok(Applied::Unchanged);
    }
    let what = if now.is_empty() { "it is gone" } else { "it is another one" };
    let line = format!("somebody else changed {xpath} since it was read: {what}");
    Err(EditFailure { code: code::CHANGED, lines: vec![line, "read it again, and edit that".to_owned()] })
}

fn of_model(selected: &[Entries]) -> Vec<edit::Selected> {
    selected.iter().map(|one| edit::Selected { source: one.source.clone(), names: one.names.clone() }).collect()
}

/// `<selected-list><source xpath="..."><member>...</member></source></selected-list><all-errors>yes</all-errors>`
fn selected(text: &str) -> Result<(Vec<Entries>, bool), String> {
    let root = xml::parse(&format!("<fragment>{text}</fragment>")).map_err(|diagnostic| diagnostic.message)?;
    let all_errors = root.child("all-errors").is_some_and(|all| all.text() == "yes");
    let list =
        root.child("selected-list").ok_or_else(|| "Missing value for parameter \"selected-list\".".to_owned())?;
    let entries = list.elements().map(|source| {
        let xpath =
            source.attribute("xpath").ok_or_else(|| "a `source` of the selected-list has no `xpath`".to_owned())?;
        Ok(Entries { source: xpath.to_owned(), names: source.members().collect() })
    });
    Ok((entries.collect::<Result<_, String>>()?, all_errors))
}

/// A small element as text; a large one is not worth the time.
fn preview(element: &Element) -> String {
    let mut left = PREVIEW_ELEMENTS_MAX;
    if fits(element, &mut left) { xml::write(element) } else { format!("<{}> (large)", element.name) }
}

fn fits(element: &Element, left: &mut usize) -> bool {
    let Some(fewer) = left.checked_sub(1) else {
        return false;
    };
    *left = fewer;
    element.elements().all(|child| fits(child, left))
}

/// Texts that hold a secret are not shown.
fn mask(xpath: &str, text: String) -> String {
    let leaf = xpath.rsplit('/').next().unwrap_or_default();
    let tagged = |tag: &str| text.contains(&format!("<{tag}>")) || leaf == tag;
    if SECRET_TAGS.iter().any(|tag| tagged(tag)) { "(holds a secret)".to_owned() } else { text }
}
