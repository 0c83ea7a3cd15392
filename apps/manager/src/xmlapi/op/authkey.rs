//! Keys with which new devices enrol: `request bootstrap vm-auth-key` and `request authkey`.
//!
//! A key is `<secret>.<SHA-256 of the manager's CA certificate>`: the device checks whom it talks to before
//! it says anything. Only the digest of the secret is kept, so a key can be shown once.

use bartizan_model::tree::Element;

use super::super::element::{Build as _, element, entry};
use super::super::reply::{Reply, code};
use crate::app::App;
use crate::refusal::Refusal;
use crate::store::auth_keys::{AUTH_KEYS_MAX, AuthKey};
use crate::store::now_us;
use crate::{random, times};

/// Letters and digits of a secret: 190 bits.
const SECRET_LENGTH: usize = 32;
/// Characters of it that a list shows.
const HINT_LENGTH: usize = 5;
/// Hours a bootstrap key may live, as on PAN-OS.
pub(crate) const HOURS_MAX: i64 = 8760;
/// Minutes a registration key may live, as on PAN-OS.
pub(crate) const MINUTES: std::ops::RangeInclusive<i64> = 5..=525_600;
/// Devices one registration key may be good for.
pub(crate) const COUNT_MAX: i64 = 10_000;
const MINUTE_US: i64 = 60_000_000;

/// `request bootstrap vm-auth-key generate lifetime HOURS` and `... show`
pub(super) async fn bootstrap(app: &App, command: &Element) -> Reply {
    let Some(key) = command.descend(&["bootstrap", "vm-auth-key"]) else {
        return missing("generate");
    };
    if key.child("show").is_some() {
        return list_bootstrap(app).await;
    }
    let Some(generate) = key.child("generate") else {
        return missing("generate");
    };
    let lifetime = generate.child("lifetime").or_else(|| key.child("lifetime")).map(|lifetime| lifetime.text());
    let hours = match number(lifetime.as_deref().unwrap_or("24"), 1..=HOURS_MAX) {
        Ok(hours) => hours,
        Err(line) => return Reply::error(code::INVALID_OBJECT, &[format!("lifetime {line}")]),
    };
    make(app, "bootstrap", hours * 60, None).await
}

/// `request authkey add name N lifetime MINUTES count N devtype fw`
pub(super) async fn add(app: &App, command: &Element) -> Reply {
    let Some(add) = command.descend(&["authkey", "add"]) else {
        return missing("add");
    };
    let text = |name: &str| add.child(name).map(|value| value.text()).filter(|text| !text.is_empty());
    if let Some(unknown) =
        add.elements().find(|child| !matches!(&*child.name, "name" | "lifetime" | "count" | "devtype" | "serial"))
    {
        return Reply::error(code::INVALID_OBJECT, &[format!(" authkey -> add -> {} unexpected here", unknown.name)]);
    }
    if text("serial").is_some() {
        return Reply::error(code::INVALID_OBJECT, &["`serial` is not supported: a key is good for any device"]);
    }
    if !matches!(text("devtype").as_deref(), None | Some("fw" | "fw_or_lc" | "any")) {
        return Reply::error(code::INVALID_OBJECT, &["devtype is invalid: only firewalls (`fw`) enrol"]);
    }
    let name = text("name").unwrap_or_else(|| "authkey".to_owned());
    if name.len() > 63 {
        return Reply::error(
            code::INVALID_OBJECT,
            &[format!("name can be at most 63 characters, but current length: {}", name.len())],
        );
    }
    let minutes = number(text("lifetime").as_deref().unwrap_or("1440"), MINUTES);
    let count = number(text("count").as_deref().unwrap_or("1"), 1..=COUNT_MAX);
    match (minutes, count) {
        (Ok(minutes), Ok(count)) => make(app, &name, minutes, Some(count)).await,
        (Err(line), _) => Reply::error(code::INVALID_OBJECT, &[format!("lifetime {line}")]),
        (_, Err(line)) => Reply::error(code::INVALID_OBJECT, &[format!("count {line}")]),
    }
}

/// `request authkey list *`
pub(super) async fn list(app: &App) -> Reply {
    let keys = match app.store.auth_keys().await {
        Ok(keys) => keys,
        Err(error) => return Reply::internal(&error),
    };
    let entries = keys.iter().map(|key| {
        entry(&key.name)
            .leaf("key", &format!("{}...", key.hint))
            .leaf("created", &times::date_time(key.created_us))
            .leaf("expires", &times::date_time(key.expires_us))
            .leaf("count", &key.uses_left.map_or_else(|| "unlimited".to_owned(), |left| left.to_string()))
            .leaf("devtype", "fw")
    });
    Reply::result(element("result").with(element("authkeys").with_all(entries)))
}

/// `request authkey delete name N`
pub(super) async fn delete(app: &App, command: &Element) -> Reply {
    let delete = command.descend(&["authkey", "delete"]);
    let name = delete.and_then(|delete| delete.child("name")).map(|name| name.text());
    let Some(name) = name.or_else(|| super::argument(delete)) else {
        return missing("name");
    };
    match app.store.delete_auth_keys(&name).await {
        Ok(0) => Reply::error(code::NOT_PRESENT, &[format!("authkey `{name}` not found")]),
        Ok(count) => Reply::text(&format!("{count} authkey(s) `{name}` deleted")),
        Err(error) => Reply::internal(&error),
    }
}

async fn list_bootstrap(app: &App) -> Reply {
    let keys = match app.store.auth_keys().await {
        Ok(keys) => keys,
        Err(error) => return Reply::internal(&error),
    };
    let entries = keys.iter().map(|key| {
        element("entry")
            .leaf("vm-auth-key", &format!("{}...", key.hint))
            .leaf("expiry-time", &times::date_time(key.expires_us))
    });
    Reply::result(element("result").with(element("bootstrap-vm-auth-keys").with_all(entries)))
}

async fn make(app: &App, name: &str, minutes: i64, count: Option<i64>) -> Reply {
    match made(app, name, minutes, count).await {
        Ok((key, expires_us)) => {
            Reply::text(&format!("VM auth key {key} generated. Expires at: {}\n", times::date_time(expires_us)))
        }
        Err(refusal) => refusal.into(),
    }
}

/// Makes a key that is good for so many minutes and so many devices; the key, and when it ends.
pub(crate) async fn made(app: &App, name: &str, minutes: i64, count: Option<i64>) -> Result<(String, i64), Refusal> {
    let secret = random::alphanumeric(SECRET_LENGTH);
    let now = now_us();
    let key = AuthKey {
        name: name.to_owned(),
        hint: secret[..HINT_LENGTH].to_owned(),
        created_us: now,
        expires_us: now + minutes * MINUTE_US,
        uses_left: count,
    };
    match app.store.add_auth_key(&secret, &key).await? {
        true => Ok((format!("{secret}.{}", app.pki.fingerprint()), key.expires_us)),
        false => Err(Refusal::new(code::NOT_POSSIBLE, [format!("there are {AUTH_KEYS_MAX} auth keys already")])),
    }
}

fn number(text: &str, range: std::ops::RangeInclusive<i64>) -> Result<i64, String> {
    text.parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("`{text}` is not a number from {} to {}", range.start(), range.end()))
}

fn missing(what: &str) -> Reply {
    Reply::error(code::INVALID_COMMAND, &[format!("invalid client cli: `{what}` is missing")])
}
