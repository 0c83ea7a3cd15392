//! Does a device get what its stack and its device group say, and does every mistake lead back to them?

use std::fmt::Write;

use expect_test::{Expect, expect};

use super::{origin, render, validate_manager};
use crate::device::{self, Scope, SourceTranslation};
use crate::edit;
use crate::tree::Element;
use crate::xml::{parse, write};

/// Two templates in a stack, three generations of device groups, two devices.
const MANAGER: &str = r#"<config>
  <mgt-config><devices><entry name="001"/><entry name="002"/></devices></mgt-config>
  <readonly><devices><entry name="localhost.localdomain"><device-group>
    <entry name="branch"><parent-dg>cloud</parent-dg></entry>
  </device-group></entry></devices></readonly>
  <shared>
    <address>
      <entry name="dns"><ip-netmask>192.0.2.53</ip-netmask></entry>
      <entry name="web"><ip-netmask>192.0.2.80</ip-netmask></entry>
    </address>
    <pre-rulebase><security><rules>
      <entry name="shared-pre"><from><member>any</member></from><to><member>any</member></to><source><member>any</member></source><destination><member>dns</member></destination><application><member>any</member></application><service><member>any</member></service><action>allow</action></entry>
    </rules></security></pre-rulebase>
    <post-rulebase>
      <security><rules>
        <entry name="shared-post"><from><member>any</member></from><to><member>any</member></to><source><member>any</member></source><destination><member>any</member></destination><application><member>any</member></application><service><member>any</member></service><action>drop</action></entry>
      </rules></security>
      <default-security-rules><rules><entry name="intrazone-default"><action>deny</action></entry></rules></default-security-rules>
    </post-rulebase>
  </shared>
  <devices><entry name="localhost.localdomain">
    <device-group>
      <entry name="cloud">
        <address><entry name="web"><ip-netmask>10.1.0.80</ip-netmask></entry></address>
        <pre-rulebase><security><rules>
          <entry name="cloud-pre"><from><member>trust</member></from><to><member>any</member></to><source><member>any</member></source><destination><member>web</member></destination><application><member>any</member></application><service><member>any</member></service></entry>
        </rules></security></pre-rulebase>
        <post-rulebase>
          <security><rules>
            <entry name="cloud-post"><from><member>any</member></from><to><member>any</member></to><source><member>any</member></source><destination><member>any</member></destination><application><member>any</member></application><service><member>any</member></service><action>deny</action></entry>
          </rules></security>
          <default-security-rules><rules><entry name="intrazone-default"><action>allow</action><log-end>yes</log-end></entry></rules></default-security-rules>
        </post-rulebase>
      </entry>
      <entry name="branch">
        <devices><entry name="001"/><entry name="002"/></devices>
        <address-group><entry name="dns"><static><member>web</member></static></entry></address-group>
        <pre-rulebase>
          <security><rules>
            <entry name="only-001"><target><devices><entry name="001"/></devices></target><from><member>trust</member></from><to><member>untrust</member></to><source><member>web</member></source><destination><member>any</member></destination><application><member>any</member></application><service><member>service-https</member></service><action>allow</action></entry>
            <entry name="not-001"><target><devices><entry name="001"/></devices><negate>yes</negate></target><from><member>trust</member></from><to><member>untrust</member></to><source><member>web</member></source><destination><member>any</member></destination><application><member>any</member></application><service><member>any</member></service><action>allow</action></entry>
          </rules></security>
          <nat><rules>
            <entry name="out"><from><member>trust</member></from><to><member>untrust</member></to><source><member>any</member></source><destination><member>any</member></destination><service>any</service>
              <source-translation><dynamic-ip-and-port><interface-address><interface>ethernet1/2</interface></interface-address></dynamic-ip-and-port></source-translation></entry>
          </rules></nat>
        </pre-rulebase>
      </entry>
    </device-group>
    <template>
      <entry name="net">
        <variable>
          <entry name="$eth1"><type><interface>ethernet1/1</interface></type></entry>
          <entry name="$trust_ip"><type><ip-netmask>None</ip-netmask></type></entry>
          <entry name="$gw"><type><ip-netmask>10.0.2.1</ip-netmask></type></entry>
        </variable>
        <config><devices><entry name="localhost.localdomain">
          <network>
            <interface><ethernet>
              <entry name="$eth1"><layer3><ip><entry name="$trust_ip"/></ip></layer3></entry>
              <entry name="ethernet1/2"><layer3><ip><entry name="10.0.2.4/24"/></ip><mtu>1500</mtu></layer3></entry>
            </ethernet></interface>
            <logical-router><entry name="lr"><vrf><entry name="default">
              <interface><member>$eth1</member><member>ethernet1/2</member></interface>
              <routing-table><ip><static-route><entry name="default"><destination>0.0.0.0/0</destination><nexthop><ip-address>$gw</ip-address></nexthop></entry></static-route></ip></routing-table>
            </entry></vrf></entry></logical-router>
          </network>
          <vsys><entry name="vsys1">
            <import><network><interface><member>$eth1</member></interface></network></import>
            <zone><entry name="trust"><network><layer3><member>$eth1</member></layer3></network></entry></zone>
          </entry></vsys>
        </entry></devices></config>
      </entry>
      <entry name="base">
        <config><devices><entry name="localhost.localdomain">
          <network><interface><ethernet>
            <entry name="ethernet1/2"><layer3><mtu>9000</mtu><dhcp-client/></layer3></entry>
          </ethernet></interface></network>
          <vsys><entry name="vsys1">
            <import><network><interface><member>ethernet1/2</member></interface></network></import>
            <zone>
              <entry name="untrust"><network><layer3><member>ethernet1/2</member></layer3></network></entry>
              <entry name="trust"><network><layer3><member>ethernet1/9</member></layer3></network></entry>
            </zone>
          </entry></vsys>
        </entry></devices></config>
      </entry>
    </template>
    <template-stack>
      <entry name="edge">
        <templates><member>net</member><member>base</member></templates>
        <devices>
          <entry name="001"><variable><entry name="$trust_ip"><type><ip-netmask>10.0.1.4/24</ip-netmask></type></entry></variable></entry>
          <entry name="002"/>
        </devices>
        <variable><entry name="$trust_ip"><type><ip-netmask>10.0.9.4/24</ip-netmask></type></entry></variable>
        <config><devices><entry name="localhost.localdomain">
          <network><interface><ethernet><entry name="ethernet1/2"><layer3><mtu>1400</mtu></layer3></entry></ethernet></interface></network>
        </entry></devices></config>
      </entry>
    </template-stack>
  </entry></devices>
