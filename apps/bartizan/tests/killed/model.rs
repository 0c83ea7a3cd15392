//! The plain model: what should a manager hold after each operation?

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use bartizan_lab::api::{Api, between};

use crate::Random;

const ADDRESSES: &str = "/config/shared/address";
/// Objects that one request sets at once, to one value.
const TOGETHER: u64 = 20;
const NAMES: u64 = 12;

/// Name and value of address objects.
type Addresses = BTreeMap<String, String>;

/// What a manager shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    candidate: Addresses,
    running: Addresses,
    saved: BTreeMap<String, Addresses>,
    /// The comment of the config lock.
    lock: Option<String>,
    auth_keys: BTreeSet<String>,
    /// Number of the running version.
    version: u64,
    /// The version that a device which is away has yet to get.
    pending: Option<u64>,
    /// Grows with each operation, so that values differ.
    next: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Set(String, String),
    SetTogether(String),
    Delete(String),
    Rename(String, String),
    Save(String),
    DeleteSaved(String),
    Lock(String),
    Unlock,
    AddKey(String),
    DeleteKey(String),
    Commit,
    Revert,
    Push,
}

/// A device group with one device, which never comes.
pub(crate) fn set_up(api: &Api) -> Result<()> {
    let groups = "/config/devices/entry[@name='localhost.localdomain']/device-group";
    api.set(groups, "<entry name='dg'><devices><entry name='BZT000000000001'/></devices></entry>")?;
    commit(api, &mut None)
}

impl State {
    /// An operation that can be done.
    pub(crate) fn next(&mut self, random: &mut Random) -> Operation {
        self.next += 1;
        let number = self.next;
        let value = format!("10.{}.{}.1", number >> 8, number & 255);
        let name = |random: &mut Random| format!("host-{}", random.below(NAMES));
        let present = |random: &mut Random| {
            let singles: Vec<&String> = self.candidate.keys().filter(|name| name.starts_with("host-")).collect();
            let index = random.below(singles.len().max(1) as u64) as usize;
            singles.get(index).map(|name| (*name).clone())
        };
        let chosen = match random.below(14) {
            0 => Some(Operation::SetTogether(value.clone())),
            1 => present(random).map(Operation::Delete),
            2 => present(random).map(|old| Operation::Rename(old, format!("host-renamed-{number}"))),
            3 => Some(Operation::Save(format!("saved-{}", random.below(4)))),
            4 => self.saved.keys().next().cloned().map(Operation::DeleteSaved),
            5 if self.lock.is_some() => Some(Operation::Unlock),
            5 => Some(Operation::Lock(format!("reason {number}"))),
            6 => Some(Operation::AddKey(format!("key-{number}"))),
            7 => self.auth_keys.first().cloned().map(Operation::DeleteKey),
            // A commit ends the lock, in a second step.
            8 | 9 if self.candidate != self.running && self.lock.is_none() => Some(Operation::Commit),
            10 if random.below(3) == 0 => Some(Operation::Revert),
            11 | 12 => Some(Operation::Push),
            _ => None,
        };
        chosen.unwrap_or_else(|| Operation::Set(name(random), value))
    }

    /// What the operation makes of it.
    pub(crate) fn after(&self, operation: &Operation) -> Self {
        let mut after = self.clone();
        match operation {
            Operation::Set(name, value) => drop(after.candidate.insert(name.clone(), value.clone())),
            Operation::SetTogether(value) => {
                after.candidate.extend((0..TOGETHER).map(|object| (format!("whole-{object}"), value.clone())));
            }
            Operation::Delete(name) => drop(after.candidate.remove(name)),
            Operation::Rename(old, new) => {
                let value = after.candidate.remove(old);
                after.candidate.extend(value.map(|value| (new.clone(), value)));
            }
            Operation::Save(name) => drop(after.saved.insert(name.clone(), self.candidate.clone())),
            Operation::DeleteSaved(name) => drop(after.saved.remove(name)),
            Operation::Lock(comment) => after.lock = Some(comment.clone()),
            Operation::Unlock => after.lock = None,
            Operation::AddKey(name) => drop(after.auth_keys.insert(name.clone())),
            Operation::DeleteKey(name) => drop(after.auth_keys.remove(name)),
            Operation::Commit => {
                after.running = self.candidate.clone();
                after.version += 1;
            }
            Operation::Push => after.pending = Some(self.version),
            Operation::Revert => after.candidate = self.running.clone(),
        }
        after
    }

