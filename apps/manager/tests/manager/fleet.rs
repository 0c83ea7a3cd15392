//! Firewalls: enrolment, pushes, logs and commands over the real protocol.

use crate::common::device::{Device, auth_key, enrol};
use crate::common::{Server, basic, between};
use std::collections::BTreeMap;

use bartizan_api::fleet::device_message::Body as FromDevice;
use bartizan_api::fleet::log_record::Line;
use bartizan_api::fleet::{ApiResponse, Diagnostic, EventLog, PushResult, TrafficLog, manager_message};
use tonic::Code;

pub(crate) const LOCALHOST: &str = "/config/devices/entry[@name='localhost.localdomain']";

/// A device group with a rule, and a stack with one template of two zones; both hold the device.
pub(crate) async fn place(server: &Server, serial: &str) {
    let interface = |number: u8, address: &str| {
        format!("<entry name='ethernet1/{number}'><layer3><ip><entry name='{address}'/></ip></layer3></entry>")
    };
    let zone = |name: &str, number: u8| {
        format!("<entry name='{name}'><network><layer3><member>ethernet1/{number}</member></layer3></network></entry>")
    };
    let template = format!(
        "<entry name='net'><config><devices><entry name='localhost.localdomain'><network><interface><ethernet>{}{}</ethernet></interface>\
         <virtual-router><entry name='default'><interface><member>ethernet1/1</member><member>ethernet1/2</member></interface></entry></virtual-router>\
         </network><vsys><entry name='vsys1'><import><network><interface><member>ethernet1/1</member><member>ethernet1/2</member></interface></network></import>\
         <zone>{}{}</zone></entry></vsys></entry></devices></config></entry>",
        interface(1, "10.0.0.1/24"),
        interface(2, "203.0.113.2/24"),
        zone("trust", 1),
        zone("untrust", 2),
    );
    server.set(&format!("{LOCALHOST}/template"), &template).await;
    let stack = format!(
        "<entry name='stack'><templates><member>net</member></templates><devices><entry name='{serial}'/></devices></entry>"
    );
    server.set(&format!("{LOCALHOST}/template-stack"), &stack).await;
    let group = format!("<entry name='dg'><devices><entry name='{serial}'/></devices></entry>");
    server.set(&format!("{LOCALHOST}/device-group"), &group).await;
    rule(server, "out").await;
}

pub(crate) async fn rule(server: &Server, name: &str) {
    let rule = format!(
        "<entry name='{name}'><from><member>trust</member></from><to><member>untrust</member></to><source><member>any</member></source>\
         <destination><member>any</member></destination><application><member>any</member></application><service><member>any</member></service>\
         <action>allow</action></entry>"
    );
    server.set(&format!("{LOCALHOST}/device-group/entry[@name='dg']/pre-rulebase/security/rules"), &rule).await;
}

pub(crate) const PUSH_GROUP: &str =
    "<commit-all><shared-policy><device-group><entry name='dg'/></device-group></shared-policy></commit-all>";
pub(crate) const PUSH_STACK: &str = "<commit-all><template-stack><name>stack</name></template-stack></commit-all>";

pub(crate) fn record(number: u64) -> TrafficLog {
    TrafficLog {
        time_generated_us: 1_790_000_000_000_000 + i64::try_from(number).unwrap(),
        subtype: "end".into(),
        source: format!("10.0.0.{number}"),
        destination: "192.0.2.1".into(),
        nat_source: "203.0.113.2".into(),
        nat_destination: "192.0.2.1".into(),
        rule: "out".into(),
        from_zone: "trust".into(),
        to_zone: "untrust".into(),
        session_id: number,
        source_port: 40000,
        destination_port: 443,
        protocol: 6,
        action: "allow".into(),
        bytes_sent: 100,
        bytes_received: 900,
        packets_sent: 3,
        packets_received: 4,
        ..TrafficLog::default()
    }
}

async fn traffic(server: &Server, query: &str) -> String {
    log(server, "traffic", query).await
}

