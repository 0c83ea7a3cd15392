// Which lists does the Device tab have, and what of them does the firewall do?

import type { Node } from '../../api/types';
import type { ScopeKind } from '../../scope';
import { at, elements, entries, nameOf, text } from '../../tree/node';
import { joined, KEPT, type ListKind, type Told } from './kinds';

const list = (
  path: string,
  section: string | undefined,
  title: string,
  [scope, at]: [ScopeKind, string],
  one: string,
  purpose: string,
  columns: Told[],
): ListKind => ({ path: `/device/${path}`, section, title, scope, list: at, one, purpose, columns, remark: KEPT });

const described: Told = { header: 'Description', width: 260, of: (node) => text(node, 'description') };
const filter: Told = { header: 'Filter', width: 260, of: (node) => text(node, 'filter') || 'All Logs' };
const leaf = (header: string, ...path: string[]): Told => ({ header, width: 170, of: (node) => text(node, ...path) });

const servers = (node: Node): string =>
  joined(
    entries(node, 'server').map((server) => {
      const address = text(server, 'server') || text(server, 'address') || text(server, 'ip-address');
      return `${nameOf(server)} ${address}`.trim();
    }),
  );
const server: Told = { header: 'Servers', width: 380, of: servers };

/** The role of an administrator: the word of it, or the profile that it names. */
function role(node: Node): string {
  const [kind] = elements(at(node, 'permissions', 'role-based'));
  return (kind && (text(kind, 'profile') || kind.tag)) ?? '';
}

const CERTIFICATES = 'Certificate Management';
const SERVERS = 'Server Profiles';

export const deviceLists: ListKind[] = [
  list(
    'administrators',
    undefined,
    'Administrators',
    ['config', 'mgt-config/users'],
    'administrator of the device',
    'Who may log in at the firewall itself. Administrators of the manager are others.',
    [{ header: 'Role', width: 200, of: role }, leaf('Authentication Profile', 'authentication-profile')],
  ),
  list(
    'authentication-profile',
    undefined,
    'Authentication Profile',
    ['config', 'shared/authentication-profile'],
    'authentication profile',
    'How administrators and users prove who they are.',
    [{ header: 'Method', width: 160, of: (node) => elements(at(node, 'method'))[0]?.tag ?? '' }],
  ),
  list(
    'certificate-management/certificates',
    CERTIFICATES,
    'Certificates',
    ['config', 'shared/certificate'],
    'certificate',
    'Certificates with their keys, as text.',
    [leaf('Subject', 'subject'), leaf('Issuer', 'issuer'), leaf('Expires', 'not-valid-after'), leaf('CA', 'ca')],
  ),
  list(
    'certificate-management/certificate-profile',
    CERTIFICATES,
    'Certificate Profile',
    ['config', 'shared/certificate-profile'],
    'certificate profile',
    'Which authorities are believed, and how it is asked whether a certificate was revoked.',
    [{ header: 'CA Certificates', width: 300, of: (node) => joined(entries(node, 'CA').map(nameOf)) }],
  ),
  list(
    'certificate-management/ssl-tls-service-profile',
    CERTIFICATES,
    'SSL/TLS Service Profile',
    ['config', 'shared/ssl-tls-service-profile'],
    'SSL/TLS service profile',
    'The certificate and the TLS versions of what the firewall itself serves.',
    [
      leaf('Certificate', 'certificate'),
      leaf('Min Version', 'protocol-settings', 'min-version'),
      leaf('Max Version', 'protocol-settings', 'max-version'),
    ],
  ),
  list(
    'log-settings/system',
    'Log Settings',
    'System Log Settings',
    ['config', 'shared/log-settings/system/match-list'],
    'match of the system log',
    'Where the firewall sends lines of its system log. The manager forwards what it collects by itself.',
    [filter, described],
  ),
  list(
    'log-settings/configuration',
    'Log Settings',
    'Configuration Log Settings',
    ['config', 'shared/log-settings/config/match-list'],
    'match of the configuration log',
    'Where the firewall sends lines of its configuration log.',
    [filter, described],
  ),
  list(
    'server-profiles/syslog',
    SERVERS,
    'Syslog',
    ['config', 'shared/log-settings/syslog'],
    'syslog server profile',
    'Syslog servers for logs of the firewall.',
    [server],
  ),
  list(
    'server-profiles/email',
    SERVERS,
    'Email',
    ['config', 'shared/log-settings/email'],
    'email server profile',
    'Mail servers for logs of the firewall.',
    [server],
  ),
  list(
    'server-profiles/snmp-trap',
    SERVERS,
    'SNMP Trap',
    ['config', 'shared/log-settings/snmptrap'],
    'SNMP trap server profile',
    'Managers that get traps of the firewall.',
    [{ header: 'Version', width: 120, of: (node) => elements(at(node, 'version'))[0]?.tag ?? '' }],
  ),
  list(
    'server-profiles/radius',
    SERVERS,
    'RADIUS',
    ['config', 'shared/server-profile/radius'],
    'RADIUS server profile',
    'RADIUS servers for authentication.',
    [server],
  ),
  list(
    'server-profiles/ldap',
    SERVERS,
    'LDAP',
    ['config', 'shared/server-profile/ldap'],
    'LDAP server profile',
    'LDAP servers for authentication.',
    [leaf('Base', 'base'), server],
  ),
  list(
    'local-user-database/users',
    'Local User Database',
    'Users',
    ['template', 'local-user-database/user'],
    'local user',
    'Users that the firewall knows by itself.',
    [leaf('Disabled', 'disabled')],
  ),
];

/** What is one element and no list. */
export type SettingsKind = {
  path: string;
  section?: string;
  title: string;
  scope: ScopeKind;
  /** Where the element stands in its scope. */
  at: string;
  purpose: string;
  layout?: { label: string; tags: string[] }[];
  remark?: string;
};

export const deviceSetup: SettingsKind[] = [
  {
    path: '/device/setup/management',
    section: 'Setup',
    title: 'Management',
    scope: 'template',
    at: 'deviceconfig/system',
    purpose: 'The device itself: its name, its clock, the servers that it asks.',
    layout: [
      {
        label: 'General Settings',
        tags: ['hostname', 'domain', 'login-banner', 'ssl-tls-service-profile', 'timezone', 'geo-location'],
      },
      { label: 'Services', tags: ['dns-setting', 'fqdn-refresh-time', 'ntp-servers', 'update-schedule'] },
    ],
    remark:
      'The firewall uses the time zone, for schedules of rules. Everything else here is kept and pushed, and does nothing.',
  },
  {
    path: '/device/setup/session',
    section: 'Setup',
    title: 'Session',
    scope: 'template',
    at: 'deviceconfig/setting',
    purpose:
      'How long sessions live, how strictly TCP is followed, and when a push that cut the device off is taken back.',
    layout: [
      { label: 'Session', tags: ['session'] },
      { label: 'TCP', tags: ['tcp'] },
      { label: 'NAT', tags: ['nat'] },
      { label: 'Commit Recovery', tags: ['management'] },
    ],
  },
];

export const decryptionExclusion: SettingsKind = {
  path: '/device/certificate-management/ssl-decryption-exclusion',
  section: CERTIFICATES,
  title: 'SSL Decryption Exclusion',
  scope: 'config',
  at: 'shared/ssl-decrypt',
  purpose: 'Servers whose TLS is not opened, and the authorities that sign for those that are.',
  remark: KEPT,
};
