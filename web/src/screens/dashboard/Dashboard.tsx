// Is everything as it should be, and what is to be done next? Each tile leads to what it counts.

import { Anchor, Card, Group, SimpleGrid, Stack, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { api, told } from '../../api/client';
import { useCandidate } from '../../api/config';
import { useDevices } from '../../api/devices';
import { useJobs } from '../../shell/Tasks';
import { moment, span } from '../../times';
import { useCounts } from '../monitor/log';
import { HOUR } from '../monitor/range';
import { Failure, Page } from '../Page';
import { Checklist } from './Checklist';

const DENIED = '( action neq allow )';
const CERTIFICATE_DAYS = 60;

export function Dashboard() {
  const system = useQuery({
    queryKey: ['system'],
    queryFn: () => told(api.GET('/api/v1/system')),
    refetchInterval: 10_000,
  });
  const devices = useDevices().data?.devices ?? [];
  const candidate = useCandidate();
  const traffic = useCounts('traffic', '', HOUR);
  const denied = useCounts('traffic', DENIED, HOUR);
  const jobs = useJobs().data?.jobs ?? [];
  const runs = useQuery({
    queryKey: ['automation', 'waiting'],
    queryFn: () => told(api.GET('/api/v1/automation/runs', { params: { query: { state: 'waiting' } } })),
    refetchInterval: 10_000,
  });
  if (system.error) return <Failure error={system.error} />;
  const sum = (counts: typeof traffic) => counts.data?.spans.reduce((total, one) => total + one.lines, 0) ?? 0;
  const connected = devices.filter((device) => device.connected).length;
  const behind = devices.filter((device) => device.policy?.in_sync === false || device.templates?.in_sync === false);
  const soon = Date.now() + CERTIFICATE_DAYS * 86_400_000;
  const ending = devices.filter(
    (one) => one.certificate_expiry && new Date(one.certificate_expiry).getTime() < soon,
  ).length;
  const failed = jobs.filter((job) => job.result === 'failed').length;
  return (
    <Page title="Dashboard">
      <SimpleGrid cols={{ base: 1, sm: 2, lg: 4 }}>
        <Tile
          label="Firewalls connected"
          value={`${connected} of ${devices.length}`}
          to="/panorama/managed-devices"
          bad={connected < devices.length}
        />
        <Tile label="Out of sync" value={behind.length} to="/panorama/managed-devices" bad={behind.length > 0}>
          {behind.map((device) => device.hostname || device.serial).join(', ')}
        </Tile>
        <Tile label="Edits not committed" value={candidate.data?.pending ?? 0} to="/monitor/logs/config">
          {candidate.data?.authors.join(', ')}
        </Tile>
        <Tile label="Runs that wait for approval" value={runs.data?.runs.length ?? 0} to="/automation/runs" />
        <Tile label="Connections in the last hour" value={sum(traffic)} to="/monitor/logs/traffic" />
        <Tile
          label="Not allowed in the last hour"
          value={sum(denied)}
          to="/monitor/logs/traffic"
          search={{ q: DENIED }}
        />
        <Tile
          label={`Device certificates that end within ${CERTIFICATE_DAYS} days`}
          value={ending}
          to="/panorama/managed-devices"
          bad={ending > 0}
        />
        <Tile label="Failed jobs among the last 50" value={failed} bad={failed > 0} />
      </SimpleGrid>
      <SimpleGrid cols={{ base: 1, lg: 2 }}>
        <Checklist />
        {system.data && (
          <Card withBorder component="section">
            <Title order={2} size="h4" mb="sm">
              Manager
            </Title>
            <Fact name="Host name" value={system.data.hostname} />
            <Fact name="Serial number" value={system.data.serial} />
            <Fact name="Software" value={`${system.data.version}, API of PAN-OS ${system.data.panos_version}`} />
            <Fact name="Running version" value={String(system.data.running_version)} />
            <Fact name="Time" value={moment(system.data.time)} />
            <Fact name="Up for" value={span(system.data.uptime_s)} />
            <Fact name="Log records stored since the start" value={system.data.logs.stored.toLocaleString()} />
            <Fact name="Fingerprint of its authority" value={system.data.ca_fingerprint} />
          </Card>
        )}
      </SimpleGrid>
    </Page>
  );
}

type Tiled = {
  label: string;
  value: string | number;
  to?: string;
  search?: { q: string };
  bad?: boolean;
  children?: ReactNode;
};

function Tile({ label, value, to, search, bad, children }: Tiled) {
  return (
    <Card withBorder padding="md">
      <Stack gap={2}>
        <Text size="sm" c="dimmed">
          {label}
        </Text>
        <Text size="xl" fw={700} c={bad ? 'var(--mantine-color-error)' : undefined}>
          {value}
        </Text>
        {children && (
          <Text size="xs" c="dimmed" truncate>
            {children}
          </Text>
        )}
        {to && (
          <Anchor
            size="sm"
            aria-label={`Show: ${label}`}
            renderRoot={(properties) => <Link to={to} search={search ?? {}} {...properties} />}
          >
            Show
          </Anchor>
        )}
      </Stack>
    </Card>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <Group justify="space-between" wrap="nowrap" gap="md">
      <Text size="sm" c="dimmed">
        {name}
      </Text>
      <Text size="sm" style={{ overflowWrap: 'anywhere', textAlign: 'right' }}>
        {value}
      </Text>
    </Group>
  );
}
