//! Which API server does a kubeconfig name, and with what does one speak to it?

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine;
use serde::Deserialize;

/// What a kubeconfig says, read anew for each call: tokens rotate.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// Address without a slash at its end.
    pub(crate) server: String,
    /// Certificates in PEM form; none for a server without TLS.
    pub(crate) authority: Option<Vec<u8>>,
    pub(crate) token: Option<String>,
}

#[derive(Deserialize)]
struct Written {
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(rename = "current-context", default)]
    current: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
struct Cluster {
    server: String,
    #[serde(rename = "certificate-authority-data", default)]
    authority_data: Option<String>,
    #[serde(rename = "certificate-authority", default)]
    authority: Option<PathBuf>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Default, Deserialize)]
struct User {
    #[serde(default)]
    token: Option<String>,
    #[serde(rename = "tokenFile", default)]
    token_file: Option<PathBuf>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context_,
}

#[derive(Deserialize)]
struct Context_ {
    cluster: String,
    #[serde(default)]
    user: String,
}

impl Access {
    /// Reads a kubeconfig and the files that it names.
    ///
    /// # Errors
    /// When a file cannot be read or says too little.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let at = || format!("the kubeconfig `{}`", path.display());
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", at()))?;
        let written: Written = serde_saphyr::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {error}", at()))?;
        written.access().with_context(at)
    }
}

impl Written {
    fn access(self) -> Result<Access> {
        let context = self.contexts.into_iter().find(|context| context.name == self.current);
        let context = context.map(|context| context.context);
        let named = |name: &str| context.as_ref().is_none_or(|context| context.cluster == name);
        let Some(cluster) = self.clusters.into_iter().find(|cluster| named(&cluster.name)) else {
            bail!("names no cluster");
        };
        let named = |name: &str| context.as_ref().is_none_or(|context| context.user == name);
        let user = self.users.into_iter().find(|user| named(&user.name)).map(|user| user.user).unwrap_or_default();
        let cluster = cluster.cluster;
        let authority = match (cluster.authority_data, cluster.authority) {
            (Some(data), _) => {
                let engine = base64::engine::general_purpose::STANDARD;
                Some(engine.decode(data.trim()).context("`certificate-authority-data` is not base64")?)
            }
            (None, Some(path)) => Some(std::fs::read(&path).with_context(|| format!("read `{}`", path.display()))?),
            (None, None) => None,
        };
        if authority.is_none() && cluster.server.starts_with("https:") {
            bail!("has no certificate authority for `{}`", cluster.server);
        }
        let token = match (user.token, user.token_file) {
            (Some(token), _) => Some(token),
            (None, Some(path)) => {
                Some(std::fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?)
            }
            (None, None) => None,
        };
        let token = token.map(|token| token.trim().to_owned());
        Ok(Access { server: cluster.server.trim_end_matches('/').to_owned(), authority, token })
    }
}

/// A kubeconfig with one cluster and one token. YAML takes JSON for its own, and nothing needs to be escaped.
pub(crate) fn text(server: &str, authority: &[u8], token: &str) -> String {
    let data = base64::engine::general_purpose::STANDARD.encode(authority);
    let value = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": {"server": server, "certificate-authority-data": data}}],
        "users": [{"name": "pan-cni", "user": {"token": token}}],
        "contexts": [{"name": "pan-cni", "context": {"cluster": "local", "user": "pan-cni"}}],
        "current-context": "pan-cni",
    });
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_installer_writes_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, text("https://10.96.0.1:443", b"PEM", "abc")).unwrap();
        let access = Access::read(&path).unwrap();
        assert_eq!((access.server.as_str(), access.token.as_deref()), ("https://10.96.0.1:443", Some("abc")));
        assert_eq!(access.authority.as_deref(), Some(b"PEM".as_slice()));
    }

    #[test]
    fn a_yaml_kubeconfig_follows_its_current_context_and_reads_its_token_anew() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        let path = folder.path().join("kubeconfig");
        let yaml = format!(
            "clusters:\n- name: a\n  cluster: {{server: 'http://a'}}\n- name: b\n  cluster: {{server: 'http://b/'}}\n\
             users:\n- name: u\n  user: {{tokenFile: {}}}\n\
             contexts:\n- name: c\n  context: {{cluster: b, user: u}}\ncurrent-context: c\n",
            token.display()
        );
        std::fs::write(&path, yaml).unwrap();
        for word in ["one\n", "two\n"] {
            std::fs::write(&token, word).unwrap();
            let access = Access::read(&path).unwrap();
            assert_eq!((access.server.as_str(), access.token.as_deref()), ("http://b", Some(word.trim())));
        }
    }

    #[test]
    fn tls_without_an_authority_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, "clusters:\n- name: a\n  cluster: {server: 'https://a'}\n").unwrap();
        let error = format!("{:#}", Access::read(&path).unwrap_err());
        assert!(error.ends_with("has no certificate authority for `https://a`"), "{error}");
    }
}
