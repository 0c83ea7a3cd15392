//! Is this a playbook, and what is wrong with it?
//!
//! YAML, and then: every name is of something, every way leads to an end, everything is known that is asked for. All
//! faults are told at once, each with its line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bartizan_model::diagnostic::closest;
use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::condition::{Condition, roots_of};
use super::{Branch, Ending, Playbook, TASKS_MAX, Task, What};

/// What playbooks may use.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Actions.
    pub actions: &'a [Action<'a>],
    /// Lists that a task can be done for each member of.
    pub lists: &'a [&'a str],
    /// What conditions and texts may look at besides the outputs of tasks.
    pub roots: &'a [&'a str],
}

/// An action.
#[derive(Clone, Copy, Debug)]
pub struct Action<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it must be told.
    pub needs: &'a [&'a str],
    /// What it may be told besides.
    pub takes: &'a [&'a str],
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Line, from 1.
    pub line: u64,
    /// What is wrong, and what instead.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    playbook: Option<Spanned<String>>,
    #[serde(default)]
    description: String,
    start: Option<Spanned<String>>,
    #[serde(default)]
    tasks: BTreeMap<String, BTreeMap<String, Spanned<Value>>>,
}

/// Members of a task.
const MEMBERS: [&str; 12] = [
    "run",
    "choose",
    "ask",
    "end",
    "with",
    "for-each",
    "at-once",
    "next",
    "on-failure",
    "rejected",
    "retries",
    "retry-after",
];
const TIMEOUT: &str = "timeout";
/// What a task does is one of these.
const KINDS: [&str; 4] = ["run", "choose", "ask", "end"];
/// Longest name of a playbook or a task.
const NAME_MAX: usize = 63;
/// Most times that a task is tried again.
const RETRIES_MAX: u64 = 100;
/// Milliseconds before a task is tried again, unless it says otherwise.
const RETRY_AFTER_MS: u64 = 1000;
/// Members of a list at once, unless it says otherwise, and at most.
const AT_ONCE: (usize, usize) = (16, 64);

/// Reads a playbook.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(text: &str, known: &Known<'_>) -> Result<Playbook, Vec<Fault>> {
    let document: Document = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |place| place.line());
        let what = error.to_string();
        vec![Fault { line, what: what.lines().next().unwrap_or("it cannot be read").to_owned() }]
    })?;
    let mut reader = Reader { known, names: document.tasks.keys().cloned().collect(), faults: Vec::new() };
    let name = reader.named("playbook", document.playbook);
    let start = document.start.as_ref().map_or(1, |start| start.referenced.line());
    let first = reader.named("start", document.start);
    if !first.is_empty() && !reader.names.contains(&first) {
        reader.fault(start, format!("`start` is `{first}`, which is no task"));
    }
    if document.tasks.len() > TASKS_MAX {
        reader.fault(1, format!("there are {} tasks, at most {TASKS_MAX} can be", document.tasks.len()));
    }
    let mut tasks = BTreeMap::new();
    let mut lines = BTreeMap::new();
    for (name, members) in &document.tasks {
        let line = members.values().map(|member| member.referenced.line()).min().unwrap_or(1);
        lines.insert(name.clone(), line);
        if name.len() > NAME_MAX || name.contains(['.', ' ', '$']) || known.roots.contains(&name.as_str()) {
            reader.fault(line, format!("`{name}` cannot be the name of a task"));
        }
        if let Some(task) = reader.task(name, line, members) {
            tasks.insert(name.clone(), task);
        }
    }
    let playbook = Playbook { name, description: document.description, start: first, tasks };
    if reader.faults.is_empty() {
        reader.ways(&playbook, &lines);
    }
    reader.faults.sort();
    reader.faults.dedup();
    if reader.faults.is_empty() { Ok(playbook) } else { Err(reader.faults) }
}

struct Reader<'a> {
    known: &'a Known<'a>,
    /// Names of all tasks.
    names: BTreeSet<String>,
    faults: Vec<Fault>,
}

type Members = BTreeMap<String, Spanned<Value>>;

