//! Values that the vendor's schema does not allow: refused from a client, told of at commit when loaded.

use crate::common::{Server, between};

const ADDRESS: &str = "/config/shared/address/entry[@name='web']";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_told_everything_that_is_wrong_and_nothing_is_changed() {
    let server = Server::start().await;
    server.set(ADDRESS, "<fqdn>web.example</fqdn>").await;
    let set = |xpath: &'static str, element: String| {
        let server = &server;
        async move {
            let request = [("type", "config"), ("action", "set"), ("xpath", xpath), ("element", &*element)];
            server.body(&request).await
        }
    };
    let long = "x".repeat(1024);
    let answer =
        set(ADDRESS, format!("<description>{long}</description><disable-override>maybe</disable-override>")).await;
    assert!(answer.contains("code=\"12\""), "{answer}");
    assert!(
        answer.contains("web -&gt; description can be at most 1023 characters, but current length: 1024"),
        "{answer}"
    );
    assert!(answer.contains("disable-override 'maybe' is not 'yes' or 'no'"), "{answer}");
    assert!(!server.get(ADDRESS).await.contains("description"));

    // The config log has what was refused.
    let asked = server.body(&[("type", "log"), ("log-type", "config"), ("query", "( result eq Failed )")]).await;
    let id = between(&asked, "<job>", "</job>").to_owned();
    let log = server.body(&[("type", "log"), ("action", "get"), ("job-id", &*id)]).await;
    assert!(log.contains("<cmd>set</cmd>") && log.contains("maybe"), "{log}");

    // Also from a kind that no firewall of this project enforces.
    let profiles = "/config/shared/profiles/spyware/entry[@name='strict']";
    let answer = set(profiles, "<cloud-inline-analysis>perhaps</cloud-inline-analysis>".into()).await;
    assert!(answer.contains("'perhaps' is not 'yes' or 'no'"), "{answer}");

    // Of several edits in one request the wrong one is named, and none is done.
    let multi = format!(
        "<multi-config><set id=\"1\" xpath=\"{ADDRESS}\"><description>fine</description></set>\
         <set id=\"2\" xpath=\"/config/shared/service/entry[@name='s']\"><description>{long}</description></set>\
         <set id=\"3\" xpath=\"{ADDRESS}\"><description>also fine</description></set></multi-config>"
    );
    let answer = server
        .body(&[("type", "config"), ("action", "multi-config"), ("strict-transactional", "yes"), ("element", &*multi)])
        .await;
    assert!(answer.contains("id=\"2\"") && answer.contains("s -&gt; description can be at most 1023"), "{answer}");
    assert!(!server.get(ADDRESS).await.contains("fine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_words_that_an_element_may_hold_complete_it() {
    let server = Server::start().await;
    let rule = "/config/shared/pre-rulebase/security/rules/entry[@name='r']";
    let any: String = ["from", "to", "source", "destination", "application", "service"]
        .map(|list| format!("<{list}><member>any</member></{list}>"))
        .concat();
    server.set(rule, &format!("{any}<action>drop</action>")).await;
    let job = server.commit().await;
    assert!(job.contains("<result>OK</result>"), "{job}");
    let complete = |step: &'static str| {
        let server = &server;
        async move {
            let xpath = format!("{rule}/{step}");
            server.body(&[("type", "config"), ("action", "complete"), ("xpath", &*xpath)]).await
        }
    };
    let answer = complete("action").await;
    assert!(answer.contains("<completion value=\"drop\" current=\"yes\" help-string=\"drop\""), "{answer}");
    assert!(answer.contains("<completion value=\"allow\" current=\"no\" help-string=\"allow\""), "{answer}");
    assert!(complete("rule-type").await.contains("value=\"intrazone\" current=\"no\""));
    assert!(complete("nothing").await.contains("Invalid sequence"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loaded_configuration_is_taken_and_the_commit_tells_what_is_odd_in_it() {
    let server = Server::start().await;
    server.set(ADDRESS, "<fqdn>web.example</fqdn><description>plain</description>").await;
    server.commit().await;
    let file = server.api(&[("type", "export"), ("category", "configuration")]).await;
    let odd = file.body.replace(
        "<description>plain</description>",
        "<description>plain</description><disable-override>maybe</disable-override>",
    );
    assert_ne!(odd, file.body);
    let body =
        format!("--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"odd.xml\"\r\n\r\n{odd}\r\n--X--\r\n");
    let path = format!("/api/?type=import&category=configuration&key={}", server.key);
    let headers = [("content-type", "multipart/form-data; boundary=X")];
    server.request("POST", &path, &headers, body.into_bytes()).await;
    let loaded = server.op("<load><config><from>odd.xml</from></config></load>").await;
    assert!(loaded.contains("Config loaded from odd.xml"), "{loaded}");
    let job = server.commit().await;
    assert!(job.contains("<result>OK</result>"), "{job}");
    assert!(
        job.contains("disable-override 'maybe' is not 'yes' or 'no' [schema] --&gt; /config/shared/address/entry[@name='web']/disable-override"),
        "{job}"
    );
    // It is told once, and does not keep the rest from being edited.
    server.set(ADDRESS, "<description>other</description>").await;
    assert!(!server.commit().await.contains("[schema]"));
}
