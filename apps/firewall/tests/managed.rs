//! A firewall under a manager: enrolment, push, logs, commands, and what survives a restart.
//!
//! Real TLS and gRPC on the loopback; no network device is touched, so no rights are needed.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test itself does")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bartizan_api::fleet::log_record::Line;
use bartizan_api::fleet::{Command, LogRecord, LogsStored, Push, TrafficLog, device_message, manager_message};
use bartizan_firewall::auth_key::AuthKey;
use bartizan_firewall::clock::Clock;
use bartizan_firewall::dataplane::{Dataplane, Settings as DataplaneSettings};
use bartizan_firewall::firewall::Firewall;
use bartizan_firewall::hex;
use bartizan_firewall::logs::spool::Spool;
use bartizan_firewall::manager::{Link, LogQueue, Settings};
use bartizan_firewall::store::{Enforced, Store};
use bartizan_policy::names::Ids;
use support::{Manager, ca};
use tokio::sync::watch;

/// A firewall without ports, with a link to a manager.
struct Device {
    firewall: Arc<Firewall>,
    store: Arc<Store>,
    logs: Arc<LogQueue>,
    stop: watch::Sender<bool>,
    link: tokio::task::JoinHandle<()>,
}

impl Device {
    async fn start(directory: &Path, address: &str, auth_key: Option<&str>) -> Self {
        let store = Arc::new(Store::open(directory).unwrap());
        let settings =
            DataplaneSettings { workers: 2, sessions_max: 1000, ring_mib: 1, ..DataplaneSettings::default() };
        let (plane, _) = Dataplane::start(&settings, Vec::new(), Clock::start()).unwrap();
        let firewall = Arc::new(Firewall::new(plane, Ids::default()));
        if let Some(enforced) = store.enforced().unwrap() {
            firewall.enforce(enforced, None, Instant::now()).await.unwrap();
        }
        let logs = Arc::new(LogQueue::new(Spool::new(100, 1 << 20)));
        let (stop, stopped) = watch::channel(false);
        let link = Link {
            settings: Settings {
                address: address.to_owned(),
                auth_key: auth_key.map(|key| AuthKey::parse(key).unwrap()),
                hostname: "fw-test".to_owned(),
            },
            store: Arc::clone(&store),
            firewall: Arc::clone(&firewall),
            logs: Arc::clone(&logs),
            boot_id: "boot".to_owned(),
            stop: stopped,
        };
        Self { firewall, store, logs, stop, link: tokio::spawn(link.run()) }
    }

    async fn end(self) {
        self.stop.send(true).unwrap();
        self.link.await.unwrap();
        self.firewall.stop();
    }

    fn digest(&self) -> Option<String> {
        self.firewall.running().map(|running| running.digest.clone())
    }
}

fn configuration(zone: &str) -> String {
    format!(
        "<config><devices><entry name=\"localhost.localdomain\"><vsys><entry name=\"vsys1\"><zone>\
         <entry name=\"{zone}\"><network><layer3/></network></entry></zone></entry></vsys></entry></devices></config>"
    )
}

fn push(id: u64, text: &str) -> manager_message::Body {
    let push = Push { id, configuration: text.to_owned(), digest: hex::sha256(text), version: id };
    manager_message::Body::Push(push)
}

fn hello(body: device_message::Body) -> Option<bartizan_api::fleet::Hello> {
    match body {
        device_message::Body::Hello(hello) => Some(hello),
        _ => None,
    }
}

fn push_result(body: device_message::Body) -> Option<bartizan_api::fleet::PushResult> {
    match body {
        device_message::Body::PushResult(result) => Some(result),
        _ => None,
    }
}

fn logs(body: device_message::Body) -> Option<bartizan_api::fleet::Logs> {
    match body {
        device_message::Body::Logs(logs) => Some(logs),
        _ => None,
    }
}

