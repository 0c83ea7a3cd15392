//! Has somebody else looked at it? The four-eyes option.
//!
//! With it nobody commits, or pushes, edits of his own alone: the job fails, and what it was about waits for somebody who
//! made none of the edits. An approval is good for exactly that, to the letter, once. Somebody who may approve and made
//! none of the edits needs none: committing them is the second look.

use std::collections::BTreeSet;

use bartizan_model::tree::Element;

use crate::accounts::{Caller, Right};
use crate::app::App;
use crate::configuration::Snapshot;
use crate::configuration::edit::Edit;
use crate::configuration::partial::Split;
use crate::jobs::push::PushRequest;
use crate::refusal::Refusal;
use crate::selective::scope;
use crate::store::approvals::Approval;
use crate::store::audit::AuditLine;
use crate::store::hex_digest;
use crate::store::versions::JournalLine;
use crate::xmlapi::reply::code;

/// Where the option stands below the manager's own device; an extension.
const SETTING: [&str; 4] = ["deviceconfig", "setting", "management", "four-eyes"];
/// Edits that a request names.
const EDITS_SHOWN: usize = 100;

/// What the option asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rules {
    commit: bool,
    push: bool,
    /// Who may approve; when empty everybody who may commit everywhere.
    approvers: BTreeSet<String>,
}

impl Rules {
    fn of(running: &Element) -> Self {
        let device = running.child("devices").and_then(|devices| devices.entries().next());
        let Some(setting) = device.and_then(|(_, device)| device.descend(&SETTING)) else { return Self::default() };
        let is = |tag: &str| setting.child(tag).is_some_and(|leaf| leaf.text() == "yes");
        let approvers = setting.child("approver").into_iter().flat_map(|list| list.members().collect::<Vec<_>>());
        Self { commit: is("commit"), push: is("push"), approvers: approvers.collect() }
    }
}

/// Whether pushes need a second pair of eyes.
pub(crate) fn are_pushes_watched(app: &App) -> bool {
    Rules::of(&app.configuration.snapshot().running).push
}

/// Whether commits do.
pub(crate) fn are_commits_watched(app: &App) -> bool {
    Rules::of(&app.configuration.snapshot().running).commit
}

/// `None`, or why somebody cannot approve anything.
pub(crate) fn why_no_approver(app: &App, caller: &Caller) -> Option<String> {
    let snapshot = app.configuration.snapshot();
    let rules = Rules::of(&snapshot.running);
    if caller.role.scope().is_some() || !caller.role.may_change(Right::Commit) {
        return Some(format!("the role of `{}` does not allow to commit everything", caller.name));
    }
    if !rules.approvers.is_empty() && !rules.approvers.contains(&caller.name) {
        return Some(format!("`{}` is not among those who may approve", caller.name));
    }
    // Whoever edits could make an account of his own otherwise, or take somebody's.
    let account = |root: &Element| {
        root.descend(&["mgt-config", "users"]).and_then(|users| users.entry_named(&caller.name)).cloned()
    };
    let (before, now) = (account(&snapshot.running), account(&snapshot.candidate));
    if before.is_none() || before != now {
        return Some(format!("the account of `{}` is new or was changed, and that is not committed", caller.name));
    }
    None
}

/// Whether a commit of these edits may go on, with which approval; lines say why not. What is not approved waits from
/// then on.
pub(crate) async fn for_commit(
    app: &App,
    caller: &Caller,
    comment: &str,
    snapshot: &Snapshot,
    split: Option<&Split>,
) -> anyhow::Result<Result<Option<i64>, Vec<String>>> {
    if !Rules::of(&snapshot.running).commit {
        return Ok(Ok(None));
    }
    let lines = app.store.journal_until(snapshot.journal_end()).await?.into_iter();
    let lines: Vec<JournalLine> =
        lines.filter(|line| split.is_none_or(|split| split.taken.contains(&line.id))).collect();
    let authors: BTreeSet<String> = lines.iter().map(|line| line.author.clone()).collect();
    let mut text = format!("{}\n", snapshot.version);
    let mut summary = vec![comment.to_owned()];
    for line in &lines {
        text += &format!("{} {}\n", line.id, line.edit);
        if summary.len() <= EDITS_SHOWN
            && let Ok(edit) = serde_json::from_str::<Edit>(&line.edit)
        {
            summary.push(format!("{} {} by {}", edit.name(), edit.xpath(), line.author));
        }
    }
    if lines.len() > EDITS_SHOWN {
        summary.push(format!("and {} more", lines.len() - EDITS_SHOWN));
    }
    let wanted = Wanted { kind: "commit", digest: hex_digest(text.as_bytes()), authors, summary };
    let who = Who { name: &caller.name, may_approve: why_no_approver(app, caller).is_none() };
    settle(app, &who, &wanted).await
}

