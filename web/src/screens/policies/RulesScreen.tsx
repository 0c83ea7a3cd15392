// A rulebase: which rules are there, in which order, and how are they made, changed and moved?
//
// A device group sees the rules that it inherits, where they are asked: before its own pre-rules, behind its own
// post-rules. They are changed where they stand.

import { Button, Menu, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import {
  IconArrowsMove,
  IconBan,
  IconChevronDown,
  IconCircleCheck,
  IconCopy,
  IconPlus,
  IconSearch,
  IconTrash,
} from '@tabler/icons-react';
import { type KeyboardEvent, useMemo, useState } from 'react';
import { api, told } from '../../api/client';
import { nodeAt, useEdit } from '../../api/config';
import type { Asked } from '../../api/types';
import { ancestors, groupPath, useAddress, useGroups } from '../../scope';
import { useColumns } from '../../table/Columns';
import { Grid } from '../../table/Grid';
import { type Row, type Source, useRows } from '../../table/rows';
import { EntryDialog, type Opened } from '../../tree/EntryDialog';
import { entryPath, nameOf } from '../../tree/node';
import { Confirm } from '../Confirm';
import { useFindings } from '../commit/Findings';
import { Tool } from '../lists/ListScreen';
import { Failure, Nothing, Page } from '../Page';
import { type Base, columnsOf, HIDDEN_AT_FIRST } from './columns';
import { useHits } from './hits';
import { LAYOUTS, STARTS } from './layouts';
import { MoveDialog, type Target } from './MoveDialog';

export type Which = 'pre' | 'post';
const NAMES = { security: 'Security', nat: 'NAT' } as const;

export function RulesScreen({ base, which }: { base: Base; which: Which }) {
  const [address, setAddress] = useAddress();
  const list = `${groupPath(address.group)}/${which}-rulebase/${base}/rules`;
  const [search] = useDebouncedValue(address.q ?? '', 200);
  const sources = useSources(base, which);
  const rows = useRows(sources, search);
  const badges = useShadowed();
  const hits = useHits(base, address.group);
  const { columns, menu } = useColumns(
    `rules.${base}`,
    columnsOf(base, sources.length > 1, badges, hits),
    HIDDEN_AT_FIRST,
  );
  const [selected, setSelected] = useState<ReadonlyMap<string, Row>>(new Map());
  const [opened, setOpened] = useState<Opened & { readOnly: boolean }>();
  const [doomed, setDoomed] = useState(false);
  const [moving, setMoving] = useState(false);
  const edit = useEdit();
  const remove = useEdit(true);

  const own = [...selected.values()]
    .filter((row) => row.source.own)
    .sort((one, other) => one.entry.position - other.entry.position);
  const title = `${NAMES[base]} ${which === 'pre' ? 'Pre' : 'Post'} Rules`;
  const move = (names: string[], target: Target) =>
    edit.mutate(moves(list, names, target), { onSuccess: () => setMoving(false) });
  const toggle = (word: 'yes' | 'no') =>
    edit.mutate(own.map((row): Asked => ({ action: 'set', xpath: `${row.entry.xpath}/disabled`, text: word })));
  const clone = () =>
    edit.mutate(
      own.flatMap((row): Asked[] => {
        const name = freeName(row.entry.name, rows.at, rows.count);
        return [
          { action: 'clone', xpath: list, from: row.entry.name, name },
          { action: 'move', xpath: entryPath(list, name), place: 'after', other: row.entry.name },
        ];
      }),
    );
  const open = (row: Row) => {
    if (!row.entry.node) return;
    setOpened({
      list: row.source.xpath,
      was: { node: row.entry.node, digest: row.entry.digest },
      readOnly: !row.source.own,
    });
  };
  const step = (row: Row, by: 1 | -1) => {
    // The line may have moved since it was selected.
    const now = findOwn(rows.at, rows.count, (one) => one.entry.xpath === row.entry.xpath) ?? row;
    const line = now.entry.position + by;
    const other = findOwn(rows.at, rows.count, (one) => one.entry.position === line);
    if (other && !search) move([row.entry.name], { place: by < 0 ? 'before' : 'after', other: other.entry.name });
  };
  const onKey = (event: KeyboardEvent, row: Row): boolean => {
    if (event.key === 'Delete' && own.length > 0) setDoomed(true);
    else if (event.altKey && event.key === 'ArrowUp' && row.source.own) step(row, -1);
    else if (event.altKey && event.key === 'ArrowDown' && row.source.own) step(row, 1);
    else return false;
    return true;
  };

  if (rows.error) return <Failure error={rows.error} />;
  return (
    <Page
      title={title}
      tools={
        <>
          <TextInput
            aria-label={`Search ${title}`}
            placeholder="Search"
            leftSection={<IconSearch size={16} />}
            value={address.q ?? ''}
            onChange={(event) => setAddress({ q: event.currentTarget.value || undefined })}
          />
          <Button
            leftSection={<IconPlus size={16} />}
            onClick={() => setOpened({ list, start: STARTS[base], readOnly: false })}
          >
            Add
          </Button>
          <Tool label="Clone" icon={<IconCopy size={18} />} onClick={clone} disabled={own.length === 0} />
          <Tool
            label="Enable"
            icon={<IconCircleCheck size={18} />}
            onClick={() => toggle('no')}
            disabled={own.length === 0}
          />
          <Tool
            label="Disable"
            icon={<IconBan size={18} />}
            onClick={() => toggle('yes')}
            disabled={own.length === 0}
          />
          <Menu>
            <Menu.Target>
              <Button
                variant="default"
                leftSection={<IconArrowsMove size={16} />}
                rightSection={<IconChevronDown size={14} />}
                disabled={own.length === 0}
              >
                Move
              </Button>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Item
                onClick={() =>
                  move(
                    own.map((row) => row.entry.name),
                    { place: 'top' },
                  )
                }
              >
                Move Top
              </Menu.Item>
              <Menu.Item onClick={() => own[0] && step(own[0], -1)} rightSection="Alt ↑" disabled={own.length !== 1}>
                Move Up
              </Menu.Item>
              <Menu.Item onClick={() => own[0] && step(own[0], 1)} rightSection="Alt ↓" disabled={own.length !== 1}>
                Move Down
              </Menu.Item>
              <Menu.Item
                onClick={() =>
                  move(
                    own.map((row) => row.entry.name),
                    { place: 'bottom' },
                  )
                }
              >
                Move Bottom
              </Menu.Item>
              <Menu.Item onClick={() => setMoving(true)}>Move to…</Menu.Item>
            </Menu.Dropdown>
          </Menu>
          <Tool
            label="Delete"
            icon={<IconTrash size={18} />}
            onClick={() => setDoomed(true)}
            disabled={own.length === 0}
          />
          {menu}
        </>
      }
    >
      <Text size="sm" c="dimmed" aria-live="polite">
        {search ? `${rows.count} of ${rows.total}` : rows.total} {rows.total === 1 ? 'rule' : 'rules'}
        {selected.size > 0 && `, ${selected.size} selected`}
        {badges.size > 0 && `, ${badges.size} shadowed`}
      </Text>
      <Grid
        label={title}
        columns={columns}
        count={rows.loading ? 0 : rows.count}
        at={rows.at}
        keyOf={(row) => row.entry.xpath}
        look={rows.look}
        selected={selected}
        onSelect={setSelected}
        onOpen={open}
        onKey={onKey}
        draggable={(row) => row.source.own && !search}
        onDrop={(row, before) => move([row.entry.name], { place: 'before', other: before.entry.name })}
        quiet={(row) => !row.source.own}
        none={
          rows.loading ? (
            <Text c="dimmed">Loading…</Text>
          ) : search ? (
            <Nothing>No rule here has “{search}” in its name or values.</Nothing>
          ) : (
            <Nothing>
              {which === 'pre'
                ? 'Pre-rules are asked before those of the devices.'
                : 'Post-rules are asked behind those of the devices.'}{' '}
              There is none here yet.
            </Nothing>
          )
        }
      />
      {opened && (
        <EntryDialog
          key={opened.was?.digest ?? 'new'}
          opened={opened}
          readOnly={opened.readOnly}
          title={opened.was ? `${NAMES[base]} rule` : `Add ${NAMES[base]} rule`}
          layout={LAYOUTS[base]}
          onClose={() => setOpened(undefined)}
        />
      )}
      {moving && (
        <MoveDialog
          count={own.length}
          busy={edit.isPending}
          find={(word) => ruleCalled(list, word)}
          onMove={(target) =>
            move(
              own.map((row) => row.entry.name),
              target,
            )
          }
          onClose={() => setMoving(false)}
        />
      )}
      {doomed && (
        <Confirm
          title={own.length === 1 ? 'Delete the rule?' : `Delete ${own.length} rules?`}
          lines={own.map((row) => row.entry.name)}
          verb="Delete"
          busy={remove.isPending}
          error={remove.error}
          onClose={() => {
            setDoomed(false);
            remove.reset();
          }}
          onConfirm={() =>
            remove.mutate(
              own.map((row) => ({ action: 'delete', xpath: row.entry.xpath })),
              {
                onSuccess: () => {
                  setDoomed(false);
                  setSelected(new Map());
                },
              },
            )
          }
        />
      )}
    </Page>
  );
}

function useSources(base: Base, which: Which): Source[] {
  const [{ group }] = useAddress();
  const groups = useGroups();
  return useMemo(() => {
    const above = group ? [undefined, ...ancestors(groups.data?.groups ?? [], group)] : [];
    const places = [...above, group].map((name, index) => ({
      xpath: `${groupPath(name)}/${which}-rulebase/${base}/rules`,
      location: name ?? 'Shared',
      own: index === above.length,
    }));
    return which === 'pre' ? places : places.reverse();
  }, [base, which, group, groups.data]);
}

/** Rules that never match, with what the check says of them. */
function useShadowed(): ReadonlyMap<string, string[]> {
  const checked = useFindings();
  return useMemo(() => {
    const map = new Map<string, string[]>();
    for (const finding of checked.data?.findings ?? []) {
      if (finding.code !== 'shadowed-rule') continue;
      map.set(finding.xpath, [...(map.get(finding.xpath) ?? []), finding.message]);
    }
    return map;
  }, [checked.data]);
}

type At = (line: number) => Row | undefined;

function findOwn(at: At, count: number, is: (row: Row) => boolean): Row | undefined {
  for (let line = 0; line < count; line++) {
    const row = at(line);
    if (row?.source.own && is(row)) return row;
  }
  return undefined;
}

/** The name of the rule of this rulebase that has this name, or this number in it. */
async function ruleCalled(list: string, word: string): Promise<string | undefined> {
  if (await nodeAt(entryPath(list, word))) return word;
  if (!/^\d+$/.test(word)) return undefined;
  const query = { xpath: list, offset: Number(word) - 1, limit: 1 };
  const page = await told(api.GET('/api/v1/config/entries', { params: { query } }));
  return page.entries[0]?.name;
}

/** A name that no rule of the list has: `web-1`, `web-2`, …. */
function freeName(name: string, at: At, count: number): string {
  for (let number = 1; ; number++) {
    const free = `${name}-${number}`;
    if (!findOwn(at, count, (row) => (row.entry.node ? nameOf(row.entry.node) : row.entry.name) === free)) return free;
  }
}

/** The edits that bring rules somewhere, so that they keep their order among themselves. */
export function moves(list: string, names: string[], target: Target): Asked[] {
  const backwards = target.place === 'top' || target.place === 'after';
  const other = 'other' in target ? target.other : undefined;
  return (backwards ? [...names].reverse() : names)
    .filter((name) => name !== other)
    .map((name) => ({ action: 'move', xpath: entryPath(list, name), place: target.place, other }));
}
