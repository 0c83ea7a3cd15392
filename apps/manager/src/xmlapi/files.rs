//! `type=export` and `type=import`: which files go out, and which come in?

use bartizan_model::tree::Element;
use bartizan_model::xml;
use rustls_pki_types::PrivateKeyDer;

use super::element::{Build as _, element, leaf};
use super::endpoints::PACKETS;
use super::log::query;
use super::op::{certificates as named, snapshots};
use super::reply::{Reply, code};
use super::{refuse_change, refuse_reading};
use crate::accounts::{Caller, Right, Role};
use crate::app::App;
use crate::certificates::{self, key, text};
use crate::http::parameters::Parameters;
use crate::logs::export::{Export, Format, RECORDS_AT_ONCE_MAX};
use crate::refusal::Refusal;
use crate::variables;

/// A configuration, or a certificate.
pub(super) async fn export(app: &App, caller: &Caller, parameters: &Parameters) -> Reply {
    match parameters.get("category") {
        Some("configuration") => {
            let name = parameters.get("from").filter(|name| !name.is_empty()).unwrap_or("running-config.xml");
            match snapshots::read(app, name).await {
                Ok(tree) => Reply::file(name, xml::write(&tree)),
                Err(refusal) => refusal.into(),
            }
        }
        Some("certificate") => certificate(app, caller, parameters)
            .unwrap_or_else(|line| Reply::error(code::INVALID_OBJECT, &[line, "nothing was exported".to_owned()])),
        Some("variables") if app.device.is_none() => {
            if let Some(refusal) = refuse_reading(caller, Right::Config) {
                return refusal;
            }
            let stack = parameters.get("template-stack").unwrap_or_default();
            match variable_table(app, &caller.view(&app.configuration.snapshot().candidate), stack) {
                Ok(table) => Reply::file(&format!("{stack}-variables.csv"), table),
                Err(refusal) => refusal.into(),
            }
        }
        Some("log") => logs(app, caller, parameters).await,
        Some(PACKETS) => packets(app, parameters.get("from").filter(|name| !name.is_empty())).await,
        Some(category) => Reply::error(
            code::INVALID_COMMAND,
            &[format!(
                "export of `{category}` is not supported; `configuration`, `certificate`, `variables`, `log` and \
                 `{PACKETS}` are"
            )],
        ),
        None => Reply::bad_request("Missing value for parameter \"category\"."),
    }
}

/// Packets that a firewall captured: a file, or the names of all.
async fn packets(app: &App, name: Option<&str>) -> Reply {
    let Some(device) = &app.device else {
        return Reply::error(code::NOT_POSSIBLE, &["packets are captured by firewalls: name one (`target=SERIAL`)"]);
    };
    match name {
        Some(name) => match device.captured(name.to_owned()).await {
            Ok(bytes) => Reply::file(name, bytes),
            Err(line) => Reply::error(code::NOT_PRESENT, &[line]),
        },
        None => match device.captures().await {
            Ok(names) => {
                let files = names.iter().map(|name| leaf("file", &format!("/{name}")));
                Reply::result(element("result").with(element("dir-listing").with_all(files)))
            }
            Err(line) => Reply::error(code::NOT_POSSIBLE, &[line]),
        },
    }
}

/// A log that the caller may read, an extension: `log-type`, `query`, `format` and `nlogs`.
async fn logs(app: &App, caller: &Caller, parameters: &Parameters) -> Reply {
    if let Some(refusal) = refuse_reading(caller, Right::Log) {
        return refusal;
    }
    let illegal =
        |name: &str, value: &str| Reply::bad_request(&format!("Illegal value for parameter \"{name}\" [{value}]."));
    let name = parameters.get("format").unwrap_or("csv");
    let Some(format) = Format::named(name) else { return illegal("format", name) };
    let records = match parameters.get("nlogs") {
        None | Some("") => Ok(RECORDS_AT_ONCE_MAX),
        Some(text) => text.parse().map(|records: u64| records.min(RECORDS_AT_ONCE_MAX)).map_err(|_| text),
    };
    let records = match records {
        Ok(records) => records,
        Err(text) => return illegal("nlogs", text),
    };
    let query = match query(app, caller, parameters).await {
        Ok(query) => query,
        Err(reply) => return reply,
    };
    let mut file = Vec::new();
    let mut export = Export::new(query, format, records);
    loop {
        match export.next(app).await {
            Ok(Some(part)) => file.extend_from_slice(&part),
            Ok(None) => break,
            Err(error) => {
                tracing::error!("a log cannot be exported: {error:#}");
                return Reply::error(code::INTERNAL, &["the log cannot be read"]);
            }
        }
    }
    let log = parameters.get("log-type").unwrap_or_default();
    Reply::file(&format!("{log}.{name}"), file)
}

