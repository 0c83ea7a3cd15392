// A rulebase: which rules are there, in which order, and how are they made, changed and moved?
//
// A device group sees the rules that it inherits, where they are asked: before its own pre-rules, behind its own
// post-rules. They are changed where they stand.

import { Alert, Box, Button, Group, List, Menu, Select, Switch, Text } from '@mantine/core';
import { useDebouncedValue, useHotkeys } from '@mantine/hooks';
import { notifications } from '@mantine/notifications';
import {
  IconArrowsMove,
  IconBan,
  IconChevronDown,
  IconCircleCheck,
  IconClipboardCopy,
  IconEdit,
} from '@tabler/icons-react';
import { type KeyboardEvent, type ReactNode, useMemo, useState } from 'react';
import { api, told } from '../../api/client';
import { entriesOf, nodeAt, refused, useEdit } from '../../api/config';
import type { Asked, Field } from '../../api/types';
import { ancestors, groupPath, narrowOf, useAddress, useGroups } from '../../scope';
import { useColumns } from '../../table/Columns';
import type { Column } from '../../table/Grid';
import { RowGrid } from '../../table/RowGrid';
import { type Row, type Source, useRows } from '../../table/rows';
import { CellEditor, type EditedCell } from '../../tree/CellEditor';
import { EntryDialog, type Opened } from '../../tree/EntryDialog';
import { useFacts } from '../../tree/facts';
import { entryPath } from '../../tree/node';
import { useFindings } from '../commit/Findings';
import { Deletion, Tool, Tools } from '../lists/Tools';
import { Failure, Nothing, Page, Remark } from '../Page';
import { BulkDialog } from './BulkDialog';
import { BASES, type Base, ENFORCED } from './bases';
import { CopyDialog } from './CopyDialog';
import { columnsOf, HIDDEN_AT_FIRST } from './columns';
import { copies, keep, keptRules } from './copies';
import { GroupPanel } from './GroupPanel';
import { type Grouping, useGrouping } from './groups';
import { useHits } from './hits';
import { LAYOUTS, STARTS } from './layouts';
import { MoveDialog, type Target } from './MoveDialog';

export type Which = 'pre' | 'post';

/** Rules that are selected at once, at most. */
const SELECTED_MAX = 5000;

type Asking = 'bulk' | 'copy' | 'move' | 'delete';

