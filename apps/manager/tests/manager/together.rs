//! Two administrators at one candidate: partial commits and reverts, locks, saved configurations.

use crate::common::{Server, between};

const ADDRESSES: &str = "/config/shared/address";

/// A second superuser.
pub(crate) async fn bob(server: &Server) -> String {
    let hash = server.op("<request><password-hash><password>builder</password></password-hash></request>").await;
    let hash = between(&hash, "<phash>", "</phash>");
    let user =
        format!("<phash>{hash}</phash><permissions><role-based><superuser>yes</superuser></role-based></permissions>");
    server.set("/config/mgt-config/users/entry[@name='bob']", &user).await;
    server.commit().await;
    let answer = server.send(&[("type", "keygen"), ("user", "bob"), ("password", "builder")], &[]).await.body;
    between(&answer, "<key>", "</key>").to_owned()
}

async fn send(server: &Server, key: &str, parameters: &[(&str, &str)]) -> String {
    server.send(parameters, &[("x-pan-key", key)]).await.body
}

async fn op(server: &Server, key: &str, command: &str) -> String {
    send(server, key, &[("type", "op"), ("cmd", command)]).await
}

async fn address(server: &Server, key: &str, name: &str) -> String {
    let (xpath, element) = (format!("{ADDRESSES}/entry[@name='{name}']"), format!("<fqdn>{name}.example</fqdn>"));
    send(server, key, &[("type", "config"), ("action", "set"), ("xpath", &xpath), ("element", &element)]).await
}

async fn commit(server: &Server, key: &str, partial: &str) -> String {
    let command = format!("<commit><partial>{partial}</partial></commit>");
    let answer = send(server, key, &[("type", "commit"), ("action", "partial"), ("cmd", &command)]).await;
    if answer.contains("<job>") { server.wait(between(&answer, "<job>", "</job>")).await } else { answer }
}

