//! Does the API server get an answer about a policy, by TLS, with everything that is wrong?

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bartizan_kube::webhook::Settings;
use bartizan_lab::kubernetes::{ApiServer, namespace, network_policy};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};

use super::{Manager, Running, until};

/// Writes a certificate and its key; the certificate.
fn identity(folder: &Path) -> rustls_pki_types::CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("tls.crt"), cert.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), signing_key.serialize_pem()).unwrap();
    cert.der().clone()
}

async fn ask(at: SocketAddr, trusted: &rustls_pki_types::CertificateDer<'static>, object: &Value) -> Value {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let connector =
        hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().build();
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let review = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "705ab4f5", "kind": { "group": "networking.k8s.io", "version": "v1", "kind": "NetworkPolicy" },
        "operation": "CREATE", "namespace": "shop", "name": "web", "object": object } });
    let request = Request::post(format!("https://localhost:{}/validate", at.port()))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(review.to_string())))
        .unwrap();
    let answer = client.request(request).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    let review: Value = serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!((&review["apiVersion"], &review["kind"]), (&json!("admission.k8s.io/v1"), &json!("AdmissionReview")));
    assert_eq!(review["response"]["uid"], json!("705ab4f5"));
    review["response"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_names_what_is_not_there_is_refused_at_the_door() {
    let api = ApiServer::start(&["v1"]);
    api.put("namespaces", namespace("shop", &[]));
    let manager = Manager::start().await;
    let folder = tempfile::tempdir().unwrap();
    let trusted = identity(folder.path());
    let settings = Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        certificate: folder.path().join("tls.crt"),
        key: folder.path().join("tls.key"),
    };
    let running = Running::start_with(&api, &manager, "one", Some(settings)).await;
    let at = running.webhook.unwrap();
    let policy = |annotations: Value| {
        let mut policy = network_policy("shop", "web", json!({ "podSelector": {} }));
        policy["metadata"]["annotations"] = annotations;
        policy
    };
    let good = policy(json!({ "np.panw.com/spyware": "strict" }));
    let mut answer = ask(at, &trusted, &good).await;
    let start = std::time::Instant::now();
    while !answer["warnings"].is_null() && start.elapsed() < super::PATIENCE {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        answer = ask(at, &trusted, &good).await;
    }
    assert_eq!((&answer["allowed"], &answer["warnings"]), (&json!(true), &Value::Null), "the catalogue is known");
    let answer = ask(at, &trusted, &policy(json!({ "np.panw.com/spyware": "strikt", "np.panw.com/virus": "a" }))).await;
    assert_eq!((&answer["allowed"], &answer["status"]["code"]), (&json!(false), &json!(422)));
    let answer = ask(at, &trusted, &policy(json!({ "np.panw.com/spyware": "strikt" }))).await;
    let message = answer["status"]["message"].as_str().unwrap();
    assert!(message.contains("`strikt`") && message.contains("did you mean `strict`?"), "{message}");
    assert_eq!(ask(at, &trusted, &policy(json!({}))).await["allowed"], json!(true));
    until("all is counted", || true).await;
    let metrics = running.told("/metrics").await.1;
    assert!(metrics.contains("bartizan_controller_policies_refused_total 2\n"), "{metrics}");
    running.end().await;
}
