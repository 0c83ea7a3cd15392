//! Every endpoint, asked as every role: who is let in, and who is told why not?

use bartizan_manager::endpoints::{COMMANDS, CONFIG_ACTIONS, Need, OF_MANAGERS, PASSED_ON, TYPES, WITHIN_A_PART};
use bartizan_manager::{Access, json_endpoints};

use crate::common::{Server, between};

/// A role, and what it enables by `type`.
struct Actor {
    name: &'static str,
    role: String,
    reads: &'static [&'static str],
    changes: &'static [&'static str],
    /// Whether the role is for a part of the configuration.
    part: bool,
}

const ALL: &[&str] = &["config", "commit", "op", "user-id", "log", "report", "export", "import", "version"];
const AUDITOR: &[&str] = &["log", "report", "version"];
const PIPELINE: &[&str] = &["config", "commit", "op", "version"];
const OPERATOR: &[&str] = &["op", "user-id", "version"];

fn actors() -> Vec<Actor> {
    let granted = |role: &str| format!("<{role}>yes</{role}>");
    let custom = |profile: &str| format!("<custom><profile>{profile}</profile></custom>");
    let in_domain = |domain: &str, profile: &str| {
        let held = format!("<entry name='{domain}'><profile>{profile}</profile></entry>");
        format!("<custom><dg-template-profiles>{held}</dg-template-profiles></custom>")
    };
    vec![
        Actor { name: "root", role: granted("superuser"), reads: ALL, changes: ALL, part: false },
        Actor { name: "reader", role: granted("superreader"), reads: ALL, changes: &[], part: false },
        Actor { name: "house", role: granted("panorama-admin"), reads: ALL, changes: ALL, part: false },
        Actor { name: "auditor", role: custom("auditor"), reads: AUDITOR, changes: AUDITOR, part: false },
        Actor { name: "pipeline", role: custom("pipeline"), reads: PIPELINE, changes: PIPELINE, part: false },
        Actor { name: "operator", role: custom("operator"), reads: OPERATOR, changes: OPERATOR, part: false },
        Actor { name: "nothing", role: custom("no-such-role"), reads: &[], changes: &[], part: false },
        // An admin role for groups is held for an access domain, and the other way round.
        Actor { name: "groups", role: custom("groups"), reads: &[], changes: &[], part: false },
        Actor { name: "pairs", role: in_domain("east", "pipeline"), reads: &[], changes: &[], part: false },
        Actor { name: "regional", role: in_domain("east", "groups"), reads: ALL, changes: ALL, part: true },
        Actor { name: "reviewer", role: in_domain("east", "readers"), reads: AUDITOR, changes: AUDITOR, part: true },
        Actor { name: "objects", role: custom("objects"), reads: PIPELINE, changes: PIPELINE, part: true },
    ]
}

fn switches(enabled: &[&str]) -> String {
    let enabled = enabled.iter().filter(|kind| **kind != "version");
    enabled.map(|kind| format!("<{kind}>enable</{kind}>")).collect::<String>() + "<iot>disable</iot>"
}

fn admin_role(name: &str, kind: &str, enabled: &[&str], more: &str) -> String {
    let switches = switches(enabled);
    format!("<entry name='{name}'><role><{kind}><xmlapi>{switches}</xmlapi>{more}</{kind}></role></entry>")
}

const GROUP: &str = "/config/devices/entry[@name='localhost.localdomain']/device-group/entry[@name='";
const TEMPLATE: &str = "/config/devices/entry[@name='localhost.localdomain']/template/entry[@name='";

