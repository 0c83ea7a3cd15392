//! `bartizan login` and `bartizan logout`.

use std::io::{BufRead as _, IsTerminal as _};

use hyper::Method;
use serde_json::json;

use super::arguments::{Login, Server};
use super::client::{Client, place};
use super::files::{self, login_path, write_login};
use super::output::print;
use crate::{Failure, USAGE};

/// Environment variable with the password.
const PASSWORD_VARIABLE: &str = "BARTIZAN_PASSWORD";

/// Trades name and password for a key, and keeps that.
pub(super) async fn login(arguments: &Login) -> Result<(), Failure> {
    let path = login_path(arguments.server.login_file.as_deref())?;
    // A file that is open to others, or broken, is about to be replaced.
    let known = files::read_login(Some(&path)).ok().flatten();
    let mut place = place(&arguments.server, known.as_ref())?;
    place.key = None;
    let password = password(arguments)?;
    let client = Client::at(&place)?;
    let body = json!({ "user": arguments.user, "password": password });
    let session = client.ask(Method::POST, "/session", Some(&body)).await?;
    place.key = session["token"].as_str().map(str::to_owned);
    write_login(&path, &place)?;
    print(&format!(
        "logged in to {} as `{}` ({}); the key is in {}",
        place.server,
        arguments.user,
        session["role"].as_str().unwrap_or_default(),
        path.display()
    ))
}

/// Ends the key and forgets it.
pub(super) async fn logout(server: &Server) -> Result<(), Failure> {
    let path = login_path(server.login_file.as_deref())?;
    let Some(login) = files::read_login(Some(&path))? else {
        return Err(Failure::new(1, format!("error: nobody is logged in: there is no {}", path.display())));
    };
    let ended = match &login.key {
        Some(_) => Client::at(&login)?.ask(Method::DELETE, "/session", None).await.map(drop),
        None => Ok(()),
    };
    std::fs::remove_file(&path)
        .map_err(|error| Failure::new(1, format!("error: remove `{}`: {error}", path.display())))?;
    ended?;
    print(&format!("logged out of {}", login.server))
}

fn password(arguments: &Login) -> Result<String, Failure> {
    if arguments.password_stdin {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map_err(anyhow::Error::from)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    if let Some(password) = std::env::var(PASSWORD_VARIABLE).ok().filter(|password| !password.is_empty()) {
        return Ok(password);
    }
    if !std::io::stdin().is_terminal() {
        let text = format!(
            "error: there is no terminal to ask for the password: set {PASSWORD_VARIABLE}, or give `--password-stdin`"
        );
        return Err(Failure::new(USAGE, text));
    }
    Ok(rpassword::prompt_password(format!("password of `{}`: ", arguments.user)).map_err(anyhow::Error::from)?)
}
