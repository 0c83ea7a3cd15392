// Which lists of objects are there, where do they stand, and what does a line of each tell?

import type { Asked, Node } from '../../api/types';
import type { ScopeKind } from '../../scope';
import type { Layout } from '../../tree/Form';
import { elements, entries, members, nameOf, text } from '../../tree/node';

/** What a column shows of an entry. */
export type Told = { header: string; width: number; of: (node: Node) => string };

export type ListKind = {
  /** The address of the screen. */
  path: string;
  section?: string;
  title: string;
  /** One of it, as in `Add address`. */
  one: string;
  scope: ScopeKind;
  /** Where the list stands in its scope. */
  list: string;
  columns: Told[];
  layout?: Layout;
  /** What else is edited when an entry is saved, behind it, or deleted, before it. */
  also?: (list: string, before: Node | undefined, after: Node | undefined) => Asked[];
  /** Whether an interface's form also asks for its zone and its router. */
  assigned?: boolean;
  /** What the list is for, said where it is empty. */
  purpose: string;
  /** What is to be known of all its entries. */
  remark?: string | undefined;
};

/** Of what would look into sessions. */
export const NOT_INSPECTED =
  'Kept and pushed, not enforced yet: the firewall decides by its rules, and does not look into what sessions carry.';
/** Of what only a criterion of rules uses that cannot be evaluated. */
export const NOT_EVALUATED =
  'Kept and pushed, not evaluated yet: a rule that allows one of these allows nothing, and any other rule refuses as if it named none.';
/** What is said of what the schema knows and the firewall does not do. A commit says so, too. */
export const KEPT = 'The firewall does not do this yet: it is kept, committed and pushed, and has no effect.';

export const joined = (values: string[]): string => values.join(', ');
const described: Told = { header: 'Description', width: 260, of: (node) => text(node, 'description') };
const tags: Told = { header: 'Tags', width: 160, of: (node) => joined(members(node, 'tag')) };

const ADDRESS_KINDS = ['ip-netmask', 'ip-range', 'ip-wildcard', 'fqdn'];
const addressKind = (node: Node) => elements(node).find((child) => ADDRESS_KINDS.includes(child.tag));

const ports = (node: Node): string =>
  ['tcp', 'udp', 'sctp']
    .filter((protocol) => text(node, 'protocol', protocol, 'port'))
    .map((protocol) => `${protocol}/${text(node, 'protocol', protocol, 'port')}`)
    .join(' ');

/** Colours of tags, by the vendor's numbers. */
const colour = (node: Node) => text(node, 'color').replace('color', 'colour ');

const group = (
  path: string,
  list: string,
  title: string,
  one: string,
  purpose: string,
  columns: Told[],
  remark?: string,
): ListKind => ({
  path: `/objects/${path}`,
  list,
  title,
  one,
  purpose,
  columns,
  remark,
  scope: 'group',
});

export const objectLists: ListKind[] = [
  group('addresses', 'address', 'Addresses', 'address', 'Names for addresses, networks and hosts, which rules use.', [
    { header: 'Type', width: 140, of: (node) => addressKind(node)?.tag ?? '' },
    { header: 'Address', width: 240, of: (node) => addressKind(node)?.text ?? '' },
    tags,
    described,
  ]),
  group(
    'address-groups',
    'address-group',
    'Address Groups',
    'address group',
    'Addresses under one name: listed, or found by their tags.',
    [
      { header: 'Type', width: 100, of: (node) => (text(node, 'dynamic', 'filter') ? 'dynamic' : 'static') },
      {
        header: 'Addresses',
        width: 380,
        of: (node) => text(node, 'dynamic', 'filter') || joined(members(node, 'static')),
      },
      tags,
      described,
    ],
  ),
  group(
    'dynamic-user-groups',
    'dynamic-user-group',
    'Dynamic User Groups',
    'dynamic user group',
    'Users that have a tag.',
    [{ header: 'Match', width: 300, of: (node) => text(node, 'filter') }, tags, described],
    NOT_EVALUATED,
  ),
  group(
    'applications',
    'application',
    'Applications',
    'application',
    'Applications of your own.',
    [
      { header: 'Category', width: 160, of: (node) => text(node, 'category') },
      { header: 'Subcategory', width: 160, of: (node) => text(node, 'subcategory') },
      described,
    ],
    NOT_EVALUATED,
  ),
  group(
    'application-groups',
    'application-group',
    'Application Groups',
    'application group',
    'Applications under one name.',
    [{ header: 'Applications', width: 380, of: (node) => joined(members(node, 'members')) }],
    NOT_EVALUATED,
  ),
  group('services', 'service', 'Services', 'service', 'Protocols and ports under a name.', [
    { header: 'Protocol and port', width: 240, of: ports },
    tags,
    described,
  ]),
  group('service-groups', 'service-group', 'Service Groups', 'service group', 'Services under one name.', [
    { header: 'Services', width: 380, of: (node) => joined(members(node, 'members')) },
    tags,
  ]),
  group('tags', 'tag', 'Tags', 'tag', 'Words to mark rules and objects with, and to group them by.', [
    { header: 'Colour', width: 140, of: colour },
    { header: 'Comments', width: 360, of: (node) => text(node, 'comments') },
  ]),
  group(
    'external-dynamic-lists',
    'external-list',
    'External Dynamic Lists',
    'external dynamic list',
    'Lists of addresses, domains or URLs that are fetched.',
    [
      {
        header: 'Type',
        width: 120,
        of: (node) => elements(elements(node).find((child) => child.tag === 'type'))[0]?.tag ?? '',
      },
      {
        header: 'Source',
        width: 380,
        of: (node) => text(elements(elements(node).find((child) => child.tag === 'type'))[0], 'url'),
      },
    ],
  ),
  group(
    'security-profile-groups',
    'profile-group',
    'Security Profile Groups',
    'security profile group',
    'Security profiles that rules use together.',
    [
      {
        header: 'Profiles',
        width: 420,
        of: (node) =>
          elements(node)
            .map((child) => `${child.tag}: ${joined(members(child))}`)
            .join('; '),
      },
    ],
    NOT_INSPECTED,
  ),
  group(
    'log-forwarding',
    'log-settings/profiles',
    'Log Forwarding',
    'log forwarding profile',
    'Which logs of a rule go to which servers.',
    [{ header: 'Matches', width: 360, of: (node) => entries(node, 'match-list').map(nameOf).join(', ') }, described],
  ),
  group('schedules', 'schedule', 'Schedules', 'schedule', 'Times at which a rule counts.', [
    { header: 'Recurrence', width: 180, of: (node) => elements(elements(node)[0])[0]?.tag ?? '' },
  ]),
];
