//! Can any text make the reader of configurations, or what makes tables of them, panic, hang, or lose something?
#![no_main]

use bartizan_model::device::{self, Scope};
use bartizan_model::{diff, edit, render, xml, xpath};
use bartizan_policy::compile::compile;
use bartizan_policy::facts::Facts;
use bartizan_policy::names::Ids;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = xml::parse_fragment(text);
    let Ok(root) = xml::parse(text) else { return };

    let again = xml::parse(&xml::write(&root)).expect("what was written is read");
    assert_eq!(again, root, "compact text loses something");
    let again = xml::parse(&xml::write_pretty(&root)).expect("what was written is read");
    assert_eq!(again, root, "pretty text loses something");

    let device = device::read(&root, Scope::Device);
    let is_refused = device.diagnostics.iter().any(|one| one.severity == bartizan_model::diagnostic::Severity::Error);
    assert_eq!(device.config.is_none(), is_refused);
    if let Some(config) = &device.config {
        let _ = compile(config, &Facts::default(), &mut Ids::default(), 1);
        let names = config.names();
        for rule in &config.security_rules {
            for name in rule.source.iter().chain(&rule.destination) {
                assert!(names.address_values(name).is_some(), "{name} passed and resolves to nothing");
            }
            for name in &rule.service {
                assert!(names.service_values(name).is_some(), "{name} passed and resolves to nothing");
            }
        }
    }
    for diagnostic in device.diagnostics.iter().chain(&render::validate_manager(&root)) {
        assert!(xpath::XPath::parse(&diagnostic.origin.xpath).is_ok(), "{}", diagnostic.origin.xpath);
    }

    // Every canonical path leads to its node, and an edit there is a difference only if it says so.
    let root = std::sync::Arc::new(root);
    let everything = xpath::XPath::parse("/*/*|/*/*/*|/*/*/*/*").expect("a fixed path");
    for found in everything.select(&root).iter().take(16) {
        let mut changed = root.clone();
        if let Ok(outcome) = edit::delete(&mut changed, &found.xpath) {
            assert!(outcome.changed, "{}", found.xpath);
        }
        let mut changed = root.clone();
        let element = xml::write(&found.to_element());
        if let Ok(outcome) = edit::edit(&mut changed, &found.xpath, &element) {
            let changes = diff::diff(&root, &changed);
            assert!(outcome.changed || changes.is_empty(), "{}", found.xpath);
            let _ = (diff::unified(&changes), diff::set_lines(&changes));
        }
    }
});