</config>"#;

const HOST: &str = "/config/devices/entry[@name='localhost.localdomain']";

/// The manager's tree after some edits: XPath and element of a `set`, or of a `delete` without element.
fn manager(edits: &[(&str, &str)]) -> Element {
    let mut root = std::sync::Arc::new(parse(MANAGER).unwrap());
    for (xpath, element) in edits {
        let xpath = xpath.replace("..", HOST);
        let outcome =
            if element.is_empty() { edit::delete(&mut root, &xpath) } else { edit::set(&mut root, &xpath, element) };
        assert!(outcome.unwrap().changed, "{xpath}");
    }
    (*root).clone()
}

fn check(edits: &[(&str, &str)], expected: Expect) {
    let mut text = String::new();
    for diagnostic in validate_manager(&manager(edits)) {
        writeln!(text, "{}", diagnostic.to_string().replace(HOST, "..")).unwrap();
    }
    expected.assert_eq(&text);
}

#[test]
fn the_first_layer_that_has_a_node_wins() {
    let root = manager(&[]);
    let rendered = render(&root, &root, "001").unwrap();
    let config = device::read(&rendered, Scope::Device).config.unwrap();
    let eth1 = config.interface("ethernet1/1").unwrap();
    assert_eq!(eth1.addresses, ["10.0.1.4/24".parse().unwrap()]);
    assert_eq!(eth1.origin.owner.as_deref(), Some("template `net`"));
    let eth2 = config.interface("ethernet1/2").unwrap();
    assert_eq!(eth2.mtu_bytes, Some(1400), "the stack's own setting");
    assert!(eth2.dhcp.is_none(), "another branch of the choice is not added to a nearer one");
    assert_eq!(config.zone("trust").unwrap().interfaces, ["ethernet1/1"], "a list of members is one node");
    assert_eq!(config.zone("untrust").unwrap().origin.owner.as_deref(), Some("template `base`"));
    let config = device::read(&render(&root, &root, "002").unwrap(), Scope::Device).config.unwrap();
    assert_eq!(
        config.interface("ethernet1/1").unwrap().addresses,
        ["10.0.9.4/24".parse().unwrap()],
        "the stack's value"
    );
}

