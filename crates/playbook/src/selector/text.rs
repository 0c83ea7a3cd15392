//! What does a selector say that is written as for `kubectl -l`?
//!
//! `team=shop,env in (a,b),tier!=db,zone notin (x),app,!canary`: conditions that must all hold. The grammar is the one of
//! `labels.Parse` (k8s.io/apimachinery, pkg/labels) without its comparisons of numbers, which a `LabelSelector` does not
//! have. An empty text matches everything.

use super::{Expression, LabelSelector};

/// Longest name of a label, and longest value (Kubernetes, Labels and Selectors).
const NAME_MAX: usize = 63;
/// Longest prefix of a label's key.
const PREFIX_MAX: usize = 253;

/// Reads a selector.
///
/// # Errors
/// What is wrong with the first condition that cannot be read.
pub fn parse(text: &str) -> Result<LabelSelector, String> {
    if text.trim().is_empty() {
        return Ok(LabelSelector::default());
    }
    let conditions = split(text)?.into_iter().map(condition).collect::<Result<Vec<_>, _>>()?;
    Ok(LabelSelector { match_labels: None, match_expressions: Some(conditions) })
}

/// The conditions: between commas that are in no parentheses.
fn split(text: &str) -> Result<Vec<&str>, String> {
    let mut found = Vec::new();
    let (mut inside, mut begin) = (false, 0);
    for (at, c) in text.char_indices() {
        match (c, inside) {
            ('(', false) => inside = true,
            (')', true) => inside = false,
            ('(' | ')', _) => return Err(format!("`{text}` has a parenthesis too many at `{}`", &text[at..])),
            (',', false) => {
                found.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if inside {
        return Err(format!("`{text}` has a `(` without `)`"));
    }
    found.push(&text[begin..]);
    Ok(found)
}

fn condition(text: &str) -> Result<Expression, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("there is nothing between two commas, or after the last: leave the comma out".to_owned());
    }
    if let Some(key) = text.strip_prefix('!') {
        return expression(key.trim(), "DoesNotExist", Vec::new());
    }
    let ends = |c: char| c.is_whitespace() || "=!<>()".contains(c);
    let (key, rest) = text.split_at(text.find(ends).unwrap_or(text.len()));
    let rest = rest.trim_start();
    if rest.is_empty() {
        return expression(key, "Exists", Vec::new());
    }
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some(value) = rest.strip_prefix("==").or_else(|| rest.strip_prefix('=')) {
        return expression(key, "In", one(value));
    }
    if let Some(value) = rest.strip_prefix("!=") {
        return expression(key, "NotIn", one(value));
    }
    for (word, operator) in [("in", "In"), ("notin", "NotIn")] {
        let listed = rest.strip_prefix(word).map(str::trim_start);
        let listed = listed.and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')'));
        if let Some(listed) = listed {
            return expression(key, operator, listed.split(',').map(|value| value.trim().to_owned()).collect());
        }
    }
    let known = "write `key=value`, `key!=value`, `key in (a,b)`, `key notin (a,b)`, `key` or `!key`";
    Err(format!("`{text}` is no condition on a label: {known}"))
}

fn expression(key: &str, operator: &str, values: Vec<String>) -> Result<Expression, String> {
    let wrong = wrong_key(key).into_iter().chain(values.iter().filter_map(|value| wrong_value(value))).next();
    match wrong {
        Some(wrong) => Err(wrong),
        None => Ok(Expression {
            key: key.to_owned(),
            operator: operator.to_owned(),
            values: (!values.is_empty()).then_some(values),
        }),
    }
}

