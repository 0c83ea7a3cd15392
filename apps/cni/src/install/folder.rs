//! Is the plugin where the runtime looks for it? The CNI folders of a node, kept as they should be.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::conflist::{self, TYPE};

/// What a single configuration is kept as while a list stands for it.
const KEPT: &str = ".before-pan-cni";
/// A file that is being written; runtimes do not read such a name.
const FRESH: &str = ".pan-cni-new";
/// The configuration of its own that Multus calls by name.
const ALONE: &str = "pan-cni.conf";

/// What [`tend`] found or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tended {
    /// There is no configuration to stand in yet.
    Waiting,
    /// It stood as it should.
    Stands(String),
    /// It was put in.
    Put(String),
}

/// Keeps the plugin in the chain of the runtime's configuration, and out of every other.
///
/// # Errors
/// When a file cannot be read or written, or is no configuration.
pub(crate) fn tend(folder: &Path, named: Option<&str>, plugin: &Value) -> Result<Tended> {
    let files = files(folder)?;
    let Some((name, text)) = conflist::primary(&files, named) else { return recover(folder) };
    for (other, text) in files.iter().filter(|(other, _)| other != name) {
        if let Some(without) = conflist::remove(text) {
            replace(folder, other, other, &without)?;
        }
    }
    let inserted = conflist::insert(text, plugin).map_err(|problem| anyhow::anyhow!("`{name}` {problem}"))?;
    let list = conflist::as_list(name);
    match inserted {
        None => Ok(Tended::Stands(list)),
        Some(text) if list == *name => replace(folder, name, name, &text).map(|()| Tended::Put(list)),
        Some(text) => {
            // Without a configuration for a moment, pods wait; with the old one, they would start uninspected.
            let kept = folder.join(format!("{name}{KEPT}"));
            fs::rename(folder.join(name), &kept).with_context(|| format!("keep `{name}`"))?;
            replace(folder, &format!("{name}{KEPT}"), &list, &text)?;
            Ok(Tended::Put(list))
        }
    }
}

/// Keeps the configuration that Multus calls by name.
pub(crate) fn tend_alone(folder: &Path, plugin: &Value) -> Result<Tended> {
    let text = format!("{plugin:#}\n");
    if fs::read_to_string(folder.join(ALONE)).is_ok_and(|there| there == text) {
        return Ok(Tended::Stands(ALONE.to_owned()));
    }
    write(folder, ALONE, text.as_bytes(), 0o644)?;
    Ok(Tended::Put(ALONE.to_owned()))
}

/// Takes the plugin out everywhere, and gives single configurations back.
pub(crate) fn clear(folder: &Path) -> Result<()> {
    for (name, text) in files(folder)? {
        let alone = serde_json::from_str::<Value>(&text).is_ok_and(|value| value["type"] == TYPE);
        if alone {
            remove(&folder.join(&name))?;
        } else if let Some(without) = conflist::remove(&text) {
            replace(folder, &name, &name, &without)?;
        }
    }
    for kept in kept(folder)? {
        let list = conflist::as_list(&kept);
        fs::rename(folder.join(format!("{kept}{KEPT}")), folder.join(&kept))
            .with_context(|| format!("give `{kept}` back"))?;
        remove(&folder.join(list))?;
    }
    Ok(())
}

/// Copies a program, if it is not there already.
pub(crate) fn put_program(folder: &Path, program: &[u8]) -> Result<()> {
    if fs::read(folder.join(TYPE)).is_ok_and(|there| there == program) {
        return Ok(());
    }
    write(folder, TYPE, program, 0o755)
}

/// Writes a file whole or not at all.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let fresh = folder.join(format!("{name}{FRESH}"));
    let at = || format!("write `{}`", folder.join(name).display());
    fs::write(&fresh, bytes).with_context(at)?;
    fs::set_permissions(&fresh, Permissions::from_mode(mode)).with_context(at)?;
    fs::rename(&fresh, folder.join(name)).with_context(at)
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// A single configuration whose list is gone (a crash in between, somebody's hand) comes back.
fn recover(folder: &Path) -> Result<Tended> {
    for kept in kept(folder)? {
        if !folder.join(conflist::as_list(&kept)).exists() {
            let from: PathBuf = folder.join(format!("{kept}{KEPT}"));
            fs::rename(from, folder.join(&kept)).with_context(|| format!("give `{kept}` back"))?;
        }
    }
    Ok(Tended::Waiting)
}

