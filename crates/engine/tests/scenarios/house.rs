//! A small house to change things in: `trust` on e1, `untrust` on e2, `dmz` with a small MTU on e3, one
//! router, both families.

/// The configuration with these NAT and security rules (`<entry>`s).
pub(crate) fn house(nat: &str, security: &str) -> String {
    format!(
        r#"<config version="11.2.0"><devices><entry name="localhost.localdomain">
<network>
 <profiles><interface-management-profile>
  <entry name="probes"><ping>yes</ping><http>yes</http><https>yes</https></entry>
 </interface-management-profile></profiles>
 <interface>
  <ethernet>
   <entry name="ethernet1/1"><layer3><ip><entry name="10.1.0.1/24"/></ip>
    <ipv6><enabled>yes</enabled><address><entry name="2001:db8:1::1/64"/></address></ipv6>
    <interface-management-profile>probes</interface-management-profile></layer3></entry>
   <entry name="ethernet1/2"><layer3><ip><entry name="192.0.2.1/24"/></ip>
    <ipv6><enabled>yes</enabled><address><entry name="2001:db8:2::1/64"/></address></ipv6></layer3></entry>
   <entry name="ethernet1/3"><layer3><ip><entry name="10.3.0.1/24"/></ip><mtu>1400</mtu>
    <ipv6><enabled>yes</enabled><address><entry name="2001:db8:3::1/64"/></address></ipv6></layer3></entry>
  </ethernet>
 </interface>
 <logical-router><entry name="lr"><vrf><entry name="default">
  <interface><member>ethernet1/1</member><member>ethernet1/2</member><member>ethernet1/3</member></interface>
  <routing-table>
   <ip><static-route>
    <entry name="default"><destination>0.0.0.0/0</destination>
     <nexthop><ip-address>192.0.2.254</ip-address></nexthop></entry>
    <entry name="nowhere"><destination>203.0.113.0/24</destination><nexthop><discard/></nexthop></entry>
   </static-route></ip>
   <ipv6><static-route>
    <entry name="six"><destination>2001:db8:100::/40</destination>
     <nexthop><ipv6-address>2001:db8:2::fe</ipv6-address></nexthop></entry>
   </static-route></ipv6>
  </routing-table>
 </entry></vrf></entry></logical-router>
</network>
<vsys><entry name="vsys1">
 <import><network><interface>
  <member>ethernet1/1</member><member>ethernet1/2</member><member>ethernet1/3</member>
 </interface></network></import>
 <zone>
  <entry name="trust"><network><layer3><member>ethernet1/1</member></layer3></network></entry>
  <entry name="untrust"><network><layer3><member>ethernet1/2</member></layer3></network></entry>
  <entry name="dmz"><network><layer3><member>ethernet1/3</member></layer3></network></entry>
 </zone>
 <rulebase>
  <nat><rules>{nat}</rules></nat>
  <security><rules>{security}</rules></security>
 </rulebase>
</entry></vsys>
</entry></devices></config>"#
    )
}

/// A security rule for any address and service.
pub(crate) fn rule(name: &str, from: &str, to: &str, action: &str) -> String {
    rule_with(name, from, to, action, "")
}

/// A security rule with more settings.
pub(crate) fn rule_with(name: &str, from: &str, to: &str, action: &str, more: &str) -> String {
    format!(
        "<entry name='{name}'><from><member>{from}</member></from><to><member>{to}</member></to>\
         <source><member>any</member></source><destination><member>any</member></destination>\
         <application><member>any</member></application><service><member>any</member></service>\
         <action>{action}</action>{more}</entry>"
    )
}

/// Source NAT with ports on these addresses.
pub(crate) fn dynamic(from: &str, to: &str, pool: &str) -> String {
    format!(
        "<entry name='out'><from><member>{from}</member></from><to><member>{to}</member></to>\
         <source><member>any</member></source><destination><member>any</member></destination>\
         <service>any</service><source-translation><dynamic-ip-and-port><translated-address>\
         <member>{pool}</member></translated-address></dynamic-ip-and-port></source-translation></entry>"
    )
}

/// Destination NAT of HTTP to another port.
pub(crate) fn inbound(destination: &str, to: &str, address: &str, port: u16) -> String {
    format!(
        "<entry name='in'><from><member>any</member></from><to><member>{to}</member></to>\
         <source><member>any</member></source><destination><member>{destination}</member></destination>\
         <service>service-http</service><destination-translation><translated-address>{address}</translated-address>\
         <translated-port>{port}</translated-port></destination-translation></entry>"
    )
}
