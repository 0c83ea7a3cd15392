//! Do certificates of the configuration get to the listener, and their keys nowhere else?

use std::sync::Arc;

use rustls::{ClientConfig, ProtocolVersion, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::common::{Server, between};

const CERTIFICATES: &str = "/config/panorama/certificate";
const PROFILES: &str = "/config/panorama/ssl-tls-service-profile";
const SYSTEM: &str = "/config/devices/entry[@name='localhost.localdomain']/deviceconfig/system";

async fn generate(server: &Server, elements: &str) -> String {
    server.op(&format!("<request><certificate><generate>{elements}</generate></certificate></request>")).await
}

/// What a client that trusts `root` sees: version and the server's chain, or why not.
async fn look(
    server: &Server,
    root: &CertificateDer<'static>,
    name: &'static str,
) -> Result<(ProtocolVersion, usize), String> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name).unwrap(), stream);
    let stream = connecting.await.map_err(|error| error.to_string())?;
    let session = stream.get_ref().1;
    Ok((session.protocol_version().unwrap(), session.peer_certificates().unwrap().len()))
}

fn multipart(name: &str, text: &str) -> Vec<u8> {
    let head = format!("--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n");
    format!("{head}{text}\r\n--X--\r\n").into_bytes()
}

async fn import(server: &Server, parameters: &str, text: &str) -> String {
    let path = format!("/api/?type=import&{parameters}");
    let headers = [("x-pan-key", &*server.key), ("content-type", "multipart/form-data; boundary=X")];
    server.request("POST", &path, &headers, multipart("file.pem", text)).await.body
}

