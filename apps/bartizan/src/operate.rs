//! The operator's verbs: one question, answered by a running firewall or from files.

use std::io::Write as _;
use std::path::Path;

use bartizan_firewall::command::answer::Form;
use bartizan_firewall::command::answers::answer_offline;
use bartizan_firewall::command::words::parse;
use bartizan_firewall::control;
use bartizan_firewall::offline::{Checked, check};
use bartizan_firewall::replay;

use crate::arguments::{Question, Replay};
use crate::{FAILURE, Failure, USAGE, VALIDATION};

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
            Checked::Bad(snippets) => return Err(Failure::new(VALIDATION, snippets)),
        },
        None => control::ask(&question.socket, &command, form)
            .map_err(|error| Failure::new(FAILURE, format!("error: {error:#}")))?
            .map_err(refused)?,
    };
    print(&text)
}

pub(crate) fn validate(path: &Path) -> Result<(), Failure> {
    match check(path)? {
        Checked::Good(_, warnings) => print(&format!("{warnings}{}: accepted\n", path.display())),
        Checked::Bad(snippets) => Err(Failure::new(VALIDATION, snippets)),
    }
}

pub(crate) fn replay(arguments: Replay) -> Result<(), Failure> {
    let running = match check(&arguments.config)? {
        Checked::Good(running, _) => running,
        Checked::Bad(snippets) => return Err(Failure::new(VALIDATION, snippets)),
    };
    let request = replay::Request { inputs: arguments.inputs, macs: arguments.macs, out: arguments.out };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let summary = replay::replay(&running.compiled, &request, &mut |line| {
        match arguments.json {
            true => writeln!(out, "{}", serde_json::to_string(line)?)?,
            false => writeln!(out, "{line}")?,
        }
        Ok(())
    });
    let summary = match summary {
        Ok(summary) => summary,
        Err(error) => {
            // What was said before the captures broke off is of use.
            let _ = out.flush();
            return match error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
                Some(std::io::ErrorKind::BrokenPipe) => Ok(()),
                _ => Err(error.into()),
            };
        }
    };
    out.flush().map_err(anyhow::Error::from)?;
    drop(out);
    if !arguments.json {
        return print(&summary.to_string());
    }
    let text = serde_json::to_string(&summary).map_err(anyhow::Error::from)?;
    print(&text)
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
