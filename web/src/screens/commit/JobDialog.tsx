// How does a job get on, device by device, as it happens?

import { Alert, Badge, Button, Group, Loader, Modal, Progress, Stack, Table, Text } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { api, told } from '../../api/client';
import { useEvents } from '../../api/events';
import { linesOf } from '../../api/problem';
import type { Job, JobDevice } from '../../api/types';
import { moment } from '../../times';
import { Failure } from '../Page';

const COLOURS = { pending: 'blue', ok: 'green', failed: 'red' } as const;

function useJob(id: number) {
  const queries = useQueryClient();
  const key = ['job', id];
  const path = { id: String(id) };
  const job = useQuery({ queryKey: key, queryFn: () => told(api.GET('/api/v1/jobs/{id}', { params: { path } })) });
  const running = job.data !== undefined && job.data.state !== 'done';
  useEvents<Job>(running ? `/api/v1/jobs/${id}/events` : undefined, (event) => {
    queries.setQueryData(key, event);
    if (event.state === 'done') {
      void queries.invalidateQueries({ queryKey: ['config'] });
      void queries.invalidateQueries({ queryKey: ['jobs'] });
      void queries.invalidateQueries({ queryKey: ['devices'] });
    }
    return event.state !== 'done';
  });
  return job;
}

export function JobDialog({ job: id, onClose }: { job: number; onClose: () => void }) {
  const job = useJob(id);
  return (
    <Modal opened onClose={onClose} title={`Job ${id}${job.data ? `: ${job.data.kind}` : ''}`} size="xl">
      {job.error && <Failure error={job.error} />}
      {job.data ? <Told job={job.data} onClose={onClose} /> : <Loader size="sm" aria-label="Loading" />}
    </Modal>
  );
}

function Told({ job, onClose }: { job: Job; onClose: () => void }) {
  const cancel = useMutation({
    mutationFn: () => told(api.DELETE('/api/v1/jobs/{id}', { params: { path: { id: String(job.id) } } })),
  });
  const done = job.state === 'done';
  return (
    <Stack gap="sm">
      <Group justify="space-between">
        <Badge color={COLOURS[job.result]} variant="light" size="lg" aria-live="polite">
          {done
            ? job.result === 'ok'
              ? 'succeeded'
              : 'failed'
            : job.state === 'waiting'
              ? `waits, ${job.position} before it`
              : 'runs'}
        </Badge>
        <Text size="sm" c="dimmed">
          {job.user}, {moment(job.started ?? job.enqueued)} – {moment(job.finished)}
        </Text>
      </Group>
      <Progress.Root size="lg">
        <Progress.Section value={job.progress} color={COLOURS[job.result]} animated={!done} aria-label="Progress" />
      </Progress.Root>
      {job.description && <Text size="sm">{job.description}</Text>}
      <Lines color={job.result === 'failed' ? 'red' : 'blue'} lines={job.details} title="Details" />
      <Lines color="yellow" lines={job.warnings} title="Warnings" />
      {job.devices.length > 0 && <Devices devices={job.devices} />}
      {cancel.error && (
        <Alert color="red" role="alert">
          {linesOf(cancel.error).join(' ')}
        </Alert>
      )}
      <Group justify="flex-end" gap="xs">
        {!done && job.stoppable && (
          <Button color="red" variant="light" onClick={() => cancel.mutate()} loading={cancel.isPending}>
            Cancel the job
          </Button>
        )}
        <Button variant="default" onClick={onClose}>
          {done ? 'Close' : 'Go on in the background'}
        </Button>
      </Group>
    </Stack>
  );
}

function Lines({ lines, title, color }: { lines: string[]; title: string; color: string }) {
  if (lines.length === 0) return null;
  return (
    <Alert color={color} title={title}>
      <Stack gap={2} mah={240} style={{ overflowY: 'auto' }} tabIndex={0} role="region" aria-label={title}>
        {lines.map((line) => (
          <Text key={line} size="sm" style={{ wordBreak: 'break-word' }}>
            {line}
          </Text>
        ))}
      </Stack>
    </Alert>
  );
}

function Devices({ devices }: { devices: JobDevice[] }) {
  return (
    <Table.ScrollContainer minWidth={500} mah={360}>
      <Table aria-label="Devices">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Device</Table.Th>
            <Table.Th>Device Group</Table.Th>
            <Table.Th>Result</Table.Th>
            <Table.Th>What it said</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {devices.map((device) => (
            <Table.Tr key={device.serial}>
              <Table.Td>{device.hostname || device.serial}</Table.Td>
              <Table.Td>{device.device_group}</Table.Td>
              <Table.Td>
                <Badge color={COLOURS[device.result]} variant="light">
                  {device.result}
                </Badge>
              </Table.Td>
              <Table.Td>
                {[...device.errors, ...device.warnings, ...device.notes].map((line) => (
                  <Text key={line} size="sm">
                    {line}
                  </Text>
                ))}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
