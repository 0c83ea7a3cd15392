//! Can a client's request or a device's certificate make the manager panic, or change what was refused?
//!
//! The first byte chooses the reader: edits, a log query, a form, a header, a date, certificates, an XPath.
#![no_main]

use std::sync::{Arc, OnceLock};

use bartizan_fuzz::CONFIG;
use bartizan_manager::outside;
use bartizan_model::tree::Element;
use bartizan_model::{schema, xml, xpath};
use libfuzzer_sys::fuzz_target;

fn candidate() -> Arc<Element> {
    static TREE: OnceLock<Arc<Element>> = OnceLock::new();
    TREE.get_or_init(|| Arc::new(xml::parse(CONFIG).expect("well-formed"))).clone()
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    if *kind == 5 {
        let _ = (outside::signing_request(bytes), outside::certificate_name(bytes));
        return;
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match kind {
        0 => {
            let mut tree = candidate();
            let _ = outside::multi_config(text, &mut tree);
            assert_eq!(xml::parse(&xml::write(&tree)).as_ref(), Ok(&*tree), "the candidate cannot be kept");
            let told = schema::check(Some(&*candidate()), &tree);
            assert!(told.len() <= schema::VIOLATIONS_MAX && schema::check(Some(&*tree), &tree).is_empty());
        }
        1 => {
            if let Ok(sql) = outside::log_query(text) {
                let known = |letter: char| letter.is_ascii_alphanumeric() || " ()_+<>=$',".contains(letter);
                assert!(sql.chars().all(known), "a value stands in the statement: {sql}");
                assert_eq!(sql.matches('(').count(), sql.matches(')').count(), "{sql}");
            }
        }
        2 => {
            let pairs = outside::form(bytes);
            assert!(pairs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= 3 * bytes.len());
        }
        3 => {
            let _ = outside::credentials(text);
        }
        4 => {
            let _ = outside::date(text);
        }
        _ => {
            let Ok(path) = xpath::XPath::parse(text) else { return };
            for found in path.select(&candidate()) {
                let again = xpath::XPath::parse(&found.xpath).expect("a canonical path is read");
                assert_eq!(again.select(&candidate()).len(), 1, "{}", found.xpath);
            }
        }
    }
});