export function RulesScreen({ base, which }: { base: Base; which: Which }) {
  const [address, setAddress] = useAddress();
  const list = `${groupPath(address.group)}/${which}-rulebase/${base}/rules`;
  const [search] = useDebouncedValue(address.q ?? '', 200);
  const sources = useSources(base, which);
  const grouping = useGrouping(sources);
  const { tag, grouped } = address;
  const narrow = useMemo(() => narrowOf({ q: search, tag, grouped }), [search, tag, grouped]);
  const isNarrow = search !== '' || tag !== undefined || grouped !== undefined;
  const rows = useRows(sources, narrow);
  const notes = useShadowed();
  const counts = useHits(base, address.group);
  const fields = useFacts(list).data?.fields;
  const all = useMemo(
    () => columnsOf(base, sources.length > 1, notes, counts).map((column) => editable(column, fields)),
    [base, sources, notes, counts, fields],
  );
  const { columns, menu } = useColumns(`rules.${base}`, all, HIDDEN_AT_FIRST);
  const [selected, setSelected] = useState<ReadonlyMap<string, Row>>(new Map());
  const [opened, setOpened] = useState<Opened & { readOnly: boolean; notes: string[] }>();
  const [cell, setCell] = useState<EditedCell>();
  const [asking, setAsking] = useState<Asking>();
  const edit = useEdit();

  const title = `${BASES[base]} ${which === 'pre' ? 'Pre' : 'Post'} Rules`;
  const chosen = [...selected.values()].sort((one, other) => one.entry.position - other.entry.position);
  const own = chosen.filter((row) => row.source.own);
  const none = own.length === 0;
  const move = (names: string[], target: Target) =>
    edit.mutate(moves(list, names, target), { onSuccess: () => setAsking(undefined) });
  const moveOwn = (target: Target) =>
    move(
      own.map((row) => row.entry.name),
      target,
    );
  const toggle = (word: 'yes' | 'no') =>
    edit.mutate(own.map((row): Asked => ({ action: 'set', xpath: `${row.entry.xpath}/disabled`, text: word })));
  const clone = () => {
    const taken = new Set([...rows.known().values()].map((row) => row.entry.name));
    edit.mutate(
      own.flatMap((row): Asked[] => {
        const name = freeName(row.entry.name, taken);
        taken.add(name);
        return [
          { action: 'clone', xpath: list, from: row.entry.xpath, name },
          { action: 'move', xpath: entryPath(list, name), place: 'after', other: row.entry.name },
        ];
      }),
    );
  };
  const copy = () => {
    if (chosen.length === 0 || window.getSelection()?.toString()) return;
    keep(base, chosen);
    notifications.show({ message: `${chosen.length === 1 ? 'The rule is' : `${chosen.length} rules are`} copied` });
  };
  const paste = () => {
    const kept = keptRules(base);
    if (kept.length > 0 && !document.querySelector('[role="dialog"]')) edit.mutate([copies(list, kept)]);
  };
  useHotkeys([
    ['mod+C', copy, { preventDefault: false }],
    ['mod+V', paste],
  ]);
  const selectAll = () =>
    entriesOf(list, narrow, 0, SELECTED_MAX)
      .then(({ entries }) => {
        const source = sources.find((one) => one.own);
        if (source) setSelected(new Map(entries.map((entry) => [entry.xpath, { source, entry }])));
      })
      .catch(refused);
  const open = (row: Row) => {
    if (!row.entry.node) return;
    setOpened({
      list: row.source.xpath,
      was: { node: row.entry.node, digest: row.entry.digest },
      readOnly: !row.source.own,
      notes: notes.get(row.entry.xpath) ?? [],
    });
  };
  const step = (row: Row, by: 1 | -1) => {
    // The line may have moved since it was selected.
    const known = rows.known();
    const line = (known.get(row.entry.xpath) ?? row).entry.position + by;
    const other = [...known.values()].find((one) => one.source.own && one.entry.position === line);
    if (other && !isNarrow) move([row.entry.name], { place: by < 0 ? 'before' : 'after', other: other.entry.name });
  };
  const onKey = (event: KeyboardEvent, row: Row): boolean => {
    if (event.key === 'Delete' && !none) setAsking('delete');
    else if (event.altKey && event.key === 'ArrowUp' && row.source.own) step(row, -1);
    else if (event.altKey && event.key === 'ArrowDown' && row.source.own) step(row, 1);
    else if ((event.ctrlKey || event.metaKey) && event.key === 'a') void selectAll();
    else return false;
    return true;
  };
  const asTheyAre = () => {
    const known = rows.known();
    return own.map((row) => known.get(row.entry.xpath) ?? row);
  };
  const done = () => setAsking(undefined);

  if (rows.error) return <Failure error={rows.error} />;
  return (
    <Page
      title={title}
      tools={
        <Tools
          title={title}
          onAdd={() => setOpened({ list, start: STARTS[base], readOnly: false, notes: [] })}
          onClone={none ? undefined : clone}
          onDelete={none ? undefined : () => setAsking('delete')}
          menu={menu}
        >
          <Tool label="Edit" icon={<IconEdit size={18} />} onClick={none ? undefined : () => setAsking('bulk')} />
          <Tool label="Enable" icon={<IconCircleCheck size={18} />} onClick={none ? undefined : () => toggle('no')} />
          <Tool label="Disable" icon={<IconBan size={18} />} onClick={none ? undefined : () => toggle('yes')} />
          <Dropdown name="Move" icon={<IconArrowsMove size={16} />} disabled={none}>
            <Menu.Item onClick={() => moveOwn({ place: 'top' })}>Move Top</Menu.Item>
            <Menu.Item onClick={() => own[0] && step(own[0], -1)} rightSection="Alt ↑" disabled={own.length !== 1}>
              Move Up
            </Menu.Item>
            <Menu.Item onClick={() => own[0] && step(own[0], 1)} rightSection="Alt ↓" disabled={own.length !== 1}>
              Move Down
            </Menu.Item>
            <Menu.Item onClick={() => moveOwn({ place: 'bottom' })}>Move Bottom</Menu.Item>
            <Menu.Item onClick={() => setAsking('move')}>Move to…</Menu.Item>
          </Dropdown>
          <Dropdown name="Copy" icon={<IconClipboardCopy size={16} />}>
            <Menu.Item onClick={copy} rightSection="Ctrl C" disabled={chosen.length === 0}>
              Copy
            </Menu.Item>
            <Menu.Item onClick={paste} rightSection="Ctrl V" disabled={keptRules(base).length === 0}>
              Paste
            </Menu.Item>
            <Menu.Item onClick={() => setAsking('copy')} disabled={chosen.length === 0}>
              To another rulebase…
            </Menu.Item>
          </Dropdown>
        </Tools>
      }
    >
      {!ENFORCED.includes(base) && (
        <Remark>Kept and pushed, not enforced yet: the firewall passes over the rules of this rulebase.</Remark>
      )}
      <Filters grouping={grouping}>
        <Text size="sm" c="dimmed" aria-live="polite">
          {isNarrow ? `${rows.count} of ${rows.total}` : rows.total} {rows.total === 1 ? 'rule' : 'rules'}
          {selected.size > 0 && `, ${selected.size} selected`}
          {notes.size > 0 && `, ${notes.size} shadowed`}
        </Text>
        <Button variant="subtle" onClick={() => void selectAll()} disabled={rows.count === 0}>
          Select all
        </Button>
      </Filters>
      <Box style={{ display: 'flex', gap: 12, flex: 1, minHeight: 0 }}>
        {grouped !== undefined && (
          <GroupPanel groups={grouping.groups} chosen={grouped} onChoose={(name) => setAddress({ grouped: name })} />
        )}
        <Box style={{ display: 'flex', flexDirection: 'column', flex: 1, minWidth: 0 }}>
          <RowGrid
            label={title}
            columns={columns}
            rows={rows}
            selected={selected}
            onSelect={setSelected}
            onOpen={open}
            onEdit={({ entry }, column, element) => {
              const field = fields?.find((one) => one.tag === column);
              if (field) setCell({ entry, field, cell: element });
            }}
            onKey={onKey}
            draggable={(row) => row.source.own && !isNarrow}
            onDrop={(row, before) => move([row.entry.name], { place: 'before', other: before.entry.name })}
            quiet={(row) => !row.source.own}
            none={<Empty which={which} loading={rows.loading} search={search} isNarrow={isNarrow} />}
          />
        </Box>
      </Box>
      {cell && (
        <CellEditor key={`${cell.entry.xpath} ${cell.field.tag}`} {...cell} onClose={() => setCell(undefined)} />
      )}
      {opened && (
        <EntryDialog
          key={opened.was?.digest ?? 'new'}
          opened={opened}
          readOnly={opened.readOnly}
          title={opened.was ? `${BASES[base]} rule` : `Add ${BASES[base]} rule`}
          layout={LAYOUTS[base]}
          notes={opened.notes.length > 0 && <Shadow notes={opened.notes} />}
          onClose={() => setOpened(undefined)}
        />
      )}
      {asking === 'bulk' && <BulkDialog list={list} rows={asTheyAre()} onClose={done} />}
      {asking === 'copy' && <CopyDialog base={base} which={which} rows={chosen} from={list} onClose={done} />}
      {asking === 'move' && (
        <MoveDialog
          count={own.length}
          busy={edit.isPending}
          find={(word) => ruleCalled(list, word)}
          onMove={moveOwn}
          onClose={done}
        />
      )}
      {asking === 'delete' && (
        <Deletion
          title={own.length === 1 ? 'Delete the rule?' : `Delete ${own.length} rules?`}
          names={own.map((row) => row.entry.name)}
          edits={own.map((row) => ({ action: 'delete', xpath: row.entry.xpath }))}
          onClose={done}
          onDone={() => {
            done();
            setSelected(new Map());
          }}
        />
      )}
    </Page>
  );
}