    /// What the manager shows; the count of operations is not its business.
    pub(crate) fn of(api: &Api, next: u64) -> Self {
        let op = |command: &str| api.op(command).unwrap();
        let config = |action| api.try_call(&[("type", "config"), ("action", action), ("xpath", ADDRESSES)]).unwrap();
        let names: Vec<String> = entries(&op("<show><config><saved/></config></show>"));
        let saved = |name: String| {
            let text = op(&format!("<show><config><saved>{name}</saved></config></show>"));
            (name, addresses(between(&text, "<address>", "</address>").unwrap_or_default()))
        };
        let locks = op("<show><config-locks/></show>");
        let keys = op("<request><authkey><list>*</list></authkey></request>");
        let versions = op("<show><config><versions/></config></show>");
        let devices = op("<show><devices><all/></devices></show>");
        Self {
            candidate: addresses(&config("get")),
            running: addresses(&config("show")),
            saved: names.into_iter().map(saved).collect(),
            lock: between(&locks, "<comment>", "</comment>").map(str::to_owned),
            auth_keys: entries(&keys).into_iter().collect(),
            version: number(&versions, "<version>", "</version>").unwrap_or_default(),
            pending: between(&devices, "<pending-push>", "</pending-push>")
                .and_then(|pending| number(pending, "<version>", "</version>")),
            next,
        }
    }

    /// The count of operations so far.
    pub(crate) fn count(&self) -> u64 {
        self.next
    }
}

impl Operation {
    /// Returns when the manager has acknowledged it; `job` gets the number of its job.
    pub(crate) fn run(&self, api: &Api, job: &mut Option<String>) -> Result<()> {
        let entry =
            |name: &str, value: &str| format!("<entry name=\"{name}\"><ip-netmask>{value}</ip-netmask></entry>");
        let of = |name: &str| format!("{ADDRESSES}/entry[@name='{name}']");
        let op = |command: String| api.op(&command).map(drop);
        match self {
            Self::Set(name, value) => api.set(ADDRESSES, &entry(name, value)),
            Self::SetTogether(value) => api.set(
                ADDRESSES,
                &(0..TOGETHER).map(|object| entry(&format!("whole-{object}"), value)).collect::<String>(),
            ),
            Self::Delete(name) => api.delete(&of(name)),
            Self::Rename(old, new) => {
                let parameters = [("type", "config"), ("action", "rename"), ("xpath", &of(old)), ("newname", new)];
                api.call(&parameters.map(|(name, value)| (name, value as &str))).map(drop)
            }
            Self::Save(name) => op(format!("<save><config><to>{name}</to></config></save>")),
            Self::DeleteSaved(name) => op(format!("<delete><config><saved>{name}</saved></config></delete>")),
            Self::Lock(comment) => {
                op(format!("<request><config-lock><add><comment>{comment}</comment></add></config-lock></request>"))
            }
            Self::Unlock => op("<request><config-lock><remove/></config-lock></request>".to_owned()),
            Self::AddKey(name) => op(format!(
                "<request><authkey><add><name>{name}</name><lifetime>60</lifetime><count>5</count></add></authkey></request>"
            )),
            Self::DeleteKey(name) => {
                op(format!("<request><authkey><delete><name>{name}</name></delete></authkey></request>"))
            }
            Self::Commit => commit(api, job),
            Self::Push => {
                let command = "<commit-all><shared-policy><device-group><entry name='dg'/></device-group></shared-policy></commit-all>";
                let parameters = [("type", "commit"), ("action", "all"), ("cmd", command)];
                let done = finished(api, job, &parameters)?;
                if !done.contains("is pending") {
                    bail!("the push left nothing: {done}");
                }
                Ok(())
            }
            Self::Revert => op("<revert><config/></revert>".to_owned()),
        }
    }
}

fn commit(api: &Api, job: &mut Option<String>) -> Result<()> {
    let answer = finished(api, job, &[("type", "commit"), ("cmd", "<commit/>")])?;
    if !answer.contains("<result>OK</result>") {
        bail!("the commit failed: {answer}");
    }
    Ok(())
}

/// Waits for the job of a request.
fn finished(api: &Api, job: &mut Option<String>, parameters: &[(&str, &str)]) -> Result<String> {
    let answer = api.call(parameters)?;
    let id = job.insert(between(&answer, "<job>", "</job>").with_context(|| format!("no job: {answer}"))?.to_owned());
    loop {
        let answer = api.op(&format!("<show><jobs><id>{id}</id></jobs></show>"))?;
        if answer.contains("<status>FIN</status>") {
            return Ok(answer);
        }
    }
}

fn number(text: &str, before: &str, after: &str) -> Option<u64> {
    between(text, before, after)?.parse().ok()
}

/// Names of the entries of an answer.
fn entries(text: &str) -> Vec<String> {
    text.split("<entry ").skip(1).filter_map(|entry| between(entry, "name=\"", "\"")).map(str::to_owned).collect()
}

fn addresses(text: &str) -> Addresses {
    let pairs = text.split("<entry ").skip(1).map(|entry| {
        let value = between(entry, "<ip-netmask>", "</ip-netmask>").unwrap_or_else(|| panic!("no value in {entry}"));
        (between(entry, "name=\"", "\"").unwrap().to_owned(), value.to_owned())
    });
    pairs.collect()
}
