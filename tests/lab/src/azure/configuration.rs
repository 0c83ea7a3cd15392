//! The configuration of the Azure reference deployment, as the steps an administrator's script sends.
//!
//! Names and tables are those of the deployment guide: `vr-private` and `vr-public` with `app-vnet`,
//! `default`, `azure-probe` and `pod_route`; `inbound-web` and `outbound-internet`; loopbacks for both
//! frontends with the profile `allow-health-checks`.

use anyhow::Result;

use super::{DNS, PRIVATE_ADDRESS, PRIVATE_FRONTEND, PROBE, PUBLIC_ADDRESS, PUBLIC_FRONTEND};
use crate::api::Api;

/// Device group that holds the policy.
pub const DEVICE_GROUP: &str = "azure";
/// Template that holds the network.
pub const TEMPLATE: &str = "azure-network";
/// Stack that the firewall belongs to.
pub const STACK: &str = "azure-stack";

const DEVICES: &str = "/config/devices/entry[@name='localhost.localdomain']";

/// XPath of the device group.
pub fn device_group() -> String {
    format!("{DEVICES}/device-group/entry[@name='{DEVICE_GROUP}']")
}

/// XPath of the template's firewall configuration.
pub fn template_device() -> String {
    format!("{DEVICES}/template/entry[@name='{TEMPLATE}']/config{DEVICES_BELOW}")
}

const DEVICES_BELOW: &str = "/devices/entry[@name='localhost.localdomain']";

/// Sends every step.
///
/// # Errors
/// When a step is refused.
pub fn write(api: &Api, serial: &str) -> Result<()> {
    template(api)?;
    stack(api, serial)?;
    policy(api, serial)
}

fn template(api: &Api) -> Result<()> {
    let device = template_device();
    api.set(
        &format!("{device}/network/profiles/interface-management-profile"),
        &format!(
            "<entry name=\"allow-health-checks\"><ping>yes</ping><http>yes</http><https>yes</https>\
             <permitted-ip><entry name=\"{PROBE}/32\"/><entry name=\"10.1.0.0/24\"/></permitted-ip></entry>"
        ),
    )?;
    api.set(
        &format!("{device}/network/interface/ethernet"),
        "<entry name=\"ethernet1/1\"><layer3><ip><entry name=\"$eth1_ip\"/></ip></layer3></entry>\
         <entry name=\"ethernet1/2\"><layer3><ip><entry name=\"$eth2_ip\"/></ip></layer3></entry>",
    )?;
    api.set(
        &format!("{device}/network/interface/loopback/units"),
        &format!(
            "<entry name=\"loopback.1\"><ip><entry name=\"{PRIVATE_FRONTEND}/32\"/></ip>\
             <interface-management-profile>allow-health-checks</interface-management-profile></entry>\
             <entry name=\"loopback.2\"><ip><entry name=\"{PUBLIC_FRONTEND}/32\"/></ip>\
             <interface-management-profile>allow-health-checks</interface-management-profile></entry>"
        ),
    )?;
    api.set(&format!("{device}/network/logical-router"), &routers())?;
    api.set(
        &format!("{device}/vsys"),
        "<entry name=\"vsys1\"><import><network><interface><member>ethernet1/1</member><member>ethernet1/2</member>\
         <member>loopback.1</member><member>loopback.2</member></interface></network></import><zone>\
         <entry name=\"trust\"><network><layer3><member>$eth1</member><member>loopback.1</member></layer3></network></entry>\
         <entry name=\"untrust\"><network><layer3><member>$eth2</member><member>loopback.2</member></layer3></network></entry>\
         </zone></entry>",
    )?;
    api.set(
        &format!("{DEVICES}/template/entry[@name='{TEMPLATE}']/variable"),
        "<entry name=\"$eth1\"><type><interface>ethernet1/1</interface></type></entry>\
         <entry name=\"$eth2\"><type><interface>ethernet1/2</interface></type></entry>\
         <entry name=\"$eth1_ip\"><type><ip-netmask>None</ip-netmask></type></entry>\
         <entry name=\"$eth2_ip\"><type><ip-netmask>None</ip-netmask></type></entry>",
    )
}

fn routers() -> String {
    let route = |name: &str, destination: &str, next_hop: &str, interface: &str| {
        let interface =
            if interface.is_empty() { String::new() } else { format!("<interface>{interface}</interface>") };
        format!(
            "<entry name=\"{name}\"><destination>{destination}</destination><nexthop>{next_hop}</nexthop>{interface}</entry>"
        )
    };
    let gateway = |address: &str| format!("<ip-address>{address}</ip-address>");
    let router = |name: &str| format!("<next-lr>{name}</next-lr>");
    let table = |name: &str, interfaces: &[&str], routes: &[String]| {
        let members: String = interfaces.iter().map(|interface| format!("<member>{interface}</member>")).collect();
        format!(
            "<entry name=\"{name}\"><vrf><entry name=\"default\"><interface>{members}</interface><routing-table><ip><static-route>\
             {}</static-route></ip></routing-table></entry></vrf></entry>",
            routes.concat()
        )
    };
    table(
        "vr-private",
        &["ethernet1/1", "loopback.1"],
        &[
            route("app-vnet", "10.1.0.0/24", &gateway("10.0.1.1"), "ethernet1/1"),
            route("pod_route", "172.16.0.0/24", &gateway("10.0.1.1"), "ethernet1/1"),
            route("default", "0.0.0.0/0", &router("vr-public"), ""),
            route("azure-probe", "168.63.129.16/32", &gateway("10.0.1.1"), "ethernet1/1"),
        ],
    ) + &table(
        "vr-public",
        &["ethernet1/2", "loopback.2"],
        &[
            route("app-vnet", "10.1.0.0/24", &router("vr-private"), ""),
            route("pod_route", "172.16.0.0/24", &router("vr-private"), ""),
            route("default", "0.0.0.0/0", &gateway("10.0.2.1"), "ethernet1/2"),
            route("azure-probe", "168.63.129.16/32", &gateway("10.0.2.1"), "ethernet1/2"),
        ],
    )
}