/// A configuration is saved under the name of its file, to be loaded later; a certificate goes into the candidate.
pub(super) async fn import(app: &App, caller: &Caller, parameters: &Parameters) -> Reply {
    match (parameters.get("category"), &parameters.file) {
        (Some("configuration"), Some(file)) => snapshots::import(app, caller, &file.name, &file.text).await,
        (Some(category @ ("certificate" | "keypair" | "private-key")), Some(file)) => {
            if let Some(refusal) = refuse_change(caller, Right::Config) {
                return refusal;
            }
            match brought(app, category, &file.text, parameters) {
                Ok((name, element)) => match named::put(app, caller, &name, &element).await {
                    Ok(()) => Reply::line(&format!("{name} saved.")),
                    Err(refusal) => refusal,
                },
                Err(line) => Reply::error(code::INVALID_OBJECT, &[line, "nothing was imported".to_owned()]),
            }
        }
        (Some("variables"), Some(file)) if app.device.is_none() => {
            if let Some(refusal) = refuse_change(caller, Right::Config) {
                return refusal;
            }
            let stack = parameters.get("template-stack").unwrap_or_default();
            match bring_variables(app, caller, stack, &file.text).await {
                Ok(0) => Reply::line("The devices have these values already."),
                Ok(count) => Reply::line(&format!("{count} values of {stack} changed.")),
                Err(refusal) => refusal.into(),
            }
        }
        (Some("configuration" | "certificate" | "keypair" | "private-key" | "variables"), None) => {
            Reply::bad_request("Missing value for parameter \"file\".")
        }
        (Some(category), _) => Reply::error(
            code::INVALID_COMMAND,
            &[format!(
                "import of `{category}` is not supported; `configuration`, `certificate`, `keypair`, `private-key` and \
                 `variables` are"
            )],
        ),
        (None, _) => Reply::bad_request("Missing value for parameter \"category\"."),
    }
}

/// The values of a stack's variables, device by device.
pub(crate) fn variable_table(app: &App, root: &Element, stack: &str) -> Result<String, Refusal> {
    let hostname = |serial: &str| app.fleet.link(serial).map(|link| link.hello.hostname.clone()).unwrap_or_default();
    variables::table(root, stack, hostname)
        .ok_or_else(|| Refusal::new(code::NOT_PRESENT, [variables::unknown_stack(root, stack)]))
}

/// Gives the devices of a stack the values of a table; how many changed.
pub(crate) async fn bring_variables(app: &App, caller: &Caller, stack: &str, text: &str) -> Result<usize, Refusal> {
    let candidate = caller.view(&app.configuration.snapshot().candidate);
    let edits = variables::edits(&candidate, stack, text).map_err(|lines| Refusal::new(code::INVALID_OBJECT, lines))?;
    let count = edits.len();
    if count > 0 {
        app.configuration.apply(caller, edits).await?;
    }
    Ok(count)
}

/// The name and the entry that a file becomes.
fn brought(app: &App, category: &str, file: &str, parameters: &Parameters) -> Result<(String, Element), String> {
    let name = parameters.get("certificate-name").filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| "Missing value for parameter \"certificate-name\".".to_owned())?;
    only_pem(parameters)?;
    let passphrase = parameters.get("passphrase").filter(|passphrase| !passphrase.is_empty());
    let candidate = app.configuration.snapshot().candidate.clone();
    let known = certificates::find(&candidate, name);
    let private_key: Option<PrivateKeyDer<'static>> = match category {
        "certificate" => match known.map(|entry| key::of(entry, &app.secrets)) {
            // The certificate that was asked for elsewhere with the key that is here.
            Some(Ok(key)) => Some(key),
            _ if file.contains("PRIVATE KEY-----") => Some(key::read(file, passphrase)?),
            _ => None,
        },
        _ => Some(key::read(file, passphrase)?),
    };
    let pem = match (category, known) {
        ("private-key", Some(entry)) => text(entry, "public-key"),
        ("private-key", None) => return Err(format!("there is no certificate `{name}` that the key could belong to")),
        _ => file.to_owned(),
    };
    let pem: String = certificates::only(&pem)?;
    Ok((name.to_owned(), certificates::entry(name, &pem, private_key.as_ref())?))
}

fn only_pem(parameters: &Parameters) -> Result<(), String> {
    match parameters.get("format") {
        None | Some("" | "pem") => Ok(()),
        Some(other) => Err(format!("format `{other}` is not supported; `pem` is (`openssl pkcs12 -in FILE` makes it)")),
    }
}

/// `format=pem` gives the chain, with `include-key=yes` also the key under `passphrase`; `format=pkcs10` the request.
fn certificate(app: &App, caller: &Caller, parameters: &Parameters) -> Result<Reply, String> {
    if let Some(refusal) = refuse_reading(caller, Right::Config) {
        return Ok(refusal);
    }
    let name = parameters.get("certificate-name").filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| "Missing value for parameter \"certificate-name\".".to_owned())?;
    let candidate = app.configuration.snapshot().candidate.clone();
    let entry = certificates::find(&candidate, name).ok_or_else(|| format!("there is no certificate `{name}`"))?;
    if parameters.get("format") == Some("pkcs10") {
        let request = text(entry, "csr");
        if request.is_empty() {
            return Err(format!("`{name}` was not asked for: it has no signing request"));
        }
        return Ok(Reply::file(&format!("{}.csr", name.to_lowercase()), request));
    }
    only_pem(parameters)?;
    let mut file = format!("{}\n", text(entry, "public-key"));
    if parameters.get("include-key") == Some("yes") {
        if caller.role != Role::Superuser {
            return Ok(Reply::unauthorized(&format!(
                "private keys go out to superusers alone; `{}` is none",
                caller.name
            )));
        }
        let passphrase = parameters.get("passphrase").filter(|passphrase| !passphrase.is_empty());
        let passphrase = passphrase.ok_or_else(|| "Missing value for parameter \"passphrase\".".to_owned())?;
        file += &key::to_encrypted_pem(&key::of(entry, &app.secrets)?, passphrase)?;
    }
    Ok(Reply::file(&format!("{}.pem", name.to_lowercase()), file))
}
