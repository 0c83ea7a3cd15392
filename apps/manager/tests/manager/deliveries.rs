//! Devices that were away get what was pushed meanwhile, and nothing else.

use crate::common::device::Device;
use crate::common::{Server, between};
use crate::fleet::{PUSH_GROUP, place, rule};

/// Goes, and is known to have gone.
async fn go(server: &Server, device: Device) -> (crate::common::Identity, String) {
    let (identity, serial) = (device.identity.clone(), device.serial.clone());
    drop(device);
    while server.op("<show><devices><connected/></devices></show>").await.contains(&serial) {
        tokio::task::yield_now().await;
    }
    (identity, serial)
}

async fn start_push(server: &Server) -> String {
    let body = server.body(&[("type", "commit"), ("action", "all"), ("cmd", PUSH_GROUP)]).await;
    between(&body, "<job>", "</job>").to_owned()
}

async fn push(server: &Server) -> (String, String) {
    let job = start_push(server).await;
    let done = server.wait(&job).await;
    (job, done)
}

/// Waits until nothing is pending, and tells the newest job.
async fn delivered(server: &Server) -> String {
    while server.op("<show><devices><all/></devices></show>").await.contains("<pending-push>") {
        tokio::task::yield_now().await;
    }
    let jobs = server.op("<show><jobs><all/></jobs></show>").await;
    let newest = between(&jobs, "<id>", "</id>").to_owned();
    server.wait(&newest).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_was_away_gets_what_was_pushed_and_not_what_was_only_committed() {
    let server = Server::start().await;
    let device = Device::join(&server).await;
    place(&server, &device.serial).await;
    server.commit().await;
    let (identity, serial) = go(&server, device).await;
    let (job, done) = push(&server).await;
    assert!(done.contains("not connected") && done.contains("version 2 is pending"), "{done}");
    let shown = server.op("<show><devices><all/></devices></show>").await;
    assert!(shown.contains(&format!("<pending-push><jobid>{job}</jobid><version>2</version>")), "{shown}");
    rule(&server, "later").await;
    server.commit().await;
    let mut device = Device::attach(&server, identity, &serial, "").await.unwrap();
    let pushed = device.accept_push().await;
    assert_eq!(pushed.version, 2);
    assert!(!pushed.configuration.contains("later"));
    let done = delivered(&server).await;
    assert!(done.contains(&format!("goes on with job {job}")) && done.contains("<result>OK</result>"), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_push_takes_the_place_of_a_pending_one_and_a_cleared_one_does_not_come() {
    let server = Server::start().await;
    let device = Device::join(&server).await;
    place(&server, &device.serial).await;
    server.commit().await;
    let (identity, serial) = go(&server, device).await;
    push(&server).await;
    rule(&server, "newer").await;
    server.commit().await;
    let (newer, _) = push(&server).await;
    let mut device = Device::attach(&server, identity, &serial, "").await.unwrap();
    assert!(device.accept_push().await.configuration.contains("newer"));
    assert!(delivered(&server).await.contains(&format!("goes on with job {newer}")));

    let (identity, serial) = go(&server, device).await;
    rule(&server, "unwanted").await;
    server.commit().await;
    let (job, _) = push(&server).await;
    let cleared = server.op(&format!("<clear><job><id>{job}</id></job></clear>")).await;
    assert!(cleared.contains("pending for 1 device(s) is cancelled"), "{cleared}");
    assert!(server.op(&format!("<clear><job><id>{job}</id></job></clear>")).await.contains("is finished already"));
    let group = "/config/devices/entry[@name='localhost.localdomain']/device-group/entry[@name='dg']";
    let unwanted = format!("{group}/pre-rulebase/security/rules/entry[@name='unwanted']");
    server.body(&[("type", "config"), ("action", "delete"), ("xpath", &unwanted)]).await;
    server.commit().await;
    let mut device = Device::attach(&server, identity, &serial, "").await.unwrap();
    device.wait_until_known(&server).await;
    let job = start_push(&server).await;
    assert!(!device.accept_push().await.configuration.contains("unwanted"), "the first that comes is the newest");
    assert!(server.wait(&job).await.contains("<result>OK</result>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_goes_on_after_its_manager_was_restarted() {
    let mut server = Server::start().await;
    let mut device = Device::join(&server).await;
    place(&server, &device.serial).await;
    server.commit().await;
    let job = start_push(&server).await;
    let sent = device.next_push().await;
    server.restart().await;
    let done = server.wait(&job).await;
    assert!(
        done.contains("the manager was restarted") && done.contains("gets it when it is connected again"),
        "{done}"
    );
    let mut device = Device::attach(&server, device.identity.clone(), &device.serial, "").await.unwrap();
    assert_eq!(device.accept_push().await.configuration, sent.configuration);
    assert!(delivered(&server).await.contains(&format!("goes on with job {job}")));
}
