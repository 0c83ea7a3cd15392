//! What changes something else than by an edit: commits, pushes, reverts, locks, saved configurations, devices and keys.
//!
//! Each is the command of the XML API that does the same, so it is done, refused and written down in one place.

use std::sync::Arc;

use axum::http::Method;
use bartizan_model::diagnostic::Severity;
use bartizan_model::tree::Element;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::jobs::{Job, wait};
use super::problem::{Finding, Problem};
use super::route::{Accepted, Access, Call, Done, Json, Nothing, Route};
use super::source::Source;
use crate::accounts::Caller;
use crate::app::App;
use crate::configuration::partial::Selection;
use crate::http::parameters::Parameters;
use crate::jobs::commit::findings;
use crate::refusal::Refusal;
use crate::xmlapi::commit::{commit, commit_all};
use crate::xmlapi::element::{Build as _, element, entry, leaf};
use crate::xmlapi::op::{obey, snapshots};
use crate::xmlapi::reply::{Reply, code};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::POST,
            "/validate",
            Access::Command("validate"),
            "Check the candidate, or some of its edits",
            validate,
        ),
        Route::new(
            Method::POST,
            "/commit",
            Access::Type("commit"),
            "Make the candidate, or some of its edits, the running configuration",
            commit_now,
        ),
        Route::new(Method::POST, "/push", Access::Type("commit"), "Send devices the running configuration", push),
        Route::new(Method::DELETE, "/jobs/{id}", Access::Command("clear job"), "Cancel a job", cancel),
        Route::new(
            Method::POST,
            "/candidate/revert",
            Access::Command("revert config"),
            "Undo edits that are not committed",
            revert,
        ),
        Route::new(
            Method::POST,
            "/candidate/load",
            Access::Command("load config"),
            "An older or saved configuration becomes the candidate",
            load,
        ),
        Route::new(
            Method::PUT,
            "/saved/{name}",
            Access::Command("save config"),
            "Save a configuration under a name",
            save,
        ),
        Route::new(
            Method::DELETE,
            "/saved/{name}",
            Access::Command("delete config saved"),
            "Forget a saved configuration",
            forget,
        ),
        Route::new(
            Method::POST,
            "/locks",
            Access::Command("request config-lock"),
            "Keep others from editing or committing",
            lock,
        ),
        Route::new(Method::DELETE, "/locks", Access::Command("request config-lock"), "Remove a lock", unlock),
        Route::new(
            Method::POST,
            "/schedules/{name}/run",
            Access::Command("request scheduled-config-push run"),
            "Push what a schedule would, now",
            run_schedule,
        ),
        Route::new(
            Method::PUT,
            "/device-groups/{name}/parent",
            Access::Command("request move-dg"),
            "Move a device group",
            move_group,
        ),
    ]
}

/// The job of a reply, or why it is refused.
pub(super) fn job_of(reply: Reply) -> Result<Option<u64>, Problem> {
    match reply.refusal {
        Some(refusal) => Err(refusal.into()),
        None => Ok(reply.job),
    }
}

/// Has a command done.
pub(super) async fn order(app: &Arc<App>, caller: &Caller, command: Element) -> Result<Option<u64>, Problem> {
    job_of(obey(app, caller, &Parameters::default(), &command).await)
}

/// An element around another one, from the outside: `["a", "b"]` is `<a><b>..</b></a>`.
pub(super) fn within(tags: &[&str], inner: Element) -> Element {
    tags.iter().rev().fold(inner, |inner, tag| element(tag).with(inner))
}

/// Some of the edits that are not committed. A list restricts to what it names, an empty one leaves all of its kind out.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Chosen {
    /// Those of these administrators.
    admins: Option<Vec<String>>,
    /// Those in these device groups.
    device_groups: Option<Vec<String>>,
    /// Those in these templates.
    templates: Option<Vec<String>>,
    /// Those in these template stacks.
    template_stacks: Option<Vec<String>>,
    /// Whether those in Shared are meant.
    shared: Option<bool>,
    /// Whether those of everything else are meant.
    device_and_network: Option<bool>,
}