impl Reader<'_> {
    fn fault(&mut self, line: u64, what: String) {
        self.faults.push(Fault { line, what });
    }

    fn named(&mut self, what: &str, written: Option<Spanned<String>>) -> String {
        match written {
            None => self.fault(1, format!("`{what}` is missing")),
            Some(name) if name.value.is_empty() || name.value.len() > NAME_MAX => {
                self.fault(name.referenced.line(), format!("`{what}` is a name of 1 to {NAME_MAX} characters"));
            }
            Some(name) => return name.value,
        }
        String::new()
    }

    fn task(&mut self, name: &str, line: u64, members: &Members) -> Option<Task> {
        let all: Vec<&str> = MEMBERS.iter().copied().chain([TIMEOUT]).collect();
        for (member, value) in members.iter().filter(|(member, _)| !all.contains(&member.as_str())) {
            let near = closest(member, all.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            let near = near.unwrap_or_else(|| format!("it has {}", all.join(", ")));
            self.fault(value.referenced.line(), format!("`{member}` is nothing that a task has: {near}"));
        }
        let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| members.contains_key(*kind)).collect();
        let [kind] = kinds[..] else {
            let has = if kinds.is_empty() { "none".to_owned() } else { format!("`{}`", kinds.join("` and `")) };
            self.fault(
                line,
                format!("task `{name}` has {has} of `run`, `choose`, `ask` and `end`: give it one of them"),
            );
            return None;
        };
        let what = match kind {
            "run" => self.run(line, members),
            "choose" => self.choose(line, members),
            "ask" => Some(What::Ask { text: self.text(members, "ask")?, rejected: self.to(members, "rejected") }),
            _ => self.end(members),
        };
        let next = self.to(members, "next");
        if matches!(kind, "run" | "ask") && !members.contains_key("next") {
            self.fault(line, format!("task `{name}` has no `next`: name a task, one with `end` ends the run"));
        }
        let retries = self.number(members, "retries", 0, RETRIES_MAX);
        Some(Task {
            what: what?,
            next,
            on_failure: self.to(members, "on-failure"),
            retries: u32::try_from(retries).unwrap_or(0),
            retry_after_ms: self.span(members, "retry-after").unwrap_or(RETRY_AFTER_MS),
            timeout_ms: self.span(members, TIMEOUT),
        })
    }

    fn text(&mut self, members: &Members, name: &str) -> Option<String> {
        let member = members.get(name)?;
        match &member.value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => {
                self.fault(member.referenced.line(), format!("`{name}` is no text"));
                None
            }
        }
    }

    /// The name of a task.
    fn to(&mut self, members: &Members, name: &str) -> Option<String> {
        let to = self.text(members, name)?;
        let line = members.get(name).map_or(1, |member| member.referenced.line());
        self.known_task(line, &to);
        Some(to)
    }

    fn known_task(&mut self, line: u64, to: &str) {
        if !self.names.contains(to) {
            let near = closest(to, self.names.iter().map(String::as_str));
            let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            self.fault(line, format!("`next` is `{to}`, which is no task{near}"));
        }
    }

    fn number(&mut self, members: &Members, name: &str, otherwise: u64, most: u64) -> u64 {
        let Some(member) = members.get(name) else { return otherwise };
        let number = member.value.as_u64().filter(|number| *number <= most);
        number.unwrap_or_else(|| {
            self.fault(member.referenced.line(), format!("`{name}` is a number from 0 to {most}"));
            otherwise
        })
    }

    /// A span of time in milliseconds: `500ms`, `2s`, `1m`, `1h`.
    fn span(&mut self, members: &Members, name: &str) -> Option<u64> {
        let text = self.text(members, name)?;
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit = match &text[digits.len()..] {
            "ms" => Some(1),
            "s" => Some(1000),
            "m" => Some(60_000),
            "h" => Some(3_600_000),
            _ => None,
        };
        let span = digits.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
        if span.is_none() {
            let line = members.get(name).map_or(1, |member| member.referenced.line());
            self.fault(line, format!("`{text}` is no span of time: write `500ms`, `2s`, `1m` or `1h`"));
        }
        span
    }

    fn run(&mut self, line: u64, members: &Members) -> Option<What> {
        let action = self.text(members, "run")?;
        let mut with = BTreeMap::new();
        match members.get("with").map(|with| &with.value) {
            None => {}
            Some(Value::Object(told)) => {
                for (name, value) in told {
                    let text = match value {
                        Value::String(text) => text.clone(),
                        other => other.to_string(),
                    };
                    self.looks_at(line, &roots_of(&text));
                    with.insert(name.clone(), text);
                }
            }
            Some(_) => self.fault(line, "`with` has names and values".to_owned()),
        }
        let found = self.known.actions.iter().find(|known| known.name == action);
        let Some(known) = found else {
            let names = self.known.actions.iter().map(|known| known.name);
            let near = closest(&action, names.clone()).map(|near| format!("did you mean `{near}`?"));
            let near = near.unwrap_or_else(|| format!("they are {}", names.collect::<Vec<_>>().join(", ")));
            self.fault(line, format!("`{action}` is no action: {near}"));
            return None;
        };
        for need in known.needs.iter().filter(|need| !with.contains_key(**need)) {
            self.fault(line, format!("action `{action}` needs `{need}` in `with`"));
        }
        let takes = |name: &&String| !known.needs.contains(&name.as_str()) && !known.takes.contains(&name.as_str());
        for name in with.keys().filter(takes) {
            self.fault(line, format!("action `{action}` takes no `{name}`"));
        }
        let for_each = self.text(members, "for-each");
        if let Some(list) = for_each.as_deref().filter(|list| !self.known.lists.contains(list)) {
            self.fault(line, format!("`{list}` is no list: they are {}", self.known.lists.join(", ")));
        }
        let at_once = self.number(members, "at-once", AT_ONCE.0 as u64, AT_ONCE.1 as u64);
        Some(What::Run { action, with, for_each, at_once: usize::try_from(at_once).unwrap_or(AT_ONCE.0).max(1) })
    }

    fn choose(&mut self, line: u64, members: &Members) -> Option<What> {
        let member = members.get("choose")?;
        let Value::Array(written) = &member.value else {
            self.fault(line, "`choose` is a list of ways, each with `next` and mostly `when`".to_owned());
            return None;
        };
        // A way of the list stands on two lines or one: the line is that of its condition, as near as can be told.
        let mut at = member.referenced.line();
        let mut branches = Vec::new();
        for way in written {
            let text = |name: &str| way.get(name).and_then(Value::as_str);
            let when = text("when").map(Condition::read).transpose();
            match &when {
                Err(why) => self.fault(at, why.clone()),
                Ok(Some(when)) => {
                    let roots: Vec<&str> = when.roots().collect();
                    self.looks_at(at, &roots);
                }
                Ok(None) => {}
            }
            if text("when").is_some() {
                at += 1;
            }
            match text("next") {
                None => self.fault(at, "a way of `choose` has no `next`".to_owned()),
                Some(next) => {
                    self.known_task(at, next);
                    branches.push(Branch { when: when.ok().flatten(), next: next.to_owned() });
                }
            }
            at += 1;
        }
        if branches.is_empty() && self.faults.is_empty() {
            self.fault(line, "`choose` has no way out".to_owned());
        }
        Some(What::Choose(branches))
    }

    fn end(&mut self, members: &Members) -> Option<What> {
        let ending = self.text(members, "end")?;
        Some(What::End(match ending.as_str() {
            "succeeded" => Ending::Succeeded,
            "failed" => Ending::Failed,
            "rejected" => Ending::Rejected,
            other => {
                let line = members.get("end").map_or(1, |member| member.referenced.line());
                self.fault(line, format!("`{other}` is no end: it is `succeeded`, `failed` or `rejected`"));
                return None;
            }
        }))
    }

    fn looks_at(&mut self, line: u64, roots: &[&str]) {
        for root in roots {
            if !self.names.contains(*root) && !self.known.roots.contains(root) {
                self.fault(line, format!("`{root}` is no task, and none of {}", self.known.roots.join(", ")));
            }
        }
    }

    /// Every task is reached, and every way ends.
    fn ways(&mut self, playbook: &Playbook, lines: &BTreeMap<String, u64>) {
        let mut reached = BTreeSet::new();
        let mut next = vec![playbook.start.as_str()];
        while let Some(name) = next.pop() {
            if reached.insert(name) {
                next.extend(playbook.tasks.get(name).into_iter().flat_map(leads_to));
            }
        }
        // From its end backwards: what a person decides may go round, everything else comes to an end.
        let mut ends: BTreeSet<&str> = BTreeSet::new();
        loop {
            let is_new = |(name, task): &(&String, &Task)| {
                !ends.contains(name.as_str())
                    && (matches!(task.what, What::End(_)) || leads_to(task).any(|to| ends.contains(to)))
            };
            let new: Vec<&str> = playbook.tasks.iter().filter(is_new).map(|(name, _)| name.as_str()).collect();
            if new.is_empty() {
                break;
            }
            ends.extend(new);
        }
        for name in playbook.tasks.keys() {
            let line = lines.get(name).copied().unwrap_or(1);
            if !reached.contains(name.as_str()) {
                self.fault(line, format!("nothing leads to task `{name}`"));
            } else if !ends.contains(name.as_str()) {
                self.fault(line, format!("from task `{name}` no way leads to an end: it goes round for ever"));
            }
        }
    }
}

fn leads_to(task: &Task) -> impl Iterator<Item = &str> {
    let branches = match &task.what {
        What::Choose(branches) => branches.as_slice(),
        _ => &[],
    };
    let rejected = if let What::Ask { rejected, .. } = &task.what { rejected.as_deref() } else { None };
    let branches = branches.iter().map(|branch| branch.next.as_str());
    task.next.as_deref().into_iter().chain(task.on_failure.as_deref()).chain(rejected).chain(branches)
}
