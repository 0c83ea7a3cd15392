//! What may a team's policies name, and what is a person told who names something else?

#![expect(clippy::unwrap_used, reason = "a test")]

use bartizan_playbook::cluster::Labels;
use bartizan_playbook::policy::NetworkPolicy;
use bartizan_playbook::{Catalogue, Reason, check};
use expect_test::{Expect, expect};
use serde_json::{Value, json};

fn catalogue() -> Catalogue {
    serde_json::from_value(json!({
        "entries": [
            {"name": "everybody", "allow": {"log-settings": ["default"], "profiles": {"virus": ["default"]}}},
            {"name": "shop", "clusters": ["c1"], "namespace-selector": "team=shop",
             "allow": {"applications": ["postgres", "ssl"], "profiles": {"vulnerability": ["strict"], "virus": ["strict"]}},
             "require-profile": true},
            {"name": "ops", "namespace-selector": {"matchLabels": {"team": "ops"}}, "allow": {"applications": ["any"]}},
        ],
        "known": {
            "profiles": {"virus": ["default", "strict"], "vulnerability": ["default", "strict"]},
            "profile-groups": ["standard"], "applications": ["dns", "postgres", "ssl"], "log-settings": ["default"],
        },
    }))
    .unwrap()
}

fn told(catalogue: &Catalogue, cluster: &str, team: &str, attributes: &Value, expected: Expect) {
    let written = json!({"metadata": {"name": "p", "namespace": "n", "annotations": attributes},
        "spec": {"podSelector": {}, "ingress": [{}]}});
    let policy = check(&serde_json::from_value::<NetworkPolicy>(written).unwrap()).unwrap();
    let labels = Labels::from([("team".to_owned(), team.to_owned())]);
    let problems = catalogue.review(cluster, &labels, &policy);
    let lines: Vec<String> = problems.iter().map(|problem| format!("{}: {problem}\n", problem.reason)).collect();
    expected.assert_eq(&lines.concat());
}