async fn shown(server: &Server, action: &str) -> String {
    server.body(&[("type", "config"), ("action", action), ("xpath", ADDRESSES)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_commits_hold_only_their_authors_changes_and_survive_a_restart() {
    let mut server = Server::start().await;
    let bob = bob(&server).await;
    let admin = server.key.clone();
    address(&server, &bob, "of-bob").await;
    address(&server, &admin, "of-admin").await;
    let pending = |name: &str| {
        format!(
            "<check><pending-changes><partial><admin><member>{name}</member></admin></partial></pending-changes></check>"
        )
    };
    assert!(server.op(&pending("bob")).await.contains("yes"));
    assert!(server.op(&pending("nobody")).await.contains("no"));
    let job = commit(&server, &admin, "<admin><member>nobody</member></admin>").await;
    assert!(job.contains("There are no changes to commit."), "{job}");

    let job = commit(&server, &admin, "<admin><member>admin</member></admin>").await;
    assert!(job.contains("<result>OK</result>"), "{job}");
    let running = shown(&server, "show").await;
    assert!(running.contains("of-admin") && !running.contains("of-bob"), "{running}");
    let before = shown(&server, "get").await;
    assert!(before.find("of-bob").unwrap() < before.find("of-admin").unwrap(), "the candidate is as it was: {before}");
    let changes = server.op("<show><config><list><changes/></list></config></show>").await;
    assert!(changes.contains("<owner>bob</owner>") && !changes.contains("<owner>admin</owner>"), "{changes}");

    server.restart().await;
    assert_eq!(shown(&server, "get").await, before);
    let job = commit(&server, &bob, "<admin><member>bob</member></admin>").await;
    assert!(job.contains("<result>OK</result>"), "{job}");
    assert_eq!(shown(&server, "show").await.replace(" code=\"19\"", ""), {
        let both = shown(&server, "get").await;
        both.replace(" code=\"19\"", "").replace(" total-count=\"1\" count=\"1\"", "")
    });
    assert!(server.op("<check><pending-changes/></check>").await.contains("no"));
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_are_shown_and_nothing_is_lost() {
    let server = Server::start().await;
    let bob = bob(&server).await;
    let admin = server.key.clone();
    let leaf = |text: &'static str| {
        let element = format!("<fqdn>{text}</fqdn>");
        let (server, bob, admin) = (&server, &bob, &admin);
        async move {
            let key = if text.starts_with("bob") { bob } else { admin };
            let xpath = format!("{ADDRESSES}/entry[@name='both']");
            send(server, key, &[("type", "config"), ("action", "set"), ("xpath", &xpath), ("element", &element)]).await
        }
    };
    leaf("bob.example").await;
    leaf("admin.example").await;
    let job = commit(&server, &admin, "<admin><member>admin</member></admin>").await;
    assert!(job.contains("<result>FAIL</result>"), "{job}");
    assert!(job.contains("by `bob`") && job.contains("by `admin`") && job.contains("entry[@name='both']"), "{job}");
    assert!(shown(&server, "show").await.contains("No such node"), "nothing was committed");
    assert!(shown(&server, "get").await.contains("admin.example"), "nothing was lost");
    // An unknown narrowing is refused rather than widened.
    let refused = commit(&server, &admin, "<vdom/>").await;
    assert!(refused.contains(" commit -&gt; partial -&gt; vdom unexpected here"), "{refused}");

    let revert = |name: &str| {
        format!("<revert><config><partial><admin><member>{name}</member></admin></partial></config></revert>")
    };
    server.op(&revert("admin")).await;
    let left = shown(&server, "get").await;
    assert!(left.contains("bob.example") && !left.contains("admin.example"), "{left}");
    let job = commit(&server, &bob, "<admin><member>bob</member></admin>").await;
    assert!(job.contains("<result>OK</result>"), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_hold_for_others_until_their_owner_commits_or_they_are_removed() {
    let mut server = Server::start().await;
    let bob = bob(&server).await;
    let admin = server.key.clone();
    let lock = |kind: &str, what: &str| format!("<request><{kind}-lock>{what}</{kind}-lock></request>");
    let taken = op(&server, &bob, &lock("config", "<add><comment>moving house</comment></add>")).await;
    assert!(
        taken.contains(
            "Successfully acquired lock. Other administrators will not be able to modify configuration for scope shared"
        ),
        "{taken}"
    );
    let again = op(&server, &bob, &lock("config", "<add/>")).await;
    assert!(again.contains("You already own a config lock for scope shared"), "{again}");
    let other = op(&server, &admin, &lock("config", "<add/>")).await;
    assert!(other.contains("Config for scope shared is currently locked by bob"), "{other}");
    let refused = address(&server, &admin, "of-admin").await;
    assert!(refused.contains("Configuration is locked by bob") && refused.contains("moving house"), "{refused}");
    assert!(op(&server, &admin, "<revert><config/></revert>").await.contains("Configuration is locked by bob"));

    server.restart().await;
    let shown = server.op("<show><config-locks/></show>").await;
    assert!(shown.contains("<entry name=\"bob\"><name>shared</name>") && shown.contains("moving house"), "{shown}");
    assert!(op(&server, &admin, &lock("config", "<remove/>")).await.contains("held by `bob`"));
    let removed = op(&server, &admin, &lock("config", "<remove><admin>bob</admin></remove>")).await;
    assert!(removed.contains("status=\"success\""), "{removed}");
    assert!(address(&server, &admin, "of-admin").await.contains("command succeeded"));

    op(&server, &bob, &lock("commit", "<add>release day</add>")).await;
    let held = server.body(&[("type", "commit"), ("cmd", "<commit/>")]).await;
    assert!(held.contains("holding commit locks: bob") && held.contains("release day"), "{held}");
    assert!(op(&server, &admin, &lock("commit", "<add/>")).await.contains("Commit lock is already held"));
    // Its owner's commit ends it.
    address(&server, &bob, "of-bob").await;
    assert!(commit(&server, &bob, "<admin><member>bob</member></admin>").await.contains("<result>OK</result>"));
    assert!(!server.op("<show><commit-locks/></show>").await.contains("<entry"));
    assert!(server.commit().await.contains("<result>OK</result>"));
    assert!(op(&server, &bob, &lock("commit", "<remove/>")).await.contains("Commit lock is not currently held"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_one_group_leaves_the_others_alone() {
    let server = Server::start().await;
    let bob = bob(&server).await;
    let groups = "/config/devices/entry[@name='localhost.localdomain']/device-group";
    server.set(groups, "<entry name='east'/><entry name='west'/>").await;
    let command = "<request><config-lock><add/></config-lock></request>";
    let taken = send(&server, &bob, &[("type", "op"), ("vsys", "east"), ("cmd", command)]).await;
    assert!(taken.contains("for scope east"), "{taken}");
    let strange = send(&server, &bob, &[("type", "op"), ("vsys", "north"), ("cmd", command)]).await;
    assert!(strange.contains("north is invalid vsys"), "{strange}");
    server
        .set(&format!("{groups}/entry[@name='west']/address"), "<entry name='w'><fqdn>w.example</fqdn></entry>")
        .await;
    let xpath = format!("{groups}/entry[@name='east']/address/entry[@name='e']");
    let parameters = [("type", "config"), ("action", "set"), ("xpath", &*xpath), ("element", "<fqdn>e.example</fqdn>")];
    assert!(server.body(&parameters).await.contains("Configuration is locked by bob"));
    assert!(send(&server, &bob, &parameters).await.contains("command succeeded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn configurations_are_saved_loaded_exported_and_imported_by_name() {
    let server = Server::start().await;
    let admin = server.key.clone();
    address(&server, &admin, "one").await;
    assert!(
        server.op("<save><config><to>before.xml</to></config></save>").await.contains("Config saved to before.xml")
    );
    address(&server, &admin, "two").await;
    let list = server.op("<show><config><saved/></config></show>").await;
    assert!(list.contains("<entry name=\"before.xml\">"), "{list}");
    assert!(server.op("<show><config><saved>before.xml</saved></config></show>").await.contains("one.example"));
    let near = server.op("<load><config><from>befor.xml</from></config></load>").await;
    assert!(near.contains("code=\"7\"") && near.contains("did you mean `before.xml`?"), "{near}");
    let loaded = server.op("<load><config><from>before.xml</from></config></load>").await;
    assert!(loaded.contains("Config loaded from before.xml"), "{loaded}");
    let candidate = shown(&server, "get").await;
    assert!(candidate.contains("one.example") && !candidate.contains("two.example"), "{candidate}");
    assert!(server.commit().await.contains("<result>OK</result>"));

    let export = [("type", "export"), ("category", "configuration"), ("from", "before.xml")];
    let file = server.api(&export).await;
    assert!(file.disposition.ends_with("filename=before.xml"), "{file:?}");
    let import = |name: &str, text: &str| {
        let body = format!(
            "--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n{text}\r\n--X--\r\n"
        );
        let path = format!("/api/?type=import&category=configuration&key={admin}");
        let server = &server;
        async move {
            let headers = [("content-type", "multipart/form-data; boundary=X")];
            server.request("POST", &path, &headers, body.into_bytes()).await.body
        }
    };
    let changed = file.body.replace("one.example", "three.example");
    assert!(import("after.xml", &changed).await.contains("after.xml saved."));
    assert!(import("evil.xml", "<response/>").await.contains("its root is `response`"));
    assert!(import("../evil.xml", &changed).await.contains("`/` cannot be part of a file name"));
    assert!(import("running-config.xml", &changed).await.contains("choose another name"));
    server.op("<load><config><from>after.xml</from></config></load>").await;
    assert!(shown(&server, "get").await.contains("three.example"));
    assert!(
        server.op("<delete><config><saved>after.xml</saved></config></delete>").await.contains("after.xml deleted")
    );
    assert!(server.op("<delete><config><saved>after.xml</saved></config></delete>").await.contains("code=\"7\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_go_to_other_groups_and_lists_are_completed() {
    let server = Server::start().await;
    let groups = "/config/devices/entry[@name='localhost.localdomain']/device-group";
    server
        .set(groups, "<entry name='east'><address><entry name='a'><fqdn>a.example</fqdn></entry></address></entry>")
        .await;
    let (source, target) = (format!("{groups}/entry[@name='east']/address"), ADDRESSES);
    let element = format!(
        "<selected-list><source xpath=\"{source}\"><member>a</member></source></selected-list><all-errors>no</all-errors>"
    );
    for action in ["multi-clone", "multi-move", "multi-clone"] {
        let parameters = [("type", "config"), ("action", action), ("xpath", target), ("element", &*element)];
        let answer = server.body(&parameters).await;
        match action {
            // The first copy took the name.
            "multi-move" => assert!(answer.contains("is already in use"), "{answer}"),
            _ => assert!(answer.contains("command succeeded"), "{answer}"),
        }
    }
    let there = shown(&server, "get").await;
    assert!(there.contains("<entry name=\"a\">") && there.contains("<entry name=\"a-1\">"), "{there}");
    let complete = |xpath: &'static str| {
        let server = &server;
        async move { server.body(&[("type", "config"), ("action", "complete"), ("xpath", xpath)]).await }
    };
    assert!(complete(ADDRESSES).await.contains("Invalid sequence"), "nothing is running yet");
    server.commit().await;
    let completions = complete(ADDRESSES).await;
    assert!(
        completions.contains("<completion value=\"a-1\" vxpath=\"/config/shared/address/entry[@name='a-1']\""),
        "{completions}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_between_two_versions_is_told() {
    let server = Server::start().await;
    for (name, address) in [("a", "192.0.2.1"), ("a", "192.0.2.2"), ("b", "192.0.2.3")] {
        server.set(ADDRESSES, &format!("<entry name='{name}'><ip-netmask>{address}</ip-netmask></entry>")).await;
        server.commit().await;
    }
    let diff =
        async |versions: &str| server.op(&format!("<show><config><audit>{versions}</audit></config></show>")).await;
    let one = diff("<base-version>2</base-version><version>3</version>").await;
    assert!(one.contains("192.0.2.1") && one.contains("192.0.2.2") && !one.contains("192.0.2.3"), "{one}");
    let since = diff("<base-version>3</base-version>").await;
    assert!(since.contains("192.0.2.3") && !since.contains("192.0.2.1"), "{since}");
    let lines = diff("<base-version>3</base-version><version>4</version><format>set</format>").await;
    assert!(lines.contains("<result>set shared address b ip-netmask 192.0.2.3</result>"), "{lines}");
    server.set(ADDRESSES, "<entry name='c'><fqdn>c.example</fqdn></entry>").await;
    let pending = server.op("<show><config><diff><format>set</format></diff></config></show>").await;
    assert!(pending.contains("<result>set shared address c fqdn c.example</result>"), "{pending}");
    let odd = server.op("<show><config><diff><format>yaml</format></diff></config></show>").await;
    assert!(odd.contains("`yaml` is no format"), "{odd}");
    let missing = diff("<base-version>3</base-version><version>99</version>").await;
    assert!(missing.contains("version `99` not found"), "{missing}");
}