pub(crate) async fn log(server: &Server, kind: &str, query: &str) -> String {
    let asked = server.body(&[("type", "log"), ("log-type", kind), ("nlogs", "5000"), ("query", query)]).await;
    let job = between(&asked, "<job>", "</job>").to_owned();
    server.body(&[("type", "log"), ("action", "get"), ("job-id", &job)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_enrols_with_a_key_and_not_without() {
    let server = Server::start().await;
    let key = auth_key(&server).await;
    let (secret, fingerprint) = key.split_once('.').unwrap();
    assert_eq!(fingerprint.len(), 64);
    let digest: String = {
        use sha2::Digest as _;
        sha2::Sha256::digest(server.ca()).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    assert_eq!(fingerprint, digest, "the key names the authority that the device must find");
    let (_, enrolled) = enrol(&server, &key, "").await.unwrap();
    assert!(enrolled.serial.len() == 15 && enrolled.serial.starts_with("BZT"), "{}", enrolled.serial);
    assert_eq!(enrolled.ca_certificate, server.ca().to_vec());

    let refused = enrol(&server, &format!("x{secret}"), "").await.err().unwrap();
    assert_eq!(refused.code(), Code::Unauthenticated);

    // One use only.
    let add = "<request><authkey><add><name>once</name><lifetime>60</lifetime><count>1</count><devtype>fw</devtype></add></authkey></request>";
    let once = between(&server.op(add).await, "VM auth key ", " generated.").to_owned();
    enrol(&server, &once, "").await.unwrap();
    assert_eq!(enrol(&server, &once, "").await.err().unwrap().code(), Code::Unauthenticated);
    let devices = server.op("<show><devices><all/></devices></show>").await;
    assert_eq!(devices.matches("<connected>no</connected>").count(), 2, "{devices}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_ends_the_one_before_when_it_is_used() {
    let server = Server::start().await;
    let mut device = Device::join(&server).await;
    let serial = device.serial.clone();
    let ask =
        format!("<request><device><renew-certificate><serial>{serial}</serial></renew-certificate></device></request>");
    assert!(server.op(&ask).await.contains("was asked for a new key"));
    assert!(matches!(device.next().await, Some(Ok(manager_message::Body::RenewCertificate(_)))));
    // One that got lost on the way does no harm, and neither is the old one worth less before the new one is used.
    device.renew(&server).await.unwrap();
    let renewed = device.renew(&server).await.unwrap();
    let old = device.identity.clone();
    let again = Device::attach(&server, old.clone(), &serial, "").await.unwrap();
    again.wait_until_known(&server).await;

    let new = Device::attach(&server, renewed.clone(), &serial, "").await.unwrap();
    new.wait_until_known(&server).await;
    let refused = Device::attach(&server, old, &serial, "").await.err().unwrap();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("was replaced or revoked; enrol again"), "{}", refused.message());
    assert_eq!(again.renew(&server).await.err().unwrap().code(), Code::PermissionDenied);
    Device::attach(&server, renewed, &serial, "").await.unwrap();

    let away = ask.replace(&serial, "BZT000000000000");
    assert!(server.op(&away).await.contains("BZT000000000000 not connected"));
    let log = server.op("<show><devices><all/></devices></show>").await;
    assert!(log.contains("<certificate-expiry>"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_certificate_given_last_may_attach() {
    let server = Server::start().await;
    let key = auth_key(&server).await;
    let (old, enrolled) = enrol(&server, &key, "").await.unwrap();
    // A known serial is only for whom the administrator lets have it, and only once; the refusal uses up no key.
    let add =
        "<request><authkey><add><name>once</name><lifetime>60</lifetime><count>1</count></add></authkey></request>";
    let once = between(&server.op(add).await, "VM auth key ", " generated.").to_owned();
    let refused = enrol(&server, &once, &enrolled.serial).await.err().unwrap();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert!(refused.message().contains("request device re-enrol serial"), "{}", refused.message());
    let attached = Device::attach(&server, old.clone(), &enrolled.serial, "").await.unwrap();
    attached.wait_until_known(&server).await;
    let allow =
        format!("<request><device><re-enrol><serial>{}</serial></re-enrol></device></request>", enrolled.serial);
    assert!(server.op(&allow).await.contains("may enrol again, once"));
    let refused = enrol(&server, "wrong", &enrolled.serial).await.err().unwrap();
    assert_eq!(refused.code(), Code::Unauthenticated, "an allowance is no key");
    let (new, again) = enrol(&server, &once, &enrolled.serial).await.unwrap();
    let refused = enrol(&server, &key, &enrolled.serial).await.err().unwrap();
    assert_eq!(refused.code(), Code::AlreadyExists);
    let mut attached = attached;
    assert_eq!(attached.next().await.unwrap().unwrap_err().code(), Code::Aborted, "its certificate ended");
    assert_eq!(again.serial, enrolled.serial);
    let refused = Device::attach(&server, old, &enrolled.serial, "").await.err().unwrap();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let mut device = Device::attach(&server, new, "BZT000000000000", "").await.unwrap();
    let refused = device.next().await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "the hello must name the serial of the certificate");
    // Without a certificate there is no attaching at all.
    let mut client = bartizan_api::fleet::fleet_client::FleetClient::with_origin(
        crate::common::device::channel(&server, None).await,
        hyper::Uri::from_static("https://manager.bartizan"),
    );
    let refused = client.attach(tokio_stream::empty()).await.err().unwrap();
    assert_eq!(refused.code(), Code::Unauthenticated);
    // A certificate of somebody else's authority does not even get a connection.
    let foreign = rcgen::generate_simple_self_signed([enrolled.serial.clone()]).unwrap();
    let identity = crate::common::Identity {
        chain: vec![foreign.cert.der().clone()],
        key: rustls_pki_types::PrivateKeyDer::try_from(foreign.signing_key.serialize_der()).unwrap(),
    };
    let connected = server.connect(Some(&identity), b"h2").await;
    let failed = match connected {
        Err(_) => true,
        Ok(mut stream) => tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 64]).await.is_err(),
    };
    assert!(failed, "the handshake must be refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_device_is_cut_off_and_its_certificate_worth_nothing() {
    let server = Server::start().await;
    let mut device = Device::join(&server).await;
    let serial = device.serial.clone();
    let remove = format!("<request><device><remove><serial>{serial}</serial></remove></device></request>");
    place(&server, &serial).await;
    server.commit().await;
    let refused = server.op(&remove).await;
    assert!(
        refused.contains(
            "<line> device-group -&gt; dg -&gt; devices</line><line> template-stack -&gt; stack -&gt; devices</line>"
        ),
        "{refused}"
    );
    for path in ["device-group", "template-stack"] {
        let xpath = format!("{LOCALHOST}/{path}");
        let deleted = server.body(&[("type", "config"), ("action", "delete"), ("xpath", &xpath)]).await;
        assert!(deleted.contains("command succeeded"), "{deleted}");
    }
    server.commit().await;
    let removed = server.op(&remove).await;
    assert!(removed.contains(&format!("{serial} removed")), "{removed}");
    assert_eq!(device.next().await.unwrap().unwrap_err().code(), Code::Aborted);
    let refused = Device::attach(&server, device.identity, &serial, "").await.err().unwrap();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(!server.op("<show><devices><all/></devices></show>").await.contains(&serial));
    let again = server.op(&remove).await;
    assert!(again.contains("code=\"7\"") && again.contains("is not in the inventory"), "{again}");
    // The serial is free again.
    let key = auth_key(&server).await;
    assert_eq!(enrol(&server, &key, &serial).await.unwrap().1.serial, serial);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_arrives_whole_and_sync_is_told_per_scope() {
    let server = Server::start().await;
    let mut device = Device::join(&server).await;
    let serial = device.serial.clone();
    place(&server, &serial).await;
    let committed = server.commit().await;
    assert!(committed.contains("<result>OK</result>"), "{committed}");

    // The first push is of everything, although only the group was asked for.
    let (job, push) = tokio::join!(server.commit_all(PUSH_GROUP), device.accept_push());
    assert!(job.contains("<type>CommitAll</type>") && job.contains("<status>commit succeeded"), "{job}");
    assert!(job.contains("in force after 250 us") && job.contains("<dgname>dg</dgname>"), "{job}");
    assert!(
        push.configuration.contains("name=\"out\"") && push.configuration.contains("203.0.113.2/24"),
        "{}",
        push.configuration
    );
    let groups = server.op("<show><devicegroups/></show>").await;
    assert_eq!(between(&groups, "<shared-policy-status>", "</shared-policy-status>"), "In Sync");
    let stacks = server.op("<show><template-stack/></show>").await;
    assert_eq!(between(&stacks, "<template-status>", "</template-status>"), "In Sync");

    // Both parts change; only the stack's is pushed.
    rule(&server, "second").await;
    server
        .set(
            &format!("{LOCALHOST}/template/entry[@name='net']/config/devices/entry[@name='localhost.localdomain']/network/interface/ethernet/entry[@name='ethernet1/1']"),
            "<comment>changed</comment>",
        )
        .await;
    server.commit().await;
    let groups = server.op("<show><devicegroups/></show>").await;
    assert_eq!(between(&groups, "<shared-policy-status>", "</shared-policy-status>"), "Out of Sync");
    let (job, push) = tokio::join!(server.commit_all(PUSH_STACK), device.accept_push());
    assert!(job.contains("<result>OK</result>"), "{job}");
    assert!(push.configuration.contains("changed") && !push.configuration.contains("second"), "{}", push.configuration);
    let templates = server.op("<show><templates/></show>").await;
    assert_eq!(between(&templates, "<template-status>", "</template-status>"), "In Sync");
    let groups = server.op("<show><devicegroups/></show>").await;
    assert_eq!(between(&groups, "<shared-policy-status>", "</shared-policy-status>"), "Out of Sync");
    let (_, push) = tokio::join!(server.commit_all(PUSH_GROUP), device.accept_push());
    assert!(push.configuration.contains("changed") && push.configuration.contains("second"));

    // A device that comes back with something else is out of sync.
    let identity = device.identity;
    let _device = Device::attach(&server, identity, &serial, "something else").await.unwrap();
    loop {
        let groups = server.op("<show><devicegroups/></show>").await;
        if between(&groups, "<shared-policy-status>", "</shared-policy-status>") == "Out of Sync" {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_fails_says_why_and_leaves_the_device_out_of_sync() {
    let server = Server::start().await;
    let mut device = Device::join(&server).await;
    let serial = device.serial.clone();
    place(&server, &serial).await;
    server.commit().await;
    let refuse = async {
        let push = device.next_push().await;
        let diagnostics = vec![Diagnostic {
            error: true,
            code: "unknown-zone".into(),
            xpath: "/config/x".into(),
            message: "no zone `dmz`".into(),
            help: "did you mean `dmx`?".into(),
            ..Diagnostic::default()
        }];
        let result =
            PushResult { id: push.id, enforced: false, digest: String::new(), diagnostics, ..PushResult::default() };
        device.send(FromDevice::PushResult(result)).await;
    };
    let (job, ()) = tokio::join!(server.commit_all(PUSH_GROUP), refuse);
    assert!(job.contains("<result>FAIL</result>") && job.contains("<progress>100</progress>"), "{job}");
    assert!(
        job.contains("<line>Error:  no zone `dmz` [unknown-zone] --&gt; /config/x; help: did you mean `dmx`?</line>"),
        "{job}"
    );
    let groups = server.op("<show><devicegroups/></show>").await;
    assert_eq!(between(&groups, "<shared-policy-status>", "</shared-policy-status>"), "Out of Sync");

    // It goes away in the middle of a push, and cannot go back by itself; then it is not there at all.
    let disabled = "<deviceconfig><setting><management><disable-commit-recovery>yes</disable-commit-recovery></management></setting></deviceconfig>";
    let template =
        format!("{LOCALHOST}/template/entry[@name='net']/config/devices/entry[@name='localhost.localdomain']");
    server.set(&template, disabled).await;
    server.commit().await;
    let go = async {
        device.next_push().await;
        drop(device);
    };
    let (job, ()) = tokio::join!(server.commit_all(PUSH_STACK), go);
    assert!(job.contains(&format!("{serial} disconnected before it answered")), "{job}");
    let job = server.commit_all(PUSH_GROUP).await;
    assert!(job.contains(&format!("{serial} not connected")) && !job.contains("<tfin/>"), "{job}");

    server.set(&format!("{LOCALHOST}/device-group"), "<entry name='pending'/>").await;
    let group = |name: &str| PUSH_GROUP.replace("'dg'", &format!("'{name}'"));
    let device = "<commit-all><shared-policy><device-group><entry name='dg'><devices><entry name='BZT1'/></devices></entry></device-group></shared-policy></commit-all>";
    for (command, reason) in [
        (group("dgg"), "device group `dgg` does not exist; did you mean `dg`?</line>"),
        (group("nobody"), "device group `nobody` does not exist</line>"),
        (
            group("pending"),
            "`pending` is not part of the running configuration yet; commit it before it is pushed</line>",
        ),
        (PUSH_STACK.replace("stack<", "stak<"), "template stack `stak` does not exist; did you mean `stack`?</line>"),
        (device.to_owned(), "`BZT1` is no device of what is pushed</line>"),
    ] {
        let refused = server.body(&[("type", "commit"), ("action", "all"), ("cmd", &command)]).await;
        assert!(refused.contains("code=\"12\"") && refused.contains(reason), "{command}: {refused}");
    }
    let forced = "<commit-all><template><name>net</name><force-template-values>yes</force-template-values>\
                  <merge-with-candidate-cfg>no</merge-with-candidate-cfg></template></commit-all>";
    let job = server.commit_all(forced).await;
    assert!(job.contains("`force-template-values` has no effect") && !job.contains("merge-with"), "{job}");
    let odd = "<commit-all><template><name>net</name><nonsense/></template></commit-all>";
    let refused = server.body(&[("type", "commit"), ("action", "all"), ("cmd", odd)]).await;
    assert!(refused.contains("<line> commit-all -&gt; template -&gt; nonsense unexpected here</line><line> commit-all -&gt; template  is unexpected</line><line> commit-all  is unexpected</line>"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_reach_the_device_and_its_answers_the_client_as_they_are() {
    let server = Server::start().await;
    let mut device = Device::join(&server).await;
    let serial = device.serial.clone();
    let requests: [&[(&str, &str)]; 5] = [
        &[("type", "op"), ("cmd", "<show><session><all/></session></show>")],
        &[("type", "config"), ("action", "get"), ("xpath", "/config/shared")],
        &[("type", "commit"), ("cmd", "<commit/>")],
        &[("type", "export"), ("category", "configuration")],
        &[("type", "user-id"), ("cmd", "<uid-message/>"), ("vsys", "vsys1")],
    ];
    for request in requests {
        let told = async {
            let (asked, parameters) = device.next_request().await;
            let sent: BTreeMap<_, _> = request.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            assert_eq!(parameters, sent, "neither the target nor a key");
            assert_eq!((&*asked.administrator, &*asked.host, &*asked.role), ("admin", "127.0.0.1", "superuser"));
            device.respond(&asked, 200, "<response status=\"error\" code=\"9\"/>").await;
        };
        let parameters = [request, &[("target", serial.as_str())]].concat();
        let (answer, ()) = tokio::join!(server.api(&parameters), told);
        assert_eq!((answer.status, &*answer.body), (200, "<response status=\"error\" code=\"9\"/>"));
    }
    let file = async {
        let (asked, _) = device.next_request().await;
        let (body, file) = ("<config/>".into(), "running-config.xml".to_owned());
        device.send(FromDevice::ApiResponse(ApiResponse { id: asked.id, status: 200, body, file })).await;
    };
    let parameters = [("type", "export"), ("category", "configuration"), ("target", serial.as_str())];
    let (answer, ()) = tokio::join!(server.api(&parameters), file);
    assert_eq!((&*answer.content_type, &*answer.body), ("application/octet-stream", "<config/>"));
    assert_eq!(answer.disposition, "attachment; filename=running-config.xml");

    let unknown = [("type", "config"), ("action", "get"), ("xpath", "/config"), ("target", "BZT9")];
    let answer = server.body(&unknown).await;
    assert!(answer.contains("code=\"14\"") && answer.contains("BZT9 not connected"), "{answer}");
    let import = [("type", "import"), ("category", "configuration"), ("target", serial.as_str())];
    let answer = server.body(&import).await;
    assert!(answer.contains("type=import is not passed on to a firewall"), "{answer}");
    // Answered for the manager, as on PAN-OS.
    assert!(server.body(&[("type", "version"), ("target", serial.as_str())]).await.contains("Panorama"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_may_ask_a_device_but_not_change_it() {
    let server = Server::start().await;
    let mut device = Device::join(&server).await;
    let serial = device.serial.clone();
    let hashed = "<request><password-hash><password>geheim</password></password-hash></request>";
    let hash = between(&server.op(hashed).await, "<phash>", "</phash>").to_owned();
    let user = format!(
        "<entry name='eve'><phash>{hash}</phash><permissions><role-based><superreader>yes</superreader></role-based></permissions></entry>"
    );
    server.set("/config/mgt-config/users", &user).await;
    let eve = basic("eve", "geheim");
    let ask = async |command: &str| {
        let parameters = [("type", "op"), ("cmd", command), ("target", serial.as_str())];
        server.send(&parameters, &[("authorization", &eve)]).await
    };
    for command in [
        "<show><session><all/></session></show>",
        "<test><security-policy-match><from>trust</from></security-policy-match></test>",
        "<explain><from>trust</from></explain>",
    ] {
        let answer = async {
            let (asked, parameters) = device.next_request().await;
            assert_eq!((parameters["cmd"].as_str(), &*asked.administrator), (command, "eve"));
            assert_eq!(asked.role, "superreader");
            device.respond(&asked, 200, "<done/>").await;
        };
        let (answered, ()) = tokio::join!(ask(command), answer);
        assert!(answered.body.contains("<done/>"), "{command}: {}", answered.body);
    }
    let refused = ask("<clear><session><all/></session></clear>").await;
    assert!(refused.status == 403 && refused.body.contains("code=\"16\""), "{}", refused.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn alarms_of_firewalls_are_in_the_system_and_the_threat_log() {
    let server = Server::start().await;
    let mut device = Device::join(&server).await;
    let of =
        |log: &str| EventLog { time_generated_us: 1_700_000_000_000_000, log: log.to_owned(), ..EventLog::default() };
    let pool = EventLog {
        subtype: "nat".to_owned(),
        severity: "high".to_owned(),
        event: "nat-pool-exhausted".to_owned(),
        object: "203.0.113.1".to_owned(),
        description: "NAT pool address 203.0.113.1: no port is left".to_owned(),
        ..of("system")
    };
    let scan = EventLog {
        subtype: "scan".to_owned(),
        severity: "medium".to_owned(),
        event: "SCAN: TCP Port Scan".to_owned(),
        source: "198.51.100.9".to_owned(),
        destination: "203.0.113.10".to_owned(),
        from_zone: "untrust".to_owned(),
        action: "block-ip".to_owned(),
        ..of("threat")
    };
    let tag = EventLog {
        event: "register".to_owned(),
        object: "web".to_owned(),
        description: "60".to_owned(),
        source: "2001:db8::5".to_owned(),
        ..of("iptag")
    };
    let lines = vec![Line::Event(pool), Line::Traffic(record(1)), Line::Event(scan), Line::Event(tag)];
    device.log_lines("boot-1", 4, lines.clone()).await;
    device.log_lines("boot-1", 4, lines).await;
    for (kind, query, part) in [
        ("system", "(severity eq high) and (eventid eq nat-pool-exhausted)", "<object>203.0.113.1</object>"),
        ("system", "(opaque contains 'no port')", "<type>SYSTEM</type><subtype>nat</subtype>"),
        (
            "threat",
            "(addr.src in 198.51.100.0/24) and (zone.src eq untrust)",
            "<threatid>SCAN: TCP Port Scan</threatid>",
        ),
        ("threat", "(name-of-threatid contains Scan) and (action eq block-ip)", "<severity>medium</severity>"),
        ("traffic", "", "<sessionid>1</sessionid>"),
        (
            "iptag",
            "(ip in 2001:db8::/32) and (event_id eq register)",
            "<tag_name>web</tag_name><event_id>register</event_id><repeatcnt>1</repeatcnt><timeout>60</timeout>",
        ),
    ] {
        let found = log(&server, kind, query).await;
        assert!(found.contains("<logs count=\"1\"") && found.contains(part), "{kind} {query}: {found}");
    }
    let bad = server.body(&[("type", "log"), ("log-type", "hipmatch")]).await;
    assert!(bad.contains("not kept here; `traffic`, `threat`, `system`, `iptag`, `config` are"), "{bad}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_stored_once_found_again_and_bounded() {
    let server = Server::start_with(|settings| settings.traffic_logs_max = 50).await;
    let mut device = Device::join(&server).await;
    device.log("boot-1", 3, (1..=3).map(record).collect()).await;
    // Sent again after a lost acknowledgement, with one that is new.
    device.log("boot-1", 4, (2..=4).map(record).collect()).await;
    let all = traffic(&server, "").await;
    assert!(all.contains("<logs count=\"4\" progress=\"100\">"), "{all}");
    let newest_first = all.find("10.0.0.4").unwrap() < all.find("10.0.0.1").unwrap();
    assert!(newest_first, "{all}");
    for (query, count) in [
        ("(addr.src in 10.0.0.0/31)", 1),
        ("(addr.src in 10.0.0.2)", 1),
        ("(addr in 192.0.2.0/24) and (port.dst eq 443) and (proto eq tcp)", 4),
        ("(rule eq out) and not (sessionid leq 2)", 2),
        ("(natsrc in 203.0.113.2) and (zone.src eq trust) and (bytes geq 1000)", 4),
        ("(action neq allow)", 0),
        ("(receive_time geq '2030/01/01 00:00:00') or (sessionid eq 1)", 1),
    ] {
        let found = traffic(&server, query).await;
        assert!(found.contains(&format!("<logs count=\"{count}\"")), "{query}: {found}");
    }
    let bad = server.body(&[("type", "log"), ("log-type", "traffic"), ("query", "(adr.src in 10.0.0.1)")]).await;
    assert!(bad.contains("at character 2: `adr.src` is not a field of this log; did you mean `addr.src`?"), "{bad}");

    // The flag tells translated sessions from those that are not.
    let (untranslated, unchanged) = (record(201), record(202));
    let untranslated = TrafficLog { nat_source: String::new(), nat_destination: String::new(), ..untranslated };
    let unchanged = TrafficLog { nat_source: unchanged.source.clone(), ..unchanged };
    device.log("boot-1", 6, vec![untranslated, unchanged]).await;
    for (session, flag) in [(1, "yes"), (201, "no"), (202, "no")] {
        let found = traffic(&server, &format!("(sessionid eq {session})")).await;
        assert_eq!(between(&found, "<flag-nat>", "</flag-nat>"), flag, "session {session}");
    }

    // A restarted firewall counts from one again; only so many records are kept, and slices of twelve go whole.
    device.log("boot-2", 100, (1..=100).map(record).collect()).await;
    let all = traffic(&server, "").await;
    assert!(all.contains("<logs count=\"46\"") && !all.contains("<src>10.0.0.54</src>"), "{all}");
    let status = server.op("<show><logging-status/></show>").await;
    assert!(
        status.contains("<stored>106</stored><repeated>2</repeated><deleted-by-retention>60</deleted-by-retention>")
            && status.contains("<records>46</records><records-at-most>50</records-at-most><slices>4</slices>"),
        "{status}"
    );
}
