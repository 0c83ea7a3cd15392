//! Does a condition hold, by the outputs of tasks?
//!
//! A comparison, or several that must all hold: `diff.changes > 0 and settings.hold == yes`. Two numbers are compared as
//! numbers, anything else as text.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

/// A condition that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition(Vec<Comparison>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Comparison {
    path: String,
    operator: &'static str,
    value: String,
}

/// Longer ones before those that they begin with.
const OPERATORS: [&str; 6] = ["==", "!=", ">=", "<=", ">", "<"];

impl Condition {
    /// Reads one.
    ///
    /// # Errors
    /// What cannot be read.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        text.split(" and ").map(Comparison::read).collect::<Result<_, _>>().map(Self)
    }

    /// First words of what it looks at: names of tasks, `run` and `settings`.
    pub(super) fn roots(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|one| one.path.split('.').next().unwrap_or_default())
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// When it looks at what is not there.
    pub fn holds(&self, known: &Value) -> Result<bool, String> {
        for one in &self.0 {
            if !one.holds(known)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// As it is written in a playbook.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Comparison { path, operator, value }) in self.0.iter().enumerate() {
            write!(f, "{}{path} {operator} {value}", if at > 0 { " and " } else { "" })?;
        }
        Ok(())
    }
}

impl Comparison {
    fn read(text: &str) -> Result<Self, String> {
        let at = |operator: &&'static str| text.find(*operator).map(|at| (at, *operator));
        let first = OPERATORS.iter().filter_map(at).min_by_key(|(at, operator)| (*at, usize::MAX - operator.len()));
        let cannot =
            || format!("`{text}` cannot be read: write `TASK.OUTPUT`, one of {} and a value", OPERATORS.join(" "));
        let (at, operator) = first.ok_or_else(cannot)?;
        let (path, value) = (text[..at].trim(), text[at + operator.len()..].trim());
        let is_path = path.contains('.') && path.split('.').all(|part| !part.is_empty() && !part.contains(' '));
        if !is_path || value.is_empty() || value.starts_with('=') {
            return Err(cannot());
        }
        let value = value.trim_matches(['"', '\'']).to_owned();
        Ok(Self { path: path.to_owned(), operator, value })
    }

    fn holds(&self, known: &Value) -> Result<bool, String> {
        let found = text_at(known, &self.path)?;
        let order = match (found.parse::<f64>(), self.value.parse::<f64>()) {
            (Ok(one), Ok(other)) => one.partial_cmp(&other).unwrap_or(Ordering::Less),
            _ => found.as_str().cmp(&self.value),
        };
        Ok(match self.operator {
            "==" => order.is_eq(),
            "!=" => order.is_ne(),
            ">=" => order.is_ge(),
            "<=" => order.is_le(),
            ">" => order.is_gt(),
            _ => order.is_lt(),
        })
    }
}

/// What stands at a path, as text; `yes` and `no` for what is true and false.
fn text_at(known: &Value, path: &str) -> Result<String, String> {
    let found = path.split('.').try_fold(known, |at, part| at.get(part));
    match found {
        None => Err(format!("`{path}` is not there: the task did not run, or has no such output")),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Bool(is)) => Ok(if *is { "yes" } else { "no" }.to_owned()),
        Some(Value::Null) => Ok(String::new()),
        Some(other) => Ok(other.to_string()),
    }
}

/// A text with what stands at `${PATH}` put in.
///
/// # Errors
/// When a path leads nowhere or is not ended.
pub fn fill(text: &str, known: &Value) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (path, behind) = after.split_once('}').ok_or_else(|| format!("`{text}` has `${{` without `}}`"))?;
        filled.push_str(before);
        filled.push_str(&text_at(known, path.trim())?);
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// First words of what a text has `${…}` of.
pub(super) fn roots_of(text: &str) -> Vec<&str> {
    let parts = text.split("${").skip(1).filter_map(|part| part.split_once('}'));
    parts.map(|(path, _)| path.trim().split('.').next().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers_and_words_as_words() {
        let known = json!({"a": {"n": 10, "t": "no", "b": true, "deep": {"x": "2"}, "none": null}});
        for (text, holds) in [
            ("a.n > 9", true),
            ("a.n >= 10.0", true),
            ("a.n <= 9", false),
            ("a.t != yes", true),
            ("a.b == yes and a.deep.x < 10", true),
            ("a.b == yes and a.n == 11", false),
            ("a.t == 'no'", true),
            ("a.none == ''", true),
        ] {
            assert_eq!(Condition::read(text).unwrap().holds(&known), Ok(holds), "{text}");
        }
        for text in ["a.n", "a == 1", "a.n === 1", "a.n ==", "== 1", "a b.c == 1", ""] {
            assert!(Condition::read(text).is_err(), "{text}");
        }
        assert!(fill("${a.n", &known).is_err() && fill("${a.gone}", &known).is_err());
    }
}
