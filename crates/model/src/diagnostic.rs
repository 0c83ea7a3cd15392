//! What is wrong with the configuration, where, and what to write instead?
//!
//! Plain data, collected and never thrown one by one; apps decide how it looks (a terminal snippet, a
//! `<response>` of the XML API). House form: lower case, user input in backticks, no full stop.

use std::fmt;

use crate::tree::Span;

/// How much a diagnostic weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing is wrong; something else may be wanted as well.
    Info,
    /// The configuration is accepted; part of it is stored but not enforced, or looks unintended.
    Warning,
    /// The configuration is refused.
    Error,
}

/// Where a configured thing was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Absolute XPath of the node, e.g. `/config/devices/entry[@name='localhost.localdomain']/...`.
    pub xpath: String,
    /// Byte span in the file it was parsed from, when there is a file.
    pub span: Option<Span>,
    /// The template or device group that contributed the node to a device's effective configuration,
    /// e.g. ``template `azure-net` ``; empty for a device's own configuration.
    pub owner: Option<String>,
}

impl Origin {
    /// An origin that is only an XPath.
    pub fn xpath(xpath: impl Into<String>) -> Self {
        Self { xpath: xpath.into(), span: None, owner: None }
    }

    /// The origin of a child step below this one (same owner, no span of its own).
    pub fn child(&self, step: &str) -> Self {
        Self { xpath: format!("{}/{step}", self.xpath), span: self.span, owner: self.owner.clone() }
    }
}

/// One thing that is wrong or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Diagnostic {
    /// Error, warning or less.
    pub severity: Severity,
    /// Stable kebab-case identifier, e.g. `unknown-zone`; documented in `docs/diagnostics.md`.
    pub code: &'static str,
    /// Where it is.
    pub origin: Origin,
    /// What is wrong.
    pub message: String,
    /// What to do instead, when there is something better than the opposite of the message.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A refusal.
    pub fn error(code: &'static str, origin: Origin, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, origin, message: message.into(), help: None }
    }

    /// A note that does not refuse the configuration.
    pub fn warning(code: &'static str, origin: Origin, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, code, origin, message: message.into(), help: None }
    }

    /// Something that may be wanted as well.
    pub fn info(code: &'static str, origin: Origin, message: impl Into<String>) -> Self {
        Self { severity: Severity::Info, code, origin, message: message.into(), help: None }
    }

    /// Adds the advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{word}[{}]: {}\n  --> {}", self.code, self.message, self.origin.xpath)?;
        if let Some(owner) = &self.origin.owner {
            write!(f, " ({owner})")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// `did you mean` for a name that is not among `known`: the closest one, if it is close.
pub fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().max(name.len()) / 4)
        .min()
        .map(|(_, candidate)| candidate)
}
