//! What the manager must hold: bulk edits, large reads, many pollers.

use std::time::Instant;

use crate::common::Server;

const GROUP: &str = "/config/devices/entry[@name='localhost.localdomain']/device-group/entry[@name='dg']";

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_addresses_and_five_thousand_rules() {
    let server = Server::start().await;
    let begun = Instant::now();
    for batch in 0..20 {
        let edits: String = (0..500)
            .map(|number| {
                let name = format!("a{}", batch * 500 + number);
                format!(
                    "<edit xpath=\"{GROUP}/address/entry[@name='{name}']\"><entry name=\"{name}\">\
                     <ip-netmask>10.{batch}.{}.{}</ip-netmask></entry></edit>",
                    number / 250,
                    number % 250
                )
            })
            .collect();
        let request = format!("<multi-configure-request>{edits}</multi-configure-request>");
        let answer = server.body(&[("type", "config"), ("action", "multi-config"), ("element", &request)]).await;
        assert!(answer.starts_with("<response status=\"success\" code=\"20\">"), "{}", &answer[answer.len() - 500..]);
    }
    took(begun, "10000 addresses in 20 requests");

    let begun = Instant::now();
    let rules: String = (0..5000)
        .map(|number| {
            format!(
                "<entry name=\"r{number}\"><from><member>any</member></from><to><member>any</member></to>\
                 <source><member>a{number}</member></source><destination><member>a{}</member></destination>\
                 <application><member>any</member></application><service><member>any</member></service>\
                 <action>allow</action></entry>",
                number + 5000
            )
        })
        .collect();
    server.set(&format!("{GROUP}/pre-rulebase/security/rules"), &rules).await;
    took(begun, "5000 rules set");

    let begun = Instant::now();
    let job = server.commit().await;
    assert!(job.contains("<result>OK</result>"), "{job}");
    took(begun, "commit");
    println!("{}", crate::common::between(&job, "<line>Committed", "</line>"));

    let begun = Instant::now();
    let read = server.get(&format!("{GROUP}/pre-rulebase/security/rules/entry")).await;
    assert!(read.contains("count=\"5000\""));
    took(begun, "5000 rules read");

    // One more edit on top of it all.
    let begun = Instant::now();
    server.set(&format!("{GROUP}/address/entry[@name='a7']"), "<description>seven</description>").await;
    took(begun, "one edit");
    let begun = Instant::now();
    let job = server.commit().await;
    took(begun, "second commit");
    println!("{}", crate::common::between(&job, "<line>Committed", "</line>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_pollers() {
    let server = std::sync::Arc::new(Server::start().await);
    server.set("/config/shared/tag", "<entry name='t'/>").await;
    server.commit().await;
    let begun = Instant::now();
    let pollers: Vec<_> = (0..200)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move { server.op("<show><jobs><all/></jobs></show>").await })
        })
        .collect();
    for poller in pollers {
        assert!(poller.await.unwrap().contains("<type>Commit</type>"));
    }
    took(begun, "200 pollers with a handshake each");
}

/// Figures are for whoever reads the output: how long something took fails no test.
#[expect(clippy::print_stdout, reason = "figures for a person")]
fn took(begun: Instant, what: &str) {
    println!("{what}: {:?}", begun.elapsed());
}
