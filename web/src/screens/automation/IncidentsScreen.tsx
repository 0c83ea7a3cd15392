// What went wrong in automation, who takes care of it, and what was done?

import { Badge, Button, Drawer, Group, Loader, Select, Stack, Text, Textarea, Timeline } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, told } from '../../api/client';
import type { Incident } from '../../api/types';
import { useAddress } from '../../scope';
import { Clip, type Column, Grid } from '../../table/Grid';
import { moment } from '../../times';
import { Failure, Nothing, Page } from '../Page';
import { Refusal } from '../Refusal';
import { STATES } from './states';

const text = (id: string, header: string, width: number, of: (one: Incident) => string): Column<Incident> => ({
  id,
  header,
  width,
  cell: (one) => <Clip>{of(one)}</Clip>,
});

const COLUMNS: Column<Incident>[] = [
  text('id', 'Incident', 90, (one) => String(one.id)),
  {
    id: 'status',
    header: 'Status',
    width: 110,
    cell: (one) => (
      <Badge variant="light" color={STATES[one.status]}>
        {one.status}
      </Badge>
    ),
  },
  text('severity', 'Severity', 100, (one) => one.severity),
  text('type', 'Type', 160, (one) => one.type),
  text('subject', 'About', 200, (one) => one.subject),
  text('message', 'Message', 420, (one) => one.message),
  text('cluster', 'Cluster', 120, (one) => one.cluster),
  text('owner', 'Owner', 120, (one) => one.owner),
  text('opened', 'Opened', 170, (one) => moment(one.opened)),
];

export function IncidentsScreen() {
  const [address, setAddress] = useAddress();
  const incidents = useQuery({
    queryKey: ['automation', 'incidents', address.q],
    queryFn: () =>
      told(api.GET('/api/v1/automation/incidents', { params: { query: { state: address.q ?? '', limit: 500 } } })),
    refetchInterval: 5000,
  });
  const list = incidents.data?.incidents ?? [];
  if (incidents.error) return <Failure error={incidents.error} />;
  return (
    <Page
      title="Incidents"
      tools={
        <Select
          aria-label="Status"
          placeholder="All"
          data={['open', 'waiting', 'failed', 'closed']}
          value={address.q ?? null}
          onChange={(status) => setAddress({ q: status ?? undefined })}
          clearable
        />
      }
    >
      <Grid
        label="Incidents"
        columns={COLUMNS}
        count={list.length}
        at={(line) => list[line]}
        keyOf={(one) => String(one.id)}
        onOpen={(one) => setAddress({ open: String(one.id) })}
        none={<Nothing>There is no incident. Faulty policies, failed runs and drift open one.</Nothing>}
      />
      {address.open && <IncidentDialog id={Number(address.open)} onClose={() => setAddress({ open: undefined })} />}
    </Page>
  );
}

function IncidentDialog({ id, onClose }: { id: number; onClose: () => void }) {
  const queries = useQueryClient();
  const params = { path: { id: String(id) } };
  const [comment, setComment] = useState('');
  const incident = useQuery({
    queryKey: ['automation', 'incident', id],
    queryFn: () => told(api.GET('/api/v1/automation/incidents/{id}', { params })),
  });
  const note = useMutation({
    mutationFn: (status: string | null) =>
      told(api.POST('/api/v1/automation/incidents/{id}', { params, body: { comment: comment || null, status } })),
    onSuccess: () => setComment(''),
    onSettled: () => queries.invalidateQueries({ queryKey: ['automation'] }),
  });
  const shown = incident.data?.incident;
  return (
    <Drawer
      opened
      onClose={onClose}
      position="right"
      size="lg"
      title={`Incident ${id}`}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      {incident.error && <Failure error={incident.error} />}
      {shown ? (
        <Stack gap="sm">
          <Text>{shown.message}</Text>
          <Timeline active={99} bulletSize={14} lineWidth={2} color="gray">
            {incident.data?.timeline.map((line) => (
              <Timeline.Item key={`${line.time} ${line.kind} ${line.text}`}>
                <Text size="sm">{line.text || line.kind}</Text>
                <Text size="xs" c="dimmed">
                  {line.kind}, {line.who}, {moment(line.time)}
                </Text>
              </Timeline.Item>
            ))}
          </Timeline>
          <Textarea
            label="Comment"
            autosize
            value={comment}
            onChange={(event) => setComment(event.currentTarget.value)}
          />
          {note.error && <Refusal error={note.error} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="light" disabled={!comment} loading={note.isPending} onClick={() => note.mutate(null)}>
              Comment
            </Button>
            {shown.status !== 'closed' && (
              <Button variant="default" loading={note.isPending} onClick={() => note.mutate('closed')}>
                Close the incident
              </Button>
            )}
          </Group>
        </Stack>
      ) : (
        <Loader size="sm" aria-label="Loading" />
      )}
    </Drawer>
  );
}
