// Who speaks with whom, and may they? From a way of the map to its sessions in the log, and there to the rule and the reason.

import { Badge, Box, Button, Drawer, Group, SegmentedControl, Select, Stack, Table, Text } from '@mantine/core';
import { IconList } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import type { MapWay, ServiceMap } from '../../api/types';
import { goingWith } from '../../scope';
import { type Column, Grid, textColumn } from '../../table/Grid';
import { amount, bytes } from '../../words';
import { GlobalFilters, RangePicker } from '../monitor/Filters';
import { narrowed } from '../monitor/query';
import { HOUR, rangeLabel, useRange } from '../monitor/range';
import { Failure, Nothing, Page } from '../Page';
import classes from './Acc.module.css';
import { type Level, useServiceMap } from './acc';
import { nameOf, Picture, told, type Verdict, verdictOf } from './Picture';
import { VIEWS } from './views';

const LEVELS: { value: Level; label: string }[] = [
  { value: 'namespace', label: 'Namespaces and tags' },
  { value: 'service', label: 'Services and workloads' },
  { value: 'address', label: 'Addresses' },
];

const VERDICTS: Record<Verdict, { colour: string; word: string }> = {
  allowed: { colour: 'green', word: 'allowed' },
  refused: { colour: 'red', word: 'not allowed' },
  both: { colour: 'orange', word: 'partly allowed' },
};

const LOG = '/monitor/logs/traffic';

export function MapScreen() {
  const { range } = useRange(HOUR);
  const [level, setLevel] = useState<Level>('service');
  const [refused, setRefused] = useState(false);
  const [form, setForm] = useState<'map' | 'table'>('map');
  const [opened, setOpened] = useState<MapWay>();
  const query = refused ? VIEWS.blocked.query : VIEWS.network.query;
  const map = useServiceMap(level, query);
  return (
    <Page
      title="Service Map"
      tools={
        <>
          <SegmentedControl
            aria-label="Sessions"
            size="xs"
            data={[
              { value: 'all', label: 'All' },
              { value: 'refused', label: 'Not allowed' },
            ]}
            value={refused ? 'refused' : 'all'}
            onChange={(value) => setRefused(value === 'refused')}
          />
          <SegmentedControl
            aria-label="Form"
            size="xs"
            data={[
              { value: 'map', label: 'Map' },
              { value: 'table', label: 'Table' },
            ]}
            value={form}
            onChange={(value) => setForm(value === 'table' ? 'table' : 'map')}
          />
          <Select
            aria-label="Level"
            data={LEVELS}
            value={level}
            allowDeselect={false}
            onChange={(value) => setLevel((value as Level | null) ?? 'service')}
          />
          <RangePicker otherwise={HOUR} />
        </>
      }
    >
      <GlobalFilters />
      {map.error && <Failure error={map.error} />}
      {map.data && !map.error && (
        <>
          <Legend map={map.data} time={rangeLabel(range)} />
          <Ways map={map.data} form={form} refused={refused} onOpen={setOpened} />
          {opened && <Detail map={map.data} way={opened} range={range} onClose={() => setOpened(undefined)} />}
        </>
      )}
    </Page>
  );
}

function Legend({ map, time }: { map: ServiceMap; time: string }) {
  const left = [
    map.places_left_out > 0 && `${map.places_left_out.toLocaleString()} smaller places are counted with their zone`,
    map.ways_left_out > 0 && `${map.ways_left_out.toLocaleString()} smaller ways are left out`,
  ].filter(Boolean);
  return (
    <Group gap="sm">
      <Text size="sm" c="dimmed" aria-live="polite">
        {time}: {amount(map.places.length, 'place')}, {amount(map.ways.length, 'way')}
        {left.length > 0 && `; ${left.join(', ')}`}.
      </Text>
      {Object.values(VERDICTS).map(({ colour, word }) => (
        <Badge key={word} variant="light" color={colour}>
          {word}
        </Badge>
      ))}
    </Group>
  );
}

type Shown = { map: ServiceMap; form: 'map' | 'table'; refused: boolean; onOpen: (way: MapWay) => void };

