//! Which values does a device have, who wrote each of them, and what would it be otherwise?
//!
//! A value is an element without elements. Its owner is the template, stack, device group or Shared whose node won;
//! what the farther ones say of the same node is overridden.

use super::variables::is_variable;
use super::{Variables, origin};
use crate::diagnostic::{Diagnostic, Origin};
use crate::edit::OVERRIDE;
use crate::manager;
use crate::tree::Element;
use crate::xpath::XPath;

/// Rules of a device group follow those of the others and override none, but for the default ones.
const RULES: [&str; 2] = ["/pre-rulebase/", "/post-rulebase/"];
const DEFAULT_RULES: &str = "/default-security-rules/";

/// One value of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Where it stands in the device's configuration.
    pub xpath: String,
    /// The text; empty for an element that only is there.
    pub text: String,
    /// Who wrote it, e.g. ``template `edge` ``, ``device-group `branch` `` or `shared`; none for what rendering adds.
    pub owner: Option<String>,
    /// Where it was written, in the manager's configuration.
    pub written: String,
    /// The variable it was written as.
    pub variable: Option<Supplied>,
    /// What farther templates and groups say, the nearest first.
    pub overrides: Vec<Overridden>,
}

/// A variable that gave a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supplied {
    /// Its name, with the `$`.
    pub name: String,
    /// Where it is defined.
    pub xpath: String,
}

/// A value that another one hides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overridden {
    /// Who wrote it.
    pub owner: String,
    /// Where.
    pub xpath: String,
    /// The text there; none when there is only another object of that name.
    pub text: Option<String>,
}

/// The effective configuration of one device.
pub struct Effective<'r> {
    root: &'r Element,
    template_root: &'r Element,
    tree: Element,
    variables: Variables,
    /// Owners and the XPaths below which they write: the stack and its templates, the winning one first.
    layers: Vec<(String, String)>,
    /// The same for the device group, its ancestors and Shared.
    scopes: Vec<(String, String)>,
}

impl<'r> Effective<'r> {
    /// Renders a device.
    ///
    /// # Errors
    /// Those of [`super::render`].
    pub fn new(root: &'r Element, template_root: &'r Element, serial: &str) -> Result<Self, Vec<Diagnostic>> {
        let tree = super::render(root, template_root, serial)?;
        let stack = super::assignment(template_root, serial).and_then(|device| device.stack);
        let group = super::assignment(root, serial).and_then(|device| device.device_group);
        let variables = Variables::of(template_root, stack.as_deref(), Some(serial));
        let own =
            stack.iter().map(|name| (format!("template stack `{name}`"), manager::entry_xpath("template-stack", name)));
        let templates = stack.iter().flat_map(|stack| manager::templates_of(template_root, stack));
        let templates = templates.map(|name| (format!("template `{name}`"), manager::entry_xpath("template", &name)));
        let groups =
            group.iter().flat_map(|group| std::iter::once(group.clone()).chain(manager::ancestors(root, group)));
        let groups = groups.map(|name| (format!("device-group `{name}`"), manager::entry_xpath("device-group", &name)));
        Ok(Self {
            layers: own.chain(templates).collect(),
            scopes: groups.chain([("shared".to_owned(), "/config/shared".to_owned())]).collect(),
            root,
            template_root,
            tree,
            variables,
        })
    }

    /// The tree; `ptpl` and `loc` name the owner of a node and of all below it that name no other.
    pub fn tree(&self) -> &Element {
        &self.tree
    }

    /// How many values there are whose XPath begins with `prefix`, and those of them from `skip` on.
    pub fn values(&self, prefix: &str, skip: usize, count_max: usize) -> (usize, Vec<Value>) {
        let mut found = Vec::new();
        let mut total = 0;
        let mut take = |element: &Element, origin: Origin| {
            if (skip..skip.saturating_add(count_max)).contains(&total) {
                found.push((element.text(), origin));
            }
            total += 1;
        };
        let owner = origin::mark_of(&self.tree);
        let root = Origin { owner, ..Origin::xpath(format!("/{}", self.tree.name)) };
        leaves(&self.tree, root, prefix, &mut take);
        (total, found.into_iter().map(|(text, origin)| self.value(text, origin)).collect())
    }

    fn value(&self, text: String, origin: Origin) -> Value {
        let (xpath, owner) = (origin.xpath.clone(), origin.owner.clone());
        let is_template = self.layers.iter().any(|(name, _)| Some(name) == owner.as_ref());
        let (tree, chain) = if is_template { (self.template_root, &self.layers) } else { (self.root, &self.scopes) };
        let written = match owner {
            Some(_) => origin::with_variables(origin::rebase(origin), tree, &self.variables).xpath,
            None => String::new(),
        };
        let variable = one(tree, &written).and_then(|element| {
            let own = element.attribute("name").map_or_else(|| element.text(), str::to_owned);
            let xpath = self.variables.definition(&own).filter(|_| is_variable(&own))?;
            Some(Supplied { xpath: xpath.to_owned(), name: own })
        });
        let overrides = overrides(tree, chain, owner.as_deref(), &written);
        Value { xpath, text, owner, written, variable, overrides }
    }
}

fn leaves(element: &Element, origin: Origin, prefix: &str, take: &mut dyn FnMut(&Element, Origin)) {
    let is_within = origin.xpath.starts_with(prefix) || prefix.starts_with(&origin.xpath);
    if !is_within {
        return;
    }
    let mut is_leaf = true;
    for child in element.elements() {
        is_leaf = false;
        let owner = origin::mark_of(child).or_else(|| origin.owner.clone());
        let inner = Origin { owner, ..Origin::xpath(format!("{}/{}", origin.xpath, child.step())) };
        leaves(child, inner, prefix, take);
    }
    if is_leaf && origin.xpath.starts_with(prefix) {
        take(element, origin);
    }
}