/// A manager with all of them, and the key of each.
async fn staffed() -> (Server, Vec<(Actor, String)>) {
    let server = Server::start().await;
    let hash = server.op("<request><password-hash><password>builder</password></password-hash></request>").await;
    let hash = between(&hash, "<phash>", "</phash>").to_owned();
    let roles = [("auditor", AUDITOR), ("pipeline", PIPELINE), ("operator", OPERATOR)];
    let mut roles: String = roles.iter().map(|(name, list)| admin_role(name, "panorama", list, "")).collect();
    roles += &admin_role("groups", "device-group", ALL, "<webui><acc>enable</acc></webui>");
    roles += &admin_role("readers", "device-group", AUDITOR, "");
    let paths = "<paths><entry name='/config/shared'><access>read</access></entry>\
        <entry name='/config/shared/address'><access>write</access></entry>\
        <entry name='/config/shared/tag'><access>hidden</access></entry></paths>";
    roles += &admin_role("objects", "panorama", PIPELINE, paths);
    server.set("/config/panorama/admin-role", &roles).await;
    server.set(&format!("{GROUP}east']"), "<devices/>").await;
    server.set(&format!("{GROUP}west']"), "<devices/>").await;
    server.set(&format!("{TEMPLATE}base']"), "<config/>").await;
    let domain = "<device-groups><member>east</member></device-groups><templates><member>base</member></templates>";
    server.set("/config/mgt-config/access-domain/entry[@name='east']", domain).await;
    let mut staff = Vec::new();
    for actor in actors() {
        let user = format!("<phash>{hash}</phash><permissions><role-based>{}</role-based></permissions>", actor.role);
        server.set(&format!("/config/mgt-config/users/entry[@name='{}']", actor.name), &user).await;
    }
    let commit = server.commit().await;
    for part in [
        "the role of `nothing` is not supported",
        "the role of `groups` is not supported",
        "the role of `pairs` is not supported",
        "`webui` of the admin role `groups` is not enforced",
    ] {
        assert!(commit.contains(part), "{part} is not in {commit}");
    }
    for actor in actors() {
        let answer = server.send(&[("type", "keygen"), ("user", actor.name), ("password", "builder")], &[]).await.body;
        let key = between(&answer, "<key>", "</key>").to_owned();
        staff.push((actor, key));
    }
    (server, staff)
}