impl Chosen {
    /// `<partial>` of the XML API.
    fn to_element(&self) -> Element {
        let lists = [
            ("device-group", "no-device-group", &self.device_groups),
            ("template", "no-template", &self.templates),
            ("template-stack", "no-template-stack", &self.template_stacks),
        ];
        let mut partial = element("partial");
        if let Some(admins) = &self.admins {
            partial = partial.with(members("admin", admins));
        }
        for (tag, none, list) in lists {
            partial = match list.as_deref() {
                None => partial,
                Some([]) => partial.with(element(none)),
                Some(names) => partial.with(members(tag, names)),
            };
        }
        for (tag, wanted) in [("shared-object", self.shared), ("device-and-network", self.device_and_network)] {
            if wanted == Some(false) {
                partial = partial.leaf(tag, "excluded");
            }
        }
        partial
    }

    fn read(&self) -> Result<Option<Selection>, Problem> {
        Selection::read(&self.to_element()).map_err(|lines| Refusal::new(code::INVALID_OBJECT, lines).into())
    }
}

fn members(tag: &str, names: &[String]) -> Element {
    element(tag).with_all(names.iter().map(|name| leaf("member", name)))
}

/// How long to wait.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WaitQuery {
    /// Seconds that the answer may wait for the end of the job, at most 300; 0 when absent.
    #[serde(default)]
    wait: u64,
}

/// What is to be checked.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ValidateBody {
    /// Only these edits; all when absent.
    only: Option<Chosen>,
}

/// What a check found.
#[derive(JsonSchema, Serialize)]
struct Checked {
    /// Whether a commit would be accepted.
    valid: bool,
    /// Everything that was found, errors first.
    findings: Vec<Finding>,
}

async fn validate(call: Call<Nothing, ValidateBody>) -> Result<Json<Checked>, Problem> {
    let selection = call.body.only.as_ref().map(Chosen::read).transpose()?.flatten();
    let selection = Selection::within(selection, &call.caller).map_err(Problem::forbidden)?;
    let mut found = findings(&call.app, selection.as_ref()).await.map_err(Refusal::from)?;
    found.sort_by(|one, other| other.severity.cmp(&one.severity).then_with(|| one.origin.cmp(&other.origin)));
    found.dedup();
    let seen = found.iter().filter(|one| one.origin.xpath.is_empty() || call.caller.may_see(&one.origin.xpath));
    let findings: Vec<Finding> = seen.map(Finding::from).collect();
    let valid = found.iter().all(|one| one.severity != Severity::Error);
    Ok(Json(Checked { valid, findings }))
}

/// What is to be committed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CommitBody {
    /// What the asker writes about it.
    #[serde(default)]
    description: String,
    /// Only these edits; all when absent.
    only: Option<Chosen>,
    /// Also when nothing changed.
    #[serde(default)]
    force: bool,
}

/// What was asked for.
#[derive(JsonSchema, Serialize)]
struct Ordered {
    /// The job that does it, as far as it is; nothing when there is nothing to do.
    job: Option<Job>,
}

async fn ordered(app: &App, job: Option<u64>, wait_s: u64) -> Result<Accepted<Ordered>, Problem> {
    let Some(id) = job else { return Ok(Accepted(Ordered { job: None })) };
    let job = wait(app, id, wait_s).await.map(|job| Job::of(app, &job));
    Ok(Accepted(Ordered { job }))
}

async fn commit_now(call: Call<WaitQuery, CommitBody>) -> Result<Accepted<Ordered>, Problem> {
    let CommitBody { description, only, force } = &call.body;
    let mut inside = element("commit");
    if let Some(only) = only {
        inside = inside.with(only.to_element());
    }
    let command = if *force { element("commit").with(Element { name: "force".into(), ..inside }) } else { inside };
    let reply = commit(&call.app, &call.caller, &command.leaf("description", description), false).await;
    ordered(&call.app, job_of(reply)?, call.query.wait).await
}

