//! Jobs that wait for their turn: where they stand, and how they are cancelled.

use crate::common::device::Device;
use crate::common::{Server, between};
use crate::fleet::{PUSH_GROUP, log, place};

async fn enqueue(server: &Server) -> String {
    let body = server.body(&[("type", "commit"), ("action", "all"), ("cmd", PUSH_GROUP)]).await;
    assert!(body.contains("<job>"), "{body}");
    between(&body, "<job>", "</job>").to_owned()
}

async fn show(server: &Server, job: &str) -> String {
    server.op(&format!("<show><jobs><id>{job}</id></jobs></show>")).await
}

async fn clear(server: &Server, job: &str) -> String {
    server.op(&format!("<clear><job><id>{job}</id></job></clear>")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_can_be_cancelled_and_a_finished_one_cannot() {
    let mut server = Server::start().await;
    let mut device = Device::join(&server).await;
    place(&server, &device.serial).await;
    server.commit().await;
    // The first one runs as long as the device does not answer; the others wait.
    let running = enqueue(&server).await;
    let push = device.next_push().await;
    let (second, third) = (enqueue(&server).await, enqueue(&server).await);
    let shown = show(&server, &running).await;
    assert!(shown.contains("<status>ACT</status>") && shown.contains("<positionInQ>0</positionInQ>"), "{shown}");
    for (job, position) in [(&second, 1), (&third, 2)] {
        let shown = show(&server, job).await;
        assert!(shown.contains("<status>PEND</status><queued>YES</queued><stoppable>yes</stoppable>"), "{shown}");
        assert!(shown.contains(&format!("<positionInQ>{position}</positionInQ>")), "{shown}");
    }
    assert!(clear(&server, &second).await.contains("cancelled by admin before it began"));
    let shown = show(&server, &second).await;
    assert!(shown.contains("<status>FIN</status>") && shown.contains("<result>FAIL</result>"), "{shown}");
    assert!(shown.contains("<line>cancelled by admin before it began</line>"), "{shown}");
    assert!(show(&server, &third).await.contains("<positionInQ>1</positionInQ>"));
    let again = clear(&server, &second).await;
    assert!(again.contains("status=\"error\"") && again.contains("is finished already"), "{again}");
    let unknown = clear(&server, "4711").await;
    assert!(unknown.contains("job 4711 not found"), "{unknown}");
    assert!(log(&server, "config", "(cmd eq clear)").await.contains(&format!("job {second}")));

    // The cancelled one is passed over.
    device.answer(&push, 0).await;
    let (done, _) = tokio::join!(server.wait(&third), device.accept_push());
    assert!(done.contains("<result>OK</result>") && done.contains("<stoppable>no</stoppable>"), "{done}");
    assert!(server.wait(&running).await.contains("<result>OK</result>"));
    // And stays cancelled.
    server.restart().await;
    assert!(show(&server, &second).await.contains("<line>cancelled by admin before it began</line>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_running_push_only_what_was_not_sent_is_cancelled() {
    let server = Server::start().await;
    let mut device = Device::join(&server).await;
    place(&server, &device.serial).await;
    server.commit().await;
    let running = enqueue(&server).await;
    let push = device.next_push().await;
    let stopped = clear(&server, &running).await;
    assert!(stopped.contains("devices that were not sent anything yet keep what they have"), "{stopped}");
    // This one was.
    device.answer(&push, 0).await;
    assert!(server.wait(&running).await.contains("<result>OK</result>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_cancelled_commits_nothing_and_another_one_everything() {
    let server = Server::start().await;
    for number in 0..20 {
        let name = format!("a{number}");
        server.set("/config/shared/address", &format!("<entry name='{name}'><fqdn>x.example</fqdn></entry>")).await;
        let body = server.body(&[("type", "commit"), ("cmd", "<commit/>")]).await;
        let job = between(&body, "<job>", "</job>").to_owned();
        let answer = clear(&server, &job).await;
        let done = server.wait(&job).await;
        let running = server.body(&[("type", "config"), ("action", "show"), ("xpath", "/config/shared/address")]).await;
        let is_cancelled = answer.contains("status=\"success\"");
        assert!(
            is_cancelled || answer.contains("finished already") || answer.contains("cannot be stopped any more"),
            "{answer}"
        );
        assert_eq!(done.contains("<result>FAIL</result>"), is_cancelled, "{answer} {done}");
        assert_eq!(running.contains(&format!("\"{name}\"")), !is_cancelled, "{answer} {running}");
        assert_eq!(done.contains("cancelled by admin"), is_cancelled, "{done}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_bounded_and_a_cancelled_job_makes_room() {
    let server = Server::start().await;
    let mut device = Device::join(&server).await;
    place(&server, &device.serial).await;
    server.commit().await;
    enqueue(&server).await;
    device.next_push().await;
    let mut last = String::new();
    for _ in 0..64 {
        last = enqueue(&server).await;
    }
    assert!(show(&server, &last).await.contains("<positionInQ>64</positionInQ>"));
    let full = server.body(&[("type", "commit"), ("action", "all"), ("cmd", PUSH_GROUP)]).await;
    assert!(full.contains("64 jobs are waiting already"), "{full}");
    clear(&server, &last).await;
    enqueue(&server).await;
}
