//! Which labels become tags, and what do label selectors select?

use std::collections::BTreeMap;

use kube::core::{Expression, Selector, SelectorExt as _};

/// Labels as an object has them.
pub type Labels = BTreeMap<String, String>;

/// Which labels become tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// None of them.
    None,
    /// Those that one of these lets through.
    Custom(Vec<Wanted>),
    /// All of them.
    #[default]
    All,
}

/// Some labels, each part a pattern in which `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Of the namespace.
    pub namespace: String,
    /// Of the label's key.
    pub key: String,
    /// Of its value.
    pub value: String,
}

/// What a label selector looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyOn {
    /// Pods.
    Pod,
    /// Services.
    Service,
    /// Both.
    All,
}

/// A label selector, whose name is the tag of what it selects.
#[derive(Clone, Debug)]
pub struct LabelSelector {
    /// The end of the tag.
    pub name: String,
    /// Pattern of namespaces.
    pub namespace: String,
    /// What it looks at.
    pub on: ApplyOn,
    /// Which labels it wants.
    pub selector: Selector,
}

impl Filter {
    /// Whether a label becomes a tag.
    pub fn wants(&self, namespace: &str, key: &str, value: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Custom(wanted) => wanted.iter().any(|wanted| {
                matches(&wanted.namespace, namespace) && matches(&wanted.key, key) && matches(&wanted.value, value)
            }),
        }
    }
}

impl Wanted {
    /// Reads `NAMESPACE:KEY=VALUE`.
    ///
    /// # Errors
    /// What is missing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(namespace, label)| Some((namespace, label.split_once('=')?)));
        match parts {
            Some((namespace, (key, value))) if !namespace.is_empty() && !key.is_empty() => {
                Ok(Self { namespace: namespace.to_owned(), key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err(format!("`{text}` is no label: write NAMESPACE:KEY=VALUE, with `*` for any")),
        }
    }
}

impl LabelSelector {
    /// Reads `NAME:NAMESPACE:pod|service|all:SELECTOR`; the selector is as kubectl's `-l`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(4, ':');
        let (Some(name), Some(namespace), Some(on), Some(selector)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(format!("`{text}` is no label selector: write NAME:NAMESPACE:pod|service|all:SELECTOR"));
        };
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        if name.is_empty() || !name.chars().all(is_name) || namespace.is_empty() {
            return Err(format!("`{text}`: a selector has a name of A-Z a-z 0-9 _ - and a namespace, or `*` for any"));
        }
        let on = match on.to_ascii_lowercase().as_str() {
            "pod" => ApplyOn::Pod,
            "service" => ApplyOn::Service,
            "all" => ApplyOn::All,
            other => return Err(format!("`{other}` is none of `pod`, `service`, `all`")),
        };
        Ok(Self { name: name.to_owned(), namespace: namespace.to_owned(), on, selector: selector_of(selector)? })
    }

    /// Whether it selects an object with these labels.
    pub fn selects(&self, on: ApplyOn, namespace: &str, labels: &Labels) -> bool {
        (self.on == on || self.on == ApplyOn::All)
            && matches(&self.namespace, namespace)
            && self.selector.matches(labels)
    }
}

/// Whether a text is of a pattern in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Reads a selector: equality based (`a=b`, `a==b`, `a!=b`) and set based (`a in (b,c)`, `a notin (b)`, `a`, `!a`), joined
/// by commas.
fn selector_of(text: &str) -> Result<Selector, String> {
    let mut expressions = Vec::new();
    for part in split(text) {
        expressions.push(expression(part.trim()).ok_or_else(|| {
            format!(
                "`{}` is no part of a label selector: write a=b, a!=b, a in (b,c), a notin (b), a or !a",
                part.trim()
            )
        })?);
    }
    Ok(expressions.into_iter().collect())
}

/// At the commas that are not within brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn expression(part: &str) -> Option<Expression> {
    let is_word = |text: &str| {
        !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./".contains(letter))
    };
    let key = |text: &str| is_word(text.trim()).then(|| text.trim().to_owned());
    let value = |text: &str| (text.trim().is_empty() || is_word(text.trim())).then(|| text.trim().to_owned());
    if let Some(list) = part.strip_suffix(')') {
        let (head, list) = list.split_once('(')?;
        let values = list.split(',').map(value).collect::<Option<_>>()?;
        let (name, word) = head.trim().rsplit_once(char::is_whitespace)?;
        return match word {
            "in" => Some(Expression::In(key(name)?, values)),
            "notin" => Some(Expression::NotIn(key(name)?, values)),
            _ => None,
        };
    }
    if let Some((name, other)) = part.split_once("!=") {
        return Some(Expression::NotEqual(key(name)?, value(other)?));
    }
    if let Some((name, other)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Some(Expression::Equal(key(name)?, value(other)?));
    }
    match part.strip_prefix('!') {
        Some(name) => Some(Expression::DoesNotExist(key(name)?)),
        None => Some(Expression::Exists(key(part)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        let pair = |part: &str| part.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        text.split_whitespace().filter_map(pair).collect()
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("shop", "shop", true),
            ("shop", "shops", false),
            ("shop*", "shops", true),
            ("*-prod", "web-prod", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_filter_lets_through_what_is_wanted() {
        let custom = Filter::Custom(vec![Wanted::parse("shop*:tier=*").unwrap(), Wanted::parse("*:app=web").unwrap()]);
        assert!(custom.wants("shop-eu", "tier", "db") && custom.wants("other", "app", "web"));
        assert!(!custom.wants("other", "tier", "db") && !custom.wants("shop", "app", "db"));
        assert!(Filter::All.wants("a", "b", "c") && !Filter::None.wants("a", "b", "c"));
        for wrong in ["tier=db", ":a=b", "a:=b", "a:b"] {
            assert!(Wanted::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn selectors_are_read_and_select_as_kubectl_does() {
        for (text, on, expected) in [
            ("app=web", "app=web tier=x", true),
            ("app==web,tier!=db", "app=web tier=x", true),
            ("app!=web", "tier=x", true),
            ("app in (web, api),!legacy", "app=api", true),
            ("app in (web,api),!legacy", "app=api legacy=1", false),
            ("app notin (web)", "app=api", true),
            ("app notin (web)", "app=web", false),
            ("example.com/team", "example.com/team=a", true),
            ("example.com/team", "team=a", false),
        ] {
            let selector = LabelSelector::parse(&format!("pci:*:pod:{text}")).unwrap();
            assert_eq!(selector.selects(ApplyOn::Pod, "shop", &labels(on)), expected, "{text} on {on}");
            assert!(!selector.selects(ApplyOn::Service, "shop", &labels(on)));
        }
        let all = LabelSelector::parse("pci:shop:All:a").unwrap();
        assert!(
            all.selects(ApplyOn::Service, "shop", &labels("a=1")) && !all.selects(ApplyOn::Pod, "x", &labels("a=1"))
        );
        for wrong in
            ["pci", "pci:*:pods:a", "p.i:*:pod:a", "pci:*:pod:a in web", "pci:*:pod:", "pci::pod:a", "pci:*:pod:a=b c"]
        {
            assert!(LabelSelector::parse(wrong).is_err(), "{wrong}");
        }
    }
}
