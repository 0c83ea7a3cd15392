//! Is a password good enough, by `mgt-config/password-complexity`?
//!
//! Only whoever hashes a password sees it: the rules hold for `request password-hash`. A hash that was made elsewhere is
//! taken as it is. When a password has to be changed is not held: somebody has to be able to log in.

use bartizan_model::codes;
use bartizan_model::diagnostic::{Diagnostic, Origin};
use bartizan_model::tree::{Element, quote};

const HERE: &str = "/config/mgt-config/password-complexity";
/// Rules that are kept but not held.
const NOT_HELD: [&str; 6] = [
    "password-change",
    "new-password-differs-by-characters",
    "password-change-on-first-login",
    "password-history-count",
    "password-change-period-block",
    "minimum-non-alphabetic-characters",
];
/// A rule with a number: its element, what it counts, and the words for it.
type Least = (&'static str, fn(char) -> bool, &'static str);

const LEAST: [Least; 5] = [
    ("minimum-length", |_| true, "characters"),
    ("minimum-uppercase-letters", char::is_uppercase, "upper-case letters"),
    ("minimum-lowercase-letters", char::is_lowercase, "lower-case letters"),
    ("minimum-numeric-letters", char::is_numeric, "digits"),
    ("minimum-special-characters", |c| !c.is_alphanumeric(), "special characters"),
];

fn rules(root: &Element) -> Option<&Element> {
    root.descend(&["mgt-config", "password-complexity"]).filter(|rules| is_yes(rules, "enabled"))
}

fn is_yes(rules: &Element, tag: &str) -> bool {
    rules.child(tag).is_some_and(|rule| rule.text() == "yes")
}

fn number(rules: &Element, tag: &str) -> Option<usize> {
    rules.child(tag)?.text().parse().ok()
}

/// Everything that a password lacks; nothing when there are no rules.
pub(crate) fn weaknesses(root: &Element, user: Option<&str>, password: &str) -> Vec<String> {
    let Some(rules) = rules(root) else { return Vec::new() };
    let mut weaknesses = Vec::new();
    for (tag, counts, what) in LEAST {
        let (least, has) = (number(rules, tag).unwrap_or(0), password.chars().filter(|c| counts(*c)).count());
        if has < least {
            weaknesses.push(format!("the password has {has} {what}, at least {least} are needed"));
        }
    }
    if let Some(most) = number(rules, "block-repeated-characters").filter(|most| *most > 0) {
        let (mut longest, mut run, mut last) = (0, 0, None);
        for c in password.chars() {
            run = if last == Some(c) { run + 1 } else { 1 };
            longest = longest.max(run);
            last = Some(c);
        }
        if longest > most {
            weaknesses
                .push(format!("the password repeats a character {longest} times in a row, at most {most} are allowed"));
        }
    }
    if let Some(user) = user.filter(|user| !user.is_empty() && is_yes(rules, "block-username-inclusion")) {
        let (password, user) = (password.to_lowercase(), user.to_lowercase());
        let reversed: String = user.chars().rev().collect();
        if password.contains(&user) || password.contains(&reversed) {
            weaknesses.push("the password holds the administrator's name".to_owned());
        }
    }
    weaknesses
}

/// What of the rules in a candidate is wrong, or is not held.
pub(super) fn check(candidate: &Element) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    if let Some(rules) = rules(candidate) {
        diagnostics.extend(of_rules(rules));
    }
    let profiles = candidate.descend(&["mgt-config", "password-profile"]).into_iter().flat_map(Element::entries);
    diagnostics.extend(profiles.map(|(name, _)| {
        let at = Origin::xpath(format!("/config/mgt-config/password-profile/entry[@name={}]", quote(name)));
        Diagnostic::warning(codes::NOT_ENFORCED, at, format!("the password profile `{name}` is not enforced"))
    }));
    diagnostics
}

fn of_rules(rules: &Element) -> Vec<Diagnostic> {
    let at = |step: &str| Origin::xpath(format!("{HERE}/{step}"));
    let set = |tag: &&&str| {
        rules
            .child(tag)
            .is_some_and(|rule| rule.elements().next().is_some() || !matches!(&*rule.text(), "" | "0" | "no"))
    };
    let not_held = |tag: &&str| {
        Diagnostic::warning(codes::NOT_ENFORCED, at(tag), format!("`{tag}` of the password rules is not enforced"))
    };
    let mut diagnostics: Vec<_> = NOT_HELD.iter().filter(set).map(not_held).collect();
    for tag in LEAST.map(|(tag, ..)| tag).into_iter().chain(["block-repeated-characters"]) {
        if let Some(rule) = rules.child(tag).filter(|rule| rule.text().parse::<usize>().is_err()) {
            let message = format!("`{}` is no number of characters", rule.text());
            diagnostics.push(Diagnostic::error(codes::INVALID_NUMBER, at(tag), message));
        }
    }
    diagnostics
}

#[cfg(test)]
mod tests {
    use bartizan_model::xml;

    use super::*;

    fn ruled(rules: &str, more: &str) -> Element {
        xml::parse(&format!(
            "<config><mgt-config><password-complexity>{rules}</password-complexity>{more}</mgt-config></config>"
        ))
        .unwrap()
    }

    const RULES: &str = "<enabled>yes</enabled><minimum-length>8</minimum-length><minimum-uppercase-letters>1</minimum-uppercase-letters>\
        <minimum-numeric-letters>2</minimum-numeric-letters><minimum-special-characters>1</minimum-special-characters>\
        <block-repeated-characters>2</block-repeated-characters><block-username-inclusion>yes</block-username-inclusion>";

    #[test]
    fn everything_that_a_password_lacks_is_told() {
        let rules = ruled(RULES, "");
        for (password, lacks) in [
            ("Str0ng-pass9", &[][..]),
            ("short", &["5 characters", "0 upper-case", "0 digits", "0 special"]),
            ("Str000ng-pass9", &["3 times in a row"]),
            ("Xnire-pass-42", &["administrator's name"]),
            ("xERIN-pass-42", &["administrator's name"]),
        ] {
            let told = weaknesses(&rules, Some("erin"), password);
            assert_eq!(told.len(), lacks.len(), "{password}: {told:?}");
            assert!(told.iter().zip(lacks).all(|(told, part)| told.contains(part)), "{told:?}");
        }
        assert!(weaknesses(&ruled(&RULES.replace("yes</enabled>", "no</enabled>"), ""), None, "x").is_empty());
    }

    #[test]
    fn rules_that_are_not_held_are_told_and_wrong_ones_refused() {
        let rules = "<enabled>yes</enabled><minimum-length>many</minimum-length><password-history-count>5</password-history-count>\
            <password-change><expiration-period>90</expiration-period></password-change>";
        let profile = "<password-profile><entry name=\"long\"/></password-profile>";
        let told: Vec<_> = check(&ruled(rules, profile)).into_iter().map(|diagnostic| diagnostic.message).collect();
        for part in ["`password-history-count`", "`password-change`", "`many` is no number", "profile `long`"] {
            assert!(told.iter().any(|line| line.contains(part)), "{part}: {told:?}");
        }
        assert_eq!(told.len(), 4);
    }
}
