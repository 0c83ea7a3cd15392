// What would be committed, whose is it, is it right, and where would it be pushed?

import { Button, Checkbox, Group, Modal, Stack, Tabs, Text, Textarea } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, told } from '../../api/client';
import { forget, useCandidate } from '../../api/config';
import { linesOf, Problem } from '../../api/problem';
import type { Job } from '../../api/types';
import { closeDialog, type Kind, openJob } from '../../shell/commits';
import { Refusal } from '../Refusal';
import { Changes } from './Changes';
import { Diff } from './Diff';
import { Findings } from './Findings';
import { type Chosen, PushScope, usePushScope } from './PushScope';

const TITLES = { commit: 'Commit to Panorama', push: 'Push to Devices', both: 'Commit and Push' } as const;
/** A commit that takes longer goes on; its job is in the task manager. */
const WAIT_S = 300;

export function CommitDialog({ kind, onClose }: { kind: Kind; onClose: () => void }) {
  const candidate = useCandidate();
  const authors = candidate.data?.authors ?? [];
  const [left, setLeft] = useState<string[]>([]);
  const [description, setDescription] = useState('');
  const [chosen, setChosen] = useState<Chosen>();
  const scope = usePushScope(kind === 'push');
  const start = useStart(kind);
  const commits = kind !== 'push';
  const pending = candidate.data?.pending ?? 0;
  const admins = authors.filter((author) => !left.includes(author));
  const nothing = commits
    ? pending === 0
    : (scope.data?.device_groups.length ?? 0) + (scope.data?.template_stacks.length ?? 0) === 0;

  return (
    <Modal opened onClose={onClose} title={TITLES[kind]} size="xl">
      <Stack gap="sm">
        {commits && nothing && <Text>Nothing is pending: the candidate is the running configuration.</Text>}
        {commits && pending > 0 && (
          <>
            <Authors authors={authors} left={left} onChange={setLeft} />
            <Tabs defaultValue="changes" keepMounted={false}>
              <Tabs.List mb="sm">
                <Tabs.Tab value="changes">Changes ({pending})</Tabs.Tab>
                <Tabs.Tab value="diff">Difference</Tabs.Tab>
                <Tabs.Tab value="check">Validate</Tabs.Tab>
              </Tabs.List>
              <Tabs.Panel value="changes">
                <Changes left={left} />
              </Tabs.Panel>
              <Tabs.Panel value="diff">
                <Diff from="running" to="candidate" />
              </Tabs.Panel>
              <Tabs.Panel value="check">
                <Findings />
              </Tabs.Panel>
            </Tabs>
            {kind === 'both' && (
              <Text size="sm" c="dimmed">
                After the commit, each device group and template stack that has something new is pushed to its devices.
              </Text>
            )}
          </>
        )}
        {kind === 'push' && <PushScope scope={scope} chosen={chosen} onChange={setChosen} />}
        <Textarea
          label="Description"
          placeholder="Why?"
          autosize
          maxLength={512}
          value={description}
          onChange={(event) => setDescription(event.currentTarget.value)}
        />
        {start.error && <Refusal error={start.error} />}
        <Group justify="flex-end" gap="xs">
          {commits && pending > 0 && <Revert onDone={onClose} />}
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button
            loading={start.isPending}
            disabled={nothing || (commits && admins.length === 0)}
            onClick={() => start.mutate({ description, admins: left.length > 0 ? admins : [], chosen })}
          >
            {TITLES[kind]}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

/** Whose edits: all, or those of some. */
function Authors({
  authors,
  left,
  onChange,
}: {
  authors: string[];
  left: string[];
  onChange: (left: string[]) => void;
}) {
  if (authors.length < 2) return <Text size="sm">Changes by {authors[0]}</Text>;
  return (
    <Checkbox.Group
      label="Changes by"
      value={authors.filter((author) => !left.includes(author))}
      onChange={(kept) => onChange(authors.filter((author) => !kept.includes(author)))}
    >
      <Group gap="md" mt={4}>
        {authors.map((author) => (
          <Checkbox key={author} value={author} label={author} />
        ))}
      </Group>
    </Checkbox.Group>
  );
}

/** Undoes everything that is pending, after a second click. */
function Revert({ onDone }: { onDone: () => void }) {
  const queries = useQueryClient();
  const [sure, setSure] = useState(false);
  const revert = useMutation({
    mutationFn: () => told(api.POST('/api/v1/candidate/revert', { body: {} })),
    onSuccess: async () => {
      await forget(queries);
      onDone();
    },
  });
  if (revert.error) return <Text c="red">{linesOf(revert.error).join(' ')}</Text>;
  return (
    <Button
      variant={sure ? 'filled' : 'subtle'}
      color="red"
      mr="auto"
      loading={revert.isPending}
      onClick={() => (sure ? revert.mutate() : setSure(true))}
    >
      {sure ? 'Undo all pending changes, of everybody' : 'Revert…'}
    </Button>
  );
}

type Order = { description: string; admins: string[]; chosen: Chosen | undefined };

function useStart(kind: Kind) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (order: Order): Promise<number | undefined> => {
      if (kind === 'push') return pushAll(order.description, order.chosen);
      const job = await commit(order);
      if (kind === 'commit' || !job) return job?.id;
      await ended(job);
      return (await pushAll(order.description)) ?? job.id;
    },
    onSuccess: async (job) => {
      await Promise.all([forget(queries), queries.invalidateQueries({ queryKey: ['jobs'] })]);
      if (job === undefined) closeDialog();
      else openJob(job);
    },
  });
}

async function commit({ description, admins }: Order): Promise<Job | undefined> {
  const only = admins.length > 0 ? { admins } : null;
  const { job } = await told(api.POST('/api/v1/commit', { body: { description, only } }));
  return job ?? undefined;
}

/** Waits for the end of a commit; one that failed is a refusal with its lines. */
async function ended(job: Job): Promise<void> {
  const path = { id: String(job.id) };
  const last = await told(api.GET('/api/v1/jobs/{id}', { params: { path, query: { wait: WAIT_S } } }));
  if (last.result !== 'ok') {
    throw new Problem(
      409,
      'failed',
      `commit job ${job.id} did not succeed`,
      last.details.map((message) => ({ message })),
    );
  }
}

/** Pushes what is chosen, or all that lacks something; the first job of it. */
async function pushAll(description: string, chosen?: Chosen): Promise<number | undefined> {
  let what = chosen;
  if (!what) {
    const scope = await told(api.GET('/api/v1/push/scope'));
    const covered = new Set(scope.device_groups.flatMap((group) => group.devices));
    const stacks = scope.template_stacks.filter((stack) => stack.devices.some((device) => !covered.has(device)));
    what = { groups: scope.device_groups.map((group) => group.name), stacks: stacks.map((stack) => stack.name) };
  }
  const jobs: number[] = [];
  if (what.groups.length > 0) {
    const { job } = await told(api.POST('/api/v1/push', { body: { description, device_groups: what.groups } }));
    if (job) jobs.push(job.id);
  }
  for (const stack of what.stacks) {
    const { job } = await told(api.POST('/api/v1/push', { body: { description, template_stack: stack } }));
    if (job) jobs.push(job.id);
  }
  return jobs[0];
}
