//! The answer to `show shadow-warning`.

use bartizan_model::tree::{Child, Element};
use serde::Serialize;

use super::table::table;

/// Rules that nothing can reach, or how a rule can be reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Shadows {
    /// Rules that no flow reaches.
    pub shadowed: Vec<Shadowed>,
    /// Rules that were too intricate to be decided.
    pub undecided: usize,
    /// For one rule: a flow that reaches it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached_by: Option<String>,
}

/// A rule that no flow reaches.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shadowed {
    /// Its name.
    pub rule: String,
    /// The rules before it that take its flows.
    pub by: Vec<String>,
}

impl Shadows {
    /// For people.
    pub(super) fn text(&self) -> String {
        if let Some(flow) = &self.reached_by {
            return format!("reached, e.g. by {flow}\n");
        }
        let undecided = match self.undecided {
            0 => String::new(),
            undecided => format!("not decided: {undecided}\n"),
        };
        if self.shadowed.is_empty() {
            return if undecided.is_empty() { "no rule is shadowed\n".to_owned() } else { undecided };
        }
        let rows = self.shadowed.iter().map(|one| vec![one.rule.clone(), one.by.join(", ")]);
        table(&["RULE", "SHADOWED BY"], rows.collect()) + &undecided
    }

    /// For API clients.
    pub(super) fn xml(&self) -> Vec<Element> {
        let entry = |one: &Shadowed| {
            let mut entry = Element::entry(&one.rule);
            entry.children.extend(one.by.iter().map(|by| Child::Element(Element::leaf("member", by).into())));
            entry
        };
        let mut warnings = Element::new("shadow-warning");
        warnings.children.extend(self.shadowed.iter().map(|one| Child::Element(entry(one).into())));
        let count = Element::leaf("undecided", &self.undecided.to_string());
        let reached = self.reached_by.as_ref().map(|flow| Element::leaf("reached-by", flow));
        [warnings, count].into_iter().chain(reached).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_decided_is_told_beside_what_was() {
        let shadowed = Shadowed { rule: "late".into(), by: vec!["early".into(), "other".into()] };
        let found = Shadows { shadowed: vec![shadowed], undecided: 2, reached_by: None };
        assert_eq!(found.text(), "RULE  SHADOWED BY\nlate  early, other\nnot decided: 2\n");
        assert_eq!(Shadows::default().text(), "no rule is shadowed\n");
        let undecided = Shadows { undecided: 1, ..Shadows::default() };
        assert_eq!(undecided.text(), "not decided: 1\n");
    }
}
