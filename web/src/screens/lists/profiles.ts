// Which security profiles and custom objects are there? All are kept and pushed; their screens say that nothing looks
// into what sessions carry yet.

import type { Node } from '../../api/types';
import { elements, entries, members, nameOf, text } from '../../tree/node';
import { joined, type ListKind, NOT_EVALUATED, NOT_INSPECTED, type Told } from './kinds';

const described: Told = { header: 'Description', width: 260, of: (node) => text(node, 'description') };

const list = (
  [path, title]: [string, string],
  section: string | undefined,
  at: string,
  one: string,
  purpose: string,
  columns: Told[],
  remark = NOT_INSPECTED,
): ListKind => ({ path: `/objects/${path}`, section, list: at, title, one, purpose, columns, remark, scope: 'group' });

const action = (rule: Node): string => text(rule, 'action') || (elements(rule, 'action')[0]?.tag ?? 'default');

/** The rules of a profile with what each does: `critical: reset-both`. */
const rules: Told = {
  header: 'Rules',
  width: 420,
  of: (node) =>
    entries(node, 'rules')
      .map((rule) => `${nameOf(rule)}: ${action(rule)}`)
      .join('; '),
};

const files: Told = {
  header: 'Rules',
  width: 420,
  of: (node) =>
    entries(node, 'rules')
      .map((rule) => `${nameOf(rule)}: ${text(rule, 'analysis') || text(rule, 'data-object') || action(rule)}`)
      .join('; '),
};

const named = (header: string, ...path: string[]): Told => ({
  header,
  width: 240,
  of: (node) => joined(members(node, ...path)),
});

const signature: Told[] = [
  { header: 'Threat Name', width: 240, of: (node) => text(node, 'threatname') },
  { header: 'Severity', width: 110, of: (node) => text(node, 'severity') },
  { header: 'Direction', width: 130, of: (node) => text(node, 'direction') },
  { header: 'Default Action', width: 140, of: (node) => elements(node, 'default-action')[0]?.tag ?? '' },
  { header: 'Comment', width: 240, of: (node) => text(node, 'comment') },
];

const CUSTOM = 'Custom Objects';
const PROFILES = 'Security Profiles';

export const profileLists: ListKind[] = [
  list(
    ['data-patterns', 'Data Patterns'],
    CUSTOM,
    'profiles/data-objects',
    'data pattern',
    'What data looks like that is not to leave.',
    [{ header: 'Type', width: 160, of: (node) => elements(node, 'pattern-type')[0]?.tag ?? '' }, described],
  ),
  list(
    ['spyware-signatures', 'Spyware'],
    CUSTOM,
    'threats/spyware',
    'spyware signature',
    'Signatures of your own, of spyware.',
    signature,
  ),
  list(
    ['vulnerability-signatures', 'Vulnerability'],
    CUSTOM,
    'threats/vulnerability',
    'vulnerability signature',
    'Signatures of your own, of attacks.',
    signature,
  ),
  list(
    ['url-categories', 'URL Category'],
    CUSTOM,
    'profiles/custom-url-category',
    'URL category',
    'Lists of sites of your own, which rules and profiles name.',
    [
      { header: 'Type', width: 140, of: (node) => text(node, 'type') },
      { ...named('Sites', 'list'), width: 380 },
      described,
    ],
    NOT_EVALUATED,
  ),
  list(
    ['antivirus', 'Antivirus'],
    PROFILES,
    'profiles/virus',
    'antivirus profile',
    'What is done about viruses, for each protocol.',
    [
      {
        header: 'Decoders',
        width: 420,
        of: (node) =>
          entries(node, 'decoder')
            .map((one) => `${nameOf(one)}: ${action(one)}`)
            .join('; '),
      },
      described,
    ],
  ),
  list(
    ['anti-spyware', 'Anti-Spyware'],
    PROFILES,
    'profiles/spyware',
    'anti-spyware profile',
    'What is done about spyware, by its severity.',
    [rules, described],
  ),
  list(
    ['vulnerability-protection', 'Vulnerability Protection'],
    PROFILES,
    'profiles/vulnerability',
    'vulnerability protection profile',
    'What is done about attacks, by their severity.',
    [rules, described],
  ),
  list(
    ['url-filtering', 'URL Filtering'],
    PROFILES,
    'profiles/url-filtering',
    'URL filtering profile',
    'Which categories of sites are let through.',
    [named('Block', 'block'), named('Alert', 'alert'), described],
  ),
  list(
    ['file-blocking', 'File Blocking'],
    PROFILES,
    'profiles/file-blocking',
    'file blocking profile',
    'Which kinds of files are let through.',
    [files, described],
  ),
  list(
    ['wildfire-analysis', 'WildFire Analysis'],
    PROFILES,
    'profiles/wildfire-analysis',
    'WildFire analysis profile',
    'Which files are sent to be analysed.',
    [files, described],
  ),
  list(
    ['data-filtering', 'Data Filtering'],
    PROFILES,
    'profiles/data-filtering',
    'data filtering profile',
    'Which data is not to leave.',
    [files, described],
  ),
  list(
    ['dos-protection', 'DoS Protection'],
    PROFILES,
    'profiles/dos-protection',
    'DoS protection profile',
    'How much of a flood a rule of DoS protection lets through.',
    [
      { header: 'Type', width: 120, of: (node) => text(node, 'type') },
      {
        header: 'Floods',
        width: 300,
        of: (node) =>
          elements(node, 'flood')
            .filter((flood) => text(flood, 'enable') === 'yes')
            .map((flood) => flood.tag)
            .join(', '),
      },
      described,
    ],
  ),
  list(
    ['decryption-profile', 'Decryption Profile'],
    'Decryption',
    'profiles/decryption',
    'decryption profile',
    'What is asked of the sessions that are decrypted, and of those that are not.',
    [
      {
        header: 'Checks',
        width: 500,
        of: (node) =>
          elements(node)
            .flatMap((part) => elements(part).filter((check) => check.text === 'yes'))
            .map((check) => check.tag)
            .join(', '),
      },
    ],
    'Kept and pushed, not enforced yet: the firewall decrypts nothing.',
  ),
];
