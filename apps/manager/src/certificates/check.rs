//! What about certificates and SSL/TLS service profiles in a candidate is wrong, or will soon be?

use bartizan_model::codes;
use bartizan_model::diagnostic::{Diagnostic, Origin, closest};
use bartizan_model::tree::{Element, quote};
use jiff::Timestamp;

use super::{chain, facts, find, text};
use crate::times;
use crate::tls::profile::{self, OWN_PROFILE, Profile};

/// A certificate that ends within these seconds is worth a warning: 30 days.
const SOON_S: i64 = 30 * 86_400;

/// All of it, of the manager's own.
pub(crate) fn check(candidate: &Element) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    let now_s = Timestamp::now().as_second();
    for place in ["panorama", "shared"] {
        let here = |list: &str, name: &str| format!("/config/{place}/{list}/entry[@name={}]", quote(name));
        let entries = |list: &str| candidate.descend(&[place, list]).into_iter().flat_map(Element::entries);
        for (name, entry) in entries("certificate") {
            diagnostics.extend(of_certificate(name, entry, &here("certificate", name), now_s));
        }
        for (name, entry) in entries("ssl-tls-service-profile") {
            diagnostics.extend(of_profile(candidate, name, entry, &here("ssl-tls-service-profile", name)));
        }
    }
    if let Some(name) = profile::own_name(candidate)
        && profile::find(candidate, &name).is_none()
    {
        let known = ["panorama", "shared"]
            .into_iter()
            .filter_map(|place| candidate.descend(&[place, "ssl-tls-service-profile"]));
        let known: Vec<&str> = known.flat_map(Element::entries).map(|(name, _)| name).collect();
        let near = closest(&name, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        let message = format!("the manager's SSL/TLS service profile `{name}` does not exist");
        let diagnostic = Diagnostic::error(codes::UNKNOWN_PROFILE, Origin::xpath(OWN_PROFILE), message);
        diagnostics.push(match near {
            Some(near) => diagnostic.with_help(near),
            None => diagnostic,
        });
    }
    diagnostics
}

fn of_certificate(name: &str, entry: &Element, here: &str, now_s: i64) -> Option<Diagnostic> {
    let pem = text(entry, "public-key");
    if pem.is_empty() {
        // One that is asked for elsewhere has only its key and the request until it is signed.
        return None;
    }
    let at = Origin::xpath(format!("{here}/public-key"));
    let facts = match chain(&pem).and_then(|chain| facts(&chain[0])) {
        Ok(facts) => facts,
        Err(error) => {
            return Some(Diagnostic::error(
                codes::INVALID_CERTIFICATE,
                at,
                format!("certificate `{name}` cannot be read: {error}"),
            ));
        }
    };
    let date = times::certificate_date(facts.ends_s);
    let message = if facts.ends_s <= now_s {
        format!("certificate `{name}` has ended: {date}")
    } else if facts.ends_s <= now_s + SOON_S {
        format!("certificate `{name}` ends soon: {date}")
    } else {
        return None;
    };
    let help = "`request certificate renew` makes one that lasts longer, when its issuer's key is here";
    Some(Diagnostic::warning(codes::INVALID_CERTIFICATE, at, message).with_help(help))
}

fn of_profile(candidate: &Element, name: &str, entry: &Element, here: &str) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    let at = |step: &str| Origin::xpath(format!("{here}/{step}"));
    let certificate = text(entry, "certificate");
    match find(candidate, &certificate) {
        Some(found) if text(found, "private-key").is_empty() || text(found, "public-key").is_empty() => {
            let message = format!(
                "certificate `{certificate}` of the profile `{name}` lacks its private key or itself, so nothing can be served with it"
            );
            diagnostics.push(Diagnostic::error(codes::INVALID_CERTIFICATE, at("certificate"), message));
        }
        Some(_) => {}
        None => {
            let message = format!("certificate `{certificate}` of the profile `{name}` does not exist");
            diagnostics.push(Diagnostic::error(codes::UNKNOWN_CERTIFICATE, at("certificate"), message));
        }
    }
    let settings = at("protocol-settings");
    match Profile::read(entry) {
        Ok(profile) => diagnostics.extend(profile.ignored().into_iter().map(|what| {
            let message = format!("{what} of the profile `{name}` has no effect");
            Diagnostic::warning(codes::NOT_ENFORCED, settings.clone(), message)
                .with_help("TLS 1.2 and 1.3 are offered, with ephemeral keys and AEAD ciphers")
        })),
        Err(error) => {
            diagnostics.push(Diagnostic::error(codes::INVALID_ENUM, settings, format!("profile `{name}`: {error}")))
        }
    }
    diagnostics
}
