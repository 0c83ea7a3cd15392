//! What does `override` put in the place of something that is inherited?
//!
//! A stack inherits from its templates, a device group from the groups above it and from Shared, and a managed firewall
//! from what was pushed. The new element takes the place of the inherited one as a whole: it says so itself, and
//! layers that lie below add nothing to it ([`OVERRIDE`]). Deleting it brings the inherited one back.

use std::sync::Arc;

use super::{EditError, Outcome, code, edit, invalid_xml, single};
use crate::manager;
use crate::tree::{Element, quote};
use crate::xml::{self, Fragment};
use crate::xpath::{Path, XPath};

/// Attribute of an element to which layers below add nothing.
pub(crate) const OVERRIDE: &str = "override";

/// The default rules, which are there without being written.
const DEFAULT_RULES: [&str; 2] = ["intrazone-default", "interzone-default"];
/// Where the policy and the objects stand that a manager pushed.
const PUSHED: &str = "/config/panorama/vsys/entry[@name='vsys1']";

/// Puts `element` in the place of what the node at `xpath` inherits.
///
/// # Errors
/// When nothing of that name is inherited there, or it is not to be overridden.
pub fn override_inherited(root: &mut Arc<Element>, xpath: &str, element: &str) -> Result<Outcome, EditError> {
    let marked = overriding(root, None, xpath, element)?;
    edit(root, xpath, &marked)
}

/// The element with which an `edit` of `xpath` overrides what is inherited there. `pushed` is what a firewall got from
/// its manager.
///
/// # Errors
/// As for [`override_inherited`].
pub fn overriding(root: &Element, pushed: Option<&Element>, xpath: &str, element: &str) -> Result<String, EditError> {
    let path = single(xpath)?;
    let mut new = match xml::parse_fragment(element).map_err(|error| invalid_xml(&error))? {
        Fragment::Elements(mut elements) if elements.len() == 1 => elements.remove(0),
        Fragment::Elements(_) | Fragment::Text(_) => {
            return Err(EditError::new(code::INVALID_OBJECT, " override needs exactly one element"));
        }
    };
    let (sources, is_merged) = sources(root, pushed.is_some(), &path);
    let inherited: Vec<&Element> = sources
        .iter()
        .filter_map(|xpath| XPath::parse(xpath).ok())
        .flat_map(|xpath| xpath.select(pushed.unwrap_or(root)))
        .map(|found| found.element())
        .collect();
    let name = new.attribute("name").unwrap_or(&new.name).to_owned();
    let is_default = path.steps.iter().any(|step| step.name() == Some("default-security-rules"))
        && DEFAULT_RULES.contains(&name.as_str());
    if inherited.is_empty() && !is_default {
        return Err(refused(format!("`{name}` is not inherited here; write it with `set` or `edit`")));
    }
    if inherited.iter().any(|element| is_fixed(element)) {
        return Err(refused(format!("`{name}` has `disable-override`")));
    }
    new.attributes.retain(|(attribute, _)| &**attribute != OVERRIDE);
    if is_merged && new.text().is_empty() {
        new.attributes.push((OVERRIDE.into(), "yes".into()));
    }
    Ok(xml::write(&new))
}

/// Whether an object says that groups below are not to have one of their own in its place.
pub(crate) fn is_fixed(object: &Element) -> bool {
    object.child("disable-override").is_some_and(|fixed| fixed.text() == "yes")
}

fn refused(why: String) -> EditError {
    EditError { code: code::INVALID_OBJECT, lines: vec!["Object cannot be overridden".to_owned(), why] }
}

/// Where the inherited element may stand, and whether what stands there would be merged with the new one.
fn sources(root: &Element, is_firewall: bool, path: &Path) -> (Vec<String>, bool) {
    let below = |from: usize| -> String { (from..path.steps.len()).map(|at| step(path, at)).collect() };
    let tags: Vec<&str> = path.steps.iter().map(|step| step.name().unwrap_or("*")).collect();
    let named = |index: usize| path.steps.get(index).and_then(|step| step.attribute("name")).unwrap_or_default();
    if is_firewall {
        let whole = below(0);
        return match tags.as_slice() {
            ["config", "devices", "entry", "vsys", "entry", "zone" | "import", ..] => (vec![whole], true),
            ["config", "devices", "entry", "vsys", "entry", ..] => (vec![format!("{PUSHED}{}", below(5))], false),
            ["config", "shared", ..] => (vec![whole, format!("{PUSHED}{}", below(2))], true),
            _ => (vec![whole], true),
        };
    }
    match tags.as_slice() {
        ["config", "devices", "entry", "template-stack", "entry", "config", _, ..] => {
            let of = |name: String| format!("{}{}", manager::entry_xpath("template", &name), below(5));
            (manager::templates_of(root, named(4)).into_iter().map(of).collect(), true)
        }
        ["config", "devices", "entry", "device-group", "entry", _, ..] => {
            let of = |name: String| format!("{}{}", manager::entry_xpath("device-group", &name), below(5));
            let above = manager::ancestors(root, named(4)).into_iter().map(of);
            (above.chain([format!("/config/shared{}", below(5))]).collect(), false)
        }
        _ => (Vec::new(), false),
    }
}

