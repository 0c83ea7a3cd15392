//! Versions are kept as edits, and every one of them is what it was.

use crate::common::{Server, between};
use crate::fleet::LOCALHOST;

async fn running(server: &Server) -> String {
    server.op("<show><config><running/></config></show>").await
}

async fn version(server: &Server, number: usize) -> String {
    server.op(&format!("<show><config><version>{number}</version></config></show>")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_is_what_was_committed_also_after_a_restart() {
    let mut server = Server::start().await;
    let group = format!("{LOCALHOST}/device-group/entry[@name='dg']");
    let mut versions = vec![running(&server).await];
    for number in 0..6 {
        server
            .set(
                &format!("{group}/address"),
                &format!("<entry name='a{number}'><fqdn>a{number}.example</fqdn></entry>"),
            )
            .await;
        server.set("/config/shared/tag", &format!("<entry name='t{number}'/>")).await;
        // The tags of the odd ones wait for the next commit.
        let cmd = match number % 2 {
            0 => "<commit/>",
            _ => "<commit><partial><shared-object>excluded</shared-object></partial></commit>",
        };
        let job = server.body(&[("type", "commit"), ("cmd", cmd)]).await;
        let job = server.wait(between(&job, "<job>", "</job>")).await;
        assert!(job.contains("<result>OK</result>"), "{job}");
        versions.push(running(&server).await);
    }
    assert!(!versions[2].contains("t1") && versions[3].contains("t1"));
    for restarted in [false, true] {
        for (at, expected) in versions.iter().enumerate() {
            assert_eq!(version(&server, at + 1).await, *expected, "version {}, restarted: {restarted}", at + 1);
        }
        server.restart().await;
    }
    assert_eq!(&running(&server).await, versions.last().unwrap());
}
