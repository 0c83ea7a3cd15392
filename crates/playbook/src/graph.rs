//! Which task of a playbook comes next?
//!
//! A playbook is a graph: tasks that do something, choose a way, ask a person, or end it. Here it is read ([`read`]), and
//! told what comes after what; doing it is somebody else's. Nothing here has effects, so a run that is taken up again after
//! a crash goes the same way.

mod condition;
mod read;

use std::collections::BTreeMap;

use serde_json::Value;

pub use condition::{Condition, fill};
pub use read::{Action, Fault, Known, read};

/// Most tasks of a playbook.
pub const TASKS_MAX: usize = 200;

/// A playbook without a fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Playbook {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The first task.
    pub start: String,
    /// Its tasks by name.
    pub tasks: BTreeMap<String, Task>,
}

/// A task.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// What is done.
    pub what: What,
    /// What comes next when it is done.
    pub next: Option<String>,
    /// What comes next when it fails; without, the run fails there.
    pub on_failure: Option<String>,
    /// How often it is tried again.
    pub retries: u32,
    /// Milliseconds before that; twice as many each time.
    pub retry_after_ms: u64,
    /// Milliseconds that it may take each time; `None` for as long as it takes.
    pub timeout_ms: Option<u64>,
}

/// What a task does.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// An action, once or for each member of a list.
    Run {
        /// Its name.
        action: String,
        /// What it is told: texts with `${STEP.OUTPUT}` in them.
        with: BTreeMap<String, String>,
        /// The list.
        for_each: Option<String>,
        /// Members that it is done for at once.
        at_once: usize,
    },
    /// The first way whose condition holds.
    Choose(Vec<Branch>),
    /// A person approves or rejects.
    Ask {
        /// What the person is told.
        text: String,
        /// What comes next when it is rejected; without, the run ends there.
        rejected: Option<String>,
    },
    /// The end.
    End(Ending),
}

/// A way out of a choice.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// When it is taken; always without.
    pub when: Option<Condition>,
    /// Where it goes.
    pub next: String,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Succeeded,
    /// Not as it should.
    Failed,
    /// A person rejected it.
    Rejected,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, or approved.
    Done,
    /// It failed, as often as it was tried.
    Failed,
    /// A person rejected it.
    Rejected,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A task.
    Task(String),
    /// The end.
    End(Ending),
    /// The run stays where it failed, until somebody has it go on.
    Stop,
}

/// A way from a task to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Where it goes.
    pub to: String,
    /// When it is taken: a condition, `rejected`, `failed`, or empty for always.
    pub when: String,
}

impl Task {
    /// All ways out of it, in the order in which they are tried.
    #[must_use]
    pub fn ways(&self) -> Vec<Way> {
        let way = |to: &String, when: &str| Way { to: to.clone(), when: when.to_owned() };
        let mut ways: Vec<Way> = self.next.iter().map(|next| way(next, "")).collect();
        match &self.what {
            What::Choose(branches) => ways.extend(branches.iter().map(|branch| {
                let when = branch.when.as_ref().map_or_else(String::new, ToString::to_string);
                way(&branch.next, &when)
            })),
            What::Ask { rejected: Some(rejected), .. } => ways.push(way(rejected, "rejected")),
            What::Ask { .. } | What::Run { .. } | What::End(_) => {}
        }
        ways.extend(self.on_failure.iter().map(|next| way(next, "failed")));
        ways
    }
}

impl Playbook {
    /// Names of its tasks, the first one first, each behind one that leads to it.
    #[must_use]
    pub fn in_order(&self) -> Vec<&str> {
        let mut order: Vec<&str> = Vec::new();
        let mut open = vec![self.start.as_str()];
        while let Some(name) = open.pop() {
            let Some((name, task)) = self.tasks.get_key_value(name).filter(|(name, _)| !order.contains(&name.as_str()))
            else {
                continue;
            };
            order.push(name);
            let ways = task.ways();
            let known = |to: &str| self.tasks.get_key_value(to).map(|(name, _)| name.as_str());
            open.extend(ways.iter().rev().filter_map(|way| known(&way.to)));
        }
        order
    }