#[test]
fn rules_come_in_order_and_objects_from_the_nearest_scope() {
    let root = manager(&[]);
    let names = |serial: &str| -> Vec<String> {
        let rendered = render(&root, &root, serial).unwrap();
        let config = device::read(&rendered, Scope::Device).config.unwrap();
        config.security_rules.iter().map(|rule| rule.name.clone()).collect()
    };
    assert_eq!(names("001"), ["shared-pre", "cloud-pre", "only-001", "cloud-post", "shared-post"]);
    assert_eq!(names("002"), ["shared-pre", "cloud-pre", "not-001", "cloud-post", "shared-post"]);

    let config = device::read(&render(&root, &root, "001").unwrap(), Scope::Device).config.unwrap();
    assert_eq!(config.names().address_values("web").unwrap()[0].bounds().unwrap().0.to_string(), "10.1.0.80");
    // A group of the nearer device group hides an address of Shared.
    assert_eq!(config.names().address_values("dns").unwrap()[0].bounds().unwrap().0.to_string(), "10.1.0.80");
    assert!(config.intrazone_default.log_end, "the nearer override");
    assert_eq!(config.security_rules[0].origin.owner.as_deref(), Some("shared"));
    assert_eq!(config.security_rules[2].origin.owner.as_deref(), Some("device-group `branch`"));
    assert!(matches!(config.nat_rules[0].source_translation, Some(SourceTranslation::DynamicIpAndPort { .. })));
    let origin = origin::to_manager(config.security_rules[2].origin.clone(), &root, Some("001"));
    assert_eq!(
        origin.xpath,
        format!("{HOST}/device-group/entry[@name='branch']/pre-rulebase/security/rules/entry[@name='only-001']")
    );
    let origin = origin::to_manager(config.interface("ethernet1/1").unwrap().origin.clone(), &root, Some("001"));
    assert_eq!(
        origin.xpath,
        format!(
            "{HOST}/template/entry[@name='net']/config{}/network/interface/ethernet/entry[@name='$eth1']",
            HOST.strip_prefix("/config").unwrap()
        )
    );
}

#[test]
fn groups_and_templates_can_be_of_different_versions() {
    let old = manager(&[]);
    let new = manager(&[
        ("../template/entry[@name='net']/variable/entry[@name='$eth1']/type/interface", "ethernet1/3"),
        ("../device-group/entry[@name='branch']/pre-rulebase/security/rules/entry[@name='only-001']", ""),
    ]);
    let config = device::read(&render(&old, &new, "001").unwrap(), Scope::Device).config.unwrap();
    assert!(config.interface("ethernet1/3").is_some());
    assert_eq!(config.security_rules.len(), 5);
}

#[test]
fn a_device_without_stack_or_group_has_an_empty_configuration() {
    let root = manager(&[]);
    assert_eq!(write(&render(&root, &root, "404").unwrap()), "<config/>");
}

#[test]
fn the_example_is_clean() {
    check(&[], expect![[""]]);
}

