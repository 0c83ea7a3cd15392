//! `request certificate generate`, `renew` and `show`.

use bartizan_model::tree::{Child, Element, quote};
use bartizan_model::xml;
use jiff::Timestamp;
use rcgen::KeyPair;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::super::element::{Build as _, element, leaf};
use super::super::reply::{Reply, code};
use crate::accounts::Caller;
use crate::app::App;
use crate::certificates::make::{self, Wanted};
use crate::certificates::{self, DEVICE_HOME, HOME, key, text};
use crate::configuration::edit::Edit;

/// Longest name of a certificate (PAN-OS administrator's guide: 63 characters on a firewall).
const NAME_MAX: usize = 63;
/// What `signed-by` says when an authority elsewhere signs.
const ELSEWHERE: &str = "external";

/// Puts an entry into the candidate.
pub(in crate::xmlapi) async fn put(app: &App, caller: &Caller, name: &str, entry: &Element) -> Result<(), Reply> {
    if name.is_empty() || name.chars().count() > NAME_MAX {
        let line = format!("the name of a certificate has 1 to {NAME_MAX} characters");
        return Err(Reply::error(code::INVALID_OBJECT, &[line]));
    }
    let home = if app.device.is_some() { DEVICE_HOME } else { HOME };
    let edit = Edit::Replace { xpath: format!("{home}/entry[@name={}]", quote(name)), element: xml::write(entry) };
    app.configuration.apply(caller, vec![edit]).await.map(|_| ()).map_err(Reply::from)
}

/// `request certificate generate certificate-name N name CN ...`
pub(super) async fn generate(app: &App, caller: &Caller, command: &Element) -> Reply {
    let Some(asked) = command.descend(&["certificate", "generate"]) else {
        return Reply::error(code::INVALID_COMMAND, &["invalid client cli"]);
    };
    let name = text(asked, "certificate-name");
    let candidate = app.configuration.snapshot().candidate.clone();
    let mut wrong = Vec::new();
    if name.is_empty() {
        wrong.push("`certificate-name` is missing".to_owned());
    } else if certificates::find(&candidate, &name).is_some() {
        wrong
            .push(format!("a certificate `{name}` is there already; `request certificate renew` makes it last longer"));
    }
    let wanted = Wanted::read(asked).map_err(|lines| wrong.extend(lines)).ok();
    let signer = text(asked, "signed-by");
    let issuer = match &*signer {
        "" | ELSEWHERE => None,
        signer => issuer(app, &candidate, signer).map_err(|line| wrong.push(line)).ok(),
    };
    let Some(wanted) = wanted.filter(|_| wrong.is_empty()) else {
        return Reply::error(code::INVALID_OBJECT, &wrong);
    };
    let entry = if signer == ELSEWHERE {
        wanted.request().map(|made| {
            let children = [leaf("csr", made.pem.trim()), leaf("private-key", made.key.trim())];
            Ok(Element::entry(&name).with_all(children))
        })
    } else {
        let issuer = issuer.as_ref().map(|(certificate, key)| (certificate, key_pair(key)));
        let made = match issuer {
            Some((certificate, key)) => key.and_then(|key| wanted.sign(Some((certificate, key)))),
            None => wanted.sign(None),
        };
        made.map(|made| {
            let key = key::read(&made.key, None)?;
            certificates::entry(&name, &made.pem, Some(&key))
        })
    };
    match entry {
        Ok(Ok(entry)) => match put(app, caller, &name, &entry).await {
            Ok(()) => Reply::text(&format!("Successfully generated certificate and key pair : {name}")),
            Err(refusal) => refusal,
        },
        Ok(Err(line)) => Reply::error(code::INVALID_OBJECT, &[line]),
        Err(error) => Reply::error(code::INVALID_OBJECT, &[format!("the certificate cannot be made: {error:#}")]),
    }
}

