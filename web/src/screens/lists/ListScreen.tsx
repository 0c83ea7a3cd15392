// A list of objects: what is there, where does it come from, and who changes it?

import { Button, Group, Text } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconPlus } from '@tabler/icons-react';
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useMemo, useState } from 'react';
import { nodeAt, refused } from '../../api/config';
import type { Asked, Node } from '../../api/types';
import {
  ancestors,
  groupPath,
  type Merged,
  type Scoped,
  stackTemplates,
  useAddress,
  useGroups,
  useScoped,
} from '../../scope';
import { useColumns } from '../../table/Columns';
import type { Column } from '../../table/Grid';
import { RowGrid } from '../../table/RowGrid';
import { type Row, type Source, useRows } from '../../table/rows';
import { EntryDialog, type Opened } from '../../tree/EntryDialog';
import { entryPath, isOfStack, lastName, nameOf, ownerOf } from '../../tree/node';
import { Failure, Nothing, Page, Remark } from '../Page';
import { Assigned } from './Assigned';
import type { ListKind } from './kinds';
import { Deletion, Tools } from './Tools';

export function ListScreen({ kind }: { kind: ListKind }) {
  const [address] = useAddress();
  const place = useScoped(kind.scope, kind.list);
  const { xpath: list, merged } = place ?? {};
  const queries = useQueryClient();
  const [search] = useDebouncedValue(address.q ?? '', 200);
  const sources = useSources(kind, place);
  const rows = useRows(sources, { search });
  const [opened, setOpened] = useState<Opened & { readOnly: boolean }>();
  const [selected, setSelected] = useState<ReadonlyMap<string, Row>>(new Map());
  const [doomed, setDoomed] = useState<string[]>();

  const inherits = sources.length > 1;
  const isMerged = merged !== undefined;
  const isOwn = (row: Row) => (isMerged ? isOfStack(row.entry.node) : row.source.own);
  const all = useMemo(
    (): Column<Row>[] => [
      { id: 'name', header: 'Name', width: 220, cell: (row) => row.entry.name },
      ...(inherits
        ? [{ id: 'location', header: 'Location', width: 130, cell: (row: Row) => row.source.location }]
        : []),
      ...(isMerged
        ? [
            {
              id: 'origin',
              header: 'Origin',
              width: 190,
              cell: (row: Row) => ownerOf(row.entry.node) ?? '',
            },
          ]
        : []),
      ...kind.columns.map((column) => ({
        id: column.header,
        header: column.header,
        width: column.width,
        cell: (row: Row) => (row.entry.node ? column.of(row.entry.node) : ''),
      })),
    ],
    [kind, inherits, isMerged],
  );
  const { columns, menu } = useColumns(kind.path, all);

  const open = (row: Row) => {
    if (!row.entry.node) return;
    if (merged && list) {
      void openMerged(row.entry.node, list, merged).catch(refused);
      return;
    }
    const was = { node: row.entry.node, digest: row.entry.digest };
    setOpened({ list: row.source.xpath, was, readOnly: !row.source.own });
  };
  const openMerged = async (node: Node, list: string, merged: Merged) => {
    const name = nameOf(node);
    const [own, templates] = await Promise.all([nodeAt(entryPath(list, name)), stackTemplates(queries, merged)]);
    const found = await Promise.all(templates.map(({ xpath }) => nodeAt(entryPath(xpath, name))));
    const inherited = templates[found.findIndex((one) => one !== undefined)];
    const was = { node, digest: own?.digest ?? '' };
    setOpened({
      list,
      was,
      inherited: inherited && `template ${inherited.name}`,
      overrides: own !== undefined && inherited !== undefined,
      readOnly: false,
    });
  };
  const add = (start?: Node) => list && setOpened({ list, start, readOnly: false });
  const copy = () => {
    const row = [...selected.values()][0];
    if (row?.entry.node) {
      add({ ...row.entry.node, attributes: { name: `${nameOf(row.entry.node)}-1` } });
    }
  };
  const own = [...selected.values()].filter(isOwn).map((row) => entryPath(list ?? '', row.entry.name));
  const chosen = (xpath: string) =>
    [...selected.values()].find((row) => entryPath(list ?? '', row.entry.name) === xpath);
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
      <RowGrid
        label={kind.title}
        columns={columns}
        rows={rows}
        selected={selected}
        onSelect={setSelected}
        onOpen={open}
        quiet={(row) => !isOwn(row)}
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
          beside={
            kind.assigned
              ? (readOnly, put) => (
                  <Assigned list={opened.list} before={opened.was?.node} readOnly={readOnly} put={put} />
                )
              : undefined
          }
          onClose={() => setOpened(undefined)}
        />
      )}
      {doomed && (
        <Deletion
          title={`Delete ${doomed.length === 1 ? kind.one : `${doomed.length} entries`}?`}
          names={doomed.map((xpath) => lastName(xpath) + (merged ? ': what its templates say of it counts again' : ''))}
          edits={doomed.flatMap((xpath): Asked[] => [
            ...(kind.also?.(list ?? '', chosen(xpath)?.entry.node ?? undefined, undefined) ?? []),
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
function useSources(kind: ListKind, place: Scoped | undefined): Source[] {
  const [{ group }] = useAddress();
  const groups = useGroups();
  const { xpath: list, merged } = place ?? {};
  const { source: from, xpath: at } = merged ?? {};
  return useMemo(() => {
    if (!list) return [];
    if (from && at) return [{ xpath: at, location: '', own: true, from }];
    if (kind.scope !== 'group') return [{ xpath: list, location: '', own: true }];
    const above = group ? ancestors(groups.data?.groups ?? [], group).reverse() : [];
    const own = { xpath: list, location: group ?? 'Shared', own: true };
    const inherited = [...above, ...(group ? [undefined] : [])].map((name) => ({
      xpath: `${groupPath(name)}/${kind.list}`,
      location: name ?? 'Shared',
      own: false,
    }));
    return [own, ...inherited];
  }, [kind, list, from, at, group, groups.data]);
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
