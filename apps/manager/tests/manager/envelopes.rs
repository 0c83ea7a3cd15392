//! What clients of the XML API get, to the byte where they look.

use crate::common::{Answer, PASSWORD, Server, basic, between};
use expect_test::{Expect, expect};

const GROUPS: &str = "/config/devices/entry[@name='localhost.localdomain']/device-group";
const ADDRESSES: &str = "/config/shared/address";

async fn config(server: &Server, action: &str, more: &[(&str, &str)]) -> String {
    let mut parameters = vec![("type", "config"), ("action", action)];
    parameters.extend(more);
    server.body(&parameters).await
}

fn check(answer: &str, expected: Expect) {
    assert!(!answer.starts_with("<?xml"), "a prolog breaks clients that cut off the envelope");
    expected.assert_eq(answer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_traded_for_name_and_password() {
    let server = Server::start().await;
    assert!(server.key.bytes().all(|byte| byte.is_ascii_alphanumeric()), "keys are not url-encoded by clients");
    let wrong = server.send(&[("type", "keygen"), ("user", "admin"), ("password", "no")], &[]).await;
    assert_eq!(wrong.status, 403);
    check(
        &wrong.body,
        expect![[r#"<response status="error" code="403"><result><msg>Invalid Credential</msg></result></response>"#]],
    );
    let unknown = server.send(&[("type", "keygen"), ("user", "nobody"), ("password", "no")], &[]).await;
    assert_eq!(unknown, wrong);

    // The key as a header, as a parameter, in the query of a GET, or no key but a password.
    let version = [("type", "version")];
    let by_header = server.api(&version).await;
    let by_parameter = server.send(&[("type", "version"), ("key", &server.key)], &[]).await;
    let in_query = server.request("GET", &format!("/api?type=version&key={}", server.key), &[], Vec::new()).await;
    let by_password = server.send(&version, &[("authorization", &basic("admin", PASSWORD))]).await;
    assert_eq!(by_header.status, 200);
    assert_eq!(by_header.content_type, "application/xml; charset=UTF-8");
    for answer in [by_parameter, in_query, by_password] {
        assert_eq!(answer, by_header);
    }
    let refused = server.send(&version, &[("x-pan-key", "0123456789")]).await;
    assert_eq!(refused.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_passwords_is_slowed_down_and_says_so() {
    let server = Server::start().await;
    let guess = [("type", "keygen"), ("user", "admin"), ("password", "guess")];
    for _ in 0..10 {
        assert!(server.send(&guess, &[]).await.body.contains("<msg>Invalid Credential</msg>"));
    }
    let right = [("type", "keygen"), ("user", "admin"), ("password", PASSWORD)];
    let refused = server.send(&right, &[]).await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("too many failed logins from `127.0.0.1`"), "{}", refused.body);
    assert_eq!(server.api(&[("type", "version")]).await.status, 200, "keys keep working");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_and_both_paths_are_answered_directly() {
    let server = Server::start().await;
    let headers = [("x-pan-key", server.key.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    for method in ["GET", "POST", "PUT", "DELETE"] {
        for path in ["/api", "/api/"] {
            let answer = server.request(method, &format!("{path}?type=version"), &headers, Vec::new()).await;
            assert_eq!(answer.status, 200, "{method} {path}");
        }
    }
    // Of a name that is in several places, the body's value counts.
    let answer = server.request("POST", "/api/?type=nonsense", &headers, b"type=version".to_vec()).await;
    assert_eq!(answer.status, 200);
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\nversion\r\n--x--\r\n";
    let headers = [("x-pan-key", server.key.as_str()), ("content-type", "multipart/form-data; boundary=x")];
    let answer = server.request("POST", "/api", &headers, multipart.into()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_and_writing_the_candidate() {
    let server = Server::start().await;
    check(&server.get(ADDRESSES).await, expect![[r#"<response status="success" code="7"><result/></response>"#]]);
    check(
        &config(&server, "show", &[("xpath", ADDRESSES)]).await,
        expect![[r#"<response status="error"><msg><line>No such node</line></msg></response>"#]],
    );
    let entry = r#"<entry name="a"><ip-netmask>10.0.0.1</ip-netmask></entry>"#;
    check(
        &config(&server, "set", &[("xpath", ADDRESSES), ("element", entry)]).await,
        expect![[r#"<response status="success" code="20"><msg>command succeeded</msg></response>"#]],
    );
    check(
        &server.get(&format!("{ADDRESSES}/entry[@name='a']")).await,
        expect![[
            r#"<response status="success" code="19"><result total-count="1" count="1"><entry name="a"><ip-netmask>10.0.0.1</ip-netmask></entry></result></response>"#
        ]],
    );
    check(
        &server.get(&format!("{ADDRESSES}/entry/@name")).await,
        expect![[
            r#"<response status="success" code="19"><result total-count="1" count="1"><entry name="a"/></result></response>"#
        ]],
    );
    // The other branch of the choice takes the place of the first.
    let fqdn = "<fqdn>example.com</fqdn>";
    config(&server, "set", &[("xpath", &format!("{ADDRESSES}/entry[@name='a']")), ("element", fqdn)]).await;
    check(
        &server.get(&format!("{ADDRESSES}/entry")).await,
        expect![[
            r#"<response status="success" code="19"><result total-count="1" count="1"><entry name="a"><fqdn>example.com</fqdn></entry></result></response>"#
        ]],
    );
    // Running is untouched until the commit.
    assert!(config(&server, "show", &[("xpath", ADDRESSES)]).await.contains("No such node"));
    server.commit().await;
    check(
        &config(&server, "show", &[("xpath", ADDRESSES)]).await,
        expect![[
            r#"<response status="success"><result><address><entry name="a"><fqdn>example.com</fqdn></entry></address></result></response>"#
        ]],
    );
    let path = format!("{ADDRESSES}/entry[@name='a']");
    assert!(config(&server, "delete", &[("xpath", &path), ("element", "<noise/>")]).await.contains("code=\"20\""));
    check(
        &config(&server, "delete", &[("xpath", &path)]).await,
        expect![[r#"<response status="success" code="7"><msg>Object doesn't exist</msg></response>"#]],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_has_its_code() {
    let server = Server::start().await;
    server.set(ADDRESSES, r#"<entry name="a"><ip-netmask>10.0.0.1</ip-netmask></entry><entry name="b"><ip-netmask>10.0.0.2</ip-netmask></entry>"#).await;
    let entry = format!("{ADDRESSES}/entry[@name='a']");
    let code = |body: &str| between(body, "code=\"", "\"").to_owned();

    let bad_xpath = server.get("/config/[").await;
    assert_eq!(code(&bad_xpath), "6", "{bad_xpath}");
    let wrong_tag = config(&server, "edit", &[("xpath", &entry), ("element", "<address/>")]).await;
    assert_eq!(code(&wrong_tag), "12", "{wrong_tag}");
    let clash = config(&server, "rename", &[("xpath", &entry), ("newname", "b")]).await;
    assert!(code(&clash) == "12" && clash.contains("is already in use"), "{clash}");
    let top = config(&server, "move", &[("xpath", &entry), ("where", "top"), ("dst", "top")]).await;
    assert!(code(&top) == "14" && top.contains("already at the"), "{top}");
    let broken = config(&server, "set", &[("xpath", ADDRESSES), ("element", "<entry name='x'>")]).await;
    assert_eq!(code(&broken), "12", "{broken}");

    let malformed = server.op("<show><system>").await;
    assert_eq!(code(&malformed), "18", "{malformed}");
    let unknown = server.op("<show><nonsense/></show>").await;
    check(
        &unknown,
        expect![[
            r#"<response status="error" code="17"><msg><line>invalid client cli</line><line>`show nonsense` is not a command of this manager</line></msg></response>"#
        ]],
    );
    let complete = config(&server, "complete", &[("xpath", ADDRESSES)]).await;
    assert_eq!(code(&complete), "17", "{complete}");

    for parameters in [
        vec![("type", "config")],
        vec![("type", "config"), ("action", "set"), ("xpath", ADDRESSES)],
        vec![("type", "config"), ("action", "dance"), ("xpath", ADDRESSES)],
        vec![("type", "nonsense")],
        vec![("typ", "config")],
    ] {
        let answer = server.api(&parameters).await;
        assert_eq!(answer.status, 400, "{parameters:?} {}", answer.body);
    }
    let target =
        server.body(&[("type", "op"), ("cmd", "<show><session><all/></session></show>"), ("target", "BZT1")]).await;
    assert!(target.contains("<line>BZT1 not connected</line>"), "{target}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_edits_are_made_all_or_none() {
    let server = Server::start().await;
    let multi = |element: &'static str| {
        let server = &server;
        async move { config(server, "multi-config", &[("element", element)]).await }
    };
    check(
        &multi(
            "<multi-configure-request><set id=\"7\" xpath=\"/config/shared/address\"><entry name=\"a\"><ip-netmask>10.0.0.1</ip-netmask></entry></set>\
             <edit xpath=\"/config/shared/address/entry[@name='b']\"><entry name=\"b\"><fqdn>b.example</fqdn></entry></edit>\
             <move xpath=\"/config/shared/address/entry[@name='b']\" where=\"before\" dst=\"a\"/>\
             <delete xpath=\"/config/shared/address/entry[@name='nobody']\"/></multi-configure-request>",
        )
        .await,
        expect![[r#"<response status="success" code="20"><response status="success" code="20" id="7"><msg>command succeeded</msg></response><response status="success" code="20" id="2"><msg>command succeeded</msg></response><response status="success" code="20" id="3"><msg>command succeeded</msg></response><response status="success" code="20" id="4"><msg>command succeeded</msg></response></response>"#]],
    );
    let names = server.get(&format!("{ADDRESSES}/entry/@name")).await;
    assert!(names.contains(r#"<entry name="b"/><entry name="a"/>"#), "{names}");
    let failed = multi(
        "<multi-config><set id=\"x\" xpath=\"/config/shared/address\"><entry name=\"c\"><fqdn>c.example</fqdn></entry></set>\
         <rename id=\"y\" xpath=\"/config/shared/address/entry[@name='a']\" newname=\"b\"/></multi-config>",
    )
    .await;
    assert!(
        failed.starts_with(r#"<response status="error" code="12"><response status="error" code="12" id="y">"#),
        "{failed}"
    );
    assert!(!server.get(ADDRESSES).await.contains("\"c\""), "nothing of it was applied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_a_job_with_every_key() {
    let server = Server::start().await;
    server.set(GROUPS, r#"<entry name="dg"/>"#).await;
    check(
        &server.op("<check><pending-changes/></check>").await,
        expect![[r#"<response status="success"><result>yes</result></response>"#]],
    );
    let commit = [("type", "commit"), ("cmd", "<commit><description>first</description></commit>")];
    check(
        &server.body(&commit).await,
        expect![[
            r#"<response status="success" code="19"><result><msg><line>Commit job enqueued with jobid 1</line></msg><job>1</job></result></response>"#
        ]],
    );
    let job = server.wait("1").await;
    for key in [
        "tenq",
        "tdeq",
        "id",
        "user",
        "type",
        "status",
        "queued",
        "stoppable",
        "result",
        "tfin",
        "description",
        "positionInQ",
        "progress",
        "warnings",
        "details",
    ] {
        assert!(job.contains(&format!("<{key}>")) || job.contains(&format!("<{key}/>")), "{key} in {job}");
    }
    assert_eq!(between(&job, "<result>OK", "/result>"), "<");
    assert_eq!(between(&job, "<description>", "</description>"), "first");
    assert!(job.contains("<line>Configuration committed successfully</line><line>Committed version 2 in "), "{job}");
    check(
        &server.body(&commit).await,
        expect![[r#"<response status="success" code="19"><msg>There are no changes to commit.</msg></response>"#]],
    );
    check(
        &server.op("<show><jobs><id>4294967295</id></jobs></show>").await,
        expect![[r#"<response status="error" code="7"><msg><line>job 4294967295 not found</line></msg></response>"#]],
    );
    // Edits that cancel out are still something to commit.
    server.set(ADDRESSES, r#"<entry name="a"><fqdn>a.example</fqdn></entry>"#).await;
    config(&server, "delete", &[("xpath", ADDRESSES)]).await;
    assert!(server.op("<check><pending-changes/></check>").await.contains("yes"));
    assert!(server.commit().await.contains("Committed version 3 in "));
    let versions = server.op("<show><config><versions/></config></show>").await;
    assert!(
        versions.contains(r#"<entry name="3">"#) && versions.contains("<description>first</description>"),
        "{versions}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_refused_says_everything_at_once() {
    let server = Server::start().await;
    server.set("/config/shared/address-group", r#"<entry name="g"><static><member>nobody</member></static></entry><entry name="h"><static><member>nothing</member></static></entry>"#).await;
    let job = server.commit().await;
    assert!(job.contains("<result>FAIL</result>") && job.contains("<progress>100</progress>"), "{job}");
    assert!(
        job.contains("<details><line>Validation Error:</line>") && job.contains("<line>Commit failed</line>"),
        "{job}"
    );
    assert!(job.contains("`nobody`") && job.contains("`nothing`"), "{job}");
    assert!(job.contains("/config/shared/address-group/entry[@name='g']"), "{job}");
    assert!(config(&server, "show", &[("xpath", "/config/shared/address-group")]).await.contains("No such node"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_candidate_goes_back_to_running_or_to_any_version() {
    let server = Server::start().await;
    server.set(ADDRESSES, r#"<entry name="one"><fqdn>one.example</fqdn></entry>"#).await;
    server.commit().await;
    server.set(ADDRESSES, r#"<entry name="two"><fqdn>two.example</fqdn></entry>"#).await;
    server.commit().await;
    server.set(ADDRESSES, r#"<entry name="three"><fqdn>three.example</fqdn></entry>"#).await;
    let difference = server.op("<show><config><diff/></config></show>").await;
    assert!(difference.contains("three"), "{difference}");
    let changes = server.op("<show><config><list><changes/></list></config></show>").await;
    assert!(changes.contains("<owner>admin</owner><action>SET</action>"), "{changes}");
    server.op("<revert><config/></revert>").await;
    assert!(!server.get(ADDRESSES).await.contains("three"));
    assert!(server.op("<check><pending-changes/></check>").await.contains("no"));
    let loaded = server.op("<load><config><version>2</version></config></load>").await;
    assert!(loaded.contains("Config loaded from version 2"), "{loaded}");
    let addresses = server.get(ADDRESSES).await;
    assert!(addresses.contains("one") && !addresses.contains("two"), "{addresses}");
    assert!(server.commit().await.contains("Committed version 4"));
    assert!(server.op("<load><config><version>99</version></config></load>").await.contains("version `99` not found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_the_candidate_counts_at_once_and_a_reader_only_reads() {
    let server = Server::start().await;
    let hash = |answer: &str| between(answer, "<phash>", "</phash>").to_owned();
    let command = "<request><password-hash><password>geheim</password></password-hash></request>";
    let (first, second) = (hash(&server.op(command).await), hash(&server.op(command).await));
    assert_ne!(first, second, "each hash has its own salt");
    let user = format!(
        "<entry name='eve'><phash>{first}</phash><permissions><role-based><superreader>yes</superreader></role-based></permissions></entry>"
    );
    server.set("/config/mgt-config/users", &user).await;
    let keygen = [("type", "keygen"), ("user", "eve"), ("password", "geheim")];
    let key = between(&server.send(&keygen, &[]).await.body, "<key>", "</key>").to_owned();
    let eve = [("x-pan-key", key.as_str())];
    assert_eq!(
        server.send(&[("type", "config"), ("action", "get"), ("xpath", "/config/shared")], &eve).await.status,
        200
    );
    for change in [
        vec![("type", "config"), ("action", "delete"), ("xpath", "/config/shared")],
        vec![("type", "config"), ("action", "multi-config"), ("element", "<multi-config/>")],
        vec![("type", "commit"), ("cmd", "<commit/>")],
        vec![("type", "op"), ("cmd", "<revert><config/></revert>")],
    ] {
        let refused: Answer = server.send(&change, &eve).await;
        assert!(refused.status == 403 && refused.body.contains("code=\"16\""), "{change:?} {}", refused.body);
    }
    // A new password ends the keys of the old one.
    server.set("/config/mgt-config/users/entry[@name='eve']", &format!("<phash>{second}</phash>")).await;
    assert_eq!(server.send(&[("type", "version")], &eve).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_password_does_not_come_back_when_the_entry_of_admin_goes() {
    const ADMIN: &str = "/config/mgt-config/users/entry[@name='admin']";
    const BOB: &str = "/config/mgt-config/users/entry[@name='bob']";
    let server = Server::start().await;
    let login = async |user: &str, password: &str| {
        server.send(&[("type", "version")], &[("authorization", &basic(user, password))]).await.status
    };
    let hashed = "<request><password-hash><password>geheim</password></password-hash></request>";
    let hash = between(&server.op(hashed).await, "<phash>", "</phash>").to_owned();
    let superuser = "<permissions><role-based><superuser>yes</superuser></role-based></permissions>";
    server.set(BOB, &format!("<phash>{hash}</phash>{superuser}")).await;
    assert_eq!((login("bob", "geheim").await, login("admin", PASSWORD).await), (200, 200), "admin has no phash yet");
    let bob = basic("bob", "geheim");
    let edit = async |action: &str, xpath: &str, element: &str| {
        let edit = [("type", "config"), ("action", action), ("xpath", xpath), ("element", element)];
        server.send(&edit, &[("authorization", &bob)]).await.body
    };

    // A hash of somebody else's admits nobody, and does not uncover the first password.
    assert!(edit("set", ADMIN, "<phash>$5$abc$foreign</phash>").await.contains("command succeeded"));
    assert_eq!((login("admin", PASSWORD).await, login("admin", "geheim").await), (403, 403));
    assert_eq!(server.api(&[("type", "version")]).await.status, 403, "keys made with it end too");
    assert!(
        edit("edit", ADMIN, &format!("<entry name='admin'><phash/>{superuser}</entry>")).await.contains("succeeded")
    );
    assert_eq!(login("admin", PASSWORD).await, 403);
    assert!(edit("delete", ADMIN, "").await.contains("command succeeded"));
    assert_eq!(login("admin", PASSWORD).await, 403, "somebody else is superuser");

    // The last superuser cannot be locked out by an edit.
    let refused = edit("set", BOB, "<phash>$5$abc$foreign</phash>").await;
    assert!(refused.contains("code=\"15\"") && refused.contains("nobody could log in as superuser"), "{refused}");
    assert_eq!(login("bob", "geheim").await, 200);
    // With no superuser named at all, the first password is what is left.
    assert!(edit("delete", BOB, "").await.contains("command succeeded"));
    assert_eq!((login("bob", "geheim").await, login("admin", PASSWORD).await), (403, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_in_the_config_log_and_passwords_are_not() {
    let server = Server::start().await;
    server.set(ADDRESSES, r#"<entry name="a"><fqdn>a.example</fqdn></entry>"#).await;
    config(&server, "delete", &[("xpath", &format!("{ADDRESSES}/entry[@name='a']"))]).await;
    server.set("/config/mgt-config/users", "<entry name='eve'><phash>$5$abc$SECRET</phash></entry>").await;
    let ask = async |query: &str| {
        let asked = server.body(&[("type", "log"), ("log-type", "config"), ("query", query)]).await;
        let job = between(&asked, "<job>", "</job>").to_owned();
        server.body(&[("type", "log"), ("action", "get"), ("job-id", &job)]).await
    };
    let deletions = ask("( cmd eq delete ) and (admin eq admin)").await;
    assert!(deletions.contains("<logs count=\"1\" progress=\"100\">"), "{deletions}");
    assert!(deletions.contains("a.example"), "the preview shows what was deleted: {deletions}");
    for (query, count) in
        [("(full-path contains users)", 1), ("(full-path contains USERS)", 0), ("(path contains '')", 3)]
    {
        let answer = ask(query).await;
        assert!(answer.contains(&format!("<logs count=\"{count}\"")), "{query}: {answer}");
    }
    let everything = ask("").await;
    assert!(everything.contains("<logs count=\"3\"") && !everything.contains("SECRET"), "{everything}");
    let bad = server.body(&[("type", "log"), ("log-type", "config"), ("query", "(cmd is delete)")]).await;
    assert!(bad.contains("status=\"error\"") && bad.contains("at character 6: `is` is no operator"), "{bad}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_candidate_survives_a_restart_and_an_export_is_the_bare_configuration() {
    let mut server = Server::start().await;
    server.set(ADDRESSES, r#"<entry name="kept"><fqdn>a.example</fqdn></entry>"#).await;
    server.restart().await;
    assert!(server.get(ADDRESSES).await.contains("kept"), "and the key still works");
    assert!(config(&server, "show", &[("xpath", ADDRESSES)]).await.contains("No such node"));
    let exported = server.api(&[("type", "export"), ("category", "configuration")]).await;
    assert!(exported.body.starts_with("<config ") && exported.body.contains("<mgt-config>"), "{}", exported.body);
    assert_eq!(exported.disposition, "attachment; filename=running-config.xml");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_transaction_begins_with_the_running_configuration() {
    let server = Server::start().await;
    server.set(ADDRESSES, r#"<entry name="earlier"><fqdn>a.example</fqdn></entry>"#).await;
    let strict = async |element: &str| {
        config(&server, "multi-config", &[("strict-transactional", "yes"), ("element", element)]).await
    };
    let set = "<multi-config><set xpath='/config/shared/address'><entry name='b'><fqdn>b.example</fqdn></entry></set></multi-config>";
    assert!(strict(set).await.starts_with(r#"<response status="success" code="20">"#));
    let addresses = server.get(ADDRESSES).await;
    assert!(addresses.contains("\"b\"") && !addresses.contains("earlier"), "{addresses}");
    let failing =
        "<multi-config><rename xpath='/config/shared/address/entry[@name=\"nobody\"]' newname='x'/></multi-config>";
    assert!(strict(failing).await.starts_with(r#"<response status="error""#));
    assert!(server.get(ADDRESSES).await.contains("code=\"7\""), "candidate is running after a failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_supported_is_refused_and_not_done_to_the_manager() {
    let server = Server::start().await;
    for parameters in [
        vec![("type", "config"), ("action", "delete"), ("xpath", "/config/shared"), ("target", "BZT000000000001")],
        vec![("type", "commit"), ("cmd", "<commit/>"), ("target", "BZT000000000001")],
    ] {
        let refused = server.body(&parameters).await;
        assert!(refused.contains("status=\"error\"") && refused.contains("BZT000000000001"), "{refused}");
    }
    for command in [
        "<revert><config><partial><vdom/></partial></config></revert>",
        "<load><config><from>snapshot.xml</from></config></load>",
        "<save><config><partial><vdom/></partial></config></save>",
    ] {
        let refused = server.op(command).await;
        assert!(refused.contains("status=\"error\""), "{command}: {refused}");
    }
    let selective = "<commit-all><shared-policy><admin><member>bob</member></admin></shared-policy></commit-all>";
    let refused = server.body(&[("type", "commit"), ("action", "all"), ("cmd", selective)]).await;
    assert!(refused.contains("there is no administrator `bob`"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validation_changes_nothing() {
    let server = Server::start().await;
    server.set(ADDRESSES, r#"<entry name="a"><fqdn>a.example</fqdn></entry>"#).await;
    let asked = server.op("<validate><full/></validate>").await;
    let job = server.wait(between(&asked, "<job>", "</job>")).await;
    assert!(job.contains("<type>Validate</type>") && job.contains("<line>Configuration is valid</line>"), "{job}");
    assert!(server.op("<check><pending-changes/></check>").await.contains("yes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused() {
    let server = Server::start().await;
    let headers = [("x-pan-key", server.key.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let body = format!("type=config&action=set&xpath=/config/shared&element={}", "x".repeat(33 << 20));
    let refused = server.try_request("POST", "/api/", &headers, body.into_bytes()).await;
    // The answer may come while the client is still sending.
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status == 400));
    assert_eq!(server.api(&[("type", "version")]).await.status, 200);
}

/// The HTTP library refuses them before the manager sees the request; docs/manager.md says what to do instead.
#[tokio::test(flavor = "multi_thread")]
async fn raw_angle_brackets_are_refused_in_a_url_and_taken_in_a_body() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = Server::start().await;
    let command = "type=op&cmd=<show><chassis-ready></chassis-ready></show>";
    let mut stream = server.connect(None, b"http/1.1").await.unwrap();
    let head = format!("GET /api/?{command} HTTP/1.1\r\nhost: manager.bartizan\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1024];
    let length = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    let headers = [("x-pan-key", server.key.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let answer = server.request("POST", "/api/", &headers, command.into()).await;
    assert!(answer.status == 200 && answer.body.contains("yes"), "{}", answer.body);
}
