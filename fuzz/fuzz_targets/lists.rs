//! Is what a text from outside names for policy read without panic, within its bounds, and as it is written?
//!
//! The first byte chooses: an external dynamic list; tags of addresses as a `uid-message`.
#![no_main]

use std::path::Path;

use bartizan_firewall::gather::lists::text::{MEMBERS_MAX, parse};
use bartizan_firewall::gather::tags::Tags;
use bartizan_model::registered::TAGS_MAX;
use bartizan_model::xml;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fn list(text: &str) {
    let parsed = parse(text);
    assert!(parsed.members.len() <= MEMBERS_MAX);
    assert!(parsed.members.is_sorted_by(|one, next| one < next), "not sorted, or twice");
    assert!(parsed.members.iter().all(|member| *member == member.trunc()), "bits behind the prefix");
    assert!(parsed.bad.len() <= parsed.bad_total && parsed.bad_total <= text.lines().count());
    let again: String = parsed.members.iter().map(|member| format!("{member}\n")).collect();
    assert_eq!(parse(&again).members, parsed.members);
}

/// Messages one after another, in one document.
fn messages(text: &str) {
    let Ok(root) = xml::parse(&format!("<all>{text}</all>")) else { return };
    let tags = Tags::open(Path::new("/dev/null/none"));
    for (message, second) in root.elements().zip(0..) {
        let now = Timestamp::from_second(second * 7).expect("a time");
        let (Ok(answer) | Err(answer)) = tags.update(message, now);
        let written = xml::write(&answer);
        let read = xml::parse(&written).unwrap_or_else(|_| panic!("the answer is no XML: {written}"));
        assert_eq!(&*read.name, "uid-response");
        for row in tags.rows(now) {
            assert!((1..=TAGS_MAX).contains(&row.tags.len()), "{row:?}");
            assert!(row.tags.iter().all(|(tag, _)| !tag.is_empty() && tag.chars().count() <= 127), "{row:?}");
        }
    }
    tags.clear();
    assert!(tags.rows(Timestamp::UNIX_EPOCH).is_empty());
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    if kind & 1 == 0 { list(text) } else { messages(text) }
});