#[test]
fn a_team_names_what_the_entries_for_it_allow_together() {
    let good = json!({"np.panw.com/appid": "ssl, postgres", "np.panw.com/antivirus": "default",
        "np.panw.com/vuln-protection": "strict", "np.panw.com/logprofile": "default", "np.panw.com/schedule": "none"});
    told(&catalogue(), "c1", "shop", &good, expect![[""]]);
    told(
        &catalogue(),
        "c1",
        "shop",
        &json!({"np.panw.com/appid": "postgre dns", "np.panw.com/vuln-protection": "default", "np.panw.com/logprofile": "all"}),
        expect![[r#"
            NotAllowed: NetworkPolicy n/p: metadata.annotations[np.panw.com/vuln-protection]: vulnerability profile `default` may not be named: the catalogue's entries for namespace `n` are `everybody`, `shop`; there are `strict`
            NotAllowed: NetworkPolicy n/p: metadata.annotations[np.panw.com/appid]: application `dns` may not be named: the catalogue's entries for namespace `n` are `everybody`, `shop`; there are `postgres`, `ssl`
            ObjectNotFound: NetworkPolicy n/p: metadata.annotations[np.panw.com/appid]: `postgre` is no application that exists: did you mean `postgres`?
            ObjectNotFound: NetworkPolicy n/p: metadata.annotations[np.panw.com/logprofile]: `all` is no log forwarding profile that exists: there are `default`
        "#]],
    );
}

#[test]
fn an_entry_is_for_its_clusters_and_namespaces_alone() {
    told(
        &catalogue(),
        "c2",
        "shop",
        &json!({"np.panw.com/appid": "ssl", "np.panw.com/antivirus": "strict"}),
        expect![[r#"
            NotAllowed: NetworkPolicy n/p: metadata.annotations[np.panw.com/antivirus]: virus profile `strict` may not be named: the catalogue's entries for namespace `n` are `everybody`; there are `default`
            NotAllowed: NetworkPolicy n/p: metadata.annotations[np.panw.com/appid]: application `ssl` may not be named: the catalogue's entries for namespace `n` are `everybody`; they allow no application
        "#]],
    );
    // `any` is everything that exists, and nothing else.
    told(
        &catalogue(),
        "c2",
        "ops",
        &json!({"np.panw.com/appid": "dns telnet"}),
        expect![[r#"
            ObjectNotFound: NetworkPolicy n/p: metadata.annotations[np.panw.com/appid]: `telnet` is no application that exists: there are `dns`, `postgres`, `ssl`
        "#]],
    );
}

#[test]
fn an_entry_may_want_a_profile_of_what_allows() {
    told(
        &catalogue(),
        "c1",
        "shop",
        &json!({"np.panw.com/antivirus": "none"}),
        expect![[r#"
            NotAllowed: NetworkPolicy n/p: metadata.annotations: names no profile, and entry `shop` of the catalogue wants one: name one by `np.panw.com/profile-group`, `np.panw.com/vuln-protection` or another of the keys
        "#]],
    );
    told(&catalogue(), "c1", "shop", &json!({"np.panw.com/action": "drop"}), expect![[""]]);
    told(&catalogue(), "c1", "other", &json!({}), expect![[""]]);
}

#[test]
fn without_an_entry_everything_that_exists_may_be_named() {
    let open = Catalogue { entries: Vec::new(), ..catalogue() };
    told(
        &open,
        "c1",
        "shop",
        &json!({"np.panw.com/appid": "dns", "np.panw.com/profile-group": "standrad", "np.panw.com/schedule": "whenever"}),
        expect![[r#"
            ObjectNotFound: NetworkPolicy n/p: metadata.annotations[np.panw.com/profile-group]: `standrad` is no profile group that exists: did you mean `standard`?
        "#]],
    );
    let named = json!({"np.panw.com/appid": "whatever", "np.panw.com/profile-group": "mine"});
    told(&Catalogue::default(), "c1", "shop", &named, expect![[""]]);
    // Entries that are all for others: nothing may be named.
    let others = Catalogue { entries: vec![catalogue().entries.remove(1)], known: None };
    told(
        &others,
        "c9",
        "shop",
        &named,
        expect![[r#"
            NotAllowed: NetworkPolicy n/p: metadata.annotations[np.panw.com/profile-group]: profile group `mine` may not be named: no entry of the catalogue is for namespace `n`
            NotAllowed: NetworkPolicy n/p: metadata.annotations[np.panw.com/appid]: application `whatever` may not be named: no entry of the catalogue is for namespace `n`
        "#]],
    );
}

#[test]
fn faults_of_the_catalogue_itself_are_told_all_at_once() {
    assert_eq!(catalogue().faults(), Vec::<String>::new());
    let wrong: Catalogue = serde_json::from_value(json!({
        "entries": [
            {"name": "a", "allow": {"profiles": {"antivirus": ["x"], "virus": ["defalt", "any"]}}},
            {"name": "a", "namespace-selector": {"matchExpressions": [{"key": "a b", "operator": "In"}]}},
            {},
        ],
        "known": {"profiles": {"virus": ["default"], "url": []}},
    }))
    .unwrap();
    expect![[r#"
        entries[0].allow.profiles: `antivirus` is no element of `profile-setting/profiles`: did you mean `virus`?
        entries[0].allow: `defalt` is no virus profile that exists: did you mean `default`?
        entries[1].name: `a` is the name of an entry before: give it another
        entries[1].namespace-selector.matchExpressions[0].key: `a b` cannot be the key of a label: it is a name of at most 63 letters, digits, `-`, `_` and `.`, with a domain and `/` before it or without
        entries[1].namespace-selector.matchExpressions[0].values: `In` needs at least one value
        entries[2].name: is missing
        known.profiles: `url` is no element of `profile-setting/profiles`: they are virus, spyware, vulnerability, url-filtering, file-blocking, data-filtering, wildfire-analysis, ai-security"#]]
    .assert_eq(&wrong.faults().join("\n"));
    let text = serde_json::from_value::<Catalogue>(json!({"entries": [{"namespace-selector": "team in shop"}]}));
    assert!(text.unwrap_err().to_string().contains("`team in shop` is no condition on a label"));
}

#[test]
fn it_is_the_same_after_a_way_as_json() {
    let again: Catalogue = serde_json::from_str(&serde_json::to_string(&catalogue()).unwrap()).unwrap();
    assert_eq!(again, catalogue());
    // An entry that selects nobody's labels keeps its selector.
    assert_eq!(
        again.review("c1", &Labels::new(), &anything()).first().map(|problem| problem.reason),
        Some(Reason::NotAllowed)
    );
}

fn anything() -> bartizan_playbook::Checked {
    let written =
        json!({"metadata": {"name": "p", "labels": {"np.panw.com/appid": "ssl"}}, "spec": {"podSelector": {}}});
    check(&serde_json::from_value::<NetworkPolicy>(written).unwrap()).unwrap()
}