/// Why a label cannot have the key; `None` when it can.
pub(super) fn wrong_key(key: &str) -> Option<String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label =
        |part: &str| !part.is_empty() && part.chars().all(fits) && !part.starts_with('-') && !part.ends_with('-');
    let prefix_fits = prefix.is_none_or(|prefix| prefix.len() <= PREFIX_MAX && prefix.split('.').all(is_label));
    if !name.is_empty() && is_name(name) && prefix_fits {
        return None;
    }
    let form = "a name of at most 63 letters, digits, `-`, `_` and `.`, with a domain and `/` before it or without";
    Some(format!("`{key}` cannot be the key of a label: it is {form}"))
}

/// Why a label cannot have the value; `None` when it can.
pub(super) fn wrong_value(value: &str) -> Option<String> {
    let form = "at most 63 letters, digits, `-`, `_` and `.`, a letter or digit first and last";
    (!is_name(value)).then(|| format!("`{value}` cannot be the value of a label: it has {form}"))
}

/// Why an object cannot have the name, or be in the namespace; `None` when it can (Kubernetes, Object Names and IDs).
pub(crate) fn wrong_name(name: &str, longest: usize) -> Option<String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_good = name.len() <= longest && name.chars().all(fits) && name.starts_with(ends) && name.ends_with(ends);
    let form = "small letters, digits, `-` and `.`, a letter or digit first and last";
    (!is_good).then(|| format!("`{name}` is no name of an object: it has at most {longest} {form}"))
}

/// Why a container's port cannot have the name; `None` when it can (RFC 6335, 5.1).
pub(crate) fn wrong_port(name: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_good = (1..=15).contains(&name.len())
        && name.chars().all(fits)
        && name.chars().any(|c| c.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--");
    let form = "at most 15 small letters, digits and `-`, a letter among them";
    (!is_good).then(|| format!("`{name}` is no name of a port: it has {form}"))
}

/// Empty, or within the limits of Kubernetes.
fn is_name(text: &str) -> bool {
    let ends = [text.chars().next(), text.chars().next_back()];
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.len() <= NAME_MAX
        && text.chars().all(fits)
        && ends.into_iter().flatten().all(|end| end.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Labels;

    fn matches(text: &str, labels: &[(&str, &str)]) -> bool {
        let labels: Labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        parse(text).unwrap().compile().unwrap().matches(&labels)
    }

    #[test]
    fn every_operator_means_what_kubectl_means() {
        let all = "a=b, c != d,e in (x, y),f notin (z),g,!h,k==l,example.com/m=";
        let fits = [("a", "b"), ("e", "y"), ("g", ""), ("k", "l"), ("example.com/m", "")];
        assert!(matches(all, &fits));
        for (key, value) in [("a", "c"), ("c", "d"), ("e", "z"), ("f", "z"), ("h", ""), ("example.com/m", "n")] {
            let mut labels = fits.to_vec();
            labels.retain(|(known, _)| *known != key);
            labels.push((key, value));
            assert!(!matches(all, &labels), "{key}={value}");
        }
        assert!(!matches("g", &[]), "a key that must be there");
        assert!(matches("in in (in,notin),notin notin (in)", &[("in", "notin")]), "words as names");
        assert!(matches("", &[]) && matches(" ", &[("a", "b")]), "an empty text matches everything");
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_place() {
        for (text, told) in [
            ("a=b,", "after the last"),
            ("a in b", "`a in b` is no condition"),
            ("a in (b", "without `)`"),
            ("a in ((b))", "too many at `(b))`"),
            ("a>1", "`a>1` is no condition"),
            ("a=b c", "`b c` cannot be the value"),
            ("-a=b", "`-a` cannot be the key"),
            ("A_b/c", "`A_b/c` cannot be the key"),
            ("*", "`*` cannot be the key"),
            ("!", "`` cannot be the key"),
            ("a in (b) c", "is no condition"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_told_of_a_selector_can_be_read_again() {
        for text in ["a=b", "a in (b,c)", "!a,b", "a notin (b)"] {
            let selector = parse(text).unwrap().compile().unwrap();
            let again = parse(&selector.to_string()).unwrap().compile().unwrap();
            assert_eq!(selector, again);
        }
    }
}
