// Which lists say who may do what?

import type { Node } from '../../api/types';
import { elements, entries, members, nameOf, text } from '../../tree/node';
import type { SettingsKind } from '../lists/device';
import { joined, type ListKind, type Told } from '../lists/kinds';

const list = (path: string, at: string, title: string, one: string, purpose: string, columns: Told[]): ListKind => ({
  path: `/panorama/${path}`,
  section: 'Administrators',
  list: at,
  scope: 'root',
  title,
  one,
  purpose,
  columns,
});

const based = (node: Node): Node | undefined =>
  elements(elements(node).find((child) => child.tag === 'permissions')).find((child) => child.tag === 'role-based');

/** What an administrator may do, in words. */
function role(node: Node): string {
  const kind = elements(based(node))[0];
  if (!kind) return 'none';
  if (kind.tag !== 'custom') return kind.tag;
  const domains = entries(kind, 'dg-template-profiles').map((one) => `${text(one, 'profile')} in ${nameOf(one)}`);
  return text(kind, 'profile') || domains.join(', ') || 'custom';
}

const INTERFACES = ['panorama', 'device-group'];

/** What an admin role enables. */
function enabled(node: Node): string {
  const kind = elements(elements(node).find((child) => child.tag === 'role')).find((child) =>
    INTERFACES.includes(child.tag),
  );
  const api = elements(kind).find((child) => child.tag === 'xmlapi');
  return elements(api)
    .filter((child) => child.text === 'enable')
    .map((child) => child.tag)
    .join(', ');
}

const kindOf = (node: Node): string =>
  elements(elements(node).find((child) => child.tag === 'role'))[0]?.tag === 'device-group'
    ? 'Device Group and Template'
    : 'Panorama';

export const administratorLists: ListKind[] = [
  list(
    'administrators',
    'mgt-config/users',
    'Administrators',
    'administrator',
    'Who may log in, with which role. The first password of admin counts while there is no entry with one for it.',
    [
      { header: 'Role', width: 300, of: role },
      { header: 'Password', width: 120, of: (node) => (text(node, 'phash') ? 'set' : 'none') },
    ],
  ),
  list(
    'admin-roles',
    'panorama/admin-role',
    'Admin Roles',
    'admin role',
    'What administrators with a role of your own may do. What is enabled for the API counts for the page, too.',
    [
      { header: 'Role', width: 220, of: kindOf },
      { header: 'Enabled', width: 420, of: enabled },
      { header: 'Description', width: 260, of: (node) => text(node, 'description') },
    ],
  ),
  list(
    'access-domains',
    'mgt-config/access-domain',
    'Access Domain',
    'access domain',
    'Device groups and templates for which an administrator has a role.',
    [
      { header: 'Device Groups', width: 300, of: (node) => joined(members(node, 'device-groups')) },
      { header: 'Templates', width: 300, of: (node) => joined(members(node, 'templates')) },
      { header: 'Shared Objects', width: 140, of: (node) => text(node, 'shared-access') || 'read' },
    ],
  ),
];

export const administratorSettings: SettingsKind[] = [
  {
    path: '/panorama/password-complexity',
    section: 'Administrators',
    title: 'Password Complexity',
    scope: 'root',
    at: 'mgt-config/password-complexity',
    purpose: 'What a new password has to be like, once this is enabled. Passwords that are set already stay.',
  },
  {
    path: '/panorama/four-eyes',
    section: 'Administrators',
    title: 'Four Eyes',
    scope: 'panorama',
    at: 'deviceconfig/setting/management/four-eyes',
    purpose:
      'Whether somebody else has to approve a commit or a push, and who may: without names, whoever may commit everything.',
  },
];