    /// What comes after a task that ended so; `known` has the outputs of tasks by their names.
    ///
    /// # Errors
    /// When a condition cannot be told, or no way of a choice is open.
    pub fn after(&self, task: &str, outcome: Outcome, known: &Value) -> Result<Next, String> {
        let Some(at) = self.tasks.get(task) else {
            return Err(format!("playbook `{}` has no task `{task}`", self.name));
        };
        let to = |next: &Option<String>| next.clone().map_or(Next::Stop, Next::Task);
        if outcome == Outcome::Failed {
            return Ok(to(&at.on_failure));
        }
        match &at.what {
            What::End(ending) => Ok(Next::End(*ending)),
            What::Ask { rejected, .. } if outcome == Outcome::Rejected => {
                Ok(rejected.clone().map_or(Next::End(Ending::Rejected), Next::Task))
            }
            What::Choose(branches) => {
                for branch in branches {
                    if branch.when.as_ref().map_or(Ok(true), |when| when.holds(known))? {
                        return Ok(Next::Task(branch.next.clone()));
                    }
                }
                Err(format!("no way out of task `{task}` is open: add one without `when`"))
            }
            What::Run { .. } | What::Ask { .. } => Ok(to(&at.next)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KNOWN: Known<'_> = Known {
        actions: &[
            Action { name: "check", needs: &[], takes: &[] },
            Action { name: "http", needs: &["url"], takes: &["body"] },
        ],
        lists: &["devices"],
        roots: &["run", "settings"],
    };

    const TEXT: &str = "playbook: demo
description: shows everything
start: look
tasks:
  look: {run: check, retries: 2, retry-after: 500ms, timeout: 1m, next: which, on-failure: sorry}
  which:
    choose:
      - when: look.changes == 0
        next: done
      - when: settings.hold == yes and look.changes > 10
        next: ask
      - next: tell
  ask: {ask: 'look at ${look.changes} changes', next: tell, rejected: sorry}
  tell:
    run: http
    with: {url: 'https://chat.example/${run.cluster}', body: x}
    for-each: devices
    at-once: 4
    next: done
  done: {end: succeeded}
  sorry: {end: failed}
";

    #[test]
    fn a_graph_tells_its_tasks_in_order_and_every_way() {
        let playbook = read(TEXT, &KNOWN).unwrap();
        assert_eq!(playbook.in_order(), ["look", "which", "done", "ask", "tell", "sorry"]);
        let ways = |task: &str| -> Vec<String> {
            let ways = playbook.tasks[task].ways();
            ways.into_iter().map(|way| format!("{} {}", way.to, way.when).trim_end().to_owned()).collect()
        };
        assert_eq!(ways("look"), ["which", "sorry failed"]);
        let which = ["done look.changes == 0", "ask settings.hold == yes and look.changes > 10", "tell"];
        assert_eq!(ways("which"), which);
        assert_eq!(ways("ask"), ["tell", "sorry rejected"]);
        assert!(ways("done").is_empty());
    }

    #[test]
    fn a_run_goes_where_outputs_and_people_send_it() {
        let playbook = read(TEXT, &KNOWN).unwrap();
        let at = |changes: u32, hold: &str| json!({"look": {"changes": changes}, "settings": {"hold": hold}});
        let after = |task: &str, outcome, known: &Value| playbook.after(task, outcome, known).unwrap();
        let task = |name: &str| Next::Task(name.to_owned());
        assert_eq!(after("look", Outcome::Done, &json!({})), task("which"));
        assert_eq!(after("look", Outcome::Failed, &json!({})), task("sorry"));
        assert_eq!(after("which", Outcome::Done, &at(0, "yes")), task("done"));
        assert_eq!(after("which", Outcome::Done, &at(11, "yes")), task("ask"));
        assert_eq!(after("which", Outcome::Done, &at(9, "yes")), task("tell"));
        assert_eq!(after("which", Outcome::Done, &at(11, "no")), task("tell"));
        assert_eq!(after("ask", Outcome::Rejected, &json!({})), task("sorry"));
        assert_eq!(after("tell", Outcome::Failed, &json!({})), Next::Stop);
        assert_eq!(after("done", Outcome::Done, &json!({})), Next::End(Ending::Succeeded));
        let unknown = playbook.after("which", Outcome::Done, &json!({"settings": {"hold": "yes"}})).unwrap_err();
        assert!(unknown.contains("`look.changes`"), "{unknown}");
        let look = &playbook.tasks["look"];
        assert_eq!((look.retries, look.retry_after_ms, look.timeout_ms), (2, 500, Some(60_000)));
        let filled =
            fill("${look.changes} at ${run.cluster}", &json!({"look": {"changes": 3}, "run": {"cluster": "c"}}));
        assert_eq!(filled.as_deref(), Ok("3 at c"));
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_line() {
        let text = "playbook: demo
start: gone
tasks:
  a: {run: chek, next: b, tries: 3}
  b:
    choose:
      - when: c.x = 1
        next: nowhere
  c: {run: http, with: {uri: x}, retry-after: soon, next: done}
  d: {run: check, ask: me}
  done: {end: happily}
";
        let told: Vec<String> = read(text, &KNOWN).unwrap_err().iter().map(ToString::to_string).collect();
        for part in [
            "line 2: `start` is `gone`, which is no task",
            "line 4: `chek` is no action: did you mean `check`?",
            "line 4: `tries` is nothing that a task has: did you mean `retries`?",
            "line 7: `c.x = 1` cannot be read",
            "line 8: `next` is `nowhere`, which is no task",
            "line 9: action `http` needs `url`",
            "line 9: action `http` takes no `uri`",
            "line 9: `soon` is no span of time",
            "line 10: task `d` has `run` and `ask`",
            "line 11: `happily` is no end",
        ] {
            assert!(told.iter().any(|line| line.starts_with(part)), "{part}: {told:#?}");
        }
    }

    #[test]
    fn what_never_comes_or_never_ends_is_told() {
        let told = |text: &str| {
            let faults = read(text, &KNOWN).err().unwrap_or_default();
            faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let alone = told("playbook: p\nstart: a\ntasks:\n  a: {end: succeeded}\n  b: {end: failed}\n");
        assert!(alone.contains("line 5: nothing leads to task `b`"), "{alone}");
        let round = told("playbook: p\nstart: a\ntasks:\n  a: {run: check, next: b}\n  b: {run: check, next: a}\n");
        assert!(round.contains("goes round for ever"), "{round}");
        let open = told("playbook: p\nstart: a\ntasks:\n  a: {run: check}\n");
        assert!(open.contains("line 4: task `a` has no `next`"), "{open}");
        assert!(told("playbook: [").contains("line 1"), "{}", told("playbook: ["));
        assert!(told("tasks: {}\nextra: 1\n").contains("line 2"));
    }
}