/// What is to be pushed: the policy of device groups, or templates alone.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PushBody {
    /// Policy and objects of these device groups; of all when neither they nor a template or stack are named.
    #[serde(default)]
    device_groups: Vec<String>,
    /// The templates of this stack.
    template_stack: Option<String>,
    /// This template.
    template: Option<String>,
    /// Only to these devices.
    #[serde(default)]
    devices: Vec<String>,
    /// Only the edits of these administrators; of everybody when absent.
    #[serde(default)]
    admins: Vec<String>,
    /// With device groups: the templates of their devices too; yes when absent.
    #[serde(default = "yes")]
    include_templates: bool,
    /// Only render and check.
    #[serde(default)]
    validate_only: bool,
    /// What the asker writes about it.
    #[serde(default)]
    description: String,
}

fn yes() -> bool {
    true
}

async fn push(call: Call<WaitQuery, PushBody>) -> Result<Accepted<Ordered>, Problem> {
    let body = &call.body;
    let mut what = match (&body.template_stack, &body.template) {
        (Some(_), Some(_)) => return Err(Problem::parameter("template", "name a stack or a template, not both")),
        (Some(_), None) | (None, Some(_)) if !body.device_groups.is_empty() => {
            return Err(Problem::parameter("device_groups", "name device groups or templates, not both"));
        }
        (Some(name), None) => element("template-stack").leaf("name", name),
        (None, Some(name)) => element("template").leaf("name", name),
        (None, None) => {
            let groups = element("device-group").with_all(body.device_groups.iter().map(|name| entry(name)));
            let templates = if body.include_templates { "yes" } else { "no" };
            element("shared-policy").with(groups).leaf("include-template", templates)
        }
    };
    if !body.devices.is_empty() {
        what = what.with(members("device", &body.devices));
    }
    if !body.admins.is_empty() {
        what = what.with(members("admin", &body.admins));
    }
    if body.validate_only {
        what = what.leaf("validate-only", "yes");
    }
    let command = element("commit-all").with(what.leaf("description", &body.description));
    let reply = commit_all(&call.app, &call.caller, &command).await;
    ordered(&call.app, job_of(reply)?, call.query.wait).await
}

async fn cancel(call: Call) -> Result<Json<Job>, Problem> {
    let id = call.number("id")?;
    order(&call.app, &call.caller, within(&["clear", "job"], leaf("id", &id.to_string()))).await?;
    let job = call.app.jobs.job(id).ok_or_else(|| Problem::not_found(format!("job {id} not found")))?;
    Ok(Json(Job::of(&call.app, &job)))
}

/// Which edits are undone.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RevertBody {
    /// Only these edits; all when absent.
    only: Option<Chosen>,
}

async fn revert(call: Call<Nothing, RevertBody>) -> Result<Accepted<Ordered>, Problem> {
    let config = call.body.only.iter().fold(element("config"), |config, only| config.with(only.to_element()));
    let job = order(&call.app, &call.caller, within(&["revert"], config)).await?;
    ordered(&call.app, job, 0).await
}

/// What becomes the candidate.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LoadBody {
    /// `version:N`, `saved:NAME` or `running`.
    source: String,
    /// Only a part of it; all when absent.
    part: Option<LoadPart>,
}

/// A node that is loaded.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LoadPart {
    /// XPath of the node that is loaded.
    from_xpath: String,
    /// XPath of the node of the candidate that it becomes part of.
    to_xpath: String,
    /// How.
    mode: LoadMode,
}

/// How two nodes come together.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum LoadMode {
    /// What is loaded wins, what it does not say stays.
    Merge,
    /// What is there goes.
    Replace,
    /// What is there stays and wins; what is not there comes behind it.
    Append,
}

async fn load(call: Call<Nothing, LoadBody>) -> Result<Done, Problem> {
    let config = match Source::parse(&call.body.source)? {
        Source::Running => leaf("from", snapshots::RUNNING),
        Source::Version(number) => leaf("version", &number.to_string()),
        Source::Saved(name) => leaf("from", &name),
        Source::Candidate
        | Source::Device(_)
        | Source::CandidateDevice(_)
        | Source::CandidateStack(_)
        | Source::Pushed(_) => {
            return Err(Problem::parameter("source", "`version:N`, `saved:NAME` or `running` can be loaded"));
        }
    };
    let command = match &call.body.part {
        None => within(&["load", "config"], config),
        Some(part) => {
            let mode = match part.mode {
                LoadMode::Merge => "merge",
                LoadMode::Replace => "replace",
                LoadMode::Append => "append",
            };
            let partial = element("partial").with(config).leaf("from-xpath", &part.from_xpath);
            within(&["load", "config"], partial.leaf("to-xpath", &part.to_xpath).leaf("mode", mode))
        }
    };
    order(&call.app, &call.caller, command).await?;
    Ok(Done)
}

