// Which firewalls are managed, what do they enforce, and how does another one come?

import { Anchor, Badge, Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { IconPlus, IconTrash } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { api, told } from '../../api/client';
import { useDevices } from '../../api/devices';
import type { Device } from '../../api/types';
import { useColumns } from '../../table/Columns';
import { type Column, Grid, textColumn } from '../../table/Grid';
import { ago, moment, span } from '../../times';
import { Confirm } from '../Confirm';
import { Tool } from '../lists/Tools';
import { Failure, Nothing, Page } from '../Page';
import { Refusal } from '../Refusal';
import { Secret } from '../Secret';

type Part = Device['policy'];

function sync(part: Part) {
  if (!part) return <Text size="sm">–</Text>;
  return (
    <Badge variant="light" color={part.in_sync ? 'green' : 'yellow'}>
      {part.in_sync ? 'in sync' : 'out of sync'}
      {part.version ? `, version ${part.version}` : ''}
    </Badge>
  );
}

const COLUMNS: Column<Device>[] = [
  textColumn('hostname', 'Device Name', 150, (device) => device.hostname || device.serial),
  textColumn('serial', 'Serial Number', 160, (device) => device.serial),
  textColumn('address', 'IP Address', 130, (device) => device.address),
  {
    id: 'state',
    header: 'State',
    width: 130,
    cell: (device) => (
      <Badge variant="light" color={device.connected ? 'green' : 'red'}>
        {device.connected ? 'connected' : 'disconnected'}
      </Badge>
    ),
  },
  {
    id: 'group',
    header: 'Device Group',
    width: 130,
    cell: (device) =>
      device.group ? (
        <Anchor
          size="sm"
          renderRoot={(properties) => (
            <Link to="/policies/security/pre-rules" search={{ group: device.group ?? undefined }} {...properties} />
          )}
        >
          {device.group}
        </Anchor>
      ) : (
        <Text size="sm">none</Text>
      ),
  },
  textColumn('stack', 'Template Stack', 130, (device) => device.stack ?? 'none'),
  { id: 'policy', header: 'Shared Policy', width: 180, cell: (device) => sync(device.policy) },
  { id: 'templates', header: 'Template', width: 180, cell: (device) => sync(device.templates) },
  textColumn('sessions', 'Sessions', 90, (device) => String(device.health?.sessions ?? '–')),
  textColumn('packets', 'Packets', 110, (device) => device.health?.packets.toLocaleString() ?? '–'),
  textColumn('drops', 'Drops', 90, (device) => device.health?.drops.toLocaleString() ?? '–'),
  textColumn('uptime', 'Uptime', 110, (device) => (device.health ? span(device.health.uptime_s) : '–')),
  textColumn('seen', 'Last Seen', 130, (device) => ago(device.last_seen)),
  textColumn('version', 'Software', 90, (device) => device.software_version),
  textColumn('certificate', 'Certificate Until', 170, (device) => moment(device.certificate_expiry)),
];

export function DevicesScreen() {
  const devices = useDevices();
  const [selected, setSelected] = useState<ReadonlyMap<string, Device>>(new Map());
  const [adding, setAdding] = useState(false);
  const [leaving, setLeaving] = useState(false);
  const { columns, menu } = useColumns('devices', COLUMNS, ['serial', 'seen', 'version', 'certificate']);
  const list = devices.data?.devices ?? [];
  const chosen = list.filter((device) => selected.has(device.serial));
  const queries = useQueryClient();
  const remove = useMutation({
    mutationFn: async () => {
      for (const { serial } of chosen) {
        await told(api.DELETE('/api/v1/devices/{serial}', { params: { path: { serial } } }));
      }
    },
    onSuccess: () => setLeaving(false),
    onSettled: () => queries.invalidateQueries({ queryKey: ['devices'] }),
  });
  if (devices.error) return <Failure error={devices.error} />;
  return (
    <Page
      title="Managed Devices"
      tools={
        <>
          <Button leftSection={<IconPlus size={16} />} onClick={() => setAdding(true)}>
            Add
          </Button>
          <Tool
            label="Remove"
            icon={<IconTrash size={18} />}
            onClick={() => setLeaving(true)}
            disabled={chosen.length === 0}
          />
          {menu}
        </>
      }
    >
      <Text size="sm" c="dimmed" aria-live="polite">
        {list.filter((device) => device.connected).length} of {list.length} connected
      </Text>
      <Grid
        label="Managed Devices"
        columns={columns}
        count={list.length}
        at={(line) => list[line]}
        keyOf={(device) => device.serial}
        selected={selected}
        onSelect={setSelected}
        none={
          <Nothing
            next={
              <Button variant="light" onClick={() => setAdding(true)}>
                Add a firewall
              </Button>
            }
          >
            No firewall is enrolled. Make a key, and start one with it.
          </Nothing>
        }
      />
      {adding && <Enrol onClose={() => setAdding(false)} />}
      {leaving && (
        <Confirm
          title="Remove from the inventory?"
          lines={chosen.map((device) => `${device.hostname || device.serial}: its certificate and connection end`)}
          verb="Remove"
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() => remove.mutate()}
          onClose={() => setLeaving(false)}
        />
      )}
    </Page>
  );
}

/** A key that firewalls enrol with, and the command that uses it. */
function Enrol({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState('');
  const make = useMutation({
    mutationFn: () => told(api.POST('/api/v1/auth-keys', { body: { name, minutes: 24 * 60 } })),
  });
  const command = make.data
    ? `bartizan firewall --manager ${window.location.host} --auth-key ${make.data.key} --port ethernet1/1=eth1 --port ethernet1/2=eth2`
    : '';
  return (
    <Modal opened onClose={onClose} title="Add a firewall" size="lg">
      <Stack gap="sm">
        {make.data ? (
          <>
            <Text size="sm">
              Start the firewall with this key, which is shown only now and is good until {moment(make.data.expires)}:
            </Text>
            <Secret text={command} onClose={onClose} />
          </>
        ) : (
          <form
            onSubmit={(event) => {
              event.preventDefault();
              make.mutate();
            }}
          >
            <Stack gap="sm">
              <TextInput
                label="Name of the key"
                description="Any number of firewalls can enrol with it, for a day"
                required
                data-autofocus
                value={name}
                onChange={(event) => setName(event.currentTarget.value)}
              />
              {make.error && <Refusal error={make.error} />}
              <Group justify="flex-end" gap="xs">
                <Button variant="default" onClick={onClose}>
                  Cancel
                </Button>
                <Button type="submit" loading={make.isPending} disabled={!name}>
                  Make a key
                </Button>
              </Group>
            </Stack>
          </form>
        )}
      </Stack>
    </Modal>
  );
}
