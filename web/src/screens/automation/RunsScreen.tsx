// What do playbooks do at the moment, what waits for somebody, and what failed?

import { Button, Select, Text } from '@mantine/core';
import { IconPlayerPlay } from '@tabler/icons-react';
import { useState } from 'react';
import { useRuns } from '../../api/automation';
import { useClusters } from '../../api/clusters';
import type { Run } from '../../api/types';
import { useAddress } from '../../scope';
import { type Column, Grid, textColumn } from '../../table/Grid';
import { ago } from '../../times';
import { Failure, Nothing, Page } from '../Page';
import { RunDialog } from './RunDialog';
import { StartDialog } from './StartDialog';
import { State } from './states';

const STATES = ['running', 'waiting', 'failed', 'done', 'superseded', 'rejected'];

const COLUMNS: Column<Run>[] = [
  textColumn('id', 'Run', 70, (run) => String(run.id)),
  { id: 'state', header: 'State', width: 120, cell: (run) => <State>{run.state}</State> },
  textColumn('playbook', 'Playbook', 120, (run) => run.playbook),
  textColumn('cluster', 'Cluster', 120, (run) => run.cluster || '–'),
  textColumn('about', 'Begun by', 160, about),
  textColumn('task', 'Task', 120, (run) => run.task),
  textColumn('requester', 'For', 130, (run) => run.requester),
  textColumn('started', 'Started', 130, (run) => ago(run.started)),
  textColumn('took', 'Took', 90, took),
  textColumn('error', 'Why it failed', 360, (run) => run.error),
];

/** Of what a run is told, what a person wants to know. */
export function about(run: Run): string {
  return Object.entries((run.inputs ?? {}) as Record<string, unknown>)
    .filter(([name]) => name !== 'digest' && name !== 'requesters')
    .map(([name, value]) => (name === 'trigger' ? String(value) : `${name} ${JSON.stringify(value)}`))
    .join(', ');
}

/** How long a run took, waiting included. */
export function took(run: { started: string; finished?: string | null | undefined }): string {
  if (!run.finished) return '';
  const ms = new Date(run.finished).getTime() - new Date(run.started).getTime();
  return ms < 10_000 ? `${ms} ms` : `${Math.round(ms / 1000)} s`;
}

export function RunsScreen() {
  const [address, setAddress] = useAddress();
  const [state, setState] = useState('');
  const [cluster, setCluster] = useState('');
  const [starting, setStarting] = useState(false);
  const runs = useRuns(state, cluster);
  const clusters = useClusters().data?.clusters.map((one) => one.name) ?? [];
  const list = runs.data?.runs ?? [];
  const waiting = list.filter((run) => run.state === 'waiting').length;
  if (runs.error) return <Failure error={runs.error} />;
  return (
    <Page
      title="Runs"
      tools={
        <>
          <Select
            aria-label="State"
            placeholder="Any state"
            data={STATES}
            value={state || null}
            onChange={(value) => setState(value ?? '')}
            clearable
            clearButtonProps={{ 'aria-label': 'Any state' }}
          />
          <Select
            aria-label="Cluster"
            placeholder="Any cluster"
            data={clusters}
            value={cluster || null}
            onChange={(value) => setCluster(value ?? '')}
            clearable
            clearButtonProps={{ 'aria-label': 'Any cluster' }}
          />
          <Button leftSection={<IconPlayerPlay size={16} />} onClick={() => setStarting(true)}>
            Run a playbook
          </Button>
        </>
      }
    >
      <Text size="sm" c="dimmed" aria-live="polite">
        {waiting > 0 ? `${waiting} wait for an approval` : 'Nothing waits for an approval'}
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
            {state || cluster
              ? 'There is no such run.'
              : 'Nothing was run yet. A policy that is applied in a cluster becomes a run, if the cluster has settings for policy automation.'}
          </Nothing>
        }
      />
      {address.open && (
        <RunDialog key={address.open} id={Number(address.open)} onClose={() => setAddress({ open: undefined })} />
      )}
      {starting && (
        <StartDialog
          clusters={clusters}
          onClose={() => setStarting(false)}
          onStarted={(run) => {
            setStarting(false);
            setAddress({ open: String(run) });
          }}
        />
      )}
    </Page>
  );
}
