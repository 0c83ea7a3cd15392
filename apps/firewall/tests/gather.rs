//! Names, lists and tags end to end: a real name server, a real web server, and rules that follow them.
//!
//! The test runs itself again in namespaces of its own, where `/etc/resolv.conf` names a dnsmasq.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test itself does")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bartizan_firewall::clock::Clock;
use bartizan_firewall::control::answer_xml;
use bartizan_firewall::dataplane::{Dataplane, Settings};
use bartizan_firewall::firewall::Firewall;
use bartizan_firewall::hex;
use bartizan_firewall::store::Enforced;
use bartizan_policy::names::Ids;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// How long what is gathered may take to be in force.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn rules_follow_names_lists_and_tags() {
    let directory = tempfile::tempdir().unwrap();
    let resolver = directory.path().join("resolv.conf");
    std::fs::write(&resolver, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").unwrap();
    let script =
        "ip link set lo up && mount --bind \"$1\" /etc/resolv.conf && exec \"$2\" --ignored --exact inside --nocapture";
    let run = Command::new("unshare")
        .args(["--mount", "--net", "sh", "-c", script, "sh"])
        .args([resolver.as_path(), &std::env::current_exe().unwrap()])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && told.contains("1 passed"), "{told}");
}

/// A name server that knows one name; it ends when this is dropped.
struct NameServer(Child);

