// A list of objects: what is there, where does it come from, and who changes it?

import { Button, Group, Text } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconPlus } from '@tabler/icons-react';
import { useEffect, useMemo, useState } from 'react';
import type { Asked, Node } from '../../api/types';
import { ancestors, groupPath, useAddress, useGroups, useScoped } from '../../scope';
import { useColumns } from '../../table/Columns';
import { Clip, type Column, Grid } from '../../table/Grid';
import { type Row, type Source, useRows } from '../../table/rows';
import { EntryDialog, type Opened } from '../../tree/EntryDialog';
import { lastName, nameOf } from '../../tree/node';
import { Failure, Nothing, Page, Remark } from '../Page';
import type { ListKind } from './kinds';
import { Deletion, Tools } from './Tools';

export function ListScreen({ kind }: { kind: ListKind }) {
  const [address] = useAddress();
  const list = useScoped(kind.scope, kind.list);
  const [search] = useDebouncedValue(address.q ?? '', 200);
  const sources = useSources(kind, list);
  const rows = useRows(sources, { search });
  const [opened, setOpened] = useState<Opened & { readOnly: boolean }>();
  const [selected, setSelected] = useState<ReadonlyMap<string, Row>>(new Map());
  const [doomed, setDoomed] = useState<string[]>();

  const inherits = sources.length > 1;
  const all = useMemo(
    (): Column<Row>[] => [
      { id: 'name', header: 'Name', width: 220, cell: (row) => <Clip>{row.entry.name}</Clip> },
      ...(inherits
        ? [{ id: 'location', header: 'Location', width: 130, cell: (row: Row) => <Clip>{row.source.location}</Clip> }]
        : []),
      ...kind.columns.map((column) => ({
        id: column.header,
        header: column.header,
        width: column.width,
        cell: (row: Row) => <Clip>{row.entry.node ? column.of(row.entry.node) : ''}</Clip>,
      })),
    ],
    [kind, inherits],
  );
  const { columns, menu } = useColumns(kind.path, all);

  const open = (row: Row) => {
    if (!row.entry.node) return;
    const was = { node: row.entry.node, digest: row.entry.digest };
    setOpened({ list: row.source.xpath, was, readOnly: !row.source.own });
  };
  const add = (start?: Node) => list && setOpened({ list, start, readOnly: false });
  const copy = () => {
    const row = [...selected.values()][0];
    if (row?.entry.node) {
      add({ ...row.entry.node, attributes: { name: `${nameOf(row.entry.node)}-1` } });
    }
  };
  const own = [...selected.values()].filter((row) => row.source.own).map((row) => row.entry.xpath);
  const readOnlyScope = list === undefined;

  if (rows.error) return <Failure error={rows.error} />;
  return (
    <Page
      title={kind.title}
      tools={
        <Tools
          title={kind.title}
          onAdd={readOnlyScope ? undefined : () => add()}
          onClone={selected.size === 1 ? copy : undefined}
          onDelete={own.length > 0 ? () => setDoomed(own) : undefined}
          menu={menu}
        />
      }
    >
      {kind.remark && <Remark>{kind.remark}</Remark>}
      <Text size="sm" c="dimmed" aria-live="polite">
        {search ? `${rows.count} of ${rows.total}` : rows.total} {rows.total === 1 ? 'entry' : 'entries'}
        {selected.size > 0 && `, ${selected.size} selected`}
      </Text>
      <Grid
        label={kind.title}
        columns={columns}
        count={rows.loading ? 0 : rows.count}
        at={rows.at}
        keyOf={(row) => row.entry.xpath}
        look={rows.look}
        selected={selected}
        onSelect={setSelected}
        onOpen={open}
        quiet={(row) => !row.source.own}
        onKey={(event) => {
          if (event.key !== 'Delete' || own.length === 0) return false;
          setDoomed(own);
          return true;
        }}
        none={<Empty kind={kind} search={search} loading={rows.loading} noTemplate={readOnlyScope} add={() => add()} />}
      />
      {opened && (
        <EntryDialog
          key={opened.was?.digest ?? 'new'}
          opened={opened}
          readOnly={opened.readOnly}
          title={opened.was ? kind.one : `Add ${kind.one}`}
          layout={kind.layout}
          also={kind.also}
          onClose={() => setOpened(undefined)}
        />
      )}
      {doomed && (
        <Deletion
          title={`Delete ${doomed.length === 1 ? kind.one : `${doomed.length} entries`}?`}
          names={doomed.map(lastName)}
          edits={doomed.flatMap((xpath): Asked[] => [
            ...(kind.also?.(list ?? '', selected.get(xpath)?.entry.node ?? undefined, undefined) ?? []),
            { action: 'delete', xpath },
          ])}
          onClose={() => setDoomed(undefined)}
          onDone={() => {
            setDoomed(undefined);
            setSelected(new Map());
          }}
        />
      )}
    </Page>
  );
}

/** The lists that are shown: the own one, and what a device group inherits. */
function useSources(kind: ListKind, list: string | undefined): Source[] {
  const [{ group }] = useAddress();
  const groups = useGroups();
  return useMemo(() => {
    if (!list) return [];
    if (kind.scope !== 'group') return [{ xpath: list, location: '', own: true }];
    const above = group ? ancestors(groups.data?.groups ?? [], group).reverse() : [];
    const own = { xpath: list, location: group ?? 'Shared', own: true };
    const inherited = [...above, ...(group ? [undefined] : [])].map((name) => ({
      xpath: `${groupPath(name)}/${kind.list}`,
      location: name ?? 'Shared',
      own: false,
    }));
    return [own, ...inherited];
  }, [kind, list, group, groups.data]);
}

type Emptiness = { kind: ListKind; search: string; loading: boolean; noTemplate: boolean; add: () => void };

function Empty({ kind, search, loading, noTemplate, add }: Emptiness) {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 300);
    return () => clearTimeout(timer);
  }, []);
  if (noTemplate) {
    return (
      <Nothing>
        There is no template yet. Network settings stand in templates: make one under Panorama &gt; Templates.
      </Nothing>
    );
  }
  if (loading) return late ? <Text c="dimmed">Loading…</Text> : null;
  if (search) return <Nothing>Nothing here has “{search}” in its name or values.</Nothing>;
  return (
    <Nothing
      next={
        <Group>
          <Button variant="light" leftSection={<IconPlus size={16} />} onClick={add}>
            Add {kind.one}
          </Button>
        </Group>
      }
    >
      {kind.purpose}
    </Nothing>
  );
}
