// Which lists does a template's network have?

import type { Asked, Node } from '../../api/types';
import { at, elements, entries, members, nameOf, text } from '../../tree/node';
import { joined, KEPT, type ListKind, type Told } from './kinds';

const IF = 'network/interface';
const comment: Told = { header: 'Comment', width: 240, of: (node) => text(node, 'comment') };

/** The addresses of an interface, wherever its kind keeps them. */
function addresses(node: Node): string {
  const at = elements(node).find((child) => child.tag === 'layer3') ?? node;
  if (elements(at).some((child) => child.tag === 'dhcp-client')) return 'DHCP Client';
  return entries(at, 'ip').map(nameOf).join(', ');
}

const profile: Told = {
  header: 'Management Profile',
  width: 190,
  of: (node) => text(node, 'layer3', 'interface-management-profile') || text(node, 'interface-management-profile'),
};
const ip: Told = { header: 'IP Address', width: 220, of: addresses };

const template = (
  path: string,
  list: string,
  title: string,
  one: string,
  purpose: string,
  columns: Told[],
  section?: string,
  scope: 'template' | 'vsys' = 'template',
): ListKind => ({
  path: `/network/${path}`,
  list,
  title,
  one,
  purpose,
  columns,
  section,
  scope,
  also: path.startsWith('interfaces/') ? imported : undefined,
  assigned: path.startsWith('interfaces/'),
});

/** A list of what the firewall does not do. */
const kept = (...list: Parameters<typeof template>): ListKind => ({ ...template(...list), remark: KEPT });

const leaf = (header: string, ...path: string[]): Told => ({ header, width: 160, of: (node) => text(node, ...path) });

/** An interface and its subinterfaces. */
const namesOf = (node: Node | undefined): string[] =>
  node ? [nameOf(node), ...entries(node, 'layer3', 'units').map(nameOf)] : [];

/** Interfaces belong to a virtual system. There is one, and whoever makes an interface means it for that. */
function imported(list: string, before: Node | undefined, after: Node | undefined): Asked[] {
  const members = `${list.slice(0, list.indexOf('/network/'))}/vsys/entry[@name='vsys1']/import/network/interface`;
  const [was, is] = [namesOf(before), namesOf(after)];
  // A rename is followed by what refers to the name.
  const renamed = before && after && nameOf(before) !== nameOf(after);
  const come = is.filter((name) => !was.includes(name) && !(renamed && name === nameOf(after)));
  const gone = was.filter((name) => !is.includes(name) && !(renamed && name === nameOf(before)));
  return [
    ...come.map((name): Asked => ({ action: 'set', xpath: members, element: `<member>${name}</member>` })),
    ...gone.map((name): Asked => ({ action: 'delete', xpath: `${members}/member[text()='${name}']` })),
  ];
}

const INTERFACE_TYPES = [
  'layer3',
  'layer2',
  'virtual-wire',
  'tap',
  'ha',
  'aggregate-group',
  'decrypt-mirror',
  'log-card',
];
const typeOf = (node: Node) => elements(node).find((child) => INTERFACE_TYPES.includes(child.tag))?.tag ?? '';

const routes = (node: Node, family: 'ip' | 'ipv6'): Node[] =>
  entries(node, 'vrf').flatMap((vrf) => entries(vrf, 'routing-table', family, 'static-route'));
const both = (node: Node): Node[] => [...routes(node, 'ip'), ...routes(node, 'ipv6')];
const route = (node: Node): string => {
  const hop = elements(elements(node).find((child) => child.tag === 'nexthop'))[0];
  return `${nameOf(node)}: ${text(node, 'destination')} via ${hop?.text ?? hop?.tag ?? text(node, 'interface')}`;
};

/** What tells a traffic object's tunnel from others. */
function tunnelOf(node: Node): string {
  const [kind] = elements(node);
  const names = ['cluster-id', 'vpce-id', 'network-id'];
  return (kind && names.map((name) => text(kind, name)).find((value) => value)) ?? 'any';
}

function routerOf(node: Node): string {
  const kind = elements(node)[0]?.tag ?? '';
  return text(node, kind, 'network', 'logical-router') || text(node, kind, 'network', 'virtual-router');
}

