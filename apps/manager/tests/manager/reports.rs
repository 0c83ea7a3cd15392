//! Are reports the sums of the logs, in the answers that clients read?

use bartizan_api::fleet::TrafficLog;

use crate::common::device::Device;
use crate::common::{Server, between};
use crate::fleet::record;

/// Twelve records in slices of three: two sources, three rules, one in four denied.
async fn filled() -> Server {
    let server = Server::start_with(|settings| settings.traffic_logs_max = 15).await;
    let mut device = Device::join(&server).await;
    let line = |number: u64| TrafficLog {
        source: format!("10.0.0.{}", number % 2 + 1),
        rule: format!("rule-{}", number % 3),
        action: if number.is_multiple_of(4) { "deny".into() } else { "allow".into() },
        bytes_sent: 100 * number,
        bytes_received: 0,
        ..record(number)
    };
    device.log("boot", 12, (1..=12).map(line).collect()).await;
    server
}

async fn report(server: &Server, parameters: &[(&str, &str)]) -> String {
    let mut asking = vec![("type", "report")];
    asking.extend_from_slice(parameters);
    let asked = server.body(&asking).await;
    assert!(asked.contains("Report job enqueued with jobid"), "{asked}");
    let job = between(&asked, "<job>", "</job>");
    loop {
        let found = server.body(&[("type", "report"), ("action", "get"), ("job-id", job)]).await;
        if !found.contains("<status>ACT</status>") {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

fn entries(report: &str) -> Vec<&str> {
    report.split("<entry>").skip(1).map(|entry| entry.split("</entry>").next().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dynamic_report_adds_up_the_last_hour() {
    let server = filled().await;
    let found = report(
        &server,
        &[("reporttype", "dynamic"), ("reportname", "top-src-summary"), ("period", "last-hour"), ("topn", "5")],
    )
    .await;
    assert!(found.contains("<status>FIN</status>") && found.contains("reportname=\"top-src-summary\""), "{found}");
    let epoch = |name: &str| between(&found, &format!("{name}=\""), "\"").parse::<i64>().unwrap();
    assert_eq!(epoch("end-epoch") - epoch("start-epoch"), 3599);
    assert_eq!(
        entries(&found),
        [
            "<src>10.0.0.1</src><bytes>4200</bytes><sessions>6</sessions><packets>42</packets>",
            "<src>10.0.0.2</src><bytes>3600</bytes><sessions>6</sessions><packets>42</packets>",
        ]
    );
    // Two conditions and a time in which nothing was.
    let denied = [("reportname", "top-src-summary"), ("query", "(action eq deny)"), ("topn", "1")];
    assert!(entries(&report(&server, &denied).await)[0].contains("<bytes>2400</bytes><sessions>3</sessions>"));
    let before =
        [("reportname", "top-src-summary"), ("start-time", "2020/01/01 00:00:00"), ("end-time", "2020/01/02 00:00:00")];
    assert!(entries(&report(&server, &before).await).is_empty());
    let predefined = report(&server, &[("reporttype", "predefined"), ("reportname", "top-sources")]).await;
    assert!(predefined.contains("name=\"Top sources\"") && entries(&predefined).is_empty(), "yesterday was nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_can_be_described_in_a_command_or_in_the_configuration() {
    let server = filled().await;
    let kind = "<type><panorama-traffic><aggregate-by><member>rule</member><member>src</member></aggregate-by>\
        <values><member>bytes_sent</member></values></panorama-traffic></type>";
    let cmd =
        format!("{kind}<period>last-24-hrs</period><topn>2</topn><caption>By rule</caption><group-by>rule</group-by>");
    let asking = [
        ("type", "report"),
        ("reporttype", "dynamic"),
        ("reportname", "custom-dynamic-report"),
        ("cmd", &*cmd),
        ("async", "no"),
    ];
    let found = server.body(&asking).await;
    assert!(
        found.starts_with("<response status=\"success\"><report ") && found.contains("name=\"By rule\""),
        "{found}"
    );
    let sums = |rule: u64, source: u64| {
        let of = |n: &u64| n % 3 == rule && n % 2 + 1 == source;
        let sum: u64 = (1..=12).filter(of).map(|n| 100 * n).sum();
        format!("<rule>rule-{rule}</rule><src>10.0.0.{source}</src><bytes_sent>{sum}</bytes_sent>")
    };
    assert_eq!(entries(&found), [sums(0, 1), sums(0, 2), sums(2, 2), sums(2, 1)]);

    server
        .set("/config/shared/reports/entry[@name='mine']", &format!("{kind}<period>last-7-days</period><topn>1</topn>"))
        .await;
    let custom = [("reporttype", "custom"), ("reportname", "mine")];
    let mut asking = vec![("type", "report")];
    asking.extend(custom);
    let early = server.body(&asking).await;
    assert!(early.contains("there is no report `mine`; none is configured"), "{early}");
    assert!(server.commit().await.contains("<result>OK</result>"));
    assert_eq!(entries(&report(&server, &custom).await).len(), 1);

    for (parameters, why) in [
        (vec![("reportname", "top-source-summary")], "did you mean `top-src-summary`?"),
        (vec![("reportname", "top-src-summary"), ("topn", "1000")], "is not a number from 1 to 500"),
        (vec![("reportname", "top-src-summary"), ("query", "(sorce eq 1)")], "at character 2"),
        (vec![("reportname", "custom-dynamic-report"), ("cmd", "<period/>")], "the report names no database"),
        (vec![("reportname", "custom-dynamic-report"), ("cmd", "<type>")], "code=\"18\""),
        (vec![("reporttype", "other"), ("reportname", "x")], "Illegal value for parameter"),
        (vec![("action", "get"), ("job-id", "999")], "report job 999 not found"),
        (vec![], "Missing value for parameter"),
    ] {
        let mut asking = vec![("type", "report")];
        asking.extend(parameters);
        let refused = server.body(&asking).await;
        assert!(refused.contains(why), "{refused}");
    }
}
