//! `request api-key expire`: whose keys are worth nothing from now on?
//!
//! PAN-OS has a button for all keys and documents no command; this one is an extension.

use bartizan_model::tree::Element;

use super::super::reply::{Reply, code};
use crate::accounts::{Caller, Role};
use crate::app::App;

/// `admin NAME`, or `all`. Everybody may end their own keys, a superuser those of others.
pub(super) async fn expire(app: &App, caller: &Caller, command: &Element) -> Reply {
    let what = command.descend(&["api-key", "expire"]);
    let name = super::argument(what.and_then(|what| what.child("admin")).map(|admin| &**admin));
    let all = what.is_some_and(|what| what.child("all").is_some());
    let whose = match (&name, all) {
        (Some(name), false) => Some(name.as_str()),
        (None, true) => None,
        _ => {
            let line = "whose keys? `<expire><admin>NAME</admin></expire>`, or `<expire><all/></expire>`";
            return Reply::error(code::INVALID_OBJECT, &[line]);
        }
    };
    if caller.role != Role::Superuser && whose != Some(caller.name.as_str()) {
        let line = format!("only a superuser ends the keys of others; `{}` may end their own", caller.name);
        return Reply::unauthorized(&line);
    }
    let count = match app.store.end_keys(whose).await {
        Ok(count) => count,
        Err(error) => return Reply::internal(&error),
    };
    super::note(app, caller, "request", format!("api-key expire {}", whose.unwrap_or("all"))).await;
    Reply::text(&format!("{count} API key(s) expired"))
}
