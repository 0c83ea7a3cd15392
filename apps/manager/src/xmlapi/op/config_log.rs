//! `show config-log-integrity`: was the config log changed behind the manager's back?
//!
//! An extension; PAN-OS has nothing like it.

use bartizan_model::tree::Element;

use super::super::element::{Build as _, element};
use super::super::reply::Reply;
use crate::app::App;

/// With `since SEAL` also: is the line still there whose seal was noted before?
pub(super) async fn integrity(app: &App, command: &Element) -> Reply {
    let since = command.descend(&["config-log-integrity", "since"]).map(|since| since.text());
    let chain = match app.store.audit_chain(since.as_deref()).await {
        Ok(chain) => chain,
        Err(error) => return Reply::internal(&error),
    };
    let missing = since.is_some() && !chain.found && chain.broken.is_none();
    let intact = chain.broken.is_none() && !missing;
    let mut result = element("config-log-integrity")
        .leaf("intact", if intact { "yes" } else { "no" })
        .leaf("sealed-lines", &chain.intact.to_string())
        .leaf("lines-without-seal", &chain.unsealed.to_string())
        .leaf("last-seal", &chain.head);
    if let Some((line, how)) = chain.broken {
        result = result.leaf("broken-at", &line.to_string()).leaf("reason", how);
    } else if missing {
        let reason = "no line has the seal that was noted: the last lines were cut off, or it made room long ago";
        result = result.leaf("reason", reason);
    }
    Reply::result(element("result").with(result))
}