/// What the owners behind `owner` say of the node.
fn overrides(root: &Element, chain: &[(String, String)], owner: Option<&str>, written: &str) -> Vec<Overridden> {
    let Some(at) = chain.iter().position(|(name, _)| Some(name.as_str()) == owner) else { return Vec::new() };
    let Some(below) = written.strip_prefix(&chain[at].1) else { return Vec::new() };
    if RULES.iter().any(|rules| below.starts_with(rules)) && !below.contains(DEFAULT_RULES) {
        return Vec::new();
    }
    let is_object = !below.starts_with("/config");
    let alone = alone(root, &chain[at].1, below);
    let farther = chain[at + 1..].iter();
    farther
        .filter_map(|(owner, base)| {
            let xpath = format!("{base}{below}");
            if let Some(element) = one(root, &xpath) {
                return Some(Overridden { owner: owner.clone(), xpath, text: Some(element.text()) });
            }
            // An object hides the whole of another one of its name, and so does what was written by `override`.
            let entry = || {
                let start = below.find("/entry[").filter(|_| is_object)?;
                Some(&below[..below[start + 1..].find('/').map_or(below.len(), |end| start + 1 + end)])
            };
            let xpath = format!("{base}{}", alone.or_else(entry)?);
            one(root, &xpath).map(|_| Overridden { owner: owner.clone(), xpath, text: None })
        })
        .collect()
}

/// The part of `below` that leads to an element to which farther layers add nothing.
fn alone<'b>(root: &Element, base: &str, below: &'b str) -> Option<&'b str> {
    // A slash in a name is no end of a step, and what is before it can then not be read.
    let ends = below.match_indices('/').map(|(at, _)| at).skip(1).chain([below.len()]);
    ends.map(|end| &below[..end])
        .find(|part| one(root, &format!("{base}{part}")).is_some_and(|element| element.attribute(OVERRIDE).is_some()))
}

/// The only element at an XPath.
fn one<'r>(root: &'r Element, xpath: &str) -> Option<&'r Element> {
    let path = XPath::parse(xpath).ok()?;
    match path.select(root).as_slice() {
        [found] => Some(found.element()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::expect;

    use super::*;
    use crate::xml::parse;

    const ROOT: &str = "<config><mgt-config><devices><entry name='001'/></devices></mgt-config>
      <readonly><devices><entry name='localhost.localdomain'><device-group><entry name='branch'><parent-dg>cloud</parent-dg></entry>
      </device-group></entry></devices></readonly>
      <shared><address><entry name='web'><ip-netmask>192.0.2.80</ip-netmask></entry><entry name='dns'><fqdn>dns.example</fqdn></entry></address></shared>
      <devices><entry name='localhost.localdomain'>
        <device-group>
          <entry name='cloud'><address><entry name='web'><fqdn>web.example</fqdn></entry></address></entry>
          <entry name='branch'><devices><entry name='001'/></devices><address><entry name='web'><ip-netmask>10.0.0.80</ip-netmask></entry></address></entry>
        </device-group>
        <template>
          <entry name='edge'><config><devices><entry name='localhost.localdomain'><deviceconfig><system><hostname>$host</hostname></system></deviceconfig></entry></devices></config></entry>
          <entry name='base'><variable><entry name='$host'><type><fqdn>fw1</fqdn></type></entry></variable>
            <config><devices><entry name='localhost.localdomain'><deviceconfig><system><hostname>plain</hostname><timezone>UTC</timezone></system></deviceconfig></entry></devices></config></entry>
        </template>
        <template-stack><entry name='stack'><templates><member>edge</member><member>base</member></templates><devices><entry name='001'/></devices></entry></template-stack>
      </entry></devices></config>";

    #[test]
    fn every_value_has_its_owner_and_what_it_hides() {
        let root = parse(ROOT).unwrap();
        let effective = Effective::new(&root, &root, "001").unwrap();
        let (total, values) = effective.values("/config", 0, 100);
        assert_eq!(total, values.len());
        let mut text = String::new();
        for value in &values {
            let place = value.xpath.trim_start_matches("/config/devices/entry[@name='localhost.localdomain']");
            let place = place.trim_start_matches("/config/panorama/vsys/entry[@name='vsys1']");
            let variable = value.variable.as_ref().map(|variable| format!(" as {}", variable.name)).unwrap_or_default();
            writeln!(text, "{place} = {}{variable} ({})", value.text, value.owner.as_deref().unwrap_or("-")).unwrap();
            for hidden in &value.overrides {
                writeln!(text, "  over {:?} ({})", hidden.text, hidden.owner).unwrap();
            }
        }
        expect![[r#"
            /deviceconfig/system/hostname = fw1 as $host (template `edge`)
              over Some("plain") (template `base`)
            /deviceconfig/system/timezone = UTC (template `base`)
            /address/entry[@name='web']/ip-netmask = 10.0.0.80 (device-group `branch`)
              over None (device-group `cloud`)
              over Some("192.0.2.80") (shared)
            /address/entry[@name='dns']/fqdn = dns.example (shared)
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn a_page_is_a_part_of_what_is_below_a_node() {
        let root = parse(ROOT).unwrap();
        let effective = Effective::new(&root, &root, "001").unwrap();
        let system = "/config/devices/entry[@name='localhost.localdomain']/deviceconfig";
        let (total, page) = effective.values(system, 1, 1);
        assert_eq!((total, page.len(), page[0].text.as_str()), (2, 1, "UTC"));
        assert_eq!(effective.values("/config/shared", 0, 10), (0, Vec::new()));
        assert!(Effective::new(&root, &root, "002").unwrap().tree().elements().next().is_none());
    }
}
