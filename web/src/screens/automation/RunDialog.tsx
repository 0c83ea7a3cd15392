// What did a run do, task by task, and what does it wait for?

import {
  Alert,
  Badge,
  Button,
  Code,
  Drawer,
  Group,
  Loader,
  Stack,
  Text,
  Textarea,
  Timeline,
  Title,
} from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, told } from '../../api/client';
import type { Run, Step } from '../../api/types';
import { moment } from '../../times';
import { Failure } from '../Page';
import { Refusal } from '../Refusal';
import { Graph } from './Graph';
import { STATES } from './states';

const OPEN = ['running', 'waiting'];

export function RunDialog({ id, onClose }: { id: number; onClose: () => void }) {
  const path = { id: String(id) };
  const run = useQuery({
    queryKey: ['automation', 'run', id],
    queryFn: () => told(api.GET('/api/v1/automation/runs/{id}', { params: { path } })),
    refetchInterval: (query) => (OPEN.includes(query.state.data?.run.state ?? '') ? 1000 : false),
  });
  return (
    <Drawer
      opened
      onClose={onClose}
      position="right"
      size="xl"
      title={`Run ${id}${run.data ? `: ${run.data.run.playbook}` : ''}`}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      {run.error && <Failure error={run.error} />}
      {run.data ? <Told run={run.data.run} steps={run.data.steps} /> : <Loader size="sm" aria-label="Loading" />}
    </Drawer>
  );
}

function Told({ run, steps }: { run: Run; steps: Step[] }) {
  return (
    <Stack gap="sm">
      <Group gap="xs">
        <Badge variant="light" size="lg" color={STATES[run.state]} aria-live="polite">
          {run.state}
        </Badge>
        <Text size="sm" c="dimmed">
          {run.cluster ? `cluster ${run.cluster}, ` : ''}by {run.requester}, {moment(run.started)} –{' '}
          {moment(run.finished)}
        </Text>
      </Group>
      {run.error && (
        <Alert color="red" title="It failed">
          {run.error}
        </Alert>
      )}
      {run.state === 'waiting' && <Decision run={run} question={textOf(steps.at(-1))} />}
      {run.state === 'failed' && <Rerun run={run} />}
      <Graph playbook={run.playbook} version={run.version} steps={steps} />
      <Title order={3} size="h5">
        Tasks
      </Title>
      <Timeline active={steps.length} bulletSize={14} lineWidth={2} color="gray">
        {steps.map((step) => (
          <Timeline.Item key={step.number}>
            <Group gap="xs">
              <Text fw={600} size="sm">
                {step.task}
              </Text>
              <Badge variant="light" size="sm" color={STATES[step.state]}>
                {step.state}
              </Badge>
              <Text size="xs" c="dimmed">
                {moment(step.started)} – {moment(step.finished)}
              </Text>
            </Group>
            {step.error && <Text size="sm">{step.error}</Text>}
            <Values name="in" value={step.inputs} />
            <Values name="out" value={step.outputs} />
          </Timeline.Item>
        ))}
      </Timeline>
    </Stack>
  );
}

function textOf(step: Step | undefined): string {
  const inputs = step?.inputs as { text?: string } | undefined;
  return inputs?.text ?? 'It waits for a decision.';
}

function Values({ name, value }: { name: string; value: unknown }) {
  if (!value || Object.keys(value).length === 0) return null;
  return (
    <details>
      <summary>
        <Text size="xs" component="span">
          {name}
        </Text>
      </summary>
      <Code block tabIndex={0}>
        {JSON.stringify(value, null, 1)}
      </Code>
    </details>
  );
}

function Decision({ run, question }: { run: Run; question: string }) {
  const queries = useQueryClient();
  const [comment, setComment] = useState('');
  const decide = useMutation({
    mutationFn: (verdict: 'approve' | 'reject') => {
      const request = { params: { path: { id: String(run.id) } }, body: { comment } };
      return verdict === 'approve'
        ? told(api.POST('/api/v1/automation/runs/{id}/approve', request))
        : told(api.POST('/api/v1/automation/runs/{id}/reject', request));
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ['automation'] }),
  });
  return (
    <Alert color="blue" title="It waits for your decision">
      <Stack gap="xs">
        <Text size="sm">{question}</Text>
        <Textarea
          label="Comment"
          autosize
          value={comment}
          onChange={(event) => setComment(event.currentTarget.value)}
        />
        {decide.error && <Refusal error={decide.error} />}
        <Group gap="xs">
          <Button loading={decide.isPending} onClick={() => decide.mutate('approve')}>
            Approve
          </Button>
          <Button color="red" variant="light" loading={decide.isPending} onClick={() => decide.mutate('reject')}>
            Reject
          </Button>
        </Group>
      </Stack>
    </Alert>
  );
}

function Rerun({ run }: { run: Run }) {
  const queries = useQueryClient();
  const rerun = useMutation({
    mutationFn: () =>
      told(api.POST('/api/v1/automation/runs/{id}/rerun', { params: { path: { id: String(run.id) } }, body: {} })),
    onSettled: () => queries.invalidateQueries({ queryKey: ['automation'] }),
  });
  return (
    <Stack gap="xs">
      {rerun.error && <Refusal error={rerun.error} />}
      <Group>
        <Button variant="light" loading={rerun.isPending} onClick={() => rerun.mutate()}>
          Go on from task {run.task}
        </Button>
      </Group>
    </Stack>
  );
}
