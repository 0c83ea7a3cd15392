//! Does a label selector match these labels?

mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::text::parse;
pub(crate) use self::text::{wrong_name, wrong_port};

use crate::cluster::Labels;
use crate::problem::Problems;

/// A `LabelSelector` as it is written. An empty one matches everything.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Labels that must have these values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub match_labels: Option<BTreeMap<String, String>>,
    /// Conditions that must all hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub match_expressions: Option<Vec<Expression>>,
}

/// A condition of a selector.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expression {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// For `In` and `NotIn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
}

/// A selector that was understood: conditions that must all hold, each once.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Selector(BTreeSet<Condition>);

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Condition {
    In(String, BTreeSet<String>),
    /// Holds, too, where the label is missing.
    NotIn(String, BTreeSet<String>),
    Exists(String),
    DoesNotExist(String),
}

/// What is wrong with a selector: the field inside of it, and what.
type Fault = (String, String);

impl LabelSelector {
    /// Understands it.
    ///
    /// # Errors
    /// Everything that is wrong, each with the field inside of the selector.
    pub fn compile(&self) -> Result<Selector, Vec<String>> {
        let mut faults = Vec::new();
        let selector = Selector::of(self, &mut faults);
        let told = |(field, what): Fault| format!("{field}: {what}");
        if faults.is_empty() { Ok(selector) } else { Err(faults.into_iter().map(told).collect()) }
    }
}

impl Selector {
    pub(crate) fn read(written: &LabelSelector, field: &str, problems: &mut Problems) -> Self {
        let mut faults = Vec::new();
        let read = Self::of(written, &mut faults);
        for (inside, what) in faults {
            problems.add(format!("{field}.{inside}"), what);
        }
        read
    }

    fn of(written: &LabelSelector, faults: &mut Vec<Fault>) -> Self {
        let mut conditions = BTreeSet::new();
        for (key, value) in written.match_labels.iter().flatten() {
            let field = format!("matchLabels[{key}]");
            faults.extend(text::wrong_key(key).map(|what| (field.clone(), what)));
            faults.extend(text::wrong_value(value).map(|what| (field, what)));
            conditions.insert(Condition::In(key.clone(), BTreeSet::from([value.clone()])));
        }
        for (index, expression) in written.match_expressions.iter().flatten().enumerate() {
            conditions.extend(Condition::read(expression, &format!("matchExpressions[{index}]"), faults));
        }
        Self(conditions)
    }

    /// Whether it matches.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|condition| match condition {
            Condition::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Condition::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Condition::Exists(key) => labels.contains_key(key),
            Condition::DoesNotExist(key) => !labels.contains_key(key),
        })
    }

    /// Whether it matches everything.
    pub(crate) fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// What both match.
    pub(crate) fn and(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    /// The value that a label must have, if there is one.
    pub(crate) fn only(&self, label: &str) -> Option<&str> {
        self.0.iter().find_map(|condition| match condition {
            Condition::In(key, values) if key == label && values.len() == 1 => values.first().map(String::as_str),
            _ => None,
        })
    }

    /// Whether nothing can match both, as far as two conditions on the same label tell.
    pub(crate) fn excludes(&self, other: &Self) -> bool {
        let one_way = |ours: &Self, theirs: &Self| {
            ours.0.iter().any(|condition| {
                let Condition::In(key, values) = condition else { return false };
                theirs.0.iter().any(|other| match other {
                    Condition::In(k, others) => k == key && values.is_disjoint(others),
                    Condition::NotIn(k, others) => k == key && values.is_subset(others),
                    Condition::DoesNotExist(k) => k == key,
                    Condition::Exists(_) => false,
                })
            })
        };
        one_way(self, other) || one_way(other, self)
    }

    /// Whether nothing can match, as far as one label at a time tells.
    pub(crate) fn is_impossible(&self) -> bool {
        self.0.iter().any(|condition| {
            let Condition::In(key, values) = condition else { return false };
            let fits = |value: &String| {
                self.0.iter().all(|other| match other {
                    Condition::In(k, others) => k != key || others.contains(value),
                    Condition::NotIn(k, others) => k != key || !others.contains(value),
                    Condition::DoesNotExist(k) => k != key,
                    Condition::Exists(_) => true,
                })
            };
            !values.iter().any(fits)
        })
    }
}

impl Condition {
    fn read(written: &Expression, field: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let Expression { key, operator, values } = written;
        faults.extend(text::wrong_key(key).map(|what| (format!("{field}.key"), what)));
        for value in values.iter().flatten() {
            faults.extend(text::wrong_value(value).map(|what| (format!("{field}.values"), what)));
        }
        let values: BTreeSet<String> = values.iter().flatten().cloned().collect();
        let wants_values = matches!(operator.as_str(), "In" | "NotIn");
        if wants_values == values.is_empty() && matches!(operator.as_str(), "In" | "NotIn" | "Exists" | "DoesNotExist")
        {
            let what = if wants_values { "needs at least one value" } else { "takes no values" };
            faults.push((format!("{field}.values"), format!("`{operator}` {what}")));
            return None;
        }
        match operator.as_str() {
            "In" => Some(Self::In(key.clone(), values)),
            "NotIn" => Some(Self::NotIn(key.clone(), values)),
            "Exists" => Some(Self::Exists(key.clone())),
            "DoesNotExist" => Some(Self::DoesNotExist(key.clone())),
            other => {
                let known = "`In`, `NotIn`, `Exists` and `DoesNotExist` are the operators";
                faults.push((format!("{field}.operator"), format!("`{other}` is no operator of a selector: {known}")));
                None
            }
        }
    }
}

/// As kubectl's `-l` takes it; `*` matches everything.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("*");
        }
        for (index, condition) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            let list = |values: &BTreeSet<String>| values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
            match condition {
                Condition::In(key, values) if values.len() == 1 => write!(f, "{key}={}", list(values))?,
                Condition::In(key, values) => write!(f, "{key} in ({})", list(values))?,
                Condition::NotIn(key, values) => write!(f, "{key} notin ({})", list(values))?,
                Condition::Exists(key) => f.write_str(key)?,
                Condition::DoesNotExist(key) => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}
