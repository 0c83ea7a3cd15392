// Where do policies and network settings stand, and for which devices? Device groups; templates and their stacks.

import { Badge, Button, Text } from '@mantine/core';
import { IconPlus, IconTrash } from '@tabler/icons-react';
import { useState } from 'react';
import { useEdit } from '../../api/config';
import { LISTS, useGroups, useTemplates } from '../../scope';
import { type Column, Grid } from '../../table/Grid';
import { entryPath } from '../../tree/node';
import { Confirm } from '../Confirm';
import { Tool } from '../lists/Tools';
import { Failure, Nothing, Page } from '../Page';
import { ONE, PlaceDialog } from './PlaceDialog';
import type { Held, Kind } from './places';

type Line = Held & { kind: Kind; parent?: string | null };

const name: Column<Line> = { id: 'name', header: 'Name', width: 220, cell: (line) => line.name };
const devices: Column<Line> = {
  id: 'devices',
  header: 'Devices',
  width: 380,
  cell: (line) => line.devices.join(', '),
};

const GROUP_COLUMNS: Column<Line>[] = [
  name,
  { id: 'parent', header: 'Parent', width: 180, cell: (line) => line.parent ?? 'Shared' },
  devices,
];

const TEMPLATE_COLUMNS: Column<Line>[] = [
  name,
  {
    id: 'kind',
    header: 'Type',
    width: 140,
    cell: (line) => (
      <Badge variant="light" color="gray">
        {ONE[line.kind]}
      </Badge>
    ),
  },
  {
    id: 'templates',
    header: 'Templates, the Winning One First',
    width: 280,
    cell: (line) => line.templates.join(', '),
  },
  devices,
];

export function DeviceGroupsScreen() {
  const groups = useGroups();
  const lines = (groups.data?.groups ?? []).map((group): Line => ({ ...group, kind: 'group', templates: [] }));
  return (
    <Places
      title="Device Groups"
      kinds={['group']}
      columns={GROUP_COLUMNS}
      lines={lines}
      error={groups.error}
      purpose="A device group holds the rules and objects of its devices. Groups inherit from their parents and from Shared."
    />
  );
}

export function TemplatesScreen() {
  const { data, error } = useTemplates();
  const lines: Line[] = [
    ...(data?.stacks ?? []).map((stack): Line => ({ ...stack, kind: 'stack' })),
    ...(data?.templates ?? []).map((one): Line => ({ name: one, kind: 'template', devices: [], templates: [] })),
  ];
  return (
    <Places
      title="Templates"
      kinds={['template', 'stack']}
      columns={TEMPLATE_COLUMNS}
      lines={lines}
      error={error}
      purpose="A template holds network settings: interfaces, zones, routers. A template stack lists templates and the devices that get them."
    />
  );
}

type Properties = {
  title: string;
  kinds: Kind[];
  columns: Column<Line>[];
  lines: Line[];
  error: unknown;
  purpose: string;
};

function Places({ title, kinds, columns, lines, error, purpose }: Properties) {
  const [selected, setSelected] = useState<ReadonlyMap<string, Line>>(new Map());
  const [opened, setOpened] = useState<{ kind: Kind; before?: Line }>();
  const [doomed, setDoomed] = useState(false);
  const remove = useEdit(true);
  const keyOf = (line: Line) => entryPath(LISTS[line.kind], line.name);
  const chosen = lines.filter((line) => selected.has(keyOf(line)));
  const add = kinds.map((kind) => (
    <Button key={kind} leftSection={<IconPlus size={16} />} onClick={() => setOpened({ kind })}>
      Add {ONE[kind]}
    </Button>
  ));
  if (error) return <Failure error={error} />;
  return (
    <Page
      title={title}
      tools={
        <>
          {add}
          <Tool
            label="Delete"
            icon={<IconTrash size={18} />}
            onClick={() => setDoomed(true)}
            disabled={chosen.length === 0}
          />
        </>
      }
    >
      <Text size="sm" c="dimmed">
        {purpose}
      </Text>
      <Grid
        label={title}
        columns={columns}
        count={lines.length}
        at={(line) => lines[line]}
        keyOf={keyOf}
        selected={selected}
        onSelect={setSelected}
        onOpen={(line) => setOpened({ kind: line.kind, before: line })}
        none={<Nothing>There is none yet.</Nothing>}
      />
      {opened && <PlaceDialog kind={opened.kind} before={opened.before} onClose={() => setOpened(undefined)} />}
      {doomed && (
        <Confirm
          title="Delete, with everything in it?"
          lines={chosen.map((line) => `${ONE[line.kind]} ${line.name}`)}
          verb="Delete"
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() =>
            remove.mutate(
              chosen.map((line) => ({ action: 'delete', xpath: keyOf(line) })),
              { onSuccess: () => setDoomed(false) },
            )
          }
          onClose={() => setDoomed(false)}
        />
      )}
    </Page>
  );
}
