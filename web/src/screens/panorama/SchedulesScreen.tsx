// What is pushed by itself, and when? The scheduled pushes of the candidate, with what became of each time of those that
// are committed.

import { Alert, Badge, Button, Drawer, Stack, Text } from '@mantine/core';
import { IconHistory, IconPlayerPlay, IconPlus, IconToggleLeft, IconTrash } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, told } from '../../api/client';
import { refused, useEdit, useNode } from '../../api/config';
import type { Node, Schedule } from '../../api/types';
import { useScoped } from '../../scope';
import { openJob } from '../../shell/commits';
import { useColumns } from '../../table/Columns';
import { type Column, Grid, textColumn } from '../../table/Grid';
import { moment } from '../../times';
import { EntryDialog } from '../../tree/EntryDialog';
import { at, elements, entries, entryPath, leaf, memberList, members, nameOf, text, withChild } from '../../tree/node';
import { Confirm } from '../Confirm';
import { joined } from '../lists/kinds';
import { Tool } from '../lists/Tools';
import { Failure, Nothing, Page } from '../Page';

/** A schedule of the candidate, and what the manager knows of the one that is committed. */
type Line = { node: Node; state: Schedule | undefined };

const LAYOUT = [
  { label: 'What', tags: ['device-group', 'template-stack', 'include-template'] },
  { label: 'When', tags: ['type', 'timezone', 'disabled'] },
];

/** Names of groups or stacks, written as entries or as members. */
const names = (node: Node, tag: string) => [...entries(node, tag).map(nameOf), ...members(node, tag)];

function scope(node: Node): string {
  const [groups, stacks] = [names(node, 'device-group'), names(node, 'template-stack')];
  const only = text(node, 'include-template') === 'no' ? ', without templates' : '';
  return groups.length > 0 ? `${joined(groups)}${only}` : stacks.length > 0 ? `templates of ${joined(stacks)}` : '';
}

function recurrence(node: Node): string {
  const once = at(node, 'type', 'one-time');
  if (once) return `once, ${text(once, 'date')} ${text(once, 'time')}`;
  const [kind] = elements(at(node, 'type', 'recurring'));
  if (!kind) return '';
  const days = joined(members(kind, 'day-of-week')) || text(kind, 'day-of-week');
  const day = text(kind, 'day-of-month');
  return [kind.tag, days, day && `day ${day}`, text(kind, 'at')].filter(Boolean).join(', ');
}

const COLUMNS: Column<Line>[] = [
  textColumn('name', 'Name', 180, ({ node }) => nameOf(node)),
  textColumn('scope', 'Pushes', 240, ({ node }) => scope(node)),
  textColumn('when', 'Recurrence', 230, ({ node }) => recurrence(node)),
  textColumn('zone', 'Time Zone', 130, ({ node }) => text(node, 'timezone')),
  {
    id: 'state',
    header: 'State',
    width: 150,
    cell: ({ node, state }) => {
      const off = text(node, 'disabled') === 'yes';
      return (
        <Badge variant="light" color={off ? 'gray' : state ? 'green' : 'yellow'}>
          {off ? 'disabled' : state ? 'enabled' : 'not committed'}
        </Badge>
      );
    },
  },
  textColumn('next', 'Next', 180, ({ state }) => moment(state?.next)),
  textColumn('last', 'Last', 220, ({ state }) => {
    const last = state?.history[0];
    return last ? `${moment(last.begun)}, ${last.result ?? 'under way'}` : '–';
  }),
];