type Parameters = Vec<(&'static str, String)>;

/// One request of each endpoint, with its `type` and what it needs.
fn requests() -> Vec<(&'static str, Need, Parameters)> {
    let mut requests = Vec::new();
    for (action, need) in CONFIG_ACTIONS {
        // Without the parameters that it wants: whoever is let in is told so.
        requests.push(("config", *need, vec![("type", "config".into()), ("action", (*action).into())]));
    }
    for (kind, need) in TYPES {
        requests.push((*kind, *need, vec![("type", (*kind).into())]));
    }
    for (command, need) in COMMANDS {
        let words: Vec<&str> = command.split(' ').collect();
        let opened: String = words.iter().map(|word| format!("<{word}>")).collect();
        let closed: String = words.iter().rev().map(|word| format!("</{word}>")).collect();
        requests.push(("op", *need, vec![("type", "op".into()), ("cmd", format!("{opened}{closed}"))]));
    }
    requests
}

/// What a request needs when it is for a firewall: commands about a fleet are not known there.
fn need_at_firewall(kind: &str, need: Need, parameters: &Parameters) -> Need {
    let known = |command: &&&str| {
        let opened: String = command.split(' ').map(|word| format!("<{word}>")).collect();
        parameters.iter().any(|(name, value)| *name == "cmd" && value.starts_with(&opened))
    };
    match OF_MANAGERS.iter().find(known) {
        Some(command) if kind == "op" && command.starts_with("show ") => Need::Reading,
        Some(_) if kind == "op" => Need::Change,
        _ => need,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_answers_every_role_as_it_should() {
    let (server, staff) = staffed().await;
    for (actor, key) in &staff {
        for (kind, need, parameters) in requests() {
            let list = if need == Need::Reading { actor.reads } else { actor.changes };
            let mut allowed = list.contains(&kind);
            if kind == "op" && need == Need::Editing {
                allowed &= list.contains(&"config");
            }
            if actor.part {
                let words = ["action", "cmd"].iter().find_map(|name| parameters.iter().find(|(key, _)| key == name));
                let words = words.map_or(kind, |(_, value)| value);
                let words = words.split("</").next().unwrap().trim_matches(['<', '>']).replace("><", " ");
                allowed &= WITHIN_A_PART.contains(&&*words);
            }
            let parameters: Vec<(&str, &str)> =
                parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = server.send(&parameters, &[("x-pan-key", key)]).await;
            let refused = answer.status == 403 && answer.body.contains("code=\"16\"");
            assert_eq!(!refused, allowed, "{} {parameters:?}: {}", actor.name, answer.body);
        }
        for (kind, need, mut parameters) in requests().into_iter().filter(|(kind, ..)| PASSED_ON.contains(kind)) {
            let need = need_at_firewall(kind, need, &parameters);
            let list = if need == Need::Reading { actor.reads } else { actor.changes };
            let mut allowed = list.contains(&kind);
            allowed &= kind != "op" || need != Need::Editing || list.contains(&"config");
            if actor.part {
                // That firewall is in nobody's access domain, and its configuration is nobody's part.
                let shows = |(_, value): &(&str, String)| value.starts_with("<show><config>");
                allowed &= actor.name == "objects" && kind == "op" && need != Need::Editing;
                allowed &= !parameters.iter().any(shows);
            }
            parameters.push(("target", "BZT000000000001".into()));
            let parameters: Vec<(&str, &str)> =
                parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = server.send(&parameters, &[("x-pan-key", key)]).await;
            let sent = answer.body.contains("BZT000000000001 not connected");
            assert_eq!(sent, allowed, "{} {parameters:?}: {}", actor.name, answer.body);
        }
        // Commands of firewalls go by their first word.
        for (command, need) in [("show", Need::Reading), ("clear", Need::Change)] {
            let cmd = format!("<{command}><session/></{command}>");
            let parameters = [("type", "op"), ("target", "BZT000000000001"), ("cmd", &*cmd)];
            let answer = server.send(&parameters, &[("x-pan-key", key)]).await;
            let list = if need == Need::Reading { actor.reads } else { actor.changes };
            // That firewall is in nobody's access domain.
            let within = list.contains(&"op") && !(actor.part && actor.name != "objects");
            assert_eq!(answer.status != 403, within, "{} {command}: {}", actor.name, answer.body);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_of_the_json_api_answers_every_role_as_the_xml_api_does() {
    let (server, staff) = staffed().await;
    let need = |list: &[(&str, Need)], name: &str| {
        let found = list.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("`{name}` is not in the table of requests")).1
    };
    for (actor, key) in &staff {
        let has = |kind: &str, need: Need| match need {
            Need::Reading => actor.reads.contains(&kind),
            Need::Change | Need::Editing => actor.changes.contains(&kind),
        };
        for (method, path, access) in json_endpoints() {
            let whole = |name: &str| !actor.part || WITHIN_A_PART.contains(&name);
            let allowed = match access {
                Access::Open => true,
                // No firewall is in the access domains.
                _ if actor.part && path.ends_with("/effective") => false,
                // A cluster is about all of them; what its controller says is read before.
                _ if actor.part && path.contains("/clusters/") && !path.ends_with("/renew") => false,
                Access::Known => !actor.reads.is_empty(),
                Access::Config(action) => has("config", need(CONFIG_ACTIONS, action)) && whole(action),
                Access::Type(kind) => has(kind, need(TYPES, kind)) && whole(kind),
                Access::Command(command) => {
                    let need = need(COMMANDS, command);
                    has("op", need) && (need != Need::Editing || has("config", need)) && whole(command)
                }
            };
            // Without what they want, so that whoever is let in is told so. Logging out would end the key.
            let path = path.split('/').map(|part| if part.starts_with('{') { "0" } else { part }).collect::<Vec<_>>();
            let path = path.join("/");
            if (method.as_str(), path.as_str()) == ("DELETE", "/api/v1/session") {
                continue;
            }
            let answer = server.json_as(key, &method, &path, None).await;
            assert_eq!(answer.status != 403, allowed, "{} {method} {path}: {}", actor.name, answer.body);
            // An open endpoint does not ask for a key; every other one does.
            if !matches!(access, Access::Open) {
                assert_eq!(server.json_as("wrong", &method, &path, None).await.status, 401, "{method} {path}");
            }
        }
        let out = server.json_as(key, "DELETE", "/api/v1/session", None).await;
        assert_eq!(out.status, if actor.reads.is_empty() { 403 } else { 204 }, "{}", actor.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_raises_himself() {
    let (server, staff) = staffed().await;
    let key = |name: &str| staff.iter().find(|(actor, _)| actor.name == name).unwrap().1.clone();
    for name in ["house", "pipeline"] {
        let superuser = "<permissions><role-based><superuser>yes</superuser></role-based></permissions>";
        for (xpath, element) in [
            (format!("/config/mgt-config/users/entry[@name='{name}']"), superuser.to_owned()),
            ("/config/mgt-config".to_owned(), format!("<users><entry name='{name}'>{superuser}</entry></users>")),
            ("/config/panorama/admin-role".to_owned(), admin_role("auditor", "panorama", ALL, "")),
            ("/config/shared/admin-role".to_owned(), admin_role("pipeline", "panorama", ALL, "")),
        ] {
            let parameters = [("type", "config"), ("action", "set"), ("xpath", &*xpath), ("element", &*element)];
            let answer = server.send(&parameters, &[("x-pan-key", &key(name))]).await.body;
            assert!(answer.contains("is for superusers to change"), "{name} {xpath}: {answer}");
        }
        let address = [
            ("type", "config"),
            ("action", "set"),
            ("xpath", "/config/shared/address"),
            ("element", "<entry name='a'><fqdn>a.example</fqdn></entry>"),
        ];
        let answer = server.send(&address, &[("x-pan-key", &key(name))]).await.body;
        assert!(answer.contains("command succeeded"), "{name}: {answer}");
    }
    // What a superuser has not committed yet is not his to drop.
    server.set("/config/mgt-config/users/entry[@name='late']", "<phash>x</phash>").await;
    let revert = "<revert><config/></revert>";
    let answer = server.send(&[("type", "op"), ("cmd", revert)], &[("x-pan-key", &key("house"))]).await.body;
    assert!(answer.contains("is for superusers to change"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_ended_by_their_owner_or_by_a_superuser() {
    let (server, staff) = staffed().await;
    let key = |name: &str| &staff.iter().find(|(actor, _)| actor.name == name).unwrap().1;
    let expire = |name: &'static str, whose: &'static str| {
        let (server, key) = (&server, key(name));
        async move {
            let command = format!("<request><api-key><expire>{whose}</expire></api-key></request>");
            server.send(&[("type", "op"), ("cmd", &*command), ("key", &**key)], &[]).await
        }
    };
    for (name, whose) in [("reader", "<admin>root</admin>"), ("house", "<all/>"), ("operator", "<admin>reader</admin>")]
    {
        let answer = expire(name, whose).await;
        assert_eq!(answer.status, 403, "{name} {whose}: {}", answer.body);
        assert!(answer.body.contains("only a superuser ends the keys of others"), "{}", answer.body);
    }
    assert!(expire("reader", "").await.body.contains("whose keys?"));
    assert!(expire("reader", "<admin>reader</admin>").await.body.contains("1 API key(s) expired"));
    assert_eq!(expire("reader", "<admin>reader</admin>").await.status, 403);
    assert!(expire("root", "<all/>").await.body.contains("API key(s) expired"));
    assert_eq!(expire("operator", "<admin>operator</admin>").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lifetime_of_keys_that_is_none_is_refused_at_commit() {
    let server = Server::start().await;
    let own = "/config/devices/entry[@name='localhost.localdomain']/deviceconfig/setting/management/api/key";
    server.set(own, "<lifetime>soon</lifetime>").await;
    let job = server.commit().await;
    assert!(
        job.contains("`soon` is no lifetime of API keys, which is 0 (none) to 525600 minutes [invalid-number]"),
        "{job}"
    );
    server.set(own, "<lifetime>60</lifetime>").await;
    assert!(server.commit().await.contains("<result>OK</result>"));
    assert!(server.op("<show><clock/></show>").await.contains("success"), "the key is young");
}

/// Asks as somebody.
async fn ask(server: &Server, key: &str, parameters: &[(&str, &str)]) -> String {
    server.send(parameters, &[("x-pan-key", key)]).await.body
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_part_sees_and_changes_only_that() {
    let (server, staff) = staffed().await;
    let key = |name: &str| staff.iter().find(|(actor, _)| actor.name == name).unwrap().1.clone();
    let (regional, objects) = (key("regional"), key("objects"));
    for (xpath, element) in [
        ("/config/shared/tag", "<entry name='secret'/>"),
        ("/config/shared/address", "<entry name='a'><fqdn>a.example</fqdn></entry>"),
        (&*format!("{GROUP}west']/address"), "<entry name='w'><fqdn>w.example</fqdn></entry>"),
    ] {
        server.set(xpath, element).await;
    }
    let set = |key: String, xpath: String| {
        let server = &server;
        async move {
            let element = "<entry name='new'><fqdn>n.example</fqdn></entry>";
            let parameters = [("type", "config"), ("action", "set"), ("xpath", &*xpath), ("element", element)];
            ask(server, &key, &parameters).await
        }
    };
    let (east, west) = (format!("{GROUP}east']/address"), format!("{GROUP}west']/address"));
    for (who, xpath, refused) in [
        (&regional, east.clone(), None),
        (&regional, west.clone(), Some("west")),
        (&regional, format!("{GROUP}north']/address"), Some("north")),
        (&regional, "/config/shared/address".to_owned(), Some("/config/shared")),
        (&objects, "/config/shared/address".to_owned(), None),
        (&objects, "/config/shared/service".to_owned(), Some("/config/shared/service")),
        (&objects, west.clone(), Some("/config/devices")),
    ] {
        let answer = set(who.clone(), xpath.clone()).await;
        match refused {
            None => assert!(answer.contains("command succeeded"), "{xpath}: {answer}"),
            Some(part) => {
                assert!(answer.contains("does not allow to change") && answer.contains(part), "{xpath}: {answer}")
            }
        }
    }
    // What is not theirs is not shown, however it is asked for.
    let whole = [
        vec![("type", "config"), ("action", "get"), ("xpath", "/config")],
        vec![("type", "config"), ("action", "show"), ("xpath", "/config")],
        vec![("type", "op"), ("cmd", "<show><config><candidate/></config></show>")],
        vec![("type", "op"), ("cmd", "<show><config><diff/></config></show>")],
        vec![("type", "op"), ("cmd", "<show><config><list><changes/></list></config></show>")],
        vec![("type", "op"), ("cmd", "<show><devicegroups/></show>")],
        vec![("type", "op"), ("cmd", "<show><dg-hierarchy/></show>")],
    ];
    for parameters in &whole {
        let answer = ask(&server, &regional, parameters).await;
        for hidden in ["west", "phash", "pipeline"] {
            assert!(answer.contains("success") && !answer.contains(hidden), "{parameters:?}: {answer}");
        }
    }
    assert!(ask(&server, &regional, &whole[0]).await.contains("secret"), "shared objects are there to be used");
    assert!(!ask(&server, &objects, &whole[0]).await.contains("secret"));
    // A commit holds the own edits, and only those may be named.
    let partial = "<commit><partial><admin><member>admin</member></admin></partial></commit>";
    let answer = ask(&server, &regional, &[("type", "commit"), ("cmd", partial)]).await;
    assert!(answer.contains("edits of `admin` are not in reach"), "{answer}");
    let answer = ask(&server, &regional, &[("type", "commit"), ("cmd", "<commit/>")]).await;
    let job = server.wait(between(&answer, "<job>", "</job>")).await;
    assert!(job.contains("<result>OK</result>"), "{job}");
    let running = server.op("<show><config><running/></config></show>").await;
    assert!(running.contains("n.example") && !running.contains("w.example"), "{running}");
    // Pushes and locks too.
    for (group, allowed) in [("east", true), ("west", false)] {
        let push = format!(
            "<commit-all><shared-policy><device-group><entry name='{group}'/></device-group></shared-policy></commit-all>"
        );
        let answer = ask(&server, &regional, &[("type", "commit"), ("action", "all"), ("cmd", &push)]).await;
        assert_eq!(answer.contains("CommitAll job enqueued"), allowed, "{answer}");
        let lock = "<request><config-lock><add/></config-lock></request>";
        let answer = ask(&server, &regional, &[("type", "op"), ("vsys", group), ("cmd", lock)]).await;
        assert_eq!(answer.contains("Successfully acquired lock"), allowed, "{answer}");
    }
    let log = [("type", "log"), ("log-type", "config")];
    assert!(ask(&server, &regional, &log).await.contains("this log is about the whole manager"));
    assert!(ask(&server, &regional, &[("type", "log"), ("log-type", "traffic")]).await.contains("job enqueued"));
    // A smaller role keeps what was edited before from being committed.
    assert!(set(regional.clone(), east).await.contains("command succeeded"));
    let edit = "<entry name='two'><fqdn>t.example</fqdn></entry>";
    let again =
        [("type", "config"), ("action", "set"), ("xpath", &*format!("{GROUP}east']/address")), ("element", edit)];
    assert!(ask(&server, &regional, &again).await.contains("command succeeded"));
    let domain = "<device-groups><member>west</member></device-groups>";
    let here = "/config/mgt-config/access-domain/entry[@name='east']/device-groups";
    server.body(&[("type", "config"), ("action", "edit"), ("xpath", here), ("element", domain)]).await;
    let answer = ask(&server, &regional, &[("type", "commit"), ("cmd", "<commit/>")]).await;
    let job = server.wait(between(&answer, "<job>", "</job>")).await;
    assert!(job.contains("does not allow to change") && job.contains("FAIL"), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_domains_that_name_what_is_not_there_are_refused_at_commit() {
    let server = Server::start().await;
    let path = "<paths><entry name='/config/*'><access>read</access></entry><entry name='/config/shared'/></paths>";
    server.set("/config/panorama/admin-role", &admin_role("bad", "panorama", PIPELINE, path)).await;
    let domain = "<device-groups><member>gone</member></device-groups><templates><member>lost</member></templates>";
    let east = "/config/mgt-config/access-domain/entry[@name='east']";
    server.set(east, domain).await;
    let access = "<shared-access>some</shared-access>";
    let refused = server.body(&[("type", "config"), ("action", "set"), ("xpath", east), ("element", access)]).await;
    assert!(refused.contains("'some' is not an allowed keyword"), "{refused}");
    let role = "<permissions><role-based><custom><dg-template-profiles><entry name='nowhere'><profile>bad</profile></entry>\
        </dg-template-profiles></custom></role-based></permissions>";
    server.set("/config/mgt-config/users/entry[@name='lost']", role).await;
    let job = server.commit().await;
    for part in [
        "`/config/*` limits nothing: `*` is no place",
        "`/config/shared` limits nothing: its `access` is none of",
        "names device group `gone`, which does not exist",
        "names template or template stack `lost`, which does not exist",
        "`lost` is in the access domain `nowhere`, which does not exist",
    ] {
        assert!(job.contains(part), "{part}: {job}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weak_password_is_not_hashed() {
    let server = Server::start().await;
    let hash = async |password: &str| {
        let command = format!(
            "<request><password-hash><password>{password}</password><username>erin</username></password-hash></request>"
        );
        server.op(&command).await
    };
    assert!(hash("erin").await.contains("<phash>"), "without rules any password is");
    let rules = "<enabled>yes</enabled><minimum-length>10</minimum-length><block-username-inclusion>yes</block-username-inclusion>";
    server.set("/config/mgt-config/password-complexity", rules).await;
    let refused = hash("erin").await;
    for part in ["has 4 characters, at least 10 are needed", "holds the administrator's name"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    assert!(hash("another one").await.contains("<phash>"));
}
