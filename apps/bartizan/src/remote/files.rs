//! Where is the key kept? In a file that nobody else can read, or not at all.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Failure;

/// Mode bits of everybody but the owner.
const OTHERS: u32 = 0o077;

/// A manager, by what it is known, and a key for it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Login {
    /// `https://HOST:PORT`
    pub(super) server: String,
    /// Its authority, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ca: Option<String>,
    /// Or its authority's fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fingerprint: Option<String>,
    /// An API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
}

/// The file of the login.
pub(super) fn login_path(chosen: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = chosen {
        return Ok(path.to_owned());
    }
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")));
    let folder =
        folder.ok_or_else(|| Failure::new(1, "error: there is no HOME to keep a login in; give `--login-file`"))?;
    Ok(folder.join("bartizan/login.json"))
}

/// The login that is kept, if any.
pub(super) fn read_login(chosen: Option<&Path>) -> Result<Option<Login>, Failure> {
    let Ok(path) = login_path(chosen) else { return Ok(None) };
    let shown = path.display();
    let mut file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::new(1, format!("error: read `{shown}`: {error}"))),
    };
    let mode = file.metadata().map_err(anyhow::Error::from)?.permissions().mode();
    if mode & OTHERS != 0 {
        let text = format!(
            "error: `{shown}` holds a key and is open to others (mode {:o}): `chmod 600 {shown}`",
            mode & 0o7777
        );
        return Err(Failure::new(1, text));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(anyhow::Error::from)?;
    let login = serde_json::from_str(&text);
    login.map(Some).map_err(|error| Failure::new(1, format!("error: `{shown}` is no login: {error}; log in again")))
}

/// Keeps a login, whole or not at all.
pub(super) fn write_login(path: &Path, login: &Login) -> Result<(), Failure> {
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let temporary = path.with_extension("new");
        let _ = std::fs::remove_file(&temporary);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(serde_json::to_string_pretty(login)?.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|error| Failure::new(1, format!("error: write `{}`: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/login.json");
        let login = Login { server: "https://m:1".into(), key: Some("k".into()), ..Login::default() };
        assert_eq!(read_login(Some(&path)).unwrap(), None);
        write_login(&path, &login).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(read_login(Some(&path)).unwrap(), Some(login));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = read_login(Some(&path)).unwrap_err();
        assert!(refused.text.contains("is open to others (mode 640)"), "{}", refused.text);
    }
}
