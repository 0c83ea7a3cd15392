// Which edits of the candidate write a plan into a template and a device group?
//
// Each line becomes one entry, in the place of one of that name. What a line refers to is written before it.

import type { Asked, Node } from '../../api/types';
import { groupPath, LISTS, templatePath } from '../../scope';
import { entryPath, leaf, memberList } from '../../tree/node';
import { cell, type Line, listOf, PARTS, type Part } from './plan';

export type Target = {
  template: string;
  group: string;
  /** Which of the two is there already; the other one is made. */
  has: { template: boolean; group: boolean };
};

const node = (tag: string, ...children: (Node | undefined)[]): Node => ({
  tag,
  children: children.filter((child) => child !== undefined),
});
const entry = (name: string, ...children: (Node | undefined)[]): Node => ({
  ...node('entry', ...children),
  attributes: { name },
});
/** A leaf, or nothing where there is no text. */
const some = (tag: string, text: string): Node | undefined => (text && text !== 'None' ? leaf(tag, text) : undefined);
const names = (tag: string, text: string): Node => node(tag, ...listOf(text).map((name) => entry(name)));

const VSYS = "vsys/entry[@name='vsys1']";
const VRF = "vrf/entry[@name='default']";

/** Where the entries of a part stand: below the template's device, or below the device group. */
function listOfPart(line: Line, { template, group }: Target): string {
  const [device, policy] = [templatePath(template), groupPath(group)];
  const router = entryPath(`${device}/network/logical-router`, cell(line, 'Logical Router'));
  const lists: Record<Part, string> = {
    variables: `${entryPath(LISTS.template, template)}/variable`,
    profiles: `${device}/network/profiles/interface-management-profile`,
    interfaces: `${device}/network/interface/ethernet`,
    loopbacks: `${device}/network/interface/loopback/units`,
    zones: `${device}/${VSYS}/zone`,
    routers: `${device}/network/logical-router`,
    routes: `${router}/${VRF}/routing-table/ip/static-route`,
    traffic: `${device}/${VSYS}/traffic-object`,
    addresses: `${policy}/address`,
    nat: `${policy}/pre-rulebase/nat/rules`,
    security: `${policy}/pre-rulebase/security/rules`,
  };
  return lists[line.part];
}

type Of = (column: string) => string;

/** What an entry of each part holds. */
const HOLD: Record<Part, (of: Of) => (Node | undefined)[]> = {
  variables: (of) => [node('type', leaf(of('Type'), of('Value')))],
  profiles: (of) => [
    ...listOf(of('Services')).map((service) => leaf(service, 'yes')),
    names('permitted-ip', of('Permitted IP Addresses')),
  ],
  interfaces: (of) => [
    node(
      'layer3',
      of('IP Address') === 'DHCP Client'
        ? node('dhcp-client', leaf('enable', 'yes'), leaf('create-default-route', of('Default Route')))
        : names('ip', of('IP Address')),
      some('interface-management-profile', of('Management Profile')),
    ),
  ],
  loopbacks: (of) => [names('ip', of('IPv4')), some('interface-management-profile', of('Management Profile'))],
  zones: (of) => [node('network', memberList('layer3', listOf(of('Interfaces'))))],
  routers: (of) => [node('vrf', entry('default', memberList('interface', listOf(of('Interfaces')))))],
  routes: (of) => [
    leaf('destination', of('Destination')),
    node('nexthop', leaf(of('Next Hop') === 'Next Router' ? 'next-lr' : 'ip-address', of('Next Hop Value'))),
    some('interface', of('Interface')),
  ],
  traffic: (of) => [
    node(
      of('Type'),
      leaf(of('Type') === 'vpc' ? 'vpce-id' : 'cluster-id', of('Tunnel')),
      node(
        'network',
        leaf('logical-router', of('Logical Router')),
        leaf('zone-ingress', of('Zone')),
        memberList('interface', listOf(of('Interfaces'))),
      ),
    ),
  ],
  addresses: (of) => [leaf('ip-netmask', of('Address'))],
  nat: (of) => [...matches(of), leaf('service', of('Service')), ...translations(of)],
  security: (of) => [
    ...matches(of),
    memberList('application', ['any']),
    memberList('service', listOf(of('Service'))),
    leaf('log-end', 'yes'),
    leaf('action', of('Action')),
  ],
};

const matches = (of: Of): Node[] => [
  memberList('from', listOf(of('Source Zone'))),
  memberList('to', listOf(of('Destination Zone'))),
  memberList('source', listOf(of('Source Address'))),
  memberList('destination', listOf(of('Destination Address'))),
];

function translations(of: Of): Node[] {
  const kind = of('Translation');
  const source = node(
    'source-translation',
    node('dynamic-ip-and-port', node('interface-address', leaf('interface', of('Source Interface')))),
  );
  const destination = node('destination-translation', leaf('translated-address', of('Translated Address')));
  return [
    ...(kind === 'Both' || kind === 'Source Address Only' ? [source] : []),
    ...(kind === 'Both' || kind === 'Destination Address Only' ? [destination] : []),
  ];
}

/** The edits that write the lines that are on. */
export function edits(lines: Line[], target: Target): Asked[] {
  const taken = lines.filter(({ on }) => on);
  const places = (['template', 'group'] as const)
    .filter((kind) => !target.has[kind])
    .map((kind): Asked => ({ action: 'set', xpath: LISTS[kind], nodes: [entry(target[kind])] }));
  const written = (Object.keys(PARTS) as Part[]).flatMap((part) => taken.filter((line) => line.part === part));
  const entries = written.map((line): Asked => {
    const of = (column: string) => cell(line, column);
    return {
      action: 'edit',
      xpath: entryPath(listOfPart(line, target), of('Name')),
      node: entry(of('Name'), ...HOLD[line.part](of)),
    };
  });
  const ports = taken
    .filter(({ part }) => part === 'interfaces' || part === 'loopbacks')
    .map((line) => cell(line, 'Name'));
  const imported: Asked = {
    action: 'set',
    xpath: `${templatePath(target.template)}/${VSYS}/import/network/interface`,
    nodes: ports.map((name) => leaf('member', name)),
  };
  return [...places, ...entries, ...(ports.length > 0 ? [imported] : [])];
}
