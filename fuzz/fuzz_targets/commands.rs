//! Can any command make the firewall panic, mean another thing as XML than as words, or be answered with
//! something that is no XML?
//!
//! The input is a line of words, or XML; what needs only a configuration is answered from the one of `frame`.
#![no_main]

use std::sync::{Arc, OnceLock};

use bartizan_firewall::auth_key::AuthKey;
use bartizan_firewall::command::answer::Form;
use bartizan_firewall::command::answers::answer_offline;
use bartizan_firewall::command::words::{parse, parse_xml, to_xml};
use bartizan_firewall::firewall::{Parts, Running};
use bartizan_firewall::{hex, load};
use bartizan_fuzz::CONFIG;
use bartizan_model::xml;
use bartizan_policy::facts::Facts;
use bartizan_policy::names::Ids;
use libfuzzer_sys::fuzz_target;

fn running() -> &'static Running {
    static RUNNING: OnceLock<Running> = OnceLock::new();
    RUNNING.get_or_init(|| {
        let loaded = load::load(CONFIG, &Facts::default(), &mut Ids::default(), 1).expect("accepted");
        let (config, compiled) = (Arc::new(loaded.config), Arc::new(loaded.compiled));
        Running {
            digest: hex::sha256(CONFIG),
            version: 0,
            text: CONFIG.into(),
            parts: Parts::default(),
            config,
            compiled,
        }
    })
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(key) = AuthKey::parse(text) {
        assert_eq!(key.as_str(), text);
    }
    if let Some(bytes) = hex::decode(text) {
        assert_eq!(hex::encode(&bytes), text);
    }
    let command = if text.trim_start().starts_with('<') {
        parse_xml(text)
    } else {
        parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    };
    let Ok(command) = command else { return };
    let written = to_xml(&command);
    let read = xml::parse(&written);
    assert!(read.is_ok(), "{command:?} is written as {written}");
    // XML has no control characters: others stand for them.
    let replaced = written.contains(char::REPLACEMENT_CHARACTER);
    let blank = command.values.values().chain(&command.list).any(|value| value.trim() != value || value.is_empty());
    if !replaced && !blank {
        assert_eq!(parse_xml(&written).expect("what was written is read"), command, "{written}");
    }
    let Ok(answer) = answer_offline(&command, running()) else { return };
    let _ = (answer.render(Form::Text), answer.render(Form::Json));
    let rendered = answer.render(Form::Xml);
    assert!(xml::parse_fragment(&rendered).is_ok(), "{command:?} is answered by {rendered}");
});