impl NameServer {
    fn start(record: &str) -> Self {
        let server = Command::new("dnsmasq")
            .args([
                "--keep-in-foreground",
                "--no-resolv",
                "--no-hosts",
                "--conf-file=/dev/null",
                "--pid-file",
                "--user=root",
            ])
            .args(["--group=root", "--listen-address=127.0.0.1", "--bind-interfaces", "--local=/example/"])
            .arg(format!("--host-record=www.example,{record},60"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(server)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves a text, or an error while there is none; returns where.
async fn web_server(text: Arc<Mutex<Option<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 2048]).await;
            let (status, body) = match text.lock().unwrap().clone() {
                Some(text) => ("200 OK", text),
                None => ("503 Service Unavailable", String::new()),
            };
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}/bad.txt")
}

fn configuration(url: &str) -> String {
    let rule = |name: &str, action: &str, source: &str, destination: &str| {
        let list = |tag: &str, member: &str| format!("<{tag}><member>{member}</member></{tag}>");
        let any: String = ["from", "to", "application", "service"].map(|tag| list(tag, "any")).concat();
        let sides = list("source", source) + &list("destination", destination);
        format!("<entry name='{name}'>{any}{sides}<action>{action}</action></entry>")
    };
    let rules = rule("block", "drop", "any", "bad")
        + &rule("site", "allow", "any", "www")
        + &rule("pods", "allow", "pods", "any");
    format!(
        "<config><devices><entry name='localhost.localdomain'><vsys><entry name='vsys1'><zone>\
         <entry name='in'><network><layer3/></network></entry><entry name='out'><network><layer3/></network></entry></zone>\
         <address><entry name='www'><fqdn>WWW.example</fqdn></entry></address>\
         <address-group><entry name='pods'><dynamic><filter>'app.web' and not 'old'</filter></dynamic></entry></address-group>\
         <external-list><entry name='bad'><type><ip><url>{url}</url></ip></type></entry></external-list>\
         <rulebase><security><rules>{rules}</rules></security></rulebase></entry></vsys></entry></devices></config>"
    )
}

async fn firewall(directory: &Path, text: &str) -> Arc<Firewall> {
    let settings = Settings { workers: 1, sessions_max: 100, ring_mib: 1, ..Settings::default() };
    let (plane, _) = Dataplane::start(&settings, Vec::new(), Clock::start()).unwrap();
    let firewall = Arc::new(Firewall::new(plane, Ids::default()));
    firewall.gather(directory);
    let enforced = Enforced { version: 1, digest: hex::sha256(text), text: text.to_owned() };
    firewall.enforce(enforced, |_, _| Ok(()), Instant::now()).await.unwrap();
    firewall
}

async fn ask(firewall: &Firewall, xml: &str) -> String {
    answer_xml(xml, firewall).await.unwrap()
}

/// Waits until an answer holds a text.
async fn until(firewall: &Firewall, xml: &str, expected: &str) {
    let start = Instant::now();
    loop {
        let answer = ask(firewall, xml).await;
        if answer.contains(expected) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "`{expected}` does not come: {xml}\n{answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a rule has its say about a flow.
async fn decides(firewall: &Firewall, source: &str, destination: &str, rule: &str) {
    let flow = format!(
        "<test><security-policy-match><from>in</from><to>out</to><source>{source}</source>\
         <destination>{destination}</destination><protocol>6</protocol><destination-port>443</destination-port>\
         </security-policy-match></test>"
    );
    until(firewall, &flow, &format!("name=\"{rule}\"")).await;
}

const NAMES: &str = "<request><system><fqdn><show/></fqdn></system></request>";
const RESOLVE: &str = "<request><system><fqdn><refresh/></fqdn></system></request>";
const LIST: &str =
    "<request><system><external-list><show><type>ip</type><name>bad</name></show></external-list></system></request>";
const FETCH: &str = "<request><system><external-list><refresh><type>ip</type><name>bad</name></refresh></external-list></system></request>";
const GROUPS: &str = "<show><object><dynamic-address-group><all/></dynamic-address-group></object></show>";

#[ignore = "needs the namespaces that `rules_follow_names_lists_and_tags` makes"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inside() {
    let directory = tempfile::tempdir().unwrap();
    let text = Arc::new(Mutex::new(Some("198.51.100.0/24\nnonsense here\n".to_owned())));
    let url = web_server(Arc::clone(&text)).await;
    let server = NameServer::start("192.0.2.1,2001:db8::1");
    let configuration = configuration(&url);
    let running = firewall(directory.path(), &configuration).await;

    names(&running, server).await;

    // The list: fetched, fetched again, and kept when the server fails.
    decides(&running, "10.0.0.1", "198.51.100.7", "block").await;
    until(&running, LIST, "<total-invalid>1</total-invalid>").await;
    *text.lock().unwrap() = Some("203.0.113.7\n".to_owned());
    ask(&running, FETCH).await;
    decides(&running, "10.0.0.1", "203.0.113.7", "block").await;
    decides(&running, "10.0.0.1", "198.51.100.7", "interzone-default").await;
    *text.lock().unwrap() = None;
    ask(&running, FETCH).await;
    until(&running, LIST, "503").await;
    decides(&running, "10.0.0.1", "203.0.113.7", "block").await;

    tags(&running).await;
    // What is persistent is on disk a second after the last change.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    running.stop();
    drop(running);

    // No name server, no web server: the list and the tags are those of before.
    let again = firewall(directory.path(), &configuration).await;
    decides(&again, "10.0.0.1", "203.0.113.7", "block").await;
    decides(&again, "10.9.9.2", "192.0.2.77", "pods").await;
    decides(&again, "10.0.0.1", "192.0.2.1", "interzone-default").await;
    again.stop();
}

/// A name follows its records, and keeps the last while nobody answers.
async fn names(running: &Firewall, server: NameServer) {
    // The server may come up after the first question; the second comes two seconds later.
    decides(running, "10.0.0.1", "192.0.2.1", "site").await;
    decides(running, "2001:db8:1::1", "2001:db8::1", "site").await;
    drop(server);
    let server = NameServer::start("192.0.2.2");
    tokio::time::sleep(Duration::from_millis(300)).await;
    ask(running, RESOLVE).await;
    decides(running, "10.0.0.1", "192.0.2.2", "site").await;
    decides(running, "10.0.0.1", "192.0.2.1", "interzone-default").await;
    decides(running, "2001:db8:1::1", "2001:db8::1", "interzone-default").await;
    drop(server);
    ask(running, RESOLVE).await;
    until(running, NAMES, "<error>").await;
    decides(running, "10.0.0.1", "192.0.2.2", "site").await;
    assert!(ask(running, NAMES).await.contains("<member>192.0.2.2</member>"));
}

/// A dynamic group follows registrations.
async fn tags(running: &Firewall) {
    let message = |payload: &str| format!("<uid-message><type>update</type><payload>{payload}</payload></uid-message>");
    let register = "<register><entry ip='10.9.9.1'><tag><member>app.web</member></tag></entry>\
        <entry ip='10.9.9.2'><tag><member>app.web</member></tag></entry></register>";
    ask(running, &message(register)).await;
    decides(running, "10.9.9.1", "192.0.2.77", "pods").await;
    decides(running, "10.9.9.2", "192.0.2.77", "pods").await;
    until(running, GROUPS, "<entry name=\"10.9.9.2\" type=\"registered-ip\"/>").await;
    // The first one's tag is registered again for a second, and expires by itself.
    let short = "<register><entry ip='10.9.9.1'><tag><member timeout='1'>app.web</member></tag></entry></register>";
    ask(running, &message(short)).await;
    decides(running, "10.9.9.1", "192.0.2.77", "interzone-default").await;
    decides(running, "10.9.9.2", "192.0.2.77", "pods").await;
    let refused = answer_xml(&message("<register><entry ip='x'/></register>"), running).await.unwrap_err();
    assert!(refused.contains("`x` is not an address"), "{refused}");
}
