// What does a run do, task by task, what would it change, and is that wanted?

import { Alert, Button, Code, Group, Loader, Modal, Stack, Text, Textarea } from '@mantine/core';
import { useState } from 'react';
import { type Decision, isOpen, useDecide, usePlaybook, useRun } from '../../api/automation';
import type { RunDetail } from '../../api/types';
import { moment } from '../../times';
import { Failure } from '../Page';
import { Refusal } from '../Refusal';
import { Graph } from './Graph';
import { stops } from './graph';
import { took } from './RunsScreen';
import { State } from './states';
import { Tasks } from './Tasks';

export function RunDialog({ id, onClose }: { id: number; onClose: () => void }) {
  const run = useRun(id);
  return (
    <Modal opened onClose={onClose} title={`Run ${id}${run.data ? `: ${run.data.run.playbook}` : ''}`} size="xl">
      {run.error && <Failure error={run.error} />}
      {run.isPending && <Loader size="sm" aria-label="Loading" />}
      {run.data && <Told detail={run.data} onClose={onClose} />}
    </Modal>
  );
}

function Told({ detail: { run, steps }, onClose }: { detail: RunDetail; onClose: () => void }) {
  const playbook = usePlaybook(run.playbook).data?.playbooks.find((one) => one.version === run.version);
  const [comment, setComment] = useState('');
  const [task, setTask] = useState<string>();
  const decide = useDecide(run.id);
  const act = (what: Decision) => decide.mutate({ what, comment, ...(task ? { task } : {}) });
  const way = stops(playbook?.tasks ?? [], steps);
  const question = steps.findLast((step) => step.state === 'waiting');
  const difference = steps.findLast((step) => textOf(step.outputs, 'text') !== '');
  return (
    <Stack gap="sm">
      <Group justify="space-between">
        <Group gap="xs" aria-live="polite">
          <State>{run.state}</State>
          <Text size="sm">
            {run.playbook} (version {run.version}){run.cluster && ` for cluster ${run.cluster}`}
          </Text>
        </Group>
        <Text size="sm" c="dimmed">
          {run.requester}, {moment(run.started)} {took(run) && `– ${took(run)}`}
        </Text>
      </Group>
      {run.error && (
        <Alert color="red" title={`Task ${run.task} failed`}>
          {run.error}
        </Alert>
      )}
      {run.state === 'waiting' && (
        <Alert color="yellow" title="This waits for an approval">
          {textOf(question?.inputs, 'text') || textOf(question?.inputs, 'ask') || 'The difference is below.'}
        </Alert>
      )}
      {difference && (
        <section aria-label="Difference">
          <Text size="sm" fw={600} mb={4}>
            What it changes
          </Text>
          <Code block mah={280} style={{ overflowY: 'auto' }} tabIndex={0}>
            {textOf(difference.outputs, 'text')}
          </Code>
        </section>
      )}
      {playbook && <Graph name={run.playbook} stops={way} />}
      <Tasks
        stops={way.filter((stop) => stop.steps.length > 0)}
        again={run.state === 'failed' ? setTask : undefined}
        from={task ?? run.task}
      />
      {run.state === 'waiting' && (
        <Textarea
          label="Comment"
          placeholder="Why?"
          autosize
          maxLength={512}
          value={comment}
          onChange={(event) => setComment(event.currentTarget.value)}
        />
      )}
      {decide.error && <Refusal error={decide.error} />}
      <Group justify="flex-end" gap="xs">
        {run.state === 'waiting' && (
          <>
            <Button color="red" variant="light" loading={decide.isPending} onClick={() => act('reject')}>
              Reject
            </Button>
            <Button loading={decide.isPending} onClick={() => act('approve')}>
              Approve
            </Button>
          </>
        )}
        {run.state === 'failed' && (
          <Button loading={decide.isPending} onClick={() => act('rerun')}>
            Rerun from {task ?? run.task}
          </Button>
        )}
        <Button variant="default" onClick={onClose}>
          {isOpen(run) ? 'Leave it' : 'Close'}
        </Button>
      </Group>
    </Stack>
  );
}

/** A text among what a task was told or what came of it. */
function textOf(values: unknown, name: string): string {
  const value = values && typeof values === 'object' ? (values as Record<string, unknown>)[name] : undefined;
  return typeof value === 'string' ? value : '';
}