#[test]
fn mistakes_lead_back_to_where_they_were_written_and_are_reported_once() {
    check(
        &[
            ("../template-stack/entry[@name='edge']/templates", "<member>bse</member>"),
            (
                "../template/entry[@name='net']/config/devices/entry/network/interface/ethernet/entry[@name='$eth1']/layer3/ip",
                "<entry name='$trust_ipp'/>",
            ),
            ("../template/entry[@name='net']/variable/entry[@name='$gw']/type/ip-netmask", "10.0.2.x"),
            (
                "../device-group/entry[@name='cloud']/pre-rulebase/security/rules/entry[@name='cloud-pre']/from",
                "<member>trsut</member>",
            ),
            (
                "/config/shared/pre-rulebase/security/rules/entry[@name='shared-pre']/destination",
                "<member>dsn</member>",
            ),
        ],
        expect![[r#"
            error[unknown-template]: no template `bse` is defined
              --> ../template-stack/entry[@name='edge']/templates/member[text()='bse']
              help: did you mean `base`?
            error[variable-type]: `10.0.2.x` of variable `$gw` does not fit its type `ip-netmask`
              --> ../template/entry[@name='net']/variable/entry[@name='$gw']/type/ip-netmask
            error[unresolved-variable]: variable `$trust_ipp` has no value here
              --> ../template/entry[@name='net']../network/interface/ethernet/entry[@name='$eth1']/layer3/ip/entry[@name='$trust_ipp'] (template `net`)
              help: did you mean `$trust_ip`?
            error[invalid-address]: `10.0.2.x` is not an address or prefix
              --> ../template/entry[@name='net']../network/logical-router/entry[@name='lr']/vrf/entry[@name='default']/routing-table/ip/static-route/entry[@name='default']/nexthop/ip-address (template `net`)
              help: write e.g. `10.0.1.4/24`
            error[unknown-address]: `dsn` is no address, address group or literal that is visible here
              --> /config/shared/pre-rulebase/security/rules/entry[@name='shared-pre']/destination/member[text()='dsn'] (shared)
              help: did you mean `dns`?
            error[unknown-zone]: no zone `trsut` is configured
              --> ../device-group/entry[@name='cloud']/pre-rulebase/security/rules/entry[@name='cloud-pre']/from/member[text()='trsut'] (device-group `cloud`)
              help: did you mean `trust`?
        "#]],
    );
}

#[test]
fn what_no_device_uses_is_read_as_far_as_it_goes() {
    check(
        &[
            ("../device-group/entry[@name='idle']/address/entry[@name='bad']", "<ip-netmask>10.0.0.300</ip-netmask>"),
            (
                "../device-group/entry[@name='idle']/pre-rulebase/nat/rules/entry[@name='n']",
                "<from><member>somewhere</member></from><to><member>elsewhere</member></to><source><member>any</member></source><destination><member>any</member></destination>",
            ),
            (
                "../template/entry[@name='idle']/config/devices/entry/network/interface/ethernet/entry[@name='ethernet1/1']/layer3",
                "<mtu>1</mtu><ip><entry name='$nothing'/></ip>",
            ),
            (
                "../template-stack/entry[@name='idle-stack']/config/devices/entry/network/virtual-router/entry[@name='vr']/routing-table/ip/static-route/entry[@name='r']",
                "<destination>nowhere</destination><nexthop><next-vr>vr</next-vr></nexthop>",
            ),
        ],
        expect![[r#"
            error[invalid-address]: `10.0.0.300` is not an address or prefix, e.g. `10.0.0.0/24`
              --> ../device-group/entry[@name='idle']/address/entry[@name='bad']/ip-netmask (device-group `idle`)
            error[invalid-address]: `nowhere` is not an address or prefix
              --> ../template-stack/entry[@name='idle-stack']../network/virtual-router/entry[@name='vr']/routing-table/ip/static-route/entry[@name='r']/destination (template stack `idle-stack`)
              help: write e.g. `10.0.1.4/24`
            error[router-self]: router `vr` forwards to itself
              --> ../template-stack/entry[@name='idle-stack']../network/virtual-router/entry[@name='vr']/routing-table/ip/static-route/entry[@name='r']/nexthop/next-vr (template stack `idle-stack`)
              help: name another router, or a next hop address
            warning[unresolved-variable]: variable `$nothing` has no value here
              --> ../template/entry[@name='idle']../network/interface/ethernet/entry[@name='ethernet1/1']/layer3/ip/entry[@name='$nothing'] (template `idle`)
              help: define it in the template, in the stack, or for this device in the stack
            error[invalid-number]: `1` is not a number from 576 to 9216
              --> ../template/entry[@name='idle']../network/interface/ethernet/entry[@name='ethernet1/1']/layer3/mtu (template `idle`)
        "#]],
    );
}

#[test]
fn a_missing_parent_and_a_loop_of_parents_end() {
    let parent = "/config/readonly/devices/entry/device-group/entry[@name='cloud']";
    check(
        &[(parent, "<parent-dg>clouds</parent-dg>")],
        expect![[r#"
            error[unknown-device-group]: device group `cloud` has the parent `clouds`, which is not defined
              --> /config/readonly/devices/entry[@name='localhost.localdomain']/device-group/entry[@name='cloud']/parent-dg
        "#]],
    );
    let root = manager(&[(parent, "<parent-dg>branch</parent-dg>")]);
    assert!(render(&root, &root, "001").is_ok());
}
