//! What a managed firewall has of its own and what its manager pushes come together, in whatever order they come.

use std::path::Path;

use bartizan_lab::api::{Api, between};
use bartizan_lab::azure::configuration::security_rule;
use bartizan_lab::managed::{MANAGER, Managed};
use bartizan_lab::process::eventually;
use bartizan_lab::{Lab, Namespace};

use crate::python::{Client, run};
use crate::{BINARY, LIMIT};

const LOCALHOST: &str = "/config/devices/entry[@name='localhost.localdomain']";
const OWN_RULES: &str =
    "/config/devices/entry[@name='localhost.localdomain']/vsys/entry[@name='vsys1']/rulebase/security/rules";

/// A manager with a template, a group of three generations of rules, and one firewall.
struct House {
    managed: Managed,
    manager: Namespace,
    _lab: Lab,
}

impl House {
    fn start() -> Self {
        let lab = Lab::new().unwrap();
        let [manager, firewall] = ["manager", "fw"].map(|name| lab.namespace(name).unwrap());
        let listen = ["--api-listen", "10.255.0.2:8443"];
        let managed = Managed::start_with(&lab, &manager, &firewall, Path::new(BINARY), &listen).unwrap();
        let (api, serial) = (&managed.api, &managed.serial);
        let device = format!("<devices><entry name='{serial}'/></devices>");
        let system = "<deviceconfig><system><hostname>of-template</hostname><timezone>Europe/Berlin</timezone></system></deviceconfig>";
        let zones = "<vsys><entry name='vsys1'><zone><entry name='trust'><network><layer3/></network></entry>\
                     <entry name='untrust'><network><layer3/></network></entry></zone></entry></vsys>";
        let template =
            format!("<config><devices><entry name='localhost.localdomain'>{system}{zones}</entry></devices></config>");
        api.set(&format!("{LOCALHOST}/template/entry[@name='base']"), &template).unwrap();
        let stack = format!("<templates><member>base</member></templates>{device}");
        api.set(&format!("{LOCALHOST}/template-stack/entry[@name='stack']"), &stack).unwrap();
        let rules = |place: &str, rule: &str| format!("<{place}><security><rules>{rule}</rules></security></{place}>");
        let group =
            [device, rules("pre-rulebase", &rule("first", "deny")), rules("post-rulebase", &rule("last", "deny"))];
        api.set(&format!("{LOCALHOST}/device-group/entry[@name='branch']"), &group.concat()).unwrap();
        let house = Self { managed, manager, _lab: lab };
        house.push().unwrap();
        house
    }

    /// Commits at the manager and pushes.
    fn push(&self) -> anyhow::Result<()> {
        self.managed.api.commit()?;
        self.managed.api.push("branch").map(drop)
    }

    /// The manager's administrator at the firewall.
    fn device(&self) -> Api {
        self.managed.api.at(&self.managed.serial)
    }

    fn set_pre_rules(&self, rules: &str) {
        let place = format!("{LOCALHOST}/device-group/entry[@name='branch']/pre-rulebase/security/rules");
        self.managed.api.delete(&place).unwrap();
        self.managed.api.set(&place, rules).unwrap();
    }

