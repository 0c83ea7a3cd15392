// What does a line of a rulebase tell?

import type { Node } from '../../api/types';
import { Chip } from '../../table/Chip';
import { Clip, type Column } from '../../table/Grid';
import type { Row } from '../../table/rows';
import { ago, moment } from '../../times';
import { at, elements, members, text } from '../../tree/node';
import { type Base, ENFORCED } from './bases';
import type { Counts, Hits } from './hits';

const list = (node: Node, tag: string): string => members(node, tag).join(', ') || 'any';

function told(id: string, header: string, width: number, of: (node: Node) => string): Column<Row> {
  return { id, header, width, cell: (row) => (row.entry.node ? of(row.entry.node) : '') };
}

const COLOURS: Record<string, string> = { allow: 'green', deny: 'red', drop: 'red' };

const action: Column<Row> = {
  id: 'action',
  header: 'Action',
  width: 110,
  cell: (row) => {
    const word = text(row.entry.node, 'action') || 'allow';
    return <Chip color={COLOURS[word] ?? 'orange'}>{word}</Chip>;
  },
};

const negated = (node: Node, side: 'source' | 'destination'): string => {
  const names = list(node, side);
  return text(node, `negate-${side}`) === 'yes' ? `not ${names}` : names;
};

const profiles = (node: Node): string => {
  const setting = at(node, 'profile-setting');
  return (
    members(setting, 'group').join(', ') ||
    elements(at(setting, 'profiles'))
      .map((one) => one.tag)
      .join(', ')
  );
};

const logging = (node: Node): string => {
  const when = [text(node, 'log-start') === 'yes' ? 'start' : '', text(node, 'log-end') === 'no' ? '' : 'end'];
  return [...when.filter(Boolean), text(node, 'log-setting')].filter(Boolean).join(', ') || 'none';
};

function translation(node: Node): string {
  const source = elements(at(node, 'source-translation'))[0];
  if (!source) return 'none';
  const from = elements(source)[0];
  const names = members(from).join(', ') || text(from, 'interface') || from?.text || '';
  return names ? `${source.tag}: ${names}` : source.tag;
}

function translated(node: Node): string {
  const to = at(node, 'destination-translation') ?? at(node, 'dynamic-destination-translation');
  if (!to) return 'none';
  const port = text(to, 'translated-port');
  return text(to, 'translated-address') + (port ? `:${port}` : '');
}

const tags = told('tag', 'Tags', 110, (node) => members(node, 'tag').join(', '));
const groupTag = told('group-tag', 'Group', 90, (node) => text(node, 'group-tag'));
const description = told('description', 'Description', 220, (node) => text(node, 'description'));
const from = told('from', 'Source Zone', 110, (node) => list(node, 'from'));
const to = told('to', 'Destination Zone', 140, (node) => list(node, 'to'));
const source = told('source', 'Source Address', 140, (node) => negated(node, 'source'));
const user = told('source-user', 'Source User', 110, (node) => list(node, 'source-user'));
const destination = told('destination', 'Destination Address', 160, (node) => negated(node, 'destination'));
const application = told('application', 'Application', 100, (node) => list(node, 'application'));
const service = told('service', 'Service', 120, (node) => list(node, 'service'));
const category = told('category', 'URL Category', 110, (node) => list(node, 'category'));

const profile = told('profile-setting', 'Profile', 120, profiles);
const log = told('log', 'Log', 100, logging);
const LOCATION: Column<Row> = {
  id: 'location',
  header: 'Location',
  width: 90,
  cell: (row) => row.source.location,
};
const NAME: Column<Row> = { id: 'name', header: 'Name', width: 190, cell: (row) => row.entry.name };

const word = (id: string, header: string, width: number, otherwise = '') =>
  told(id, header, width, (node) => text(node, id) || otherwise);

/** `zone: trust`, or `interface: ethernet1/1`. */
function ingress(node: Node): string {
  const way = elements(node, 'from')[0];
  return way ? `${way.tag}: ${members(way).join(', ')}` : '';
}

function forwarding(node: Node): string {
  const way = elements(node, 'action')[0];
  if (!way) return '';
  const names = [text(way, 'egress-interface'), elements(way, 'nexthop')[0]?.text ?? '', way.text ?? ''];
  return [way.tag, ...names.filter(Boolean)].join(' ');
}