/// Single configurations that a list stands for.
fn kept(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("list `{}`", folder.display()))?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter_map(|name| Some(name.strip_suffix(KEPT)?.to_owned())).collect())
}

fn files(folder: &Path) -> Result<Vec<(String, String)>> {
    let entries = fs::read_dir(folder).with_context(|| format!("list `{}`", folder.display()))?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names
        .filter(|name| conflist::is_configuration(name))
        .filter_map(|name| Some((name.clone(), fs::read_to_string(folder.join(&name)).ok()?)))
        .collect())
}

/// Writes a file with the permissions of the one that it comes from.
fn replace(folder: &Path, from: &str, to: &str, text: &str) -> Result<()> {
    let mode = fs::metadata(folder.join(from)).map_or(0o644, |there| there.permissions().mode() & 0o7777);
    write(folder, to, text.as_bytes(), mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ours() -> Value {
        json!({"cniVersion": "1.0.0", "name": "pan-cni", "type": "pan-cni"})
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_list_is_followed_through_its_life() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!(tend(folder, None, &ours()).unwrap(), Tended::Waiting);
        let text = r#"{"name":"k8s","plugins":[{"type":"calico"}]}"#;
        fs::write(folder.join("10-calico.conflist"), text).unwrap();
        fs::set_permissions(folder.join("10-calico.conflist"), Permissions::from_mode(0o600)).unwrap();
        let name = "10-calico.conflist".to_owned();
        assert_eq!(tend(folder, None, &ours()).unwrap(), Tended::Put(name.clone()));
        assert_eq!(tend(folder, None, &ours()).unwrap(), Tended::Stands(name.clone()));
        let mode = fs::metadata(folder.join(&name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((names(folder), mode), (vec![name.clone()], 0o600));
        // The primary plugin's own installer writes its file anew.
        fs::write(folder.join(&name), text).unwrap();
        assert_eq!(tend(folder, None, &ours()).unwrap(), Tended::Put(name.clone()));
        // Another configuration comes before it.
        fs::write(folder.join("05-other.conflist"), text).unwrap();
        assert_eq!(tend(folder, None, &ours()).unwrap(), Tended::Put("05-other.conflist".to_owned()));
        assert!(!fs::read_to_string(folder.join(&name)).unwrap().contains("pan-cni"));
        clear(folder).unwrap();
        let back: Value = serde_json::from_str(&fs::read_to_string(folder.join("05-other.conflist")).unwrap()).unwrap();
        assert_eq!(back, serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn a_single_configuration_becomes_a_list_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let text = r#"{"name":"cbr0","type":"bridge"}"#;
        fs::write(folder.join("99-bridge.conf"), text).unwrap();
        let list = "99-bridge.conflist".to_owned();
        assert_eq!(tend(folder, None, &ours()).unwrap(), Tended::Put(list.clone()));
        assert_eq!(names(folder), ["99-bridge.conf.before-pan-cni", "99-bridge.conflist"]);
        assert_eq!(tend(folder, Some("99-bridge.conf"), &ours()).unwrap(), Tended::Stands(list.clone()));
        // Killed between keeping the one and writing the other.
        fs::remove_file(folder.join(&list)).unwrap();
        assert_eq!(tend(folder, None, &ours()).unwrap(), Tended::Waiting);
        assert_eq!(tend(folder, None, &ours()).unwrap(), Tended::Put(list));
        clear(folder).unwrap();
        assert_eq!(names(folder), ["99-bridge.conf"]);
        assert_eq!(fs::read_to_string(folder.join("99-bridge.conf")).unwrap(), text);
    }

    #[test]
    fn multus_finds_a_configuration_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(tend_alone(folder.path(), &ours()).unwrap(), Tended::Put(ALONE.to_owned()));
        assert_eq!(tend_alone(folder.path(), &ours()).unwrap(), Tended::Stands(ALONE.to_owned()));
        clear(folder.path()).unwrap();
        assert!(names(folder.path()).is_empty());
    }
}
