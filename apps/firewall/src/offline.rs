//! Answers without a running firewall: from a configuration file alone.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use bartizan_policy::facts::Facts;
use bartizan_policy::names::Ids;
use bartizan_policy::shadow;

use crate::firewall::{Parts, Running};
use crate::hex;
use crate::load::load;
use crate::snippet;

/// A configuration file, read and checked.
pub enum Checked {
    /// It can be enforced; the snippets are warnings.
    Good(Box<Running>, String),
    /// It cannot; the snippets say why.
    Bad(String),
}

/// Reads and checks a file.
///
/// # Errors
/// When it cannot be read at all.
pub fn check(path: &Path) -> Result<Checked> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read `{}`", path.display()))?;
    let name = path.display().to_string();
    Ok(match load(&text, &Facts::default(), &mut Ids::default(), 1) {
        Ok(mut loaded) => {
            loaded.warnings.extend(shadow::warnings(&loaded.compiled));
            let snippets = snippet::render(&loaded.warnings, &name, &text);
            let compiled = Arc::new(loaded.compiled);
            let config = Arc::new(loaded.config);
            let (digest, parts) = (hex::sha256(&text), Parts::default());
            let running = Running { digest, version: 0, text: text.into(), parts, config, compiled };
            Checked::Good(Box::new(running), snippets)
        }
        Err(diagnostics) => Checked::Bad(snippet::render(&diagnostics, &name, &text)),
    })
}