/** Of rulebases that are about whole connections. */
const flow = [tags, groupTag, from, source, user, to, destination, category, service];

const COLUMNS: Record<Base, Column<Row>[]> = {
  security: [
    tags,
    groupTag,
    word('rule-type', 'Type', 90, 'universal'),
    from,
    source,
    user,
    to,
    destination,
    application,
    service,
    category,
    action,
    profile,
    log,
    description,
  ],
  nat: [
    tags,
    groupTag,
    word('nat-type', 'NAT Type', 90, 'ipv4'),
    from,
    to,
    word('to-interface', 'Destination Interface', 150, 'any'),
    told('source', 'Source Address', 140, (node) => list(node, 'source')),
    told('destination', 'Destination Address', 160, (node) => list(node, 'destination')),
    word('service', 'Service', 120, 'any'),
    told('source-translation', 'Source Translation', 240, translation),
    told('destination-translation', 'Destination Translation', 190, translated),
    description,
  ],
  pbf: [
    tags,
    groupTag,
    told('from', 'Source Zone/Interface', 170, ingress),
    source,
    user,
    destination,
    application,
    service,
    told('action', 'Forwarding', 220, forwarding),
    description,
  ],
  decryption: [
    ...flow,
    word('action', 'Action', 120),
    told('type', 'Type', 150, (node) => elements(node, 'type')[0]?.tag ?? ''),
    word('profile', 'Decryption Profile', 160),
    description,
  ],
  authentication: [
    ...flow,
    word('authentication-enforcement', 'Authentication Enforcement', 220),
    word('timeout', 'Timeout', 90),
    description,
  ],
};

export const HIDDEN_AT_FIRST = ['tag', 'rule-type', 'group-tag', 'source-user', 'category', 'nat-type'];

/** The columns of a rulebase; `notes` are sentences to think about, by XPath of the rule. */
export function columnsOf(
  base: Base,
  inherits: boolean,
  notes: ReadonlyMap<string, string[]>,
  counts: Counts,
): Column<Row>[] {
  return [
    { id: 'number', header: '#', width: 48, cell: (row) => String(row.entry.position + 1) },
    {
      id: 'name',
      header: 'Name',
      width: 190,
      cell: ({ entry }) => (
        <>
          <Clip>{entry.name}</Clip>
          {text(entry.node, 'disabled') === 'yes' ? (
            <Chip color="gray">disabled</Chip>
          ) : notes.has(entry.xpath) ? (
            <Chip color="yellow" title={notes.get(entry.xpath)?.join('\n')}>
              shadowed
            </Chip>
          ) : (
            counts.hits.get(entry.name)?.count === 0 && (
              <Chip color="gray" title={unused(entry.name, counts)}>
                unused
              </Chip>
            )
          )}
        </>
      ),
    },
    ...(inherits ? [LOCATION] : []),
    ...COLUMNS[base],
    ...(ENFORCED.includes(base) ? counted(counts) : []),
  ];
}

const day = (seconds: number): string => moment(new Date(seconds * 1000).toISOString());

function unused(name: string, { hits, answered, devices }: Counts): string {
  const since = hits.get(name)?.reset;
  return `No flow met this rule since ${since ? `its count was cleared, ${day(since)}` : 'it was pushed or the firewall started'}, by ${answered} of ${devices} firewalls.`;
}

/** The columns of the default rules. */
export function defaultColumns(counts: Counts): Column<Row>[] {
  return [NAME, { ...LOCATION, width: 120 }, tags, action, profile, log, ...counted(counts)];
}

/** How often a rule decided. */
function counted({ hits }: Counts): Column<Row>[] {
  const hit = (row: Row) => hits.get(row.entry.name);
  const when = (id: string, header: string, of: (hits: Hits) => number): Column<Row> => ({
    id,
    header,
    width: 140,
    cell: (row) => {
      const found = hit(row);
      const seconds = found ? of(found) : 0;
      return seconds ? ago(new Date(seconds * 1000).toISOString()) : '–';
    },
  });
  return [
    {
      id: 'hits',
      header: 'Hit Count',
      width: 90,
      cell: (row) => hit(row)?.count.toLocaleString() ?? '–',
    },
    when('last-hit', 'Last Hit', ({ last }) => last),
    when('first-hit', 'First Hit', ({ first }) => first),
  ];
}
