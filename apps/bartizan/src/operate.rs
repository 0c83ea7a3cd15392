//! The operator's verbs: one question, answered by a running firewall or from a configuration file.

use std::io::Write as _;
use std::path::Path;

use bartizan_firewall::command::answer::Form;
use bartizan_firewall::command::answers::answer_offline;
use bartizan_firewall::command::words::parse;
use bartizan_firewall::control;
use bartizan_firewall::offline::{Checked, check};

use crate::arguments::Question;
use crate::{CONFIG, Failure, UNAVAILABLE, USAGE};

pub(crate) fn ask(verb: &str, question: Question) -> Result<(), Failure> {
    let mut words = vec![verb.to_owned()];
    words.extend(question.words);
    let command = parse(&words).map_err(|mistake| Failure::new(USAGE, format!("error: {mistake}")))?;
    let form = match (question.json, question.xml) {
        (true, _) => Form::Json,
        (_, true) => Form::Xml,
        (false, false) => Form::Text,
    };
    let refused = |text: String| Failure::new(1, format!("error: {text}"));
    let text = match question.config {
        Some(path) => match check(&path)? {
            Checked::Good(running, _) => answer_offline(&command, &running).map_err(refused)?.render(form),
            Checked::Bad(snippets) => return Err(Failure::new(CONFIG, snippets)),
        },
        None => control::ask(&question.socket, &command, form)
            .map_err(|error| Failure::new(UNAVAILABLE, format!("error: {error:#}")))?
            .map_err(refused)?,
    };
    print(&text)
}

pub(crate) fn validate(path: &Path) -> Result<(), Failure> {
    match check(path)? {
        Checked::Good(_, warnings) => print(&format!("{warnings}{}: accepted\n", path.display())),
        Checked::Bad(snippets) => Err(Failure::new(CONFIG, snippets)),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") })
    {
        // `bartizan show ... | head` ends the pipe early; that is no failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(1, format!("error: write the answer: {error}")))
        }
        _ => Ok(()),
    }
}
