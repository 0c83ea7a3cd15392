//! How does an attached firewall hear of tags?
//!
//! Everything that is for it once after it came, then what changes, as soon as its stream takes it.

use std::sync::Arc;
use std::time::Duration;

use bartizan_api::fleet::manager_message::Body;
use bartizan_api::fleet::{ManagerMessage, RegisteredTags, TaggedAddress};

use super::Link;
use crate::app::App;

/// Addresses of one message.
const ADDRESSES: usize = 1000;
/// How often it is looked whether another configuration runs.
const LOOK: Duration = Duration::from_secs(1);

/// Tells a firewall what is for it, until its stream ends.
pub(super) async fn follow(app: Arc<App>, link: Arc<Link>) {
    let mut news = app.tags.follow();
    let (mut known, mut heard_of) = (None, None);
    // Who has nothing and is to have nothing needs no message.
    let mut has_some = link.hello.tagged_addresses > 0;
    loop {
        news.borrow_and_update();
        let scope = app.tags.notified(&app.configuration.snapshot().running).scope(&link.hello.serial);
        if heard_of.as_ref() != Some(&scope) {
            known = None;
        }
        let told = app.tags.news(known, &scope);
        known = Some(told.end);
        heard_of = Some(scope);
        if !told.addresses.is_empty() || (told.whole && has_some) {
            has_some = true;
            if !tell(&link, told.whole, told.addresses).await {
                return;
            }
        }
        tokio::select! {
            _ = news.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Whether the stream took it.
async fn tell(link: &Link, whole: bool, addresses: Vec<(std::net::IpAddr, Vec<String>)>) -> bool {
    let addresses: Vec<TaggedAddress> =
        addresses.into_iter().map(|(address, tags)| TaggedAddress { address: address.to_string(), tags }).collect();
    let count = addresses.len().div_ceil(ADDRESSES).max(1);
    let mut addresses = addresses.into_iter();
    for number in 1..=count {
        let message = RegisteredTags {
            whole_begins: whole && number == 1,
            whole_ends: whole && number == count,
            addresses: addresses.by_ref().take(ADDRESSES).collect(),
        };
        let message = ManagerMessage { body: Some(Body::RegisteredTags(message)) };
        if link.sender.send(Ok(message)).await.is_err() {
            return false;
        }
    }
    true
}
