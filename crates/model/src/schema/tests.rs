//! Violations are told with their place; what stood there before is not.

use std::sync::Arc;

use super::{VIOLATIONS_MAX, branches, check, keywords};
use crate::edit;
use crate::tree::Element;
use crate::xml;

fn tree(inner: &str) -> Arc<Element> {
    Arc::new(xml::parse(&format!("<config>{inner}</config>")).unwrap())
}

fn lines(before: Option<&Element>, after: &Element) -> Vec<String> {
    check(before, after).into_iter().map(|violation| violation.line).collect()
}

#[test]
fn values_out_of_bounds_are_told_with_their_place_all_at_once() {
    let long = "x".repeat(1024);
    let tree = tree(&format!(
        "<shared><address><entry name=\"a\"><fqdn>a.example</fqdn><description>{long}</description></entry></address>\
         <service><entry name=\"s\"><protocol><tcp><port>1</port><override><yes><timeout>0</timeout></yes></override></tcp>\
         </protocol></entry></service>\
         <pre-rulebase><security><rules><entry name=\"r\"><action>perhaps</action><disabled>true</disabled></entry></rules>\
         </security></pre-rulebase></shared>"
    ));
    assert_eq!(
        lines(None, &tree),
        [
            " address -> a -> description can be at most 1023 characters, but current length: 1024",
            " override -> yes -> timeout '0' is out of range, it can be at least 1",
            " rules -> r -> action 'perhaps' is not an allowed keyword; it is one of 'deny', 'allow', 'drop', \
             'reset-client', 'reset-server', 'reset-both'",
            " rules -> r -> disabled 'true' is not 'yes' or 'no'",
        ]
    );
    assert_eq!(check(None, &tree)[0].xpath, "/config/shared/address/entry[@name='a']/description");
}

#[test]
fn the_plugins_settings_and_traffic_objects_are_looked_at() {
    let tree = tree(
        "<devices><entry name='localhost.localdomain'><plugins><kubernetes><policy-automation><entry name='prod'>\
         <auto-commit>maybe</auto-commit><place><top/><bottom/></place></entry></policy-automation></kubernetes></plugins>\
         <template><entry name='t'><config><devices><entry name='localhost.localdomain'><vsys><entry name='vsys1'>\
         <traffic-object><entry name='o'><k8s-cluster><cluster-id>4000</cluster-id></k8s-cluster></entry></traffic-object>\
         </entry></vsys></entry></devices></config></entry></template></entry></devices>",
    );
    assert_eq!(
        lines(None, &tree),
        [
            " policy-automation -> prod -> auto-commit 'maybe' is not 'yes' or 'no'",
            " policy-automation -> prod -> place has both top and bottom, which exclude one another",
            " o -> k8s-cluster -> cluster-id '4000' is out of range, it can be at most 2048",
        ]
    );
}

#[test]
fn a_sealed_text_is_as_long_as_what_was_sealed() {
    let profile = |secret: &str| {
        tree(&format!(
            "<shared><server-profile><radius><entry name=\"r\"><server><entry name=\"s\"><secret>{secret}</secret>\
             </entry></server></entry></radius></server-profile></shared>"
        ))
    };
    let sealed = |bytes: usize| format!("-AQ=={}", "A".repeat((bytes + 28).div_ceil(3) * 4));
    assert!(check(None, &profile(&sealed(62))).is_empty());
    assert_eq!(
        lines(None, &profile(&sealed(65))),
        [" server -> s -> secret can be at most 64 characters, but current length: 65"]
    );
    assert!(check(None, &profile(&format!("-AQ==digest=={}", "A".repeat(300)))).is_empty());
}

#[test]
fn what_the_table_does_not_know_is_not_looked_at() {
    let tree = tree("<shared><address><entry name=\"a\"><future>x</future></entry></address><more/></shared><other/>");
    assert!(check(None, &tree).is_empty());
    assert!(check(None, &Element::new("something")).is_empty());
}

#[test]
fn what_stood_there_already_does_not_keep_the_rest_from_being_edited() {
    let rules = |count: usize| -> String {
        (0..count).map(|rule| format!("<entry name=\"r{rule}\"><action>old</action></entry>")).collect()
    };
    let text =
        format!("<shared><pre-rulebase><security><rules>{}</rules></security></pre-rulebase></shared>", rules(200));
    let before = tree(&text);
    assert_eq!(check(None, &before).len(), VIOLATIONS_MAX, "bounded");
    let mut after = before.clone();
    edit::delete(&mut after, "/config/shared/pre-rulebase/security/rules/entry[@name='r0']").unwrap();
    assert!(check(Some(&before), &after).is_empty());
    edit::set(&mut after, "/config/shared/pre-rulebase/security/rules/entry[@name='r7']", "<disabled>yes</disabled>")
        .unwrap();
    edit::set(&mut after, "/config/shared/pre-rulebase/security/rules/entry[@name='r150']", "<action>new</action>")
        .unwrap();
    let told = lines(Some(&before), &after);
    assert!(told.iter().any(|line| line.starts_with(" rules -> r150 -> action 'new' is not")), "{told:?}");
}

#[test]
fn variables_are_values_in_templates_only() {
    let interface = "<network><interface><ethernet><entry name=\"ethernet1/1\"><layer3><mtu>$mtu</mtu></layer3></entry>\
                     </ethernet></interface></network>";
    let firewall = tree(&format!("<devices><entry name=\"localhost.localdomain\">{interface}</entry></devices>"));
    assert_eq!(lines(None, &firewall), [" ethernet1/1 -> layer3 -> mtu '$mtu' is not a whole number"]);
    let template = tree(&format!(
        "<devices><entry name=\"localhost.localdomain\"><template><entry name=\"t\"><config><devices>\
         <entry name=\"localhost.localdomain\">{interface}</entry></devices></config></entry></template></entry></devices>"
    ));
    assert!(check(None, &template).is_empty());
}

#[test]
fn two_branches_of_a_choice_are_one_too_many() {
    let tree = tree(
        "<shared><log-settings><profiles/></log-settings><address><entry name=\"a\"><fqdn>a.b</fqdn>\
                     <ip-range>1.1.1.1-1.1.1.2</ip-range></entry></address></shared>",
    );
    assert_eq!(lines(None, &tree), [" shared -> address -> a has both fqdn and ip-range, which exclude one another"]);
    let path = ["config", "shared", "address", "entry"];
    assert_eq!(branches(&path, "fqdn").len(), 4);
    assert!(
        branches(&path, "tag").is_empty() && branches(&["config"], "fqdn").is_empty() && branches(&[], "x").is_empty()
    );
}

#[test]
fn keywords_of_a_leaf_are_known_by_its_xpath() {
    let rule = "/config/shared/pre-rulebase/security/rules/entry[@name='r']";
    assert_eq!(keywords(&format!("{rule}/rule-type")), ["universal", "intrazone", "interzone"]);
    assert_eq!(keywords(&format!("{rule}/disabled")), ["yes", "no"]);
    let description = format!("{rule}/description");
    for open in [&description, "/config/shared/nothing", "/config/*/address", "/other", "][", ""] {
        assert!(keywords(open).is_empty(), "{open}");
    }
}