fn command_result(body: device_message::Body) -> Option<bartizan_api::fleet::CommandResult> {
    match body {
        device_message::Body::CommandResult(result) => Some(result),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_device_enrols_once_and_comes_back_with_its_certificate() {
    let manager = Manager::start(&ca("one")).await;
    let place = tempfile::tempdir().unwrap();
    let device = Device::start(place.path(), &manager.address.to_string(), Some(&manager.auth_key())).await;
    let said = manager.hear(hello).await;
    assert_eq!((&*said.serial, &*said.hostname, &*said.running_digest), ("BZ0001", "fw-test", ""));
    assert_eq!(said.management_address, "127.0.0.1");
    assert_eq!(device.store.identity().unwrap().unwrap().serial, "BZ0001");
    device.end().await;

    // Without the key, as after a reboot.
    let device = Device::start(place.path(), &manager.address.to_string(), None).await;
    assert_eq!(manager.hear(hello).await.serial, "BZ0001");
    assert_eq!(manager.enrolments().len(), 1);
    device.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_told_to_nobody_but_the_manager_of_the_key() {
    let (right, wrong) = (ca("right"), ca("wrong"));
    let impostor = Manager::start(&wrong).await;
    let key = Manager::start(&right).await.auth_key();
    let place = tempfile::tempdir().unwrap();
    let device = Device::start(place.path(), &impostor.address.to_string(), Some(&key)).await;
    // The right CA, but the certificate is for another name.
    let misnamed = Manager::listen(&right, "127.0.0.1:0".parse().unwrap(), "device.bartizan").await;
    let other_place = tempfile::tempdir().unwrap();
    let other = Device::start(other_place.path(), &misnamed.address.to_string(), Some(&key)).await;
    impostor.refused_twice().await;
    misnamed.refused_twice().await;
    assert!(impostor.enrolments().is_empty() && misnamed.enrolments().is_empty());
    assert!(device.store.identity().unwrap().is_none() && other.store.identity().unwrap().is_none());
    device.end().await;
    other.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_with_a_key_of_a_new_manager_enrols_there_under_its_old_serial() {
    let old = Manager::start(&ca("old")).await;
    let place = tempfile::tempdir().unwrap();
    let device = Device::start(place.path(), &old.address.to_string(), Some(&old.auth_key())).await;
    old.hear(hello).await;
    device.end().await;

    let new = Manager::start(&ca("new")).await;
    let device = Device::start(place.path(), &new.address.to_string(), Some(&new.auth_key())).await;
    assert_eq!(new.hear(hello).await.serial, "BZ0001");
    assert_eq!(new.enrolments()[0].serial, "BZ0001");
    device.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_enforced_kept_and_in_force_before_the_manager_is_there_again() {
    let manager = Manager::start(&ca("one")).await;
    let place = tempfile::tempdir().unwrap();
    let device = Device::start(place.path(), &manager.address.to_string(), Some(&manager.auth_key())).await;
    manager.hear(hello).await;
    let text = configuration("trust");
    manager.say(push(5, &text)).await;
    let result = manager.hear(push_result).await;
    assert!(result.enforced && result.id == 5 && result.digest == hex::sha256(&text), "{result:?}");
    assert!(result.swap_us > 0);
    let kept = Enforced { version: 5, digest: hex::sha256(&text), text: text.clone() };
    assert_eq!(device.store.enforced().unwrap(), Some(kept));
    device.end().await;

    // Nobody listens there.
    let device = Device::start(place.path(), "127.0.0.1:9", None).await;
    assert_eq!(device.digest(), Some(hex::sha256(&text)));
    device.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_push_changes_nothing_and_is_answered_with_everything_that_is_wrong() {
    let manager = Manager::start(&ca("one")).await;
    let place = tempfile::tempdir().unwrap();
    let device = Device::start(place.path(), &manager.address.to_string(), Some(&manager.auth_key())).await;
    manager.hear(hello).await;
    let good = configuration("trust");
    manager.say(push(1, &good)).await;
    assert!(manager.hear(push_result).await.enforced);

    let rule = |name: &str| {
        format!(
            "<entry name=\"{name}\"><from><member>nowhere</member></from><to><member>any</member></to>\
             <source><member>any</member></source><destination><member>any</member></destination>\
             <application><member>any</member></application><service><member>any</member></service>\
             <action>allow</action></entry>"
        )
    };
    let rules = format!("</zone><rulebase><security><rules>{}{}</rules></security></rulebase>", rule("a"), rule("b"));
    let bad = configuration("trust").replace("</zone>", &rules);
    for (id, text) in [(2, bad.as_str()), (3, "<config><unclosed></config>"), (4, "")] {
        manager.say(push(id, text)).await;
        let result = manager.hear(push_result).await;
        assert!(!result.enforced && result.id == id, "{result:?}");
        assert!(result.diagnostics.iter().any(|one| one.error), "{result:?}");
        if id == 2 {
            let errors: Vec<_> = result.diagnostics.iter().filter(|one| one.error).collect();
            assert!(errors.iter().any(|one| one.xpath.contains("[@name='a']")), "{errors:?}");
            assert!(errors.iter().any(|one| one.xpath.contains("[@name='b']")), "{errors:?}");
        }
    }
    let damaged = Push { id: 6, configuration: good.clone(), digest: hex::sha256("else"), version: 6 };
    manager.say(manager_message::Body::Push(damaged)).await;
    assert!(!manager.hear(push_result).await.enforced);
    assert_eq!(device.digest(), Some(hex::sha256(&good)));
    assert_eq!(device.store.enforced().unwrap().unwrap().version, 1);
    device.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_sent_until_they_are_stored_across_a_broken_connection() {
    let manager = Manager::start(&ca("one")).await;
    let place = tempfile::tempdir().unwrap();
    let device = Device::start(place.path(), &manager.address.to_string(), Some(&manager.auth_key())).await;
    manager.hear(hello).await;
    let record = |id| LogRecord { line: Some(Line::Traffic(TrafficLog { session_id: id, ..TrafficLog::default() })) };
    device.logs.push((1..=3).map(record));
    let batch = manager.hear(logs).await;
    assert_eq!((batch.sequence, batch.records.len(), &*batch.boot_id), (3, 3, "boot"));
    manager.say(manager_message::Body::LogsStored(LogsStored { sequence: 1 })).await;
    // A round trip, so that the confirmation has been heard.
    manager.say(manager_message::Body::Command(Command { id: 1, xml: "<nonsense/>".to_owned() })).await;
    manager.hear(command_result).await;
    manager.hang_up();
    manager.hear(hello).await;
    assert_eq!(manager.attachments(), 2);
    let batch = manager.hear(logs).await;
    assert_eq!((batch.sequence, batch.records), (3, vec![record(2), record(3)]));
    manager.say(manager_message::Body::LogsStored(LogsStored { sequence: 3 })).await;
    tokio::time::timeout(std::time::Duration::from_secs(10), device.logs.emptied()).await.unwrap();
    device.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_answered_as_the_control_socket_does() {
    let manager = Manager::start(&ca("one")).await;
    let place = tempfile::tempdir().unwrap();
    let device = Device::start(place.path(), &manager.address.to_string(), Some(&manager.auth_key())).await;
    manager.hear(hello).await;
    manager.say(push(1, &configuration("trust"))).await;
    manager.hear(push_result).await;
    for (id, xml, ok, part) in [
        (1, "<show><session><info/></session></show>", true, "<num-max>1000</num-max>"),
        (2, "<show><session><all/></session></show>", true, ""),
        (3, "<show><session><id>9</id></session></show>", false, "there is no session 9"),
        (4, "<show><sesion/></show>", false, "`sesion` cannot follow `show`; possible here:"),
        (5, "<show>", false, "the command is no XML"),
        (6, "<show><config><running/></config></show>", true, "<entry name=\"trust\">"),
    ] {
        manager.say(manager_message::Body::Command(Command { id, xml: xml.to_owned() })).await;
        let result = manager.hear(command_result).await;
        assert_eq!((result.id, result.ok), (id, ok), "{result:?}");
        assert!(result.xml.contains(part), "{result:?}");
    }
    device.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_without_being_asked() {
    let manager = Manager::start(&ca("one")).await;
    let place = tempfile::tempdir().unwrap();
    let device = Device::start(place.path(), &manager.address.to_string(), Some(&manager.auth_key())).await;
    let health = manager
        .hear(|body| match body {
            device_message::Body::Health(health) => Some(health),
            _ => None,
        })
        .await;
    assert_eq!((health.sessions, health.logs_lost), (0, 0));
    device.end().await;
}
