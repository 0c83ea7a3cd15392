//! A firewall under a manager: enrolment, push, logs, commands, and what survives a restart.
//!
//! Real TLS and gRPC on the loopback; no network device is touched, so no rights are needed.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test itself does")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bartizan_api::fleet::log_record::Line;
use bartizan_api::fleet::{
    ApiRequest, ApiResponse, LogRecord, LogsStored, Parameter, Push, RenewCertificate, TakeBackNoted, TrafficLog,
    device_message, manager_message,
};
use bartizan_firewall::api::{Api, Future};
use bartizan_firewall::auth_key::AuthKey;
use bartizan_firewall::clock::Clock;
use bartizan_firewall::control;
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
        if let Some(enforced) = store.begin().unwrap() {
            firewall.enforce(enforced, |_, _| Ok(()), Instant::now()).await.unwrap();
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
            api: Some(Arc::new(Commands(Arc::clone(&firewall)))),
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

/// An API of operational commands.
struct Commands(Arc<Firewall>);

impl Api for Commands {
    fn answer(&self, request: ApiRequest) -> Future<ApiResponse> {
        let firewall = Arc::clone(&self.0);
        Box::pin(async move {
            let command = request.parameters.iter().find(|one| one.name == "cmd").unwrap();
            let (status, body) = match control::answer_xml(&command.value, &firewall).await {
                Ok(xml) => (200, xml),
                Err(error) => (400, error),
            };
            ApiResponse { status, body: body.into(), ..ApiResponse::default() }
        })
    }

    fn logs(&self) -> Option<Arc<LogQueue>> {
        None
    }

    fn stop(&self) -> Future<()> {
        Box::pin(async {})
    }
}

fn configuration(zone: &str) -> String {
    format!(
        "<config><devices><entry name=\"localhost.localdomain\"><vsys><entry name=\"vsys1\"><zone>\
         <entry name=\"{zone}\"><network><layer3/></network></entry></zone></entry></vsys></entry></devices></config>"
    )
}

/// As [`configuration`], with a window of five seconds, the shortest there is.
fn hurried(zone: &str) -> String {
    let setting = "<deviceconfig><setting><management><commit-recovery-retry>1</commit-recovery-retry>\
                   <commit-recovery-timeout>5</commit-recovery-timeout></management></setting></deviceconfig><vsys>";
    configuration(zone).replace("<vsys>", setting)
}

/// Waits until it holds, at most ten seconds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within ten seconds: {what}");
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

fn asked(id: u64, command: &str) -> manager_message::Body {
    let parameters = vec![Parameter { name: "cmd".to_owned(), value: command.to_owned() }];
    manager_message::Body::ApiRequest(ApiRequest { id, parameters, ..ApiRequest::default() })
}

fn api_response(body: device_message::Body) -> Option<ApiResponse> {
    match body {
        device_message::Body::ApiResponse(response) => Some(response),
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
async fn a_device_that_gets_no_new_certificate_goes_on_with_the_old_one() {
    let manager = Manager::start(&ca("one")).await;
    let place = tempfile::tempdir().unwrap();
    let device = Device::start(place.path(), &manager.address.to_string(), Some(&manager.auth_key())).await;
    manager.hear(hello).await;
    let before = device.store.identity().unwrap();
    manager.say(manager_message::Body::RenewCertificate(RenewCertificate {})).await;
    // Over the same stream, after that.
    manager.say(push(3, &configuration("trust"))).await;
    assert!(manager.hear(push_result).await.enforced);
    assert_eq!((manager.renewals(), manager.attachments()), (1, 1));
    assert!(device.store.identity().unwrap() == before);
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
    manager.say(asked(1, "<nonsense/>")).await;
    manager.hear(api_response).await;
    manager.hang_up();
    manager.hear(hello).await;
    assert_eq!(manager.attachments(), 2);
    let batch = manager.hear(logs).await;
    assert_eq!((batch.sequence, batch.records), (3, vec![record(2), record(3)]));
    manager.say(manager_message::Body::LogsStored(LogsStored { sequence: 3 })).await;
    tokio::time::timeout(Duration::from_secs(10), device.logs.emptied()).await.unwrap();
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
        manager.say(asked(id, xml)).await;
        let response = manager.hear(api_response).await;
        assert_eq!((response.id, response.status == 200), (id, ok), "{response:?}");
        assert!(String::from_utf8_lossy(&response.body).contains(part), "{response:?}");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_final_once_the_manager_was_reached_anew_under_it() {
    let manager = Manager::start(&ca("one")).await;
    let place = tempfile::tempdir().unwrap();
    let device = Device::start(place.path(), &manager.address.to_string(), Some(&manager.auth_key())).await;
    manager.hear(hello).await;
    manager.say(push(1, &configuration("trust"))).await;
    assert_eq!(manager.hear(push_result).await.confirm_window_s, 30);
    until("it is confirmed", || manager.confirmed() == [1] && device.store.unconfirmed().unwrap().is_none()).await;

    // The same again, and one that says that it does not want to be taken back: both are final at once.
    manager.say(push(2, &configuration("trust"))).await;
    assert_eq!(manager.hear(push_result).await.confirm_window_s, 0);
    let disabled = "<management><disable-commit-recovery>yes</disable-commit-recovery>";
    let text = hurried("dmz").replace("<management>", disabled);
    manager.set_deaf(true);
    manager.say(push(3, &text)).await;
    assert_eq!(manager.hear(push_result).await.confirm_window_s, 0);
    assert_eq!(device.store.unconfirmed().unwrap(), None);
    assert_eq!(manager.confirmed(), [1]);
    device.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_under_which_the_manager_is_not_reached_is_taken_back_and_told() {
    let manager = Manager::start(&ca("one")).await;
    let place = tempfile::tempdir().unwrap();
    let device = Device::start(place.path(), &manager.address.to_string(), Some(&manager.auth_key())).await;
    manager.hear(hello).await;
    let good = hurried("trust");
    manager.say(push(1, &good)).await;
    until("it is confirmed", || manager.confirmed() == [1] && device.store.unconfirmed().unwrap().is_none()).await;

    manager.set_deaf(true);
    let begun = Instant::now();
    // Of two that follow one another both are taken back: the first one is not confirmed either.
    manager.say(push(2, &hurried("lost"))).await;
    manager.say(push(3, &hurried("gone"))).await;
    until("the last one is in force", || device.digest() == Some(hex::sha256(&hurried("gone")))).await;
    until("the old one is back", || device.digest() == Some(hex::sha256(&good))).await;
    assert!(begun.elapsed() >= Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(device.store.enforced().unwrap().unwrap().version, 1);

    // It says so over a connection that it makes anew, until it is noted.
    let said = manager.hear(|body| hello(body).and_then(|hello| hello.take_back)).await;
    assert_eq!((said.push_id, said.version, &*said.digest), (3, 3, &*hex::sha256(&hurried("gone"))));
    assert!(said.reason.starts_with("the manager was not reached within 5 s: "), "{}", said.reason);
    let line = manager
        .hear(|body| {
            let lines = logs(body)?.records.into_iter().filter_map(|record| record.line);
            lines.into_iter().find_map(|line| match line {
                Line::Event(event) => Some(event),
                Line::Traffic(_) => None,
            })
        })
        .await;
    assert_eq!((&*line.log, &*line.event, &*line.severity), ("system", "commit-recovery", "critical"));
    assert!(
        line.description.contains("version 3 was reverted")
            && line.description.ends_with("version 1 is enforced again"),
        "{}",
        line.description
    );
    manager.hang_up();
    assert_eq!(manager.hear(hello).await.take_back, Some(said));
    manager.say(manager_message::Body::TakeBackNoted(TakeBackNoted { push_id: 3 })).await;
    until("it is noted", || device.store.taken_back().unwrap().is_none()).await;
    manager.hang_up();
    assert_eq!(manager.hear(hello).await.take_back, None);
    device.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firewall_that_ends_in_the_window_still_confirms_or_takes_back_afterwards() {
    let manager = Manager::start(&ca("one")).await;
    let place = tempfile::tempdir().unwrap();
    let device = Device::start(place.path(), &manager.address.to_string(), Some(&manager.auth_key())).await;
    manager.hear(hello).await;
    manager.set_deaf(true);
    let first = hurried("trust");
    manager.say(push(1, &first)).await;
    assert_eq!(manager.hear(push_result).await.confirm_window_s, 5);
    device.end().await;

    let device = Device::start(place.path(), &manager.address.to_string(), None).await;
    let said = manager.hear(hello).await;
    assert_eq!((said.unconfirmed_push_id, &*said.running_digest), (1, &*hex::sha256(&first)));
    manager.set_deaf(false);
    until("it is confirmed", || manager.confirmed() == [1] && device.store.unconfirmed().unwrap().is_none()).await;

    manager.set_deaf(true);
    manager.say(push(2, &hurried("lost"))).await;
    manager.hear(push_result).await;
    device.end().await;
    let device = Device::start(place.path(), &manager.address.to_string(), None).await;
    assert_eq!(device.digest(), Some(hex::sha256(&hurried("lost"))));
    until("the old one is back", || device.digest() == Some(hex::sha256(&first))).await;
    device.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_push_of_all_is_taken_back_to_nothing() {
    let manager = Manager::start(&ca("one")).await;
    let place = tempfile::tempdir().unwrap();
    let device = Device::start(place.path(), &manager.address.to_string(), Some(&manager.auth_key())).await;
    manager.hear(hello).await;
    manager.set_deaf(true);
    manager.say(push(1, &hurried("trust"))).await;
    assert!(manager.hear(push_result).await.enforced);
    until("nothing is enforced", || device.digest().is_none()).await;
    assert_eq!(device.store.enforced().unwrap(), None);
    let said = manager.hear(|body| hello(body).filter(|hello| hello.take_back.is_some())).await;
    assert_eq!(said.running_digest, "");
    device.end().await;
}