/// One step as text. The one device of a template is the same whatever its name.
fn step(path: &Path, at: usize) -> String {
    let step = &path.steps[at];
    let is_device = at > 0 && path.steps[at - 1].name() == Some("devices");
    match (step.name(), step.attribute("name"), step.text()) {
        (Some(tag), Some(name), _) if !is_device => format!("/{tag}[@name={}]", quote(name)),
        (Some(tag), None, Some(text)) => format!("/{tag}[text()={}]", quote(text)),
        (tag, ..) => format!("/{}", tag.unwrap_or("*")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{Effective, render, validate_manager, with_local};
    use crate::xml::{parse, write};

    const ROOT: &str = r#"<config><mgt-config><devices><entry name="1"/></devices></mgt-config>
<readonly><devices><entry name="localhost.localdomain"><device-group><entry name="branch"><parent-dg>cloud</parent-dg></entry>
</device-group></entry></devices></readonly>
<shared><tag><entry name="t"><disable-override>yes</disable-override></entry></tag></shared><devices><entry name="localhost.localdomain">
<device-group><entry name="cloud"><address><entry name="web"><fqdn>web.example</fqdn></entry></address></entry>
<entry name="branch"><address-group><entry name="all"><static><member>web</member></static></entry></address-group></entry></device-group>
<template><entry name="base"><config><devices><entry name="localhost.localdomain"><deviceconfig><system><hostname>fw</hostname>
<ntp-servers><primary-ntp-server><ntp-server-address>a.example</ntp-server-address></primary-ntp-server></ntp-servers></system></deviceconfig>
<network><profiles><zone-protection-profile><entry name="p"><description>of base</description>
<strip-tcp-fast-open>yes</strip-tcp-fast-open></entry></zone-protection-profile></profiles></network>
</entry></devices></config></entry></template>
<template-stack><entry name="s"><templates><member>base</member></templates><devices><entry name="1"/></devices></entry></template-stack>
</entry></devices></config>"#;
    const HOME: &str = "/config/devices/entry[@name='localhost.localdomain']";
    const PROFILE: &str =
        "devices/entry[@name='localhost.localdomain']/network/profiles/zone-protection-profile/entry[@name='p']";

    fn rendered(root: &Element) -> String {
        write(&render(root, root, "1").unwrap())
    }

    #[test]
    fn what_overrides_stands_alone_until_it_is_deleted() {
        let mut root = Arc::new(parse(ROOT).unwrap());
        let target = format!("{HOME}/template-stack/entry[@name='s']/config/{PROFILE}");
        let own = "<entry name='p' src='tpl'><description>of stack</description></entry>";
        override_inherited(&mut root, &target, own).unwrap();
        let tree = rendered(&root);
        assert!(tree.contains("of stack") && !tree.contains("strip-tcp-fast-open"), "{tree}");
        let (_, values) = Effective::new(&root, &root, "1").unwrap().values(&format!("/config/{PROFILE}"), 0, 10);
        assert_eq!(values.len(), 1);
        let (value, hidden) = (&values[0], &values[0].overrides);
        assert_eq!((value.text.as_str(), value.owner.as_deref()), ("of stack", Some("template stack `s`")));
        assert_eq!((hidden[0].text.as_deref(), hidden[0].owner.as_str()), (Some("of base"), "template `base`"));
        // Written again, by somebody who does not know, with what the template has not.
        edit(&mut root, &target, "<entry name='p'><strict-ip-check>yes</strict-ip-check></entry>").unwrap();
        let tree = rendered(&root);
        assert!(tree.contains("strict-ip-check") && !tree.contains("strip-tcp-fast-open"), "{tree}");
        let (_, values) = Effective::new(&root, &root, "1").unwrap().values(&format!("/config/{PROFILE}"), 0, 10);
        let hidden = &values[0].overrides;
        assert_eq!((hidden.len(), &hidden[0].text), (1, &None), "the whole entry of the template is hidden");
        crate::edit::delete(&mut root, &target).unwrap();
        let tree = rendered(&root);
        assert!(tree.contains("of base") && tree.contains("strip-tcp-fast-open"), "{tree}");
    }

    #[test]
    fn a_container_and_a_leaf_are_overridden_too() {
        // The one device of a template is the same whatever its name.
        let named = "<config><devices><entry name=\"localhost.localdomain\"><deviceconfig>";
        let root = ROOT.replacen(named, "<config><devices><entry name=\"device\"><deviceconfig>", 1);
        let mut root = Arc::new(parse(&root).unwrap());
        let system = format!(
            "{HOME}/template-stack/entry[@name='s']/config/devices/entry[@name='localhost.localdomain']/deviceconfig/system"
        );
        override_inherited(&mut root, &format!("{system}/hostname"), "<hostname>own</hostname>").unwrap();
        override_inherited(&mut root, &format!("{system}/ntp-servers"), "<ntp-servers/>").unwrap();
        let tree = rendered(&root);
        assert!(tree.contains(">own<") && !tree.contains("a.example") && !tree.contains("hostname override"), "{tree}");
        let missing = override_inherited(&mut root, &format!("{system}/domain"), "<domain>x</domain>");
        assert_eq!(missing.unwrap_err().lines[1], "`domain` is not inherited here; write it with `set` or `edit`");
    }

    #[test]
    fn a_group_overrides_what_it_inherits_unless_that_is_fixed() {
        let mut root = Arc::new(parse(ROOT).unwrap());
        let branch = format!("{HOME}/device-group/entry[@name='branch']");
        let mut at = |place: &str, element: &str| {
            override_inherited(&mut root, &format!("{branch}/{place}"), element)
                .map(|outcome| outcome.changed)
                .map_err(|error| error.lines.join("|"))
        };
        let web = "<entry name='web'><fqdn>own.example</fqdn></entry>";
        assert_eq!(at("address/entry[@name='web']", web), Ok(true));
        assert_eq!(at("address/entry[@name='web']", web), Ok(false));
        let default = "<entry name='intrazone-default'><action>deny</action></entry>";
        let rules = "post-rulebase/default-security-rules/rules";
        assert_eq!(at(&format!("{rules}/entry[@name='intrazone-default']"), default), Ok(true));
        for (place, name, why) in [
            ("address", "other", "`other` is not inherited here; write it with `set` or `edit`"),
            ("tag", "t", "`t` has `disable-override`"),
        ] {
            let refused = at(&format!("{place}/entry[@name='{name}']"), &format!("<entry name='{name}'/>"));
            assert_eq!(refused, Err(format!("Object cannot be overridden|{why}")));
        }
        // What refers to it means the inherited one again.
        crate::edit::delete(&mut root, &format!("{branch}/address/entry[@name='web']")).unwrap();
    }

    #[test]
    fn an_object_beside_a_fixed_one_is_no_valid_configuration() {
        let mut root = Arc::new(parse(ROOT).unwrap());
        let found = |root: &Element| {
            let found = validate_manager(root).into_iter().filter(|one| one.code == crate::codes::OVERRIDE_DISABLED);
            found.map(|one| format!("{}: {}", one.origin.xpath, one.message)).collect::<Vec<_>>()
        };
        assert_eq!(found(&root), Vec::<String>::new());
        let branch = format!("{HOME}/device-group/entry[@name='branch']");
        crate::edit::set(&mut root, &format!("{branch}/tag"), "<entry name='t'/>").unwrap();
        let expected =
            "`t` of device-group `branch` would take the place of the one in shared, which has `disable-override`";
        assert_eq!(found(&root), [format!("{branch}/tag/entry[@name='t']: {expected}")]);
    }

    #[test]
    fn a_firewall_overrides_what_was_pushed() {
        let mut local =
            Arc::new(parse("<config><devices><entry name='localhost.localdomain'/></devices></config>").unwrap());
        let pushed = render(&parse(ROOT).unwrap(), &parse(ROOT).unwrap(), "1").unwrap();
        let target = format!("/config/{PROFILE}");
        let own = "<entry name='p'><description>of firewall</description></entry>";
        let marked = overriding(&local, Some(&pushed), &target, own).unwrap();
        edit(&mut local, &target, &marked).unwrap();
        let effective = write(&with_local(&local, &pushed));
        assert!(effective.contains("of firewall") && !effective.contains("strip-tcp-fast-open"), "{effective}");
    }
}
