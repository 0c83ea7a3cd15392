// What waits for somebody's approval? Runs of playbooks that a person has to look at, and commits and pushes that the
// four-eyes option holds.

import { Alert, Button, Code, Group, Modal, SegmentedControl, Stack, Text, Textarea } from '@mantine/core';
import { useState } from 'react';
import { useApprovals, useDecideApproval } from '../../api/administration';
import { useRuns } from '../../api/automation';
import type { Approval, Run } from '../../api/types';
import { useAddress } from '../../scope';
import { type Column, Grid, textColumn } from '../../table/Grid';
import { ago, moment } from '../../times';
import { RunDialog } from '../automation/RunDialog';
import { about } from '../automation/RunsScreen';
import { State } from '../automation/states';
import { Failure, Nothing, Page } from '../Page';
import { Refusal } from '../Refusal';

/** Either of them, as a line. */
type Line = {
  /** What opens it in the address of the page. */
  key: string;
  what: string;
  state: string;
  requester: string;
  since: string;
  about: string;
  decided: string;
};

const ofRun = (run: Run): Line => ({
  key: `run-${run.id}`,
  what: `Run ${run.id}: ${run.playbook}`,
  state: run.state,
  requester: run.requester,
  since: run.started,
  about: [run.cluster, about(run)].filter(Boolean).join(', '),
  decided: '',
});

const ofApproval = (approval: Approval): Line => ({
  key: `approval-${approval.id}`,
  what: approval.kind === 'commit' ? 'Commit' : 'Push',
  state: approval.state === 'pending' ? 'waiting' : approval.state,
  requester: approval.requester,
  since: approval.time,
  about: approval.summary.filter(Boolean).join('; '),
  decided: approval.decided_by ?? '',
});

const COLUMNS: Column<Line>[] = [
  textColumn('what', 'What', 200, (line) => line.what),
  { id: 'state', header: 'State', width: 120, cell: (line) => <State>{line.state}</State> },
  textColumn('requester', 'For', 140, (line) => line.requester),
  textColumn('since', 'Since', 140, (line) => ago(line.since)),
  textColumn('about', 'About', 480, (line) => line.about),
  textColumn('decided', 'Decided By', 140, (line) => line.decided),
];

export function ApprovalsScreen() {
  const [address, setAddress] = useAddress();
  const [all, setAll] = useState(false);
  const runs = useRuns('waiting', '');
  const approvals = useApprovals();
  const asked = approvals.data?.approvals ?? [];
  const shown = asked.filter((one) => all || one.state === 'pending');
  const list = [...(runs.data?.runs ?? []).map(ofRun), ...shown.map(ofApproval)];
  const waiting = list.filter((line) => line.state === 'waiting').length;
  const opened = asked.find((one) => `approval-${one.id}` === address.open);
  const run = /^run-(\d+)$/.exec(address.open ?? '')?.[1];
  const close = () => setAddress({ open: undefined });
  const error = runs.error ?? approvals.error;
  if (error) return <Failure error={error} />;
  return (
    <Page
      title="Approvals"
      tools={
        <SegmentedControl
          aria-label="Which"
          size="xs"
          data={[
            { value: 'waiting', label: 'Waiting' },
            { value: 'all', label: 'Decided, too' },
          ]}
          value={all ? 'all' : 'waiting'}
          onChange={(value) => setAll(value === 'all')}
        />
      }
    >
      <Text size="sm" c="dimmed" aria-live="polite">
        {waiting === 0 ? 'Nothing waits for an approval.' : `${waiting} wait for an approval. Enter opens one.`}
      </Text>
      <Grid
        label="Approvals"
        columns={COLUMNS}
        count={list.length}
        at={(line) => list[line]}
        keyOf={(line) => line.key}
        onOpen={(line) => setAddress({ open: line.key })}
        none={
          <Nothing>
            Runs of playbooks wait here when their cluster does not commit by itself, and commits and pushes when the
            four-eyes option is on: then somebody else than who made the edits has to look at them.
          </Nothing>
        }
      />
      {run && <RunDialog key={run} id={Number(run)} onClose={close} />}
      {opened && <Detail key={opened.id} approval={opened} onClose={close} />}
    </Page>
  );
}

function Detail({ approval, onClose }: { approval: Approval; onClose: () => void }) {
  const [comment, setComment] = useState('');
  const decide = useDecideApproval(approval.id);
  const pending = approval.state === 'pending';
  const act = (approve: boolean) => decide.mutate({ approve, comment }, { onSuccess: onClose });
  return (
    <Modal opened onClose={onClose} title={`Approval ${approval.id}: ${approval.kind}`} size="xl">
      <Stack gap="sm">
        <Group gap="xs">
          <State>{pending ? 'waiting' : approval.state}</State>
          <Text size="sm">
            {approval.requester} wants it since {moment(approval.time)}; the edits are of {approval.authors.join(', ')}.
          </Text>
        </Group>
        {approval.decided_by && (
          <Alert color={approval.state === 'refused' ? 'red' : 'green'} variant="light">
            {approval.state === 'refused' ? 'Refused' : 'Approved'} by {approval.decided_by}, {moment(approval.decided)}
            {approval.comment && `: ${approval.comment}`}
          </Alert>
        )}
        <Code block mah={320} style={{ overflowY: 'auto' }} tabIndex={0}>
          {approval.summary.filter(Boolean).join('\n')}
        </Code>
        {pending && (
          <>
            <Text size="sm" c="dimmed">
              An approval is good for exactly this, once. Then {approval.requester} does the {approval.kind} again.
            </Text>
            <Textarea
              label="Comment"
              placeholder="Why?"
              autosize
              maxLength={512}
              value={comment}
              onChange={(event) => setComment(event.currentTarget.value)}
            />
          </>
        )}
        {decide.error && <Refusal error={decide.error} />}
        <Group justify="flex-end" gap="xs">
          {pending && (
            <>
              <Button color="red" variant="light" loading={decide.isPending} onClick={() => act(false)}>
                Refuse
              </Button>
              <Button loading={decide.isPending} onClick={() => act(true)}>
                Approve
              </Button>
            </>
          )}
          <Button variant="default" onClick={onClose}>
            {pending ? 'Leave it' : 'Close'}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