type Dropped = { name: string; icon: ReactNode; disabled?: boolean; children: ReactNode };

function Dropdown({ name, icon, disabled, children }: Dropped) {
  return (
    <Menu>
      <Menu.Target>
        <Button
          variant="default"
          leftSection={icon}
          rightSection={<IconChevronDown size={14} />}
          disabled={disabled ?? false}
        >
          {name}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>{children}</Menu.Dropdown>
    </Menu>
  );
}

/** Which of the rules are shown: with a tag, and by their groups. */
function Filters({ grouping, children }: { grouping: Grouping; children: ReactNode }) {
  const [{ tag, grouped }, setAddress] = useAddress();
  const label = ({ name, rules }: { name: string; rules: number }) => ({ value: name, label: `${name} (${rules})` });
  const tags = grouping.tags.map(label);
  return (
    <Group gap="sm">
      {children}
      <Group gap="sm" ml="auto">
        <Select
          aria-label="Rules with the tag"
          placeholder="Any tag"
          size="xs"
          data={tag && !tags.some((one) => one.value === tag) ? [...tags, { value: tag, label: `${tag} (0)` }] : tags}
          value={tag ?? null}
          onChange={(name) => setAddress({ tag: name ?? undefined })}
          searchable
          clearable
          nothingFoundMessage="No rule here has such a tag"
        />
        <Switch
          label="View Rulebase as Groups"
          size="xs"
          checked={grouped !== undefined}
          onChange={(event) =>
            setAddress({ grouped: event.currentTarget.checked ? (grouping.groups[0]?.name ?? '') : undefined })
          }
        />
      </Group>
    </Group>
  );
}

