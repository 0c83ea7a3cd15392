//! How are outcomes written for a pipeline?
//!
//! The elements that GitHub, GitLab and Jenkins read: `testsuites`, `testsuite`, `testcase`, `failure`.

use std::sync::Arc;

use bartizan_model::tree::{Child, Element};
use bartizan_playbook::trial::Outcome;

/// One suite with all tests.
pub(super) fn suite(outcomes: &[Outcome]) -> Element {
    let failed = outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count();
    let counts = [("tests", outcomes.len().to_string()), ("failures", failed.to_string()), ("errors", "0".to_owned())];
    let mut suite = with(Element::new("testsuite"), &counts);
    suite.attributes.insert(0, ("name".into(), "bartizan policy test".into()));
    for outcome in outcomes {
        let (file, line) = outcome.place.rsplit_once(':').unwrap_or((&outcome.place, "0"));
        let about = [
            ("name", outcome.name.clone()),
            ("classname", file.to_owned()),
            ("file", file.to_owned()),
            ("line", line.to_owned()),
            ("time", "0".to_owned()),
        ];
        let mut case = with(Element::new("testcase"), &about);
        if outcome.failures.is_empty() {
            child(&mut case, Element::leaf("system-out", &outcome.found));
        } else {
            let message = [("message", outcome.failures.join("; "))];
            child(&mut case, with(Element::leaf("failure", &outcome.failures.join("\n")), &message));
        }
        child(&mut suite, case);
    }
    let mut suites = with(Element::new("testsuites"), &counts);
    child(&mut suites, suite);
    suites
}

fn with(mut element: Element, attributes: &[(&str, String)]) -> Element {
    element.attributes.extend(attributes.iter().map(|(name, value)| ((*name).into(), value.as_str().into())));
    element
}

fn child(element: &mut Element, child: Element) {
    element.children.push(Child::Element(Arc::new(child)));
}
