//! Pushes that have to be confirmed: what do job, inventory and logs say of them?

use bartizan_api::fleet::{Hello, TakeBack};

use crate::common::device::Device;
use crate::common::{Server, between};
use crate::fleet::{LOCALHOST, PUSH_GROUP, PUSH_STACK, log, place, rule};

async fn policy_status(server: &Server) -> String {
    let groups = server.op("<show><devicegroups/></show>").await;
    between(&groups, "<shared-policy-status>", "</shared-policy-status>").to_owned()
}

async fn placed() -> (Server, Device) {
    let server = Server::start().await;
    let device = Device::join(&server).await;
    place(&server, &device.serial).await;
    server.commit().await;
    (server, device)
}

fn hello(device: &Device, running_digest: &str) -> Hello {
    Hello { serial: device.serial.clone(), running_digest: running_digest.to_owned(), ..Hello::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_ok_only_when_it_is_confirmed_whichever_comes_first() {
    let (server, mut device) = placed().await;
    let enforce = async {
        let push = device.enforce_push(30).await;
        // In force, and not final yet.
        let job = server.op("<show><jobs><pending/></jobs></show>").await;
        assert!(job.contains("<type>CommitAll</type>") && job.contains("<status>commit in progress</status>"), "{job}");
        assert_eq!(policy_status(&server).await, "Out of Sync");
        device.confirm(&server, &push).await.unwrap();
        // The answer got lost, and it is said again.
        device.confirm(&server, &push).await.unwrap();
    };
    let (job, ()) = tokio::join!(server.commit_all(PUSH_GROUP), enforce);
    assert!(job.contains("<result>OK</result>") && job.contains("in force after 250 us"), "{job}");
    assert_eq!(policy_status(&server).await, "In Sync");

    rule(&server, "second").await;
    server.commit().await;
    let confirm_first = async {
        let push = device.next_push().await;
        device.confirm(&server, &push).await.unwrap();
    };
    let (job, ()) = tokio::join!(server.commit_all(PUSH_GROUP), confirm_first);
    assert!(job.contains("<result>OK</result>"), "{job}");
    assert_eq!(policy_status(&server).await, "In Sync");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_taken_back_is_in_the_job_and_in_both_logs() {
    let (server, mut device) = placed().await;
    let (_, first) = tokio::join!(server.commit_all(PUSH_GROUP), device.accept_push());
    rule(&server, "cuts").await;
    server.commit().await;
    let serial = device.serial.clone();
    let revert = async {
        let push = device.enforce_push(30).await;
        let taken = TakeBack {
            push_id: push.id,
            digest: push.digest,
            version: push.version,
            reason: "the manager was not reached within 30 s: no answer".to_owned(),
            time_us: 1,
        };
        let greeting = Hello { take_back: Some(taken), ..hello(&device, &first.digest) };
        let identity = device.identity.clone();
        // It is said until it is noted, and noted once.
        for _ in 0..2 {
            let mut again = Device::greet(&server, identity.clone(), greeting.clone()).await.unwrap();
            let noted = again.next().await.unwrap().unwrap();
            assert!(format!("{noted:?}").contains(&format!("push_id: {}", push.id)), "{noted:?}");
            again.wait_until_known(&server).await;
        }
        Device::greet(&server, identity, hello(&device, &first.digest)).await.unwrap()
    };
    let (job, mut device) = tokio::join!(server.commit_all(PUSH_GROUP), revert);
    assert!(job.contains("<result>FAIL</result>") && job.contains("<status>commit failed</status>"), "{job}");
    assert!(job.contains("the device reverted to the configuration of before: the manager was not reached"), "{job}");
    assert_eq!(policy_status(&server).await, "Out of Sync");
    let of_manager = log(&server, "system", "(eventid eq commit-recovery)").await;
    assert!(of_manager.contains("<logs count=\"1\""), "{of_manager}");
    assert!(
        of_manager.contains(&format!("device {serial} (")) && of_manager.contains("reverted the push of version 3"),
        "{of_manager}"
    );
    let audit = log(&server, "config", "(cmd eq revert)").await;
    assert!(audit.contains("<logs count=\"1\"") && audit.contains(&format!("<admin>{serial}</admin>")), "{audit}");
    assert!(audit.contains("reverted by commit recovery: the manager was not reached within 30 s"), "{audit}");

    // A push of the templates alone does not bring the policy that was taken back.
    device.wait_until_known(&server).await;
    let (job, push) = tokio::join!(server.commit_all(PUSH_STACK), device.accept_push());
    assert!(job.contains("<result>OK</result>") && !push.configuration.contains("cuts"), "{}", push.configuration);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_was_restarted_takes_the_confirmation_of_a_push_that_it_sent_before() {
    let (mut server, mut device) = placed().await;
    let body = server.body(&[("type", "commit"), ("action", "all"), ("cmd", PUSH_GROUP)]).await;
    let job = between(&body, "<job>", "</job>").to_owned();
    let push = device.enforce_push(30).await;
    server.restart().await;
    let failed = server.wait(&job).await;
    assert!(failed.contains("the manager was restarted before this job was done"), "{failed}");
    assert_eq!(policy_status(&server).await, "Out of Sync");
    device.confirm(&server, &push).await.unwrap();
    assert_eq!(policy_status(&server).await, "In Sync");

    // One that was confirmed while nobody could write it down is known by what the device enforces.
    rule(&server, "second").await;
    server.commit().await;
    let identity = device.identity.clone();
    let mut device = Device::greet(&server, identity, hello(&device, &push.digest)).await.unwrap();
    device.wait_until_known(&server).await;
    server.body(&[("type", "commit"), ("action", "all"), ("cmd", PUSH_GROUP)]).await;
    let push = device.enforce_push(30).await;
    let back = Device::greet(&server, device.identity.clone(), hello(&device, &push.digest)).await.unwrap();
    back.wait_until_known(&server).await;
    while policy_status(&server).await != "In Sync" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_comes_back_without_the_push_did_not_get_it() {
    let (server, mut device) = placed().await;
    let lose = async {
        device.next_push().await;
        Device::greet(&server, device.identity.clone(), hello(&device, "")).await.unwrap()
    };
    let (job, _device) = tokio::join!(server.commit_all(PUSH_GROUP), lose);
    assert!(job.contains("disconnected before it answered"), "{job}");
    let enabled = server.get(&format!("{LOCALHOST}/template/entry[@name='net']")).await;
    assert!(!enabled.contains("disable-commit-recovery"), "{enabled}");
}
