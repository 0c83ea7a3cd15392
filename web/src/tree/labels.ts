// What are elements called on the screen? The vendor's words where they differ from the element's own.

const KNOWN: Record<string, string> = {
  'create-default-route': 'Automatically create default route pointing to default gateway provided by server',
  'destination-translation': 'Destination Address Translation',
  'dhcp-client': 'DHCP Client',
  'dipp-oversub': 'NAT Oversubscription Rate',
  'dynamic-destination-translation': 'Destination Address Translation, Dynamic IP',
  'dynamic-ip': 'Dynamic IP',
  'dynamic-ip-and-port': 'Dynamic IP And Port',
  ecmp: 'ECMP',
  fqdn: 'FQDN',
  from: 'Source Zone',
  'group-tag': 'Group Rules By Tag',
  ha: 'HA',
  'icmp-unreachable': 'Send ICMP Unreachable',
  'interface-management-profile': 'Management Profile',
  ip: 'IPv4',
  'ip-address': 'IP Address',
  'ip-netmask': 'IP Netmask',
  'ip-range': 'IP Range',
  'ip-wildcard': 'IP Wildcard Mask',
  ipv6: 'IPv6',
  'log-end': 'Log at Session End',
  'log-setting': 'Log Forwarding',
  'log-start': 'Log at Session Start',
  mtu: 'MTU',
  'nat-type': 'NAT Type',
  'next-lr': 'Next Router',
  nexthop: 'Next Hop',
  'negate-destination': 'Negate Destination Address',
  'negate-source': 'Negate Source Address',
  destination: 'Destination Address',
  option: 'Other Settings',
  category: 'URL Category',
  qos: 'QoS Marking',
  phash: 'Password Hash',
  sctp: 'SCTP',
  'ssl-tls-service-profile': 'SSL/TLS Service Profile',
  source: 'Source Address',
  'source-translation': 'Source Address Translation',
  'static-ip': 'Static IP',
  tag: 'Tags',
  tcp: 'TCP',
  to: 'Destination Zone',
  timezone: 'Time Zone',
  'to-interface': 'Destination Interface',
  udp: 'UDP',
  url: 'URL',
  'user-acl': 'User Identification ACL',
  'device-acl': 'Device Identification ACL',
  vrf: 'Routing Instances (VRF)',
};

/** What is asked where an element is one of several: by the end of the XPath. */
const CHOICES: [RegExp, string][] = [
  [/\/interface\/(ethernet|aggregate-ethernet)\/entry\[@name=(['"])[^'"]*\2\]$/, 'Interface Type'],
  [/\/source-translation$/, 'Translation Type'],
  [/\/(persistent-)?dynamic-ip-and-port$/, 'Address Type'],
];

/** The label of the field that says which of several elements is there. */
export function choiceLabel(xpath: string): string {
  return CHOICES.find(([end]) => end.test(xpath))?.[1] ?? 'Type';
}

/** The name of an element for people. */
export function labelOf(tag: string): string {
  return (
    KNOWN[tag] ??
    tag.replaceAll(/(^|-)(\w)/g, (_, dash: string, letter: string) => (dash ? ' ' : '') + letter.toUpperCase())
  );
}