export const networkLists: ListKind[] = [
  template(
    'interfaces/ethernet',
    `${IF}/ethernet`,
    'Ethernet',
    'Ethernet interface',
    'Ports of the firewall: ethernet1/1, ethernet1/2, ….',
    [
      { header: 'Interface Type', width: 130, of: typeOf },
      profile,
      ip,
      { header: 'Subinterfaces', width: 180, of: (node) => entries(node, 'layer3', 'units').map(nameOf).join(', ') },
      comment,
    ],
    'Interfaces',
  ),
  template(
    'interfaces/loopback',
    `${IF}/loopback/units`,
    'Loopback',
    'loopback interface',
    'Addresses of the firewall itself, as those of load balancers: loopback.1, loopback.2, ….',
    [profile, ip, comment],
    'Interfaces',
  ),
  kept(
    'interfaces/tunnel',
    `${IF}/tunnel/units`,
    'Tunnel',
    'tunnel interface',
    'Ends of tunnels: tunnel.1, ….',
    [profile, ip, comment],
    'Interfaces',
  ),
  template(
    'zones',
    'zone',
    'Zones',
    'zone',
    'Parts of the network that rules speak of. Each interface is in one.',
    [
      {
        header: 'Type',
        width: 120,
        of: (node) =>
          elements(elements(node).find((child) => child.tag === 'network')).find((child) =>
            ['layer3', 'layer2', 'virtual-wire', 'tap', 'tunnel', 'external'].includes(child.tag),
          )?.tag ?? '',
      },
      {
        header: 'Interfaces',
        width: 300,
        of: (node) =>
          elements(elements(node).find((child) => child.tag === 'network'))
            .flatMap((child) => members(child))
            .join(', '),
      },
      { header: 'Zone Protection Profile', width: 200, of: (node) => text(node, 'network', 'zone-protection-profile') },
    ],
    undefined,
    'vsys',
  ),
  template(
    'routing/logical-routers',
    'network/logical-router',
    'Logical Routers',
    'logical router',
    'Routing tables of their own, with the interfaces that use them.',
    [
      {
        header: 'Interfaces',
        width: 300,
        of: (node) => joined(entries(node, 'vrf').flatMap((vrf) => members(vrf, 'interface'))),
      },
      { header: 'Static Routes', width: 110, of: (node) => String(both(node).length) },
      { header: 'Routes', width: 500, of: (node) => both(node).map(route).join('; ') },
    ],
    'Routing',
  ),
  template(
    'routing/virtual-routers',
    'network/virtual-router',
    'Virtual Routers',
    'virtual router',
    'Routers of configurations from before logical routers. New ones are logical routers.',
    [
      { header: 'Interfaces', width: 300, of: (node) => joined(members(node, 'interface')) },
      {
        header: 'Static Routes',
        width: 500,
        of: (node) => entries(node, 'routing-table', 'ip', 'static-route').map(route).join('; '),
      },
    ],
    'Routing',
  ),
  kept(
    'ipsec-tunnels',
    'network/tunnel/ipsec',
    'IPSec Tunnels',
    'IPSec tunnel',
    'Encrypted tunnels to other gateways.',
    [leaf('Tunnel Interface', 'tunnel-interface'), leaf('Disabled', 'disabled')],
  ),
  kept('gre-tunnels', 'network/tunnel/gre', 'GRE Tunnels', 'GRE tunnel', 'Tunnels without encryption.', [
    leaf('Tunnel Interface', 'tunnel-interface'),
    leaf('Peer', 'peer-address', 'ip'),
  ]),
  kept(
    'dhcp',
    'network/dhcp/interface',
    'DHCP',
    'DHCP server or relay',
    'Interfaces at which the firewall gives addresses, or passes on who asks for one. That it gets its own is in its interface.',
    [{ header: 'Kind', width: 160, of: (node) => elements(node)[0]?.tag ?? '' }],
  ),
  kept(
    'dns-proxy',
    'network/dns-proxy',
    'DNS Proxy',
    'DNS proxy',
    'Interfaces at which the firewall answers questions for names.',
    [{ header: 'Interfaces', width: 240, of: (node) => joined(members(node, 'interface')) }],
  ),
  template(
    'network-profiles/interface-mgmt',
    'network/profiles/interface-management-profile',
    'Interface Mgmt',
    'management profile',
    'What the firewall answers at an interface: ping, health checks, the API.',
    [
      {
        header: 'Services',
        width: 300,
        of: (node) =>
          elements(node)
            .filter((child) => child.text === 'yes')
            .map((child) => child.tag)
            .join(', '),
      },
      {
        header: 'Permitted IP Addresses',
        width: 300,
        of: (node) => entries(node, 'permitted-ip').map(nameOf).join(', '),
      },
    ],
    'Network Profiles',
  ),
  template(
    'network-profiles/zone-protection',
    'network/profiles/zone-protection-profile',
    'Zone Protection',
    'zone protection profile',
    'What is dropped before any rule: floods, scans, malformed packets.',
    [
      {
        header: 'Protections',
        width: 400,
        of: (node) =>
          elements(node)
            .map((child) => child.tag)
            .join(', '),
      },
      { header: 'Description', width: 260, of: (node) => text(node, 'description') },
    ],
    'Network Profiles',
  ),
  kept(
    'network-profiles/ike-gateways',
    'network/ike/gateway',
    'IKE Gateways',
    'IKE gateway',
    'Other ends of IPSec tunnels.',
    [
      leaf('Interface', 'local-address', 'interface'),
      { header: 'Peer', width: 160, of: (node) => elements(at(node, 'peer-address'))[0]?.text ?? '' },
    ],
    'Network Profiles',
  ),
  kept(
    'network-profiles/ike-crypto',
    'network/ike/crypto-profiles/ike-crypto-profiles',
    'IKE Crypto',
    'IKE crypto profile',
    'How IKE encrypts.',
    [{ header: 'Encryption', width: 240, of: (node) => joined(members(node, 'encryption')) }],
    'Network Profiles',
  ),
  kept(
    'network-profiles/ipsec-crypto',
    'network/ike/crypto-profiles/ipsec-crypto-profiles',
    'IPSec Crypto',
    'IPSec crypto profile',
    'How IPSec tunnels encrypt.',
    [{ header: 'Encryption', width: 240, of: (node) => joined(members(node, 'esp', 'encryption')) }],
    'Network Profiles',
  ),
  template(
    'traffic-objects',
    'traffic-object',
    'Traffic Objects',
    'traffic object',
    'Which zones and router the packets out of a tunnel belong to: of a Kubernetes cluster, or of a load balancer.',
    [
      { header: 'Type', width: 120, of: (node) => elements(node)[0]?.tag ?? '' },
      { header: 'Cluster or endpoint', width: 180, of: tunnelOf },
      {
        header: 'Ingress Zone',
        width: 140,
        of: (node) => text(node, elements(node)[0]?.tag ?? '', 'network', 'zone-ingress'),
      },
      { header: 'Router', width: 140, of: routerOf },
    ],
    undefined,
    'vsys',
  ),
];
