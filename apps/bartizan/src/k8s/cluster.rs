//! How is a cluster asked?
//!
//! By raw paths and JSON, so that clusters of every age answer: what a field of an old version lacks is nothing, and no
//! error.

use hyper::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use super::arguments::Common;
use crate::{FAILURE, Failure};

/// Objects of one page of a list.
const PAGE: u32 = 500;
/// Pages of one list at most: half a million objects.
const PAGES: usize = 1000;

/// A cluster's API.
pub(super) struct Cluster {
    client: Client,
}

/// An answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// HTTP status.
    pub(super) code: u16,
    /// What the API says.
    pub(super) message: String,
}

impl Cluster {
    /// The cluster that the arguments, or the surroundings, name.
    pub(super) async fn reach(common: &Common) -> Result<Self, Failure> {
        Self::at(common, common.context.as_deref()).await
    }

    /// The same by another context of the kubeconfig.
    pub(super) async fn at(common: &Common, context: Option<&str>) -> Result<Self, Failure> {
        let nowhere = |error: &dyn std::fmt::Display| {
            let text = format!(
                "error: no cluster can be asked: {error}\nhelp: name its kubeconfig by `--kubeconfig FILE` or by KUBECONFIG"
            );
            Failure::new(FAILURE, text)
        };
        let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
        let config = match kubeconfig(common).map_err(|error| nowhere(&error))? {
            Some(file) => Config::from_custom_kubeconfig(file, &options).await.map_err(|error| nowhere(&error))?,
            None => Config::incluster().map_err(|error| nowhere(&error))?,
        };
        Ok(Self { client: Client::try_from(config).map_err(|error| nowhere(&error))? })
    }

    /// What is at a path; nothing when it is not there.
    pub(super) async fn find(&self, path: &str) -> Result<Option<Value>, Failure> {
        match self.ask("GET", path, None).await? {
            Ok(found) => Ok(Some(found)),
            Err(refusal) if refusal.code == 404 => Ok(None),
            Err(refusal) => Err(refused(path, &refusal)),
        }
    }

    /// All objects of a list, page by page; nothing when the cluster does not have such objects.
    pub(super) async fn list(&self, path: &str) -> Result<Vec<Value>, Failure> {
        let (mut all, mut next) = (Vec::new(), String::new());
        for _ in 0..PAGES {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("limit", &PAGE.to_string());
            if !next.is_empty() {
                query.append_pair("continue", &next);
            }
            let sign = if path.contains('?') { '&' } else { '?' };
            let Some(mut page) = self.find(&format!("{path}{sign}{}", query.finish())).await? else { return Ok(all) };
            if let Some(items) = page["items"].as_array_mut() {
                all.append(items);
            }
            match page["metadata"]["continue"].as_str() {
                Some(more) if !more.is_empty() => next = more.to_owned(),
                _ => return Ok(all),
            }
        }
        Err(Failure::new(FAILURE, format!("error: `{path}` has more than {} objects", PAGES * PAGE as usize)))
    }

    /// May whoever asks do that?
    pub(super) async fn may(&self, verb: &str, group: &str, resource: &str, place: &str) -> Result<bool, Failure> {
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let attributes = json!({ "verb": verb, "group": group, "resource": resource, "namespace": place });
        let review = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": attributes } });
        match self.ask("POST", path, Some(&review)).await? {
            Ok(answer) => Ok(answer["status"]["allowed"] == true),
            Err(refusal) => Err(refused(path, &refusal)),
        }
    }

    /// Has the API go through the making of an object, and not make it.
    pub(super) async fn try_out(&self, path: &str, object: &Value) -> Result<Result<(), Refusal>, Failure> {
        Ok(self.ask("POST", &format!("{path}?dryRun=All"), Some(object)).await?.map(drop))
    }

    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Result<Value, Refusal>, Failure> {
        let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.body(bytes).map_err(anyhow::Error::from)?;
        match self.client.request::<Value>(request).await {
            Ok(answer) => Ok(Ok(answer)),
            Err(kube::Error::Api(status)) => Ok(Err(Refusal { code: status.code, message: status.message.clone() })),
            Err(error) => Err(Failure::new(FAILURE, format!("error: the cluster cannot be asked: {}", chain(&error)))),
        }
    }
}

/// Contexts of the kubeconfig besides the one that is asked.
pub(super) fn other_contexts(common: &Common) -> Vec<String> {
    let Ok(Some(file)) = kubeconfig(common) else { return Vec::new() };
    let asked = common.context.clone().or(file.current_context);
    let names = file.contexts.into_iter().map(|context| context.name);
    names.filter(|name| Some(name) != asked.as_ref()).collect()
}

/// The kubeconfig that is named; nothing where there is none, as in a pod.
fn kubeconfig(common: &Common) -> Result<Option<Kubeconfig>, kube::config::KubeconfigError> {
    if let Some(path) = &common.kubeconfig {
        return Kubeconfig::read_from(path).map(Some);
    }
    match Kubeconfig::read() {
        Ok(file) => Ok(Some(file)),
        Err(_) if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

fn refused(path: &str, refusal: &Refusal) -> Failure {
    let place = path.split('?').next().unwrap_or(path);
    Failure::new(FAILURE, format!("error: the cluster refuses `{place}`: {} ({})", refusal.message, refusal.code))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        let said = one.to_string();
        if !text.contains(&said) {
            text += &format!(": {said}");
        }
        cause = one.source();
    }
    text
}