async fn export(server: &Server, more: &[(&str, &str)]) -> String {
    let base = [("type", "export"), ("category", "certificate")];
    server.body(&[&base[..], more].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_sets_what_the_listener_shows() {
    let server = Server::start().await;
    let made = generate(&server, "<certificate-name>root</certificate-name><name>Root</name><ca>yes</ca>").await;
    assert!(made.contains("Successfully generated certificate and key pair : root"), "{made}");
    let web = "<certificate-name>web</certificate-name><name>web</name><signed-by>root</signed-by>\
        <hostname><member>web.example</member></hostname>";
    assert!(generate(&server, web).await.contains("Successfully generated"));
    assert!(generate(&server, web).await.contains("is there already"));
    let root = export(&server, &[("certificate-name", "root"), ("format", "pem")]).await;
    let root = CertificateDer::from_pem_slice(root.as_bytes()).unwrap();

    server.set(&format!("{PROFILES}/entry[@name='strict']"), "<certificate>web</certificate><protocol-settings><min-version>tls1-2</min-version><max-version>tls1-2</max-version></protocol-settings>").await;
    server.set(SYSTEM, "<ssl-tls-service-profile>strict</ssl-tls-service-profile>").await;
    assert!(look(&server, &root, "web.example").await.is_err(), "nothing is shown before the commit");
    let job = server.commit().await;
    assert!(job.contains("<result>OK</result>"), "{job}");
    assert_eq!(look(&server, &root, "web.example").await, Ok((ProtocolVersion::TLSv1_2, 2)));
    // Firewalls go on as before.
    assert_eq!(look(&server, &server.ca(), "manager.bartizan").await, Ok((ProtocolVersion::TLSv1_3, 2)));

    server
        .set(
            &format!("{PROFILES}/entry[@name='strict']/protocol-settings"),
            "<min-version>tls1-3</min-version><max-version>max</max-version>",
        )
        .await;
    let renew = "<request><certificate><renew><certificate-name>web</certificate-name><days-till-expiry>20</days-till-expiry></renew></certificate></request>";
    assert!(server.op(renew).await.contains("Successfully renewed"));
    let job = server.commit().await;
    assert!(job.contains("<result>OK</result>") && job.contains("certificate `web` ends soon"), "{job}");
    assert_eq!(look(&server, &root, "web.example").await, Ok((ProtocolVersion::TLSv1_3, 2)));
    let shown = server.op("<request><certificate><show/></certificate></request>").await;
    assert!(shown.contains("<issuer>CN=Root</issuer>") && shown.contains("<status>valid</status>"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_nowhere_in_clear() {
    let server = Server::start().await;
    let external =
        "<certificate-name>asked</certificate-name><name>asked.example</name><signed-by>external</signed-by>";
    assert!(generate(&server, external).await.contains("Successfully generated"));
    let request = export(&server, &[("certificate-name", "asked"), ("format", "pkcs10")]).await;
    assert!(request.starts_with("-----BEGIN CERTIFICATE REQUEST-----"), "{request}");
    assert!(generate(&server, "<certificate-name>a</certificate-name><name>a</name>").await.contains("Successfully"));
    let pair = [("certificate-name", "a"), ("include-key", "yes"), ("passphrase", "open sesame")];
    let file = export(&server, &pair).await;
    assert!(file.contains("BEGIN ENCRYPTED PRIVATE KEY"), "{file}");
    assert!(export(&server, &pair[..2]).await.contains("passphrase"));

    // Out, and in again under another name; with the wrong passphrase, or without its key, it is refused.
    let again = import(&server, "category=keypair&certificate-name=b&format=pem&passphrase=open+sesame", &file).await;
    assert!(again.contains("<line>b saved.</line>"), "{again}");
    let wrong = import(&server, "category=keypair&certificate-name=c&format=pem&passphrase=x", &file).await;
    assert!(wrong.contains("does not open"), "{wrong}");
    assert!(
        import(&server, "category=certificate&certificate-name=c&format=pkcs12", &file)
            .await
            .contains("`pkcs12` is not supported")
    );
    let foreign =
        import(&server, "category=certificate&certificate-name=asked&format=pem", &between_certificate(&file)).await;
    assert!(foreign.contains("is not the certificate's"), "{foreign}");
    let alone =
        import(&server, "category=certificate&certificate-name=d&format=pem", &between_certificate(&file)).await;
    assert!(alone.contains("<line>d saved.</line>"), "{alone}");
    let key = &file[file.find("-----BEGIN ENC").unwrap()..];
    let key = import(&server, "category=private-key&certificate-name=d&passphrase=open+sesame", key).await;
    assert!(key.contains("<line>d saved.</line>"), "{key}");

    // A key that comes by an edit or with a whole configuration is sealed as well.
    let clear = "-----BEGIN PRIVATE KEY-----\nTUlJ\n-----END PRIVATE KEY-----";
    server.set(&format!("{CERTIFICATES}/entry[@name='e']"), &format!("<private-key>{clear}</private-key>")).await;
    let tree = server.get("/config").await;
    assert_eq!(tree.matches("<private-key>-AQ==").count(), 5, "{tree}");
    assert_eq!(tree.matches("<private-key>").count(), 5, "{tree}");
    assert!(server.commit().await.contains("<result>OK</result>"));
    if server.database().is_none() {
        for file in ["manager.sqlite", "manager.sqlite-wal"] {
            let Ok(bytes) = std::fs::read(server.file(file)) else { continue };
            let found = bytes.windows(13).any(|window| window == b"PRIVATE KEY--");
            assert!(!found, "{file} holds a key in clear");
        }
    }
    // What pan-python looks at.
    let entry = format!("{CERTIFICATES}/entry[@name='d']");
    let got = server.body(&[("type", "config"), ("action", "get"), ("xpath", &entry)]).await;
    assert!(got.contains("code=\"19\""), "{got}");
    let deleted = server.body(&[("type", "config"), ("action", "delete"), ("xpath", &entry)]).await;
    assert!(deleted.contains("code=\"20\""), "{deleted}");
    let got = server.body(&[("type", "config"), ("action", "get"), ("xpath", &entry)]).await;
    assert!(got.contains("code=\"7\""), "{got}");
}

fn between_certificate(file: &str) -> String {
    let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
    format!("{begin}{}{end}\n", between(file, begin, end))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_refused_at_commit() {
    let server = Server::start().await;
    server.set(&format!("{CERTIFICATES}/entry[@name='bad']"), "<public-key>nonsense</public-key>").await;
    for (name, certificate, settings) in [
        ("gone", "nowhere", ""),
        ("keyless", "bad", "<min-version>tls1-3</min-version><max-version>tls1-2</max-version>"),
        ("old", "bad", "<min-version>tls1-0</min-version><enc-algo-3des>yes</enc-algo-3des>"),
    ] {
        let element =
            format!("<certificate>{certificate}</certificate><protocol-settings>{settings}</protocol-settings>");
        server.set(&format!("{PROFILES}/entry[@name='{name}']"), &element).await;
    }
    server.set(SYSTEM, "<ssl-tls-service-profile>olt</ssl-tls-service-profile>").await;
    let job = server.commit().await;
    for part in [
        "certificate `bad` cannot be read",
        "certificate `nowhere` of the profile `gone` does not exist",
        "certificate `bad` of the profile `keyless` lacks its private key",
        "profile `keyless`: `min-version` tls1-3 is above",
        "`min-version` tls1-0 of the profile `old` has no effect",
        "`enc-algo-3des` of the profile `old` has no effect",
        "profile `olt` does not exist",
        "did you mean `old`?",
    ] {
        assert!(job.contains(part), "{part}: {job}");
    }
}
