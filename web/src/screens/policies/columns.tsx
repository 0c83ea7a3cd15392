// What does a line of a rulebase tell?

import { Badge, Group } from '@mantine/core';
import type { Node } from '../../api/types';
import { Clip, type Column } from '../../table/Grid';
import type { Row } from '../../table/rows';
import { ago } from '../../times';
import { at, elements, members, text } from '../../tree/node';

import type { Hits } from './hits';

export type Base = 'security' | 'nat';

const list = (node: Node, tag: string): string => members(node, tag).join(', ') || 'any';

function told(id: string, header: string, width: number, of: (node: Node) => string): Column<Row> {
  return { id, header, width, cell: (row) => <Clip>{row.entry.node ? of(row.entry.node) : ''}</Clip> };
}

const COLOURS: Record<string, string> = { allow: 'green', deny: 'red', drop: 'red' };

const action: Column<Row> = {
  id: 'action',
  header: 'Action',
  width: 110,
  cell: (row) => {
    const word = text(row.entry.node, 'action') || 'allow';
    return (
      <Badge variant="light" color={COLOURS[word] ?? 'orange'}>
        {word}
      </Badge>
    );
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

function destination(node: Node): string {
  const to = at(node, 'destination-translation') ?? at(node, 'dynamic-destination-translation');
  if (!to) return 'none';
  const port = text(to, 'translated-port');
  return text(to, 'translated-address') + (port ? `:${port}` : '');
}

const SECURITY: Column<Row>[] = [
  told('tag', 'Tags', 110, (node) => members(node, 'tag').join(', ')),
  told('group-tag', 'Group', 90, (node) => text(node, 'group-tag')),
  told('rule-type', 'Type', 90, (node) => text(node, 'rule-type') || 'universal'),
  told('from', 'Source Zone', 110, (node) => list(node, 'from')),
  told('source', 'Source Address', 140, (node) => negated(node, 'source')),
  told('source-user', 'Source User', 110, (node) => list(node, 'source-user')),
  told('to', 'Destination Zone', 140, (node) => list(node, 'to')),
  told('destination', 'Destination Address', 160, (node) => negated(node, 'destination')),
  told('application', 'Application', 100, (node) => list(node, 'application')),
  told('service', 'Service', 120, (node) => list(node, 'service')),
  told('category', 'URL Category', 110, (node) => list(node, 'category')),
  action,
  told('profile-setting', 'Profile', 120, profiles),
  told('log', 'Log', 100, logging),
  told('description', 'Description', 220, (node) => text(node, 'description')),
];

const NAT: Column<Row>[] = [
  told('tag', 'Tags', 110, (node) => members(node, 'tag').join(', ')),
  told('group-tag', 'Group', 90, (node) => text(node, 'group-tag')),
  told('nat-type', 'NAT Type', 90, (node) => text(node, 'nat-type') || 'ipv4'),
  told('from', 'Source Zone', 110, (node) => list(node, 'from')),
  told('to', 'Destination Zone', 140, (node) => list(node, 'to')),
  told('to-interface', 'Destination Interface', 150, (node) => text(node, 'to-interface') || 'any'),
  told('source', 'Source Address', 140, (node) => list(node, 'source')),
  told('destination', 'Destination Address', 160, (node) => list(node, 'destination')),
  told('service', 'Service', 120, (node) => text(node, 'service') || 'any'),
  told('source-translation', 'Source Translation', 240, translation),
  told('destination-translation', 'Destination Translation', 190, destination),
  told('description', 'Description', 220, (node) => text(node, 'description')),
];

export const HIDDEN_AT_FIRST = ['tag', 'rule-type', 'group-tag', 'source-user', 'category', 'nat-type'];

/** The columns of a rulebase; `badges` are words to think about, by XPath of the rule. */
export function columnsOf(
  base: Base,
  inherits: boolean,
  badges: ReadonlyMap<string, string[]>,
  hits: ReadonlyMap<string, Hits>,
): Column<Row>[] {
  const hit = (row: Row) => hits.get(row.entry.name);
  return [
    { id: 'number', header: '#', width: 48, cell: (row) => <Clip>{String(row.entry.position + 1)}</Clip> },
    {
      id: 'name',
      header: 'Name',
      width: 190,
      cell: (row) => (
        <Group gap={4} wrap="nowrap" style={{ overflow: 'hidden' }}>
          <Clip>{row.entry.name}</Clip>
          {text(row.entry.node, 'disabled') === 'yes' && (
            <Badge size="sm" variant="light" color="gray">
              disabled
            </Badge>
          )}
          {badges.has(row.entry.xpath) && (
            <Badge size="sm" variant="light" color="yellow" title={badges.get(row.entry.xpath)?.join('\n')}>
              shadowed
            </Badge>
          )}
        </Group>
      ),
    },
    ...(inherits
      ? [{ id: 'location', header: 'Location', width: 90, cell: (row: Row) => <Clip>{row.source.location}</Clip> }]
      : []),
    ...(base === 'security' ? SECURITY : NAT),
    {
      id: 'hits',
      header: 'Hit Count',
      width: 90,
      cell: (row) => <Clip>{hit(row)?.count.toLocaleString() ?? '–'}</Clip>,
    },
    {
      id: 'last-hit',
      header: 'Last Hit',
      width: 140,
      cell: (row) => <Clip>{hit(row)?.last ? ago(new Date((hit(row)?.last ?? 0) * 1000).toISOString()) : '–'}</Clip>,
    },
  ];
}