type Emptiness = { which: Which; loading: boolean; search: string; isNarrow: boolean };

function Empty({ which, loading, search, isNarrow }: Emptiness) {
  if (loading) return <Text c="dimmed">Loading…</Text>;
  if (search) return <Nothing>No rule here has “{search}” in its name or values.</Nothing>;
  if (isNarrow) return <Nothing>No rule here is in that group, or has that tag.</Nothing>;
  return (
    <Nothing>
      {which === 'pre'
        ? 'Pre-rules are asked before those of the devices.'
        : 'Post-rules are asked behind those of the devices.'}{' '}
      There is none here yet.
    </Nothing>
  );
}

function Shadow({ notes }: { notes: string[] }) {
  return (
    <Alert color="yellow" title="This rule never matches">
      <List size="sm">
        {notes.map((note) => (
          <List.Item key={note}>{note}</List.Item>
        ))}
      </List>
    </Alert>
  );
}

/** A column whose cells can be edited where they stand, if it is one input of the form. */
function editable(column: Column<Row>, fields: Field[] | undefined): Column<Row> {
  const field = fields?.find((one) => one.tag === column.id);
  if (!field || ['any', 'node', 'list'].includes(field.holds.kind)) return column;
  return { ...column, edit: (row) => row.source.own };
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

/** Rules that never match, with what the check says of them: which rules take their flows, and such a flow. */
function useShadowed(): ReadonlyMap<string, string[]> {
  const checked = useFindings();
  return useMemo(() => {
    const map = new Map<string, string[]>();
    for (const finding of checked.data?.findings ?? []) {
      if (finding.code !== 'shadowed-rule') continue;
      const note = finding.help ? `${finding.message}. To mend it, ${finding.help}.` : finding.message;
      map.set(finding.xpath, [...(map.get(finding.xpath) ?? []), note]);
    }
    return map;
  }, [checked.data]);
}

/** The name of the rule of this rulebase that has this name, or this number in it. */
async function ruleCalled(list: string, word: string): Promise<string | undefined> {
  if (await nodeAt(entryPath(list, word))) return word;
  if (!/^\d+$/.test(word)) return undefined;
  const query = { xpath: list, offset: Number(word) - 1, limit: 1 };
  const page = await told(api.GET('/api/v1/config/entries', { params: { query } }));
  return page.entries[0]?.name;
}

/** A name that is not taken: `web-1`, `web-2`, …. */
function freeName(name: string, taken: ReadonlySet<string>): string {
  for (let number = 1; ; number++) {
    const free = `${name}-${number}`;
    if (!taken.has(free)) return free;
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