export function SchedulesScreen() {
  const list = useScoped('panorama', 'scheduled-config-push')?.xpath ?? '';
  const candidate = useNode(list);
  const states = useQuery({
    queryKey: ['config', 'schedules'],
    queryFn: () => told(api.GET('/api/v1/schedules')),
    refetchInterval: 5000,
  });
  const [selected, setSelected] = useState<ReadonlyMap<string, Line>>(new Map());
  const [opened, setOpened] = useState<{ was?: { node: Node; digest: string } }>();
  const [doomed, setDoomed] = useState(false);
  const [past, setPast] = useState<string>();
  const { columns, menu } = useColumns('schedules', COLUMNS);
  const edit = useEdit();
  const remove = useEdit(true);
  const run = useRun();

  const lines = elements(candidate.data?.node).map((node): Line => {
    return { node, state: states.data?.schedules.find((one) => one.name === nameOf(node)) };
  });
  const chosen = lines.filter((line) => selected.has(nameOf(line.node)));
  const [one] = chosen.length === 1 ? chosen : [];
  const off = chosen.every(({ node }) => text(node, 'disabled') === 'yes');
  const toggle = () =>
    edit.mutate(
      chosen.map(({ node }) => ({
        action: 'edit',
        xpath: `${entryPath(list, nameOf(node))}/disabled`,
        node: leaf('disabled', off ? 'no' : 'yes'),
      })),
    );
  const open = async ({ node }: Line) => {
    const { nodes } = await told(
      api.GET('/api/v1/config', { params: { query: { xpath: entryPath(list, nameOf(node)) } } }),
    );
    const [found] = nodes;
    if (found?.node) setOpened({ was: { node: asMembers(found.node), digest: found.digest } });
  };
  const error = candidate.error ?? states.error;
  if (error) return <Failure error={error} />;
  return (
    <Page
      title="Scheduled Config Push"
      tools={
        <>
          <Button leftSection={<IconPlus size={16} />} onClick={() => setOpened({})}>
            Add
          </Button>
          <Tool
            label={off && chosen.length > 0 ? 'Enable' : 'Disable'}
            icon={<IconToggleLeft size={18} />}
            onClick={toggle}
            disabled={chosen.length === 0 || edit.isPending}
          />
          <Tool
            label="Run now"
            icon={<IconPlayerPlay size={18} />}
            onClick={() => one && run.mutate(nameOf(one.node))}
            disabled={!one?.state || run.isPending}
          />
          <Tool
            label="History"
            icon={<IconHistory size={18} />}
            onClick={() => one && setPast(nameOf(one.node))}
            disabled={!one}
          />
          <Tool
            label="Delete"
            icon={<IconTrash size={18} />}
            onClick={() => setDoomed(true)}
            disabled={chosen.length === 0}
          />
          {menu}
        </>
      }
    >
      <Text size="sm" c="dimmed">
        A schedule counts once it is committed, and pushes what is committed when it is due.
      </Text>
      <Grid
        label="Scheduled Config Push"
        columns={columns}
        count={lines.length}
        at={(line) => lines[line]}
        keyOf={(line) => nameOf(line.node)}
        selected={selected}
        onSelect={setSelected}
        onOpen={(line) => void open(line).catch(refused)}
        none={
          <Nothing
            next={
              <Button variant="light" onClick={() => setOpened({})}>
                Add a schedule
              </Button>
            }
          >
            Nothing is pushed by itself. A schedule pushes to device groups, or to template stacks, once or again and
            again.
          </Nothing>
        }
      />
      {opened && (
        <EntryDialog
          key={opened.was?.digest ?? 'new'}
          opened={{ list, ...opened }}
          title={opened.was ? 'scheduled push' : 'Add scheduled push'}
          layout={LAYOUT}
          onClose={() => setOpened(undefined)}
        />
      )}
      {past && (
        <History
          name={past}
          runs={lines.find(({ node }) => nameOf(node) === past)?.state?.history ?? []}
          onClose={() => setPast(undefined)}
        />
      )}
      {doomed && (
        <Confirm
          title="Delete these schedules?"
          lines={chosen.map(({ node }) => nameOf(node))}
          verb="Delete"
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() =>
            remove.mutate(
              chosen.map(({ node }) => ({ action: 'delete', xpath: entryPath(list, nameOf(node)) })),
              { onSuccess: () => setDoomed(false) },
            )
          }
          onClose={() => setDoomed(false)}
        />
      )}
    </Page>
  );
}

/** What a schedule would push, pushed now; the job is shown. */
function useRun() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (name: string) => told(api.POST('/api/v1/schedules/{name}/run', { params: { path: { name } } })),
    onSuccess: async ({ job }) => {
      await queries.invalidateQueries({ queryKey: ['config', 'schedules'] });
      if (job) openJob(job.id);
    },
    onError: refused,
  });
}

/** Lists of entries as lists of members, which mean the same. */
function asMembers(node: Node): Node {
  return ['device-group', 'template-stack'].reduce((here, tag) => {
    const found = names(here, tag);
    return found.length > 0 ? withChild(here, tag, memberList(tag, found)) : here;
  }, node);
}

const RUN_COLUMNS: Column<Schedule['history'][number]>[] = [
  { id: 'due', header: 'Due', width: 180, cell: (run) => moment(run.due) },
  { id: 'begun', header: 'Begun', width: 180, cell: (run) => moment(run.begun) },
  { id: 'job', header: 'Job', width: 80, cell: (run) => String(run.job) },
  { id: 'result', header: 'Result', width: 160, cell: (run) => run.result ?? 'not kept any more' },
];

function History({ name, runs, onClose }: { name: string; runs: Schedule['history']; onClose: () => void }) {
  return (
    <Drawer
      opened
      onClose={onClose}
      position="right"
      size="lg"
      title={`History of ${name}`}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      <Stack gap="sm" h="80vh">
        <Text size="sm" c="dimmed">
          Enter opens the job, with each device.
        </Text>
        <Grid
          label="History"
          columns={RUN_COLUMNS}
          count={runs.length}
          at={(line) => runs[line]}
          keyOf={(run) => `${run.due} ${run.job}`}
          onOpen={(run) => openJob(run.job)}
          none={<Alert>It did not happen yet.</Alert>}
        />
      </Stack>
    </Drawer>
  );
}