/// What is saved.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SaveBody {
    /// A configuration as XML; the candidate when absent.
    configuration: Option<String>,
    /// Of the candidate only these edits, over what is running.
    only: Option<Chosen>,
}

async fn save(call: Call<Nothing, SaveBody>) -> Result<Done, Problem> {
    let name = call.name("name");
    match (&call.body.configuration, &call.body.only) {
        (Some(_), Some(_)) => return Err(Problem::parameter("only", "give a configuration or some edits, not both")),
        (Some(text), None) => snapshots::keep_text(&call.app, &call.caller, name, text).await?,
        (None, only) => {
            let selection = only.as_ref().map(Chosen::read).transpose()?.flatten();
            snapshots::keep_candidate(&call.app, &call.caller, name, selection.as_ref()).await?;
        }
    }
    Ok(Done)
}

async fn forget(call: Call) -> Result<Done, Problem> {
    snapshots::forget(&call.app, call.name("name")).await?;
    Ok(Done)
}

/// Which lock.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LockBody {
    /// What others are kept from.
    kind: LockWord,
    /// A device group, template or stack; everything when absent.
    scope: Option<String>,
    /// Why.
    #[serde(default)]
    comment: String,
}

/// What a lock keeps others from.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum LockWord {
    /// Editing.
    Config,
    /// Committing.
    Commit,
}

impl LockWord {
    fn tag(self) -> &'static str {
        match self {
            Self::Config => "config-lock",
            Self::Commit => "commit-lock",
        }
    }
}

async fn lock(call: Call<Nothing, LockBody>) -> Result<Done, Problem> {
    let LockBody { kind, scope, comment } = &call.body;
    let add = element("add").leaf("comment", comment);
    change_lock(&call.app, &call.caller, *kind, scope.as_deref(), add).await
}

/// Which lock is removed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UnlockQuery {
    /// What others were kept from.
    kind: LockWord,
    /// A device group, template or stack; everything when absent.
    scope: Option<String>,
    /// Whose lock; the caller's own when absent.
    admin: Option<String>,
}

async fn unlock(call: Call<UnlockQuery>) -> Result<Done, Problem> {
    let UnlockQuery { kind, scope, admin } = &call.query;
    let remove = admin.iter().fold(element("remove"), |remove, admin| remove.leaf("admin", admin));
    change_lock(&call.app, &call.caller, *kind, scope.as_deref(), remove).await
}

async fn change_lock(
    app: &Arc<App>,
    caller: &Caller,
    kind: LockWord,
    scope: Option<&str>,
    change: Element,
) -> Result<Done, Problem> {
    let parameters = Parameters::from([("vsys", scope.unwrap_or_default())]);
    let command = within(&["request", kind.tag()], change);
    job_of(obey(app, caller, &parameters, &command).await)?;
    Ok(Done)
}

async fn run_schedule(call: Call<WaitQuery>) -> Result<Accepted<Ordered>, Problem> {
    let command = within(&["request", "scheduled-config-push", "run"], leaf("name", call.name("name")));
    let job = order(&call.app, &call.caller, command).await?;
    ordered(&call.app, job, call.query.wait).await
}

/// Where a device group goes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ParentBody {
    /// The group above it; directly below Shared when absent.
    parent: Option<String>,
}

async fn move_group(call: Call<Nothing, ParentBody>) -> Result<Accepted<Ordered>, Problem> {
    let group = entry(call.name("name")).leaf("new-parent-dg", call.body.parent.as_deref().unwrap_or_default());
    let job = order(&call.app, &call.caller, within(&["request", "move-dg"], group)).await?;
    ordered(&call.app, job, 0).await
}
