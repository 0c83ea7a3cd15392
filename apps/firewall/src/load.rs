//! From the text of a configuration to tables: the same steps for a file, a push, a commit at the device and an
//! offline answer.

use bartizan_model::device::{self, Validated};
use bartizan_model::diagnostic::Diagnostic;
use bartizan_model::tree::Element;
use bartizan_model::{render, xml};
use bartizan_policy::compile::{compile, recompile};
use bartizan_policy::facts::Facts;
use bartizan_policy::names::Ids;
use bartizan_policy::tables::Compiled;

/// A configuration that can be enforced.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub config: Validated,
    /// Its tables.
    pub compiled: Compiled,
    /// What is accepted but not in force, or looks unintended.
    pub warnings: Vec<Diagnostic>,
}

/// The text that is in force by what was pushed and the device's own configuration.
///
/// # Errors
/// When one of them is no XML.
pub fn effective(pushed: Option<&str>, local: Option<&str>) -> Result<String, Vec<Diagnostic>> {
    let parse = |text: &str| xml::parse(text).map_err(|diagnostic| vec![diagnostic]);
    match (pushed, local) {
        (Some(pushed), None) => Ok(pushed.to_owned()),
        (None, None) => Ok("<config/>".to_owned()),
        (pushed, Some(local)) => {
            let pushed = pushed.map(parse).transpose()?.unwrap_or_else(|| Element::new("config"));
            Ok(xml::write(&render::with_local(&parse(local)?, &pushed)))
        }
    }
}

/// Reads, checks and compiles with what is known at this moment.
///
/// # Errors
/// Everything that is wrong with it, warnings included.
pub fn load(text: &str, facts: &Facts, ids: &mut Ids, generation: u64) -> Result<Loaded, Vec<Diagnostic>> {
    reload(text, facts, ids, None, generation)
}

/// As [`load`]; tables of the generation before stay in use where nothing changed.
///
/// # Errors
/// As [`load`].
pub fn reload(
    text: &str,
    facts: &Facts,
    ids: &mut Ids,
    previous: Option<&Compiled>,
    generation: u64,
) -> Result<Loaded, Vec<Diagnostic>> {
    let root = xml::parse(text).map_err(|diagnostic| vec![diagnostic])?;
    let device::Report { config, diagnostics: mut warnings } = device::read(&root, device::Scope::Device);
    let Some(config) = config else { return Err(warnings) };
    let compiled = match previous {
        Some(previous) => recompile(&config, facts, ids, previous, generation),
        None => compile(&config, facts, ids, generation),
    };
    match compiled {
        Ok(compiled) => {
            warnings.extend(compiled.warnings.iter().cloned());
            Ok(Loaded { config, compiled, warnings })
        }
        Err(more) => {
            warnings.extend(more);
            Err(warnings)
        }
    }
}
