//! Scheduled pushes: they come when they are due, once, whatever happens to the manager meanwhile.

use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};

use crate::common::device::Device;
use crate::common::{Server, between};
use crate::fleet::{LOCALHOST, place};

/// A push of the group so many seconds from now, in the time of a zone far away.
async fn once(server: &Server, name: &str, seconds: i64, more: &str) {
    let due = (Timestamp::now() + seconds.seconds()).in_tz("Asia/Kolkata").unwrap();
    let entry = format!(
        "<entry name='{name}'><timezone>Asia/Kolkata</timezone><type><one-time><date>{}</date><time>{}</time></one-time></type>\
         <device-group><entry name='dg'/></device-group>{more}</entry>",
        due.strftime("%Y/%m/%d"),
        due.strftime("%H:%M:%S"),
    );
    server.set(&format!("{LOCALHOST}/scheduled-config-push"), &entry).await;
    let committed = server.commit().await;
    assert!(committed.contains("<result>OK</result>"), "{committed}");
}

async fn show(server: &Server, name: &str) -> String {
    server.op(&format!("<show><scheduled-config-push><name>{name}</name></scheduled-config-push></show>")).await
}

async fn pushes(server: &Server) -> usize {
    server.op("<show><jobs><all/></jobs></show>").await.matches("<type>CommitAll</type>").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_comes_when_it_is_due_and_only_once() {
    let mut server = Server::start().await;
    let mut device = Device::join(&server).await;
    place(&server, &device.serial).await;
    once(&server, "off", 2, "<disabled>yes</disabled>").await;
    once(&server, "tonight", 3, "").await;
    let before = show(&server, "tonight").await;
    assert!(before.contains("<disabled>no</disabled>") && before.contains("<history/>"), "{before}");
    assert!(!before.contains("<next/>"), "{before}");
    let begun = Timestamp::now();
    let push = device.accept_push().await;
    assert!(push.configuration.contains("203.0.113.2/24") && push.configuration.contains("out"));
    assert!(begun.duration_since(Timestamp::now()).abs().as_secs() <= 4);
    let done = loop {
        let shown = show(&server, "tonight").await;
        if shown.contains("<result>OK</result>") {
            break shown;
        }
    };
    assert!(done.contains("<succeeded>1</succeeded><failed>0</failed><reverted>0</reverted>"), "{done}");
    assert!(done.contains("<next/>"), "{done}");
    let job = server.op(&format!("<show><jobs><id>{}</id></jobs></show>", between(&done, "<job>", "</job>"))).await;
    assert!(job.contains("<user>scheduled-config-push tonight</user>"), "{job}");

    // Not again after a restart, and the one that is off never.
    server.restart().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(pushes(&server).await, 1);
    assert!(show(&server, "off").await.contains("<history/>"));
    assert_eq!(show(&server, "tonight").await.matches("<job>").count(), 1);

    // Whoever does not want to wait runs it by hand.
    let run = "<request><scheduled-config-push><run><name>off</name></run></scheduled-config-push></request>";
    let asked = server.op(run).await;
    let done = server.wait(between(&asked, "<job>", "</job>")).await;
    assert!(done.contains("not connected"), "{done}");
    assert!(show(&server, "off").await.contains("<failed>1</failed>"));
    let unknown = server.op(&run.replace("off", "never")).await;
    assert!(unknown.contains("there is no scheduled push `never`"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_due_while_no_manager_ran_is_made_up_for_once() {
    let mut server = Server::start().await;
    let device = Device::join(&server).await;
    place(&server, &device.serial).await;
    once(&server, "tonight", 2, "").await;
    drop(device);
    server.stop().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.begin().await;
    while pushes(&server).await == 0 {
        tokio::task::yield_now().await;
    }
    server.restart().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(pushes(&server).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_cannot_be_understood_is_refused_at_commit() {
    let server = Server::start().await;
    let entry = "<entry name='s'><type><recurring><daily><at>noon</at></daily></recurring></type>\
                 <device-group><entry name='nobody'/></device-group></entry>";
    server.set(&format!("{LOCALHOST}/scheduled-config-push"), entry).await;
    let refused = server.commit().await;
    assert!(
        refused.contains("`noon` is no time of the day") && refused.contains("device group `nobody` does not exist"),
        "{refused}"
    );
    assert!(refused.contains("[invalid-schedule] --&gt;"), "{refused}");
}
