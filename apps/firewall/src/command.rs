//! Operational commands: the same ones from the command line, the control socket and the manager.
//!
//! A command is words on the command line and nested elements in XML; [`words`] knows both forms.
//! [`answers`] computes, [`answer`] renders: text for people, JSON for scripts, XML as PAN-OS has it.

pub mod answer;
pub mod answers;
pub mod words;

use std::collections::BTreeMap;

/// A command that is spelled right: its words, and the values it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// The fixed words, e.g. `show session id`.
    pub path: Vec<&'static str>,
    /// Values by the word before them, e.g. `id` of 7.
    pub values: BTreeMap<&'static str, String>,
    /// The list of values the command ends with, if it has one.
    pub list: Vec<String>,
}

impl Command {
    /// A value, if it was given.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Whether it can be answered from a configuration alone.
    pub fn is_offline(&self) -> bool {
        matches!(
            self.path.as_slice(),
            ["test", ..] | ["explain"] | ["show", "routing" | "config", ..] | ["show", "running", "nat-policy"]
        )
    }
}
