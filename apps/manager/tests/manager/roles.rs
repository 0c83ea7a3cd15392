//! Every endpoint, asked as every role: who is let in, and who is told why not?

use bartizan_manager::endpoints::{COMMANDS, CONFIG_ACTIONS, Need, TYPES};
use bartizan_manager::{Access, json_endpoints};

use crate::common::{Server, between};

/// A role, and what it enables by `type`.
struct Actor {
    name: &'static str,
    role: String,
    reads: &'static [&'static str],
    changes: &'static [&'static str],
}

const ALL: &[&str] = &["config", "commit", "op", "user-id", "log", "report", "export", "import", "version"];
const AUDITOR: &[&str] = &["log", "report", "version"];
const PIPELINE: &[&str] = &["config", "commit", "op", "version"];
const OPERATOR: &[&str] = &["op", "user-id", "version"];

fn actors() -> Vec<Actor> {
    let granted = |role: &str| format!("<{role}>yes</{role}>");
    let custom = |profile: &str| format!("<custom><profile>{profile}</profile></custom>");
    vec![
        Actor { name: "root", role: granted("superuser"), reads: ALL, changes: ALL },
        Actor { name: "reader", role: granted("superreader"), reads: ALL, changes: &[] },
        Actor { name: "house", role: granted("panorama-admin"), reads: ALL, changes: ALL },
        Actor { name: "auditor", role: custom("auditor"), reads: AUDITOR, changes: AUDITOR },
        Actor { name: "pipeline", role: custom("pipeline"), reads: PIPELINE, changes: PIPELINE },
        Actor { name: "operator", role: custom("operator"), reads: OPERATOR, changes: OPERATOR },
        Actor { name: "nothing", role: custom("no-such-role"), reads: &[], changes: &[] },
        Actor { name: "groups", role: custom("groups"), reads: &[], changes: &[] },
    ]
}

fn admin_role(name: &str, enabled: &[&str]) -> String {
    let switches: String = enabled.iter().map(|kind| format!("<{kind}>enable</{kind}>")).collect();
    format!(
        "<entry name='{name}'><role><panorama><xmlapi>{switches}<iot>disable</iot></xmlapi></panorama></role></entry>"
    )
}

/// A manager with all of them, and the key of each.
async fn staffed() -> (Server, Vec<(Actor, String)>) {
    let server = Server::start().await;
    let hash = server.op("<request><password-hash><password>builder</password></password-hash></request>").await;
    let hash = between(&hash, "<phash>", "</phash>").to_owned();
    let version = |list: &[&'static str]| list.iter().copied().filter(|kind| *kind != "version").collect::<Vec<_>>();
    let roles = [("auditor", AUDITOR), ("pipeline", PIPELINE), ("operator", OPERATOR)];
    let roles: String = roles.iter().map(|(name, list)| admin_role(name, &version(list))).collect();
    let groups = "<entry name='groups'><role><device-group><xmlapi><config>enable</config></xmlapi></device-group></role></entry>";
    server.set("/config/panorama/admin-role", &format!("{roles}{groups}")).await;
    let mut staff = Vec::new();
    for actor in actors() {
        let user = format!("<phash>{hash}</phash><permissions><role-based>{}</role-based></permissions>", actor.role);
        server.set(&format!("/config/mgt-config/users/entry[@name='{}']", actor.name), &user).await;
    }
    let commit = server.commit().await;
    for part in ["the role of `nothing` is not supported", "the role of `groups` is not supported"] {
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
            let parameters: Vec<(&str, &str)> =
                parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = server.send(&parameters, &[("x-pan-key", key)]).await;
            let refused = answer.status == 403 && answer.body.contains("code=\"16\"");
            assert_eq!(!refused, allowed, "{} {parameters:?}: {}", actor.name, answer.body);
        }
        // Commands of firewalls go by their first word.
        for (command, need) in [("show", Need::Reading), ("clear", Need::Change)] {
            let cmd = format!("<{command}><session/></{command}>");
            let parameters = [("type", "op"), ("target", "BZT000000000001"), ("cmd", &*cmd)];
            let answer = server.send(&parameters, &[("x-pan-key", key)]).await;
            let list = if need == Need::Reading { actor.reads } else { actor.changes };
            assert_eq!(answer.status != 403, list.contains(&"op"), "{} {command}: {}", actor.name, answer.body);
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
            let allowed = match access {
                Access::Open => true,
                Access::Known => !actor.reads.is_empty(),
                Access::Config(action) => has("config", need(CONFIG_ACTIONS, action)),
                Access::Type(kind) => has(kind, need(TYPES, kind)),
                Access::Command(command) => {
                    let need = need(COMMANDS, command);
                    has("op", need) && (need != Need::Editing || has("config", need))
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
            ("/config/panorama/admin-role".to_owned(), admin_role("auditor", ALL)),
            ("/config/shared/admin-role".to_owned(), admin_role("pipeline", ALL)),
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