/// The same of a push. What nobody asked for at this moment (a schedule, what was pending) was looked at before.
pub(crate) async fn for_push(
    app: &App,
    request: &PushRequest,
    version: u64,
) -> anyhow::Result<Result<Option<i64>, Vec<String>>> {
    let Some(caller) = request.caller.as_ref().filter(|_| !request.validate_only && are_pushes_watched(app)) else {
        return Ok(Ok(None));
    };
    let scope = scope::read(app, caller, &request.admins).await?;
    let parts = scope.groups.iter().filter(|_| request.policy).chain(scope.stacks.iter().filter(|_| request.templates));
    let (mut authors, mut summary) =
        (BTreeSet::new(), vec![format!("version {version} to {} device(s)", request.devices.len())]);
    for part in parts.filter(|part| part.devices.iter().any(|serial| request.devices.contains(serial))) {
        authors.extend(part.admins.keys().cloned());
        // What a device that was never pushed gets is everybody's.
        if part.new_devices.iter().any(|serial| request.devices.contains(serial)) {
            authors.insert(caller.name.clone());
        }
        let of: Vec<String> = part.admins.iter().map(|(admin, count)| format!("{count} by {admin}")).collect();
        summary.push(format!("{}: {}", part.name, of.join(", ")));
    }
    let text = format!("{version} {:?} {:?} {} {}", request.devices, request.admins, request.policy, request.templates);
    let wanted = Wanted { kind: "push", digest: hex_digest(text.as_bytes()), authors, summary };
    let who = Who { name: &caller.name, may_approve: why_no_approver(app, caller).is_none() };
    settle(app, &who, &wanted).await
}

/// What is to be done.
struct Wanted {
    kind: &'static str,
    digest: String,
    authors: BTreeSet<String>,
    summary: Vec<String>,
}

/// Who wants it done.
struct Who<'a> {
    name: &'a str,
    may_approve: bool,
}

async fn settle(app: &App, who: &Who<'_>, wanted: &Wanted) -> anyhow::Result<Result<Option<i64>, Vec<String>>> {
    if who.may_approve && !wanted.authors.contains(who.name) {
        return Ok(Ok(None));
    }
    let kind = wanted.kind;
    let id = match app.store.approval_of(kind, &wanted.digest).await? {
        Some(known) if known.state == "approved" => return Ok(Ok(Some(known.id))),
        Some(known) if known.state == "refused" => {
            let why = if known.comment.is_empty() { String::new() } else { format!(": {}", known.comment) };
            return Ok(Err(vec![format!("`{}` refused this {kind}{why}", known.decided_by)]));
        }
        Some(known) if known.state == "pending" => known.id,
        _ => {
            let approval = Approval {
                kind: kind.to_owned(),
                digest: wanted.digest.clone(),
                requester: who.name.to_owned(),
                authors: serde_json::to_string(&wanted.authors)?,
                summary: wanted.summary.join("\n"),
                ..Approval::default()
            };
            app.store.add_approval(&approval).await?
        }
    };
    let authors: Vec<&str> = wanted.authors.iter().map(String::as_str).collect();
    Ok(Err(vec![
        format!(
            "approval {id} is needed: this {kind} has edits of {}, and nobody else has looked at it",
            authors.join(", ")
        ),
        format!("somebody who made none of them gives it by `request approval approve id {id}`; then {kind} again"),
    ]))
}

/// Approves or refuses a request.
///
/// # Errors
/// When the caller must not, or it is decided.
pub(crate) async fn decide(
    app: &App,
    caller: &Caller,
    id: &str,
    is_approved: bool,
    comment: &str,
) -> Result<(), Refusal> {
    let missing = || Refusal::new(code::NOT_PRESENT, [format!("approval {id} not found")]);
    let number: i64 = id.parse().map_err(|_| missing())?;
    let approval = app.store.approval(number).await?.ok_or_else(missing)?;
    if let Some(why) = why_no_approver(app, caller) {
        return Err(Refusal::new(code::DENIED, [why]));
    }
    let authors: BTreeSet<String> = serde_json::from_str(&approval.authors).unwrap_or_default();
    if is_approved && (authors.contains(&caller.name) || approval.requester == caller.name) {
        let line = format!("`{}` made some of the edits, or wants them done: it takes somebody else", caller.name);
        return Err(Refusal::new(code::DENIED, [line]));
    }
    let state = if is_approved { "approved" } else { "refused" };
    if !app.store.decide(number, state, &caller.name, comment).await? {
        let line = format!("approval {id} is {} already", approval.state);
        return Err(Refusal::new(code::NOT_POSSIBLE, [line]));
    }
    let cmd = if is_approved { "approve" } else { "refuse" };
    let path = format!("approval {id}: {} of {}", approval.kind, approval.requester);
    let line = AuditLine { after: comment.to_owned(), ..caller.did(cmd, path) };
    app.store.add_audit(&[line]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use bartizan_model::xml;

    use super::*;

    #[test]
    fn the_option_is_off_unless_it_is_switched_on() {
        let with = |setting: &str| {
            let text = format!(
                "<config><devices><entry name='localhost.localdomain'><deviceconfig><setting><management>{setting}\
                 </management></setting></deviceconfig></entry></devices></config>"
            );
            Rules::of(&xml::parse(&text).unwrap())
        };
        assert_eq!(with(""), Rules::default());
        let rules =
            with("<four-eyes><commit>yes</commit><push>no</push><approver><member>a</member></approver></four-eyes>");
        assert_eq!(rules, Rules { commit: true, push: false, approvers: BTreeSet::from(["a".to_owned()]) });
    }
}
