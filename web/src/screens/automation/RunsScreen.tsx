// Which playbooks run, and which of them wait for somebody?

import { Badge, Select, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { api, told } from '../../api/client';
import type { Run } from '../../api/types';
import { useAddress } from '../../scope';
import { Clip, type Column, Grid } from '../../table/Grid';
import { moment } from '../../times';
import { Failure, Nothing, Page } from '../Page';
import { RunDialog } from './RunDialog';
import { STATES } from './states';

const text = (id: string, header: string, width: number, of: (run: Run) => string): Column<Run> => ({
  id,
  header,
  width,
  cell: (run) => <Clip>{of(run)}</Clip>,
});

const COLUMNS: Column<Run>[] = [
  text('id', 'Run', 80, (run) => String(run.id)),
  {
    id: 'state',
    header: 'State',
    width: 120,
    cell: (run) => (
      <Badge variant="light" color={STATES[run.state]}>
        {run.state}
      </Badge>
    ),
  },
  text('playbook', 'Playbook', 140, (run) => run.playbook),
  text('cluster', 'Cluster', 140, (run) => run.cluster),
  text('task', 'Task', 130, (run) => run.task),
  text('requester', 'By', 200, (run) => run.requester),
  text('started', 'Started', 170, (run) => moment(run.started)),
  text('finished', 'Ended', 170, (run) => moment(run.finished)),
  text('error', 'Error', 400, (run) => run.error),
];

export function RunsScreen() {
  const [address, setAddress] = useAddress();
  const runs = useQuery({
    queryKey: ['automation', 'runs', address.q],
    queryFn: () =>
      told(api.GET('/api/v1/automation/runs', { params: { query: { state: address.q ?? '', limit: 500 } } })),
    refetchInterval: 2000,
  });
  const list = runs.data?.runs ?? [];
  if (runs.error) return <Failure error={runs.error} />;
  return (
    <Page
      title="Runs"
      tools={
        <Select
          aria-label="State"
          placeholder="All states"
          data={['running', 'waiting', 'failed', 'done', 'superseded', 'rejected']}
          value={address.q ?? null}
          onChange={(state) => setAddress({ q: state ?? undefined })}
          clearable
        />
      }
    >
      <Text size="sm" c="dimmed" aria-live="polite">
        {list.length} runs, {list.filter((run) => run.state === 'waiting').length} wait for a decision
      </Text>
      <Grid
        label="Runs"
        columns={COLUMNS}
        count={list.length}
        at={(line) => list[line]}
        keyOf={(run) => String(run.id)}
        onOpen={(run) => setAddress({ open: String(run.id) })}
        none={
          <Nothing>
            A run brings a cluster&apos;s policies to its firewalls. Runs appear here when a controller tells the
            manager its policies.
          </Nothing>
        }
      />
      {address.open && <RunDialog id={Number(address.open)} onClose={() => setAddress({ open: undefined })} />}
    </Page>
  );
}
