// What does the manager do at the moment, and how did it end? The task manager.

import {
  ActionIcon,
  Badge,
  Drawer,
  Group,
  Indicator,
  Loader,
  Stack,
  Text,
  Tooltip,
  UnstyledButton,
} from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconListCheck } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { api, told } from '../api/client';
import type { Job } from '../api/types';
import { Failure } from '../screens/Page';
import { moment } from '../times';
import { openJob } from './commits';

export const COLOURS = { pending: 'blue', ok: 'green', failed: 'red' } as const;

export function useJobs(enabled = true) {
  return useQuery({
    queryKey: ['jobs'],
    enabled,
    queryFn: () => told(api.GET('/api/v1/jobs', { params: { query: { limit: 50 } } })),
    refetchInterval: (query) => (query.state.data?.jobs.some((job) => job.state !== 'done') ? 1000 : 10_000),
  });
}

export function Tasks() {
  const [opened, { open, close }] = useDisclosure(false);
  const jobs = useJobs();
  const running = jobs.data?.jobs.filter((job) => job.state !== 'done').length ?? 0;
  return (
    <>
      <Tooltip label="Tasks">
        <Indicator disabled={running === 0} processing label={running} size={16}>
          <ActionIcon aria-label={running > 0 ? `Tasks, ${running} running` : 'Tasks'} size="lg" onClick={open}>
            <IconListCheck size={18} />
          </ActionIcon>
        </Indicator>
      </Tooltip>
      <Drawer
        opened={opened}
        onClose={close}
        position="right"
        title="Tasks"
        closeButtonProps={{ 'aria-label': 'Close' }}
      >
        <Stack gap="xs">
          {jobs.error && <Failure error={jobs.error} />}
          {jobs.data?.jobs.length === 0 && (
            <Text size="sm">Nothing was done yet. Commits and pushes are listed here.</Text>
          )}
          {jobs.data?.jobs.map((job) => (
            <Line
              key={job.id}
              job={job}
              onOpen={() => {
                close();
                openJob(job.id);
              }}
            />
          ))}
        </Stack>
      </Drawer>
    </>
  );
}

function Line({ job, onOpen }: { job: Job; onOpen: () => void }) {
  return (
    <UnstyledButton onClick={onOpen} p="xs" style={{ border: '1px solid var(--mantine-color-default-border)' }}>
      <Group justify="space-between" wrap="nowrap">
        <Text size="sm" fw={600}>
          {job.id} {job.kind}
        </Text>
        {job.state === 'done' ? (
          <Badge variant="light" color={COLOURS[job.result]}>
            {job.result}
          </Badge>
        ) : (
          <Group gap="xs">
            <Loader size="xs" aria-label={job.state} />
            <Text size="sm">{job.progress} %</Text>
          </Group>
        )}
      </Group>
      <Text size="xs" c="dimmed">
        {job.user}, {moment(job.enqueued)}
      </Text>
      {job.description && <Text size="sm">{job.description}</Text>}
    </UnstyledButton>
  );
}
