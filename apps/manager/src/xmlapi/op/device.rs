//! At a firewall's own address: its own commands, and what its configuration consists of.

use std::sync::Arc;

use bartizan_model::tree::{Child, Element};
use bartizan_model::{render, xml};

use super::super::config::config_result;
use super::super::element::{Build as _, element};
use super::super::refuse_part;
use super::super::reply::{Reply, code};
use crate::accounts::Caller;
use crate::app::App;
use crate::device::Device;

/// A command of the firewall's own grammar.
pub(super) async fn run(device: &Arc<dyn Device>, command: &str, words: &[&str]) -> Reply {
    match device.command(command.to_owned()).await {
        Ok(answer) => match xml::parse(&format!("<result>{answer}</result>")) {
            Ok(result) => Reply::result(result),
            Err(diagnostic) => {
                Reply::internal(&format!("`{}` was answered with no XML: {diagnostic}", words.join(" ")))
            }
        },
        Err(why) => Reply::error(code::INVALID_COMMAND, &["invalid client cli", &why]),
    }
}

/// `show config merged`, `pushed-template`, `pushed-shared-policy` and `effective-running`.
pub(super) async fn parts(app: &App, caller: &Caller, part: &str) -> Reply {
    if let Some(refusal) = refuse_part(caller, "what is in force") {
        return refusal;
    }
    let Some(device) = &app.device else { return Reply::result(element("result")) };
    let parts = device.parts().await;
    let read = |text: Option<String>| match text.map(|text| xml::parse(&text)) {
        None => Ok(element("config")),
        Some(Ok(tree)) => Ok(tree),
        Some(Err(diagnostic)) => Err(Reply::internal(&diagnostic)),
    };
    let tree = match part {
        "effective-running" => read(parts.effective),
        _ => read(parts.pushed),
    };
    let mut tree = match tree {
        Ok(tree) => tree,
        Err(reply) => return reply,
    };
    match part {
        "merged" => config_result(Arc::new(render::with_local(&app.configuration.snapshot().candidate, &tree))),
        "pushed-template" => {
            tree.children.retain(|child| !matches!(child, Child::Element(child) if &*child.name == "panorama"));
            config_result(Arc::new(tree))
        }
        "pushed-shared-policy" => shared_policy(&tree),
        _ => config_result(Arc::new(tree)),
    }
}

fn shared_policy(pushed: &Element) -> Reply {
    let policy = pushed.descend(&["panorama", "vsys"]).and_then(|vsys| vsys.entry_named("vsys1"));
    match policy {
        Some(policy) if !policy.children.is_empty() => {
            let mut panorama = element("panorama");
            panorama.children.clone_from(&policy.children);
            Reply::result(element("result").with(element("policy").with(panorama)))
        }
        _ => Reply::text("No shared policy pushed to device"),
    }
}
