//! The control socket: one command per connection, for the command line on the same host.
//!
//! The client sends `<form>\n<command as XML>` and closes its side; the answer is `ok\n` or `error\n` and
//! the rendered text. The socket is for its owner alone (mode 0600).

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as Client;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bartizan_model::xml;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::command::Command;
use crate::command::answer::Form;
use crate::command::answers::answer;
use crate::command::words::{parse_xml, to_xml};
use crate::firewall::Firewall;
use crate::port::claim::Taken;

/// Longest request.
const REQUEST_BYTES_MAX: u64 = 64 << 10;
/// Connections at a time; more wait in the listen queue.
const CONNECTIONS_MAX: usize = 16;
/// A client that does not send its request, or take its answer, in this time is dropped.
const CLIENT_LIMIT: Duration = Duration::from_secs(30);

/// The socket; its file goes when this is dropped.
pub struct Socket {
    path: PathBuf,
    listener: Option<UnixListener>,
}

impl Socket {
    /// Makes the socket. One left behind by a process that was killed is replaced.
    ///
    /// # Errors
    /// When something else is there, or a living firewall has it.
    pub fn bind(path: &Path) -> Result<Self> {
        remove_stale(path)?;
        // The file must never be there with more rights than it keeps, so it is made in the dark and then
        // moved into the light.
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        let listener =
            UnixListener::bind(&beside).with_context(|| format!("make the control socket `{}`", path.display()))?;
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600))
            .and_then(|()| fs::rename(&beside, path))
            .with_context(|| format!("make the control socket `{}`", path.display()))?;
        Ok(Self { path: path.to_owned(), listener: Some(listener) })
    }

    /// Answers until the runtime ends.
    pub fn serve(&mut self, firewall: Arc<Firewall>) {
        if let Some(listener) = self.listener.take() {
            tokio::spawn(accept(listener, firewall));
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // It may be gone already; there is nobody to tell.
        let _ = fs::remove_file(&self.path);
    }
}

fn remove_stale(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("look at `{}`", path.display())),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            bail!("`{}` is there and is no socket: choose another `--control`", path.display())
        }
        Ok(_) if Client::connect(path).is_ok() => {
            Err(Taken(format!("another firewall answers on the control socket `{}`", path.display())).into())
        }
        Ok(_) => fs::remove_file(path).with_context(|| format!("remove the stale `{}`", path.display())),
    }
}

async fn accept(listener: UnixListener, firewall: Arc<Firewall>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: wait for connections to end.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let firewall = Arc::clone(&firewall);
        tokio::spawn(async move {
            // A client that went away has no use for an error.
            let _ = timeout(CLIENT_LIMIT, converse(stream, &firewall)).await;
            drop(slot);
        });
    }
}

async fn converse(mut stream: UnixStream, firewall: &Firewall) -> std::io::Result<()> {
    let mut request = Vec::new();
    (&mut stream).take(REQUEST_BYTES_MAX).read_to_end(&mut request).await?;
    let (word, text) = match respond(&String::from_utf8_lossy(&request), firewall).await {
        Ok(text) => ("ok\n", text),
        Err(text) => ("error\n", text),
    };
    stream.write_all(word.as_bytes()).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

async fn respond(request: &str, firewall: &Firewall) -> Result<String, String> {
    let (form, xml) = request.split_once('\n').ok_or("the request has no form")?;
    let form = match form {
        "text" => Form::Text,
        "json" => Form::Json,
        "xml" => Form::Xml,
        other => return Err(format!("`{other}` is no form; known: text, json, xml")),
    };
    if let Some(answer) = uid_message(xml, firewall) {
        return answer;
    }
    let command = parse_xml(xml).map_err(|mistake| mistake.to_string())?;
    Ok(answer(&command, firewall).await?.render(form))
}

/// The answer to a `uid-message`, which is no command; `None` for anything else.
fn uid_message(text: &str, firewall: &Firewall) -> Option<Result<String, String>> {
    let message = xml::parse(text).ok().filter(|root| &*root.name == "uid-message")?;
    let tags = &firewall.gatherers()?.tags;
    Some(match tags.update(&message, jiff::Timestamp::now()) {
        Ok(response) => Ok(xml::write(&response)),
        Err(response) => Err(xml::write(&response)),
    })
}

/// Answers a command that came as XML, in XML.
///
/// # Errors
/// What is wrong with it, in words.
pub async fn answer_xml(xml: &str, firewall: &Firewall) -> Result<String, String> {
    if let Some(answer) = uid_message(xml, firewall) {
        return answer;
    }
    let command = parse_xml(xml).map_err(|mistake| mistake.to_string())?;
    Ok(answer(&command, firewall).await?.render(Form::Xml))
}

/// Asks the firewall behind a socket.
///
/// # Errors
/// When there is none. The inner error is what the firewall itself says.
pub fn ask(path: &Path, command: &Command, form: Form) -> Result<Result<String, String>> {
    let mut stream = match Client::connect(path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => bail!(
            "no firewall answers on `{}`; name its socket with `--socket` or the variable BARTIZAN_CONTROL",
            path.display()
        ),
        Err(error) => return Err(error).with_context(|| format!("connect to `{}`", path.display())),
    };
    let form = match form {
        Form::Text => "text",
        Form::Json => "json",
        Form::Xml => "xml",
    };
    stream.write_all(format!("{form}\n{}", to_xml(command)).as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("read the answer")?;
    match answer.split_once('\n') {
        Some(("ok", text)) => Ok(Ok(text.to_owned())),
        Some(("error", text)) => Ok(Err(text.to_owned())),
        _ => bail!("the firewall behind `{}` hung up without an answer", path.display()),
    }
}