fn stack(api: &Api, serial: &str) -> Result<()> {
    api.set("/config/mgt-config/devices", &format!("<entry name=\"{serial}\"/>"))?;
    api.set(
        &format!("{DEVICES}/template-stack"),
        &format!(
            "<entry name=\"{STACK}\"><templates><member>{TEMPLATE}</member></templates><devices><entry name=\"{serial}\"><variable>\
             <entry name=\"$eth1_ip\"><type><ip-netmask>{PRIVATE_ADDRESS}/24</ip-netmask></type></entry>\
             <entry name=\"$eth2_ip\"><type><ip-netmask>{PUBLIC_ADDRESS}/24</ip-netmask></type></entry>\
             </variable></entry></devices></entry>"
        ),
    )
}

fn policy(api: &Api, serial: &str) -> Result<()> {
    let group = device_group();
    api.set(
        &format!("{DEVICES}/device-group"),
        &format!("<entry name=\"{DEVICE_GROUP}\"><devices><entry name=\"{serial}\"/></devices></entry>"),
    )?;
    api.set(
        "/config/shared/address",
        &format!("<entry name=\"azure-probe\"><ip-netmask>{PROBE}/32</ip-netmask></entry>"),
    )?;
    api.set(
        &format!("{group}/address"),
        &format!(
            "<entry name=\"app-vnet\"><ip-netmask>10.1.0.0/24</ip-netmask></entry>\
             <entry name=\"pod-cidr\"><ip-netmask>172.16.0.0/24</ip-netmask></entry>\
             <entry name=\"app1\"><ip-netmask>10.1.0.10</ip-netmask></entry>\
             <entry name=\"private-frontend\"><ip-netmask>{PRIVATE_FRONTEND}</ip-netmask></entry>\
             <entry name=\"public-frontend\"><ip-netmask>{PUBLIC_FRONTEND}</ip-netmask></entry>"
        ),
    )?;
    api.set(
        &format!("{group}/address-group"),
        "<entry name=\"workloads\"><static><member>app-vnet</member><member>pod-cidr</member></static></entry>",
    )?;
    api.set(
        &format!("{group}/service"),
        "<entry name=\"tcp-iperf\"><protocol><tcp><port>5201</port></tcp></protocol></entry>\
         <entry name=\"tcp-smtp\"><protocol><tcp><port>25</port></tcp></protocol></entry>\
         <entry name=\"udp-dns\"><protocol><udp><port>53</port></udp></protocol></entry>",
    )?;
    api.set(&format!("{group}/pre-rulebase/nat/rules"), &nat_rules())?;
    api.set(&format!("{group}/pre-rulebase/security/rules"), &security_rules())
}

fn nat_rules() -> String {
    // The probes to the public frontend end on the firewall itself, so they come before `inbound-web`.
    "<entry name=\"azure-probe-no-nat\"><from><member>untrust</member></from><to><member>untrust</member></to>\
     <source><member>azure-probe</member></source><destination><member>public-frontend</member></destination><service>any</service></entry>\
     <entry name=\"inbound-web\"><from><member>untrust</member></from><to><member>untrust</member></to>\
     <source><member>any</member></source><destination><member>public-frontend</member></destination><service>any</service>\
     <source-translation><dynamic-ip-and-port><interface-address><interface>ethernet1/1</interface></interface-address>\
     </dynamic-ip-and-port></source-translation>\
     <destination-translation><translated-address>app1</translated-address></destination-translation></entry>\
     <entry name=\"outbound-internet\"><from><member>trust</member></from><to><member>untrust</member></to>\
     <source><member>app-vnet</member><member>pod-cidr</member></source><destination><member>any</member></destination><service>any</service>\
     <source-translation><dynamic-ip-and-port><interface-address><interface>ethernet1/2</interface></interface-address>\
     </dynamic-ip-and-port></source-translation></entry>"
        .to_owned()
}

fn security_rules() -> String {
    security_rule("allow-health-checks", "any", "any", "azure-probe", "any", "any", "allow")
        + &security_rule("block-smtp", "trust", "untrust", "any", "any", "tcp-smtp", "reset-client")
        + &security_rule("outbound-dns", "trust", "untrust", "workloads", "any", "udp-dns", "allow")
        + &security_rule("outbound-web", "trust", "untrust", "workloads", "any", "service-http", "allow")
        + &security_rule("outbound-iperf", "trust", "untrust", "workloads", "any", "tcp-iperf", "allow")
        + &ping_rule()
        + &security_rule("inbound-web", "untrust", "trust", "any", "public-frontend", "service-http", "allow")
}

fn ping_rule() -> String {
    security_rule("outbound-ping", "trust", "untrust", "app-vnet", DNS, "any", "allow")
}

/// One security rule that logs at start and end.
pub fn security_rule(
    name: &str,
    from: &str,
    to: &str,
    source: &str,
    destination: &str,
    service: &str,
    action: &str,
) -> String {
    format!(
        "<entry name=\"{name}\"><from><member>{from}</member></from><to><member>{to}</member></to>\
         <source><member>{source}</member></source><destination><member>{destination}</member></destination>\
         <application><member>any</member></application><service><member>{service}</member></service>\
         <log-start>yes</log-start><log-end>yes</log-end><action>{action}</action></entry>"
    )
}
