// Which sessions are there now, by which rule and translation, and why?

import { Button, Drawer, Group, Table, Tabs, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconPlugX } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { refused } from '../../api/config';
import { useDevice } from '../../shell/DevicePicker';
import { useColumns } from '../../table/Columns';
import { type Column, Grid } from '../../table/Grid';
import { amount } from '../../words';
import { Confirm } from '../Confirm';
import { Tool } from '../lists/Tools';
import { Failure, Nothing, Page } from '../Page';
import { CaptureButton } from './CaptureButton';
import { Explanation } from './Explanation';
import { protocolOf } from './explain';
import { end, type Filter, flowOf, type Session, useSessions } from './sessions';

const told = (id: string, header: string, width: number): Column<Session> => ({
  id,
  header,
  width,
  cell: (session) => session[id] ?? '',
});

const COLUMNS: Column<Session>[] = [
  told('idx', 'ID', 80),
  told('state', 'State', 90),
  {
    id: 'proto',
    header: 'Protocol',
    width: 80,
    cell: (session) => protocolOf(session['proto'] ?? ''),
  },
  told('source', 'Source', 130),
  told('sport', 'From Port', 85),
  told('dst', 'Destination', 130),
  told('dport', 'To Port', 75),
  told('from', 'From Zone', 90),
  told('to', 'To Zone', 90),
  told('ingress', 'Ingress', 100),
  told('egress', 'Egress', 100),
  told('flags', 'NAT', 60),
  told('security-rule', 'Rule', 150),
  told('nat-rule', 'NAT Rule', 150),
  told('total-byte-count', 'Bytes', 100),
  told('age', 'Age, s', 70),
  told('ttl', 'Expires In, s', 100),
];

const FILTERS: { key: keyof Filter; label: string }[] = [
  { key: 'source', label: 'Source' },
  { key: 'destination', label: 'Destination' },
  { key: 'destination-port', label: 'To Port' },
  { key: 'rule', label: 'Rule' },
];

export function SessionsScreen() {
  const { serial, picker } = useDevice();
  const [filter, setFilter] = useState<Filter>({ source: '', destination: '', 'destination-port': '', rule: '' });
  const [asked] = useDebouncedValue(filter, 400);
  const sessions = useSessions(serial, asked);
  const [selected, setSelected] = useState<ReadonlyMap<string, Session>>(new Map());
  const [opened, setOpened] = useState<Session>();
  const [ending, setEnding] = useState(false);
  const { columns, menu } = useColumns('sessions', COLUMNS, ['sport', 'ingress', 'egress']);
  const queries = useQueryClient();
  const list = sessions.data ?? [];
  const chosen = list.filter((session) => selected.has(session['idx'] ?? ''));
  const clear = useMutation({
    mutationFn: async () => {
      for (const session of chosen) await end(serial ?? '', session['idx'] ?? '');
    },
    onSuccess: () => setEnding(false),
    onError: refused,
    onSettled: () => queries.invalidateQueries({ queryKey: ['sessions'] }),
  });
  return (
    <Page
      title="Session Browser"
      tools={
        <>
          {picker}
          <Tool
            label="Clear"
            icon={<IconPlugX size={18} />}
            onClick={() => setEnding(true)}
            disabled={chosen.length === 0}
          />
          {menu}
        </>
      }
    >
      <Group gap="xs">
        {FILTERS.map(({ key, label }) => (
          <TextInput
            key={key}
            label={label}
            value={filter[key]}
            onChange={(event) => setFilter({ ...filter, [key]: event.currentTarget.value.trim() })}
          />
        ))}
      </Group>
      {sessions.error ? (
        <Failure error={sessions.error} />
      ) : (
        <Grid
          label="Session Browser"
          columns={columns}
          count={list.length}
          at={(line) => list[line]}
          keyOf={(session) => session['idx'] ?? ''}
          selected={selected}
          onSelect={setSelected}
          onOpen={setOpened}
          none={
            <Nothing>
              {serial ? 'The firewall has no such session now.' : 'A firewall that is connected is asked. None is.'}
            </Nothing>
          }
        />
      )}
      <Text size="xs" c="dimmed">
        {amount(list.length, 'session')}; asked again every 3 s. Enter opens one.
      </Text>
      {opened && serial && <Detail session={opened} serial={serial} onClose={() => setOpened(undefined)} />}
      {ending && (
        <Confirm
          title="End these sessions?"
          lines={chosen.map((one) => `${one['idx']}: ${one['source']} to ${one['dst']} port ${one['dport']}`)}
          verb="End"
          busy={clear.isPending}
          onConfirm={() => clear.mutate()}
          onClose={() => setEnding(false)}
        />
      )}
    </Page>
  );
}

function Detail({ session, serial, onClose }: { session: Session; serial: string; onClose: () => void }) {
  return (
    <Drawer
      opened
      onClose={onClose}
      position="right"
      size="lg"
      title={`Session ${session['idx']}`}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      <Tabs defaultValue="fields" keepMounted={false}>
        <Tabs.List mb="sm">
          <Tabs.Tab value="fields">Details</Tabs.Tab>
          <Tabs.Tab value="why">Why?</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="fields">
          <Table aria-label="Fields" verticalSpacing={4}>
            <Table.Tbody>
              {Object.entries(session)
                .filter(([, value]) => value !== '')
                .map(([name, value]) => (
                  <Table.Tr key={name}>
                    <Table.Th scope="row">{name}</Table.Th>
                    <Table.Td>{value}</Table.Td>
                  </Table.Tr>
                ))}
            </Table.Tbody>
          </Table>
        </Tabs.Panel>
        <Tabs.Panel value="why">
          <Explanation serial={serial} flow={flowOf(session)} />
        </Tabs.Panel>
      </Tabs>
      <Group justify="flex-end" gap="xs" mt="md">
        <CaptureButton serial={serial} flow={flowOf(session)} />
        <Button variant="default" onClick={onClose}>
          Close
        </Button>
      </Group>
    </Drawer>
  );
}