function Ways({ map, form, refused, onOpen }: Shown) {
  const none = (
    <Nothing>
      {refused
        ? VIEWS.blocked.none
        : `${VIEWS.network.none} What the controller of a Kubernetes cluster tells gives addresses their names.`}
    </Nothing>
  );
  if (form === 'map') {
    if (map.ways.length === 0) return none;
    return (
      <Box className={classes.scroll}>
        <Picture map={map} onOpen={onOpen} />
      </Box>
    );
  }
  const column = (name: string, width: number, of: (way: MapWay) => string) => textColumn(name, name, width, of);
  const columns: Column<MapWay>[] = [
    column('Source', 240, (way) => nameOf(map.places[way.from])),
    column('Destination', 240, (way) => nameOf(map.places[way.to])),
    { id: 'Verdict', header: 'Verdict', width: 130, cell: (way) => <Mark way={way} /> },
    column('Sessions', 100, (way) => way.sessions.toLocaleString()),
    column('Not Allowed', 110, (way) => way.refused.toLocaleString()),
    column('Bytes', 100, (way) => bytes(way.bytes)),
    column('Ports', 180, (way) => way.ports.join(', ')),
    column('Rules', 240, (way) => way.rules.map((rule) => rule.rule).join(', ')),
  ];
  return (
    <Grid
      label="Ways"
      columns={columns}
      count={map.ways.length}
      at={(line) => map.ways[line]}
      keyOf={(way) => `${way.from} ${way.to}`}
      onOpen={onOpen}
      none={none}
    />
  );
}

function Mark({ way }: { way: MapWay }) {
  const { colour, word } = VERDICTS[verdictOf(way)];
  return (
    <Badge variant="light" color={colour}>
      {word}
    </Badge>
  );
}

type Detailed = { map: ServiceMap; way: MapWay; range: string | undefined; onClose: () => void };

function Detail({ map, way, range, onClose }: Detailed) {
  const flows = (q: string, label: string) => (
    <Button
      variant="light"
      size="compact-sm"
      leftSection={<IconList size={16} />}
      renderRoot={(properties) => (
        <Link to={LOG} search={(now) => ({ ...goingWith('/acc/', LOG)(now), range, q })} {...properties} />
      )}
    >
      {label}
    </Button>
  );
  return (
    <Drawer
      opened
      onClose={onClose}
      position="right"
      size="lg"
      title={`${nameOf(map.places[way.from])} to ${nameOf(map.places[way.to])}`}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      <Stack gap="sm">
        <Group gap="xs">
          <Mark way={way} />
          <Text size="sm">
            {told(map, way)}, {bytes(way.bytes)}
          </Text>
        </Group>
        <Text size="sm">Ports: {way.ports.join(', ')}</Text>
        <Table aria-label="Rules" verticalSpacing={4}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Rule</Table.Th>
              <Table.Th>Action</Table.Th>
              <Table.Th ta="right">Sessions</Table.Th>
              <Table.Th>Traffic Log</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {way.rules.map(({ rule, action, sessions }) => (
              <Table.Tr key={`${rule} ${action}`}>
                <Table.Td>{rule || 'none'}</Table.Td>
                <Table.Td>{action}</Table.Td>
                <Table.Td ta="right">{sessions.toLocaleString()}</Table.Td>
                <Table.Td>
                  {flows(
                    narrowed(narrowed(way.query, 'rule', 'eq', rule), 'action', 'eq', action),
                    `Flows of ${rule || 'no rule'}`,
                  )}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
        {!way.complete && (
          <Text size="sm" c="dimmed">
            Very many addresses are on this way. The links name some of them; their sessions are not all.
          </Text>
        )}
        <Text size="sm" c="dimmed">
          A line of the log tells, by Why?, which rules matched and which did not.
        </Text>
        <Group justify="flex-end" gap="xs">
          {flows(way.query, 'All flows')}
          <Button variant="default" onClick={onClose}>
            Close
          </Button>
        </Group>
      </Stack>
    </Drawer>
  );
}