/// `request certificate renew certificate-name N days-till-expiry D`: the same key and names, for longer.
pub(super) async fn renew(app: &App, caller: &Caller, command: &Element) -> Reply {
    let asked = command.descend(&["certificate", "renew"]);
    let given = |tag: &str| asked.map(|asked| text(asked, tag)).unwrap_or_default();
    match renewed(app, &given("certificate-name"), &given("days-till-expiry")) {
        Ok((name, entry)) => match put(app, caller, &name, &entry).await {
            Ok(()) => Reply::text(&format!("Successfully renewed certificate : {name}")),
            Err(refusal) => refusal,
        },
        Err(line) => Reply::error(code::INVALID_OBJECT, &[line]),
    }
}

fn renewed(app: &App, name: &str, days: &str) -> Result<(String, Element), String> {
    let days = make::days(if days.is_empty() { "365" } else { days })?;
    let candidate = app.configuration.snapshot().candidate.clone();
    let entry = certificates::find(&candidate, name).ok_or_else(|| format!("there is no certificate `{name}`"))?;
    let chain = certificates::chain(&text(entry, "public-key"))?;
    let facts = certificates::facts(&chain[0])?;
    let private_key = key::of(entry, &app.secrets)?;
    let issuer = if facts.subject == facts.issuer {
        None
    } else {
        let names = certificates::names(&candidate);
        let signed = names.into_iter().find(|(_, of)| of.subject == facts.issuer && of.ca).map(|(name, _)| name);
        let signed =
            signed.ok_or_else(|| format!("its issuer `{}` is not here; only the issuer can renew it", facts.issuer))?;
        Some(issuer(app, &candidate, &signed)?)
    };
    let made = |()| -> anyhow::Result<String> {
        let own = key_pair(&private_key)?;
        let issuer = match &issuer {
            Some((certificate, key)) => Some((certificate, key_pair(key)?)),
            None => None,
        };
        make::renew(&chain[0], &own, issuer, days)
    };
    let pem = made(()).map_err(|error| format!("the certificate cannot be renewed: {error:#}"))?;
    Ok((name.to_owned(), certificates::entry(name, &pem, Some(&private_key))?))
}

fn key_pair(key: &PrivateKeyDer<'_>) -> anyhow::Result<KeyPair> {
    Ok(KeyPair::try_from(key)?)
}

/// The authority of that name with its key.
fn issuer(
    app: &App,
    candidate: &Element,
    name: &str,
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), String> {
    let entry =
        certificates::find(candidate, name).ok_or_else(|| format!("there is no certificate `{name}` to sign with"))?;
    let mut chain =
        certificates::chain(&text(entry, "public-key")).map_err(|error| format!("certificate `{name}`: {error}"))?;
    if !certificates::facts(&chain[0])?.ca {
        return Err(format!("certificate `{name}` is no authority: it signs no others"));
    }
    let key = key::of(entry, &app.secrets).map_err(|error| format!("certificate `{name}`: {error}"))?;
    Ok((chain.swap_remove(0), key))
}

/// `request certificate show [certificate-name N]`
pub(super) fn show(app: &App, command: &Element) -> Reply {
    let wanted =
        command.descend(&["certificate", "show"]).map(|show| text(show, "certificate-name")).unwrap_or_default();
    let candidate = app.configuration.snapshot().candidate.clone();
    let now_s = Timestamp::now().as_second();
    let names = certificates::names(&candidate).into_iter().filter(|(name, _)| wanted.is_empty() || *name == wanted);
    let entries = names.map(|(name, facts)| {
        let children = facts.to_elements().into_iter().map(|child| Child::Element(child.into()));
        let mut entry = Element::entry(&name);
        entry.children.extend(children);
        let status = if facts.begins_s > now_s {
            "not yet valid"
        } else if facts.ends_s <= now_s {
            "expired"
        } else {
            "valid"
        };
        entry.leaf("status", status)
    });
    Reply::result(element("result").with_all(entries))
}
