//! `show log-forwarding`: how far is each way out, and what is wrong with it?
//!
//! An extension.

use super::super::element::{Build as _, element, entry};
use super::super::reply::Reply;
use crate::app::App;

pub(super) fn show(app: &App) -> Reply {
    let lanes = app.forwarding.progress();
    let entries = lanes.iter().map(|(name, progress)| {
        entry(name)
            .leaf("state", if progress.error.is_empty() { "sending" } else { "waiting" })
            .leaf("last-record", &progress.position.to_string())
            .leaf("sent-since-start", &progress.sent.to_string())
            .leaf("lost", &progress.lost.to_string())
            .leaf("refused-since-start", &progress.refused.to_string())
            .leaf("error", &progress.error)
    });
    Reply::result(element("result").with(element("log-forwarding").with_all(entries)))
}
