// What happened to policies, who takes care of it, and is it over?

import { Select, Text } from '@mantine/core';
import { useState } from 'react';
import { useIncidents } from '../../api/automation';
import type { Incident } from '../../api/types';
import { useAddress } from '../../scope';
import { type Column, Grid, textColumn } from '../../table/Grid';
import { ago } from '../../times';
import { Failure, Nothing, Page } from '../Page';
import { IncidentDialog } from './IncidentDialog';
import { State } from './states';

const COLUMNS: Column<Incident>[] = [
  textColumn('id', 'Incident', 80, (one) => String(one.id)),
  { id: 'status', header: 'Status', width: 110, cell: (one) => <State>{one.status}</State> },
  { id: 'severity', header: 'Severity', width: 110, cell: (one) => <State>{one.severity}</State> },
  textColumn('type', 'Type', 150, (one) => one.type),
  textColumn('cluster', 'Cluster', 120, (one) => one.cluster),
  textColumn('subject', 'Subject', 260, (one) => one.subject),
  textColumn('owner', 'Owner', 120, (one) => one.owner || 'nobody'),
  textColumn('opened', 'Opened', 130, (one) => ago(one.opened)),
  textColumn('message', 'Message', 420, (one) => one.message),
];

export function IncidentsScreen() {
  const [address, setAddress] = useAddress();
  const [status, setStatus] = useState('');
  const incidents = useIncidents(status);
  const list = incidents.data?.incidents ?? [];
  if (incidents.error) return <Failure error={incidents.error} />;
  return (
    <Page
      title="Incidents"
      tools={
        <Select
          aria-label="Status"
          placeholder="Any status"
          data={['open', 'waiting', 'failed', 'closed']}
          value={status || null}
          onChange={(value) => setStatus(value ?? '')}
          clearable
          clearButtonProps={{ 'aria-label': 'Any status' }}
        />
      }
    >
      <Text size="sm" c="dimmed" aria-live="polite">
        {list.filter((one) => one.status !== 'closed').length} are not closed
      </Text>
      <Grid
        label="Incidents"
        columns={COLUMNS}
        count={list.length}
        at={(line) => list[line]}
        keyOf={(one) => String(one.id)}
        onOpen={(one) => setAddress({ open: String(one.id) })}
        none={
          <Nothing>
            {status ? 'There is no such incident.' : 'Every policy that is new, changed or gone will be listed here.'}
          </Nothing>
        }
      />
      {address.open && (
        <IncidentDialog key={address.open} id={Number(address.open)} onClose={() => setAddress({ open: undefined })} />
      )}
    </Page>
  );
}
