//! Who is asking, how do they prove it, and what may they do?

use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::route::{Access, Call, Created, Done, Json, Nothing, Route};
use crate::accounts::{Caller, Right, Role};
use crate::xmlapi::why_no_role;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::POST, "/session", Access::Open, "Log in: name and password for a token", login),
        Route::new(Method::GET, "/session", Access::Known, "Who am I, and what may I do?", whoami),
        Route::new(Method::DELETE, "/session", Access::Known, "Log out: the token ends", logout),
    ]
}

/// Name and password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Login {
    /// The administrator's name.
    user: String,
    /// The password.
    password: String,
}

/// What a login gives.
#[derive(JsonSchema, Serialize)]
struct Session {
    /// Send it as `Authorization: Bearer TOKEN` or as `X-PAN-KEY`. It is an API key like those of `type=keygen`.
    token: String,
    /// Who that is.
    #[serde(flatten)]
    who: Who,
}

/// An administrator, as seen by the rights.
#[derive(JsonSchema, Serialize)]
struct Who {
    /// Name.
    user: String,
    /// The role: `superuser`, `superreader`, `custom`, `limited` (to a part of the configuration) or `unsupported`.
    role: String,
    /// The address that the request came from.
    host: String,
    /// What may be read and changed, by the parts of the XML API.
    rights: Vec<Allowed>,
}

/// What a role allows of one part.
#[derive(JsonSchema, Serialize)]
struct Allowed {
    /// `config`, `commit`, `op`, `user-id`, `log`, `report`, `export` or `import`.
    part: String,
    /// Whether it may be read.
    read: bool,
    /// Whether it may be changed.
    change: bool,
}

impl From<&Caller> for Who {
    fn from(caller: &Caller) -> Self {
        let allowed = |right: &Right| Allowed {
            part: right.tag().to_owned(),
            read: caller.role.may_read(*right),
            change: caller.role.may_change(*right),
        };
        Self {
            user: caller.name.clone(),
            role: role_word(&caller.role).to_owned(),
            host: caller.host.to_string(),
            rights: Right::ALL.iter().map(allowed).collect(),
        }
    }
}

/// The kind of a role.
pub(super) fn role_word(role: &Role) -> &'static str {
    match role {
        Role::Superuser => "superuser",
        Role::Superreader => "superreader",
        Role::Custom(_) => "custom",
        Role::Limited(_) => "limited",
        Role::Unsupported => "unsupported",
    }
}

async fn login(call: Call<Nothing, Login>) -> Result<Created<Session>, Problem> {
    let Login { user, password } = &call.body;
    let candidate = call.app.configuration.snapshot().candidate.clone();
    let caller = call.app.accounts.login(&candidate, call.caller.host, user, password).await?;
    if let Some(why) = why_no_role(&caller) {
        return Err(Problem::forbidden(why));
    }
    let token = call.app.accounts.make_key(&candidate, &caller).await?;
    Ok(Created(Session { token, who: Who::from(&caller) }))
}

async fn whoami(call: Call) -> Result<Json<Who>, Problem> {
    Ok(Json(Who::from(&call.caller)))
}

async fn logout(call: Call) -> Result<Done, Problem> {
    match &call.key {
        Some(key) => {
            call.app.store.end_key(key).await?;
            Ok(Done)
        }
        None => Err(Problem::parameter("Authorization", "there is no token to end: this request sent a password")),
    }
}