    /// Names of the security rules in the order of evaluation.
    fn rules(&self) -> Vec<String> {
        let command = "<show><rule-hit-count><vsys><vsys-name><entry name='vsys1'><rule-base><entry name='security'>\
                       <rules><all/></rules></entry></rule-base></entry></vsys-name></vsys></rule-hit-count></show>";
        let answer = self.device().op(command).unwrap();
        let rules = between(&answer, "<rules>", "</rules>").unwrap();
        rules.split("<entry name=\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    }

    fn effective(&self) -> String {
        let answer = self.device().op("<show><config><effective-running/></config></show>").unwrap();
        let enforced = self.managed.on_firewall(&["show", "config", "running"]).unwrap();
        let tree = between(&answer, "<result>", "</result>").unwrap().to_owned();
        assert!(enforced.contains(&tree), "{enforced}\nis not\n{tree}");
        tree
    }
}

fn rule(name: &str, action: &str) -> String {
    security_rule(name, "any", "any", "any", "any", "any", action)
}

#[test]
fn own_and_pushed_configuration_give_the_same_in_either_order_and_keep_apart() {
    let mut house = House::start();
    let device = house.device();
    let only_pushed = house.effective();
    assert!(only_pushed.contains("of-template") && !only_pushed.contains("\"own\""), "{only_pushed}");

    // Pushed first, then the firewall's own: what it says itself wins over the template.
    let system = format!("{LOCALHOST}/deviceconfig/system");
    device.set(&system, "<hostname>of-firewall</hostname>").unwrap();
    device.set(OWN_RULES, &rule("own", "allow")).unwrap();
    device.commit().unwrap();
    assert_eq!(house.rules()[..3], ["first", "own", "last"]);
    let own_last = house.effective();
    for part in ["<hostname>of-firewall</hostname>", "Europe/Berlin"] {
        assert!(own_last.contains(part), "{part} is not in {own_last}");
    }
    assert!(!own_last.contains("of-template"), "{own_last}");
    let devices = house.managed.api.op("<show><devices><all/></devices></show>").unwrap();
    assert!(devices.contains("<shared-policy-status>In Sync</shared-policy-status>"), "{devices}");
    let shown = device.op("<show><config><pushed-template/></config></show>").unwrap();
    assert!(shown.contains("of-template") && !shown.contains("first"), "{shown}");
    let shown = device.op("<show><config><pushed-shared-policy/></config></show>").unwrap();
    assert!(shown.contains("<policy><panorama><pre-rulebase>") && shown.contains("\"first\""), "{shown}");

    // The firewall's own first, then a push: only the pushed part is another.
    house.set_pre_rules(&rule("second", "deny"));
    house.push().unwrap();
    let other = house.effective();
    assert!(other.contains("\"second\"") && !other.contains("\"first\"") && other.contains("\"own\""), "{other}");
    house.set_pre_rules(&rule("first", "deny"));
    house.push().unwrap();
    assert_eq!(house.effective(), own_last, "the order does not matter");

    // After a crash it is the same again, before the manager is there.
    house.managed.manager.signal("KILL").unwrap();
    house.managed.manager.wait(LIMIT).unwrap();
    house.managed.firewall.signal("KILL").unwrap();
    house.managed.firewall.wait(LIMIT).unwrap();
    house.managed.restart_firewall().unwrap();
    let ask = || house.managed.on_firewall(&["show", "config", "running"]);
    let enforced = eventually("the firewall is up", LIMIT, ask).unwrap();
    assert!(enforced.contains(&own_last), "{enforced}");
    house.managed.restart_manager().unwrap();
    house.managed.wait_connected().unwrap();

    // Without its own, what was pushed stands alone again.
    let device = house.device();
    device.delete(OWN_RULES).unwrap();
    device.delete(&format!("{LOCALHOST}/deviceconfig")).unwrap();
    device.delete(&format!("{LOCALHOST}/vsys/entry[@name='vsys1']/rulebase")).unwrap();
    device.commit().unwrap();
    assert_eq!(house.effective(), only_pushed);
}

#[test]
fn a_firewall_overrides_what_was_pushed_until_that_is_deleted() {
    let house = House::start();
    let device = house.device();
    let pushed = house.effective();
    let overriding = |xpath: &str, element: &str| {
        device.try_call(&[("type", "config"), ("action", "override"), ("xpath", xpath), ("element", element)]).unwrap()
    };
    let answer = overriding(LOCALHOST, "<nothing/>");
    assert!(
        answer.contains("Object cannot be overridden") && answer.contains("`nothing` is not inherited"),
        "{answer}"
    );
    let own = "<deviceconfig><system><hostname>of-firewall</hostname></system></deviceconfig>";
    let answer = overriding(LOCALHOST, own);
    assert!(answer.contains("command succeeded"), "{answer}");
    device.commit().unwrap();
    let tree = house.effective();
    assert!(tree.contains("of-firewall") && !tree.contains("Europe/Berlin") && tree.contains("untrust"), "{tree}");
    device.delete(&format!("{LOCALHOST}/deviceconfig")).unwrap();
    device.commit().unwrap();
    assert_eq!(house.effective(), pushed);
}

#[test]
fn what_does_not_go_together_is_refused_with_every_reason_and_changes_nothing() {
    let house = House::start();
    let device = house.device();
    device.set(OWN_RULES, &rule("own", "allow")).unwrap();
    device.commit().unwrap();
    let before = house.effective();

    let both = rule("last", "allow") + &security_rule("lost", "nowhere", "any", "any", "any", "any", "allow");
    device.set(OWN_RULES, &both).unwrap();
    let refused = format!("{:#}", device.commit().unwrap_err());
    for part in ["`last` is already in use", "no zone `nowhere` is configured", "Commit failed"] {
        assert!(refused.contains(part), "{part} is not in {refused}");
    }
    assert_eq!(house.effective(), before);
    device.op("<revert><config/></revert>").unwrap();

    house.set_pre_rules(&(rule("own", "deny") + &rule("first", "deny")));
    let refused = format!("{:#}", house.push().unwrap_err());
    assert!(refused.contains("`own` is already in use"), "{refused}");
    assert_eq!(house.effective(), before);
    let devices = house.managed.api.op("<show><devices><all/></devices></show>").unwrap();
    assert!(devices.contains("<shared-policy-status>Out of Sync</shared-policy-status>"), "{devices}");
}

#[test]
fn pan_os_python_works_a_connected_firewall_through_panorama() {
    let house = House::start();
    let arguments = [MANAGER, &house.managed.password, &house.managed.serial, "10.255.0.2:8443"];
    run(&house.manager, Client::PanOsPython, "connected_session.py", &arguments);
}

#[test]
fn captured_packets_come_through_the_manager_as_they_are() {
    let house = House::start();
    let device = house.device();
    let order = |words: &str| format!("<debug><dataplane><packet-diag>{words}</packet-diag></dataplane></debug>");
    let stage = "<set><capture><stage>receive</stage><file>rx.pcapng</file></capture></set>";
    for words in [stage, "<set><capture><on/></capture></set>", "<set><capture><off/></capture></set>"] {
        device.op(&order(words)).unwrap();
    }
    let shown = device.op(&order("<show><setting/></show>")).unwrap();
    assert!(shown.contains("<files><entry name=\"rx.pcapng\">"), "{shown}");
    let export = [("type", "export"), ("category", "filters-pcap")];
    let listed = device.call(&export).unwrap();
    assert!(listed.contains("<dir-listing><file>/rx.pcapng</file></dir-listing>"), "{listed}");

    let dir = house.managed.firewall_state();
    let written = std::fs::read(dir.join("captures/rx.pcapng")).unwrap();
    assert!(written.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) && std::str::from_utf8(&written).is_err(), "no text");
    let fetched = dir.join("fetched.pcapng");
    device.download(&[&export[..], &[("from", "rx.pcapng")]].concat(), &fetched).unwrap();
    assert_eq!(std::fs::read(&fetched).unwrap(), written);

    for name in ["other.pcapng", "../running.json"] {
        let refused = device.try_call(&[&export[..], &[("from", name)]].concat()).unwrap();
        assert!(refused.contains("status=\"error\"") && refused.contains(name), "{refused}");
    }
    let refused = house.managed.api.try_call(&export).unwrap();
    assert!(refused.contains("packets are captured by firewalls: name one (`target=SERIAL`)"), "{refused}");
}
