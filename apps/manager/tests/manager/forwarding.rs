//! Do logs get to syslog servers: each record, once, also after the server was away?

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::common::device::Device;
use crate::common::{Server, between};
use crate::fleet::{place, record};

const SYSLOG: &str = "/config/panorama/log-settings/syslog";
const CONFIG_LOG: &str = "/config/panorama/log-settings/config/match-list";
/// Longer than the longest pause between two attempts that a test causes.
const PATIENCE: Duration = Duration::from_secs(30);

async fn profile(server: &Server, name: &str, port: u16, more: &str, format: &str) {
    let element = format!(
        "<server><entry name='s'><server>127.0.0.1</server><port>{port}</port>{more}</entry></server><format>{format}</format>"
    );
    server.set(&format!("{SYSLOG}/entry[@name='{name}']"), &element).await;
}

async fn match_config_log(server: &Server, name: &str, filter: &str, profile: &str) {
    let element = format!("<filter>{filter}</filter><send-syslog><member>{profile}</member></send-syslog>");
    server.set(&format!("{CONFIG_LOG}/entry[@name='{name}']"), &element).await;
}

pub(crate) async fn commit(server: &Server) {
    let job = server.commit().await;
    assert!(job.contains("<result>OK</result>"), "{job}");
}

pub(crate) async fn address(server: &Server, name: &str) {
    server.set("/config/shared/address", &format!("<entry name='{name}'><fqdn>a.example</fqdn></entry>")).await;
}

/// Reads one message: with its length before it (RFC 6587, 3.4.1), or up to the line's end.
async fn message(stream: &mut (impl AsyncRead + Unpin), counted: bool) -> String {
    let (mut head, mut length) = (Vec::new(), None);
    loop {
        let byte = timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap();
        match byte {
            b'\n' if !counted => return String::from_utf8(head).unwrap(),
            b' ' if counted && length.is_none() => {
                length = Some(std::str::from_utf8(&head).unwrap().parse::<usize>().unwrap());
                head.clear();
            }
            byte => head.push(byte),
        }
        if length == Some(head.len()) {
            return String::from_utf8(head).unwrap();
        }
    }
}

/// Waits until the lanes have begun: what was before is not theirs.
pub(crate) async fn lanes(server: &Server, count: usize) -> String {
    shown(server, |shown| shown.matches("<state>").count() == count).await
}

pub(crate) async fn shown(server: &Server, until: impl Fn(&str) -> bool) -> String {
    timeout(PATIENCE, async {
        loop {
            let shown = server.op("<show><log-forwarding/></show>").await;
            if until(&shown) {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_away_gets_what_came_meanwhile() {
    let mut server = Server::start().await;
    let datagrams = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    profile(&server, "udp", datagrams.local_addr().unwrap().port(), "<facility>LOG_LOCAL1</facility>", "").await;
    let ietf = "<transport>TCP</transport><format>IETF</format>";
    profile(&server, "tcp", port, ietf, "<config>$cmd by $admin: $path</config>").await;
    match_config_log(&server, "sets", "(cmd eq set)", "udp").await;
    match_config_log(&server, "all", "All Logs", "tcp").await;
    commit(&server).await;
    lanes(&server, 2).await;

    address(&server, "one").await;
    let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    // The commit's own line may be there first.
    let mut first = message(&mut stream, true).await;
    if first.contains("commit by") {
        first = message(&mut stream, true).await;
    }
    assert!(first.starts_with("<14>1 20") && first.ends_with("- - - set by admin: /config/shared/address"), "{first}");
    let mut buffer = [0; 4096];
    let length = timeout(PATIENCE, datagrams.recv(&mut buffer)).await.unwrap().unwrap();
    let datagram = std::str::from_utf8(&buffer[..length]).unwrap();
    assert!(datagram.starts_with("<142>") && datagram.contains(",CONFIG,0,2816,"), "{datagram}");

    // The receiver goes away; the manager notices with the second message at the latest.
    drop((stream, listener));
    for name in ["two", "three", "four"] {
        address(&server, name).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    shown(&server, |shown| {
        shown.contains("<state>waiting</state>") && shown.contains("no connection to syslog server")
    })
    .await;
    // A restart in between loses nothing either.
    server.stop().await;
    server.start_again().await;
    address(&server, "five").await;
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    // What was on its way when the connection broke, the first of them, is not known to have arrived.
    let mut sets = 0;
    while sets < 3 {
        sets += usize::from(message(&mut stream, true).await.contains("set by admin"));
    }
    let last = shown(&server, |shown| !shown.contains("<state>waiting</state>")).await;
    assert_eq!(last.matches("<lost>0</lost>").count(), 2, "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_goes_by_the_profile_of_its_rule_over_tls() {
    let server = Server::start().await;
    let mut device = Device::join(&server).await;
    let serial = device.serial.clone();
    // The server's certificate is of an authority in the configuration.
    let generate = async |elements: &str| {
        let made =
            server.op(&format!("<request><certificate><generate>{elements}</generate></certificate></request>")).await;
        assert!(made.contains("Successfully"), "{made}");
    };
    generate("<certificate-name>root</certificate-name><name>Root</name><ca>yes</ca>").await;
    generate("<certificate-name>siem</certificate-name><name>siem</name><signed-by>root</signed-by><ip><member>127.0.0.1</member></ip>").await;
    let export = [
        ("type", "export"),
        ("category", "certificate"),
        ("certificate-name", "siem"),
        ("include-key", "yes"),
        ("passphrase", "pass"),
    ];
    let pair = server.body(&export).await;
    let openssl = std::process::Command::new("openssl")
        .args(["pkcs8", "-passin", "pass:pass", "-in"])
        .arg({
            let file = server.file("pair.pem");
            std::fs::write(&file, &pair).unwrap();
            file
        })
        .output()
        .unwrap();
    assert!(openssl.status.success(), "openssl reads the key: {}", String::from_utf8_lossy(&openssl.stderr));
    let chain = vec![CertificateDer::from_pem_slice(pair.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(&openssl.stdout).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();

    profile(&server, "siem", port, "<transport>SSL</transport>", "<traffic>CEF</traffic>").await;
    let group = "/config/devices/entry[@name='localhost.localdomain']/device-group/entry[@name='dg']";
    let list = "<match-list><entry name='m'><log-type>traffic</log-type><filter>(port.dst eq 443)</filter>\
        <send-syslog><member>siem</member></send-syslog></entry></match-list>";
    server.set("/config/shared/log-settings/profiles/entry[@name='out']", list).await;
    place(&server, &serial).await;
    server
        .set(&format!("{group}/pre-rulebase/security/rules/entry[@name='out']"), "<log-setting>out</log-setting>")
        .await;
    let job = server.commit().await;
    assert!(job.contains("<result>OK</result>") && !job.contains("log-setting"), "{job}");
    lanes(&server, 1).await;

    let mut other = record(2);
    "another rule".clone_into(&mut other.rule);
    device.log("boot-1", 3, vec![record(1), other, record(3)]).await;
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let mut stream = timeout(PATIENCE, TlsAcceptor::from(Arc::new(config)).accept(stream)).await.unwrap().unwrap();
    for session in ["cn1=1 ", "cn1=3 "] {
        let line = message(&mut stream, false).await;
        assert!(line.contains("CEF:0|Bartizan|") && line.contains("cs1=out ") && line.contains(session), "{line}");
    }
    shown(&server, |shown| between(shown, "<sent-since-start>", "</sent-since-start>") == "2").await;
}
