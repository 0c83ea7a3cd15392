// Which Kubernetes clusters tell their tags and policies, and is anything wrong with one?

import { Badge, Group, Text, Tooltip } from '@mantine/core';
import { IconAlertTriangle, IconTrash } from '@tabler/icons-react';
import { useState } from 'react';
import { useClusters, useForget } from '../../api/clusters';
import type { Cluster } from '../../api/types';
import { Clip, type Column, Grid, textColumn } from '../../table/Grid';
import { span } from '../../times';
import { Confirm } from '../Confirm';
import { Tool } from '../lists/Tools';
import { Failure, Nothing, Page } from '../Page';

const COLUMNS: Column<Cluster>[] = [
  textColumn('name', 'Name', 140, (one) => one.name),
  textColumn('id', 'Cluster ID', 90, (one) => (one.cluster_id ? String(one.cluster_id) : '–')),
  {
    id: 'state',
    header: 'State',
    width: 150,
    cell: (one) => (
      <Badge variant="light" color={one.expired ? 'red' : one.warnings.length > 0 ? 'yellow' : 'green'}>
        {one.expired ? 'silent, tags gone' : one.warnings.length > 0 ? 'look at it' : 'well'}
      </Badge>
    ),
  },
  textColumn('heard', 'Heard', 110, (one) => `${span(one.silent_s)} ago`),
  textColumn('controller', 'Controller', 200, (one) => one.controller),
  textColumn('pods', 'Pods', 80, (one) => (one.objects.pods ?? 0).toLocaleString()),
  textColumn('services', 'Services', 90, (one) => (one.objects.services ?? 0).toLocaleString()),
  textColumn('nodes', 'Nodes', 80, (one) => (one.objects.nodes ?? 0).toLocaleString()),
  textColumn('namespaces', 'Namespaces Inspected', 170, (one) => {
    const { protected_namespaces, namespaces } = one.objects;
    return `${protected_namespaces ?? 0} of ${namespaces ?? 0}`;
  }),
  textColumn('tagged', 'Tagged Addresses', 140, (one) => one.tagged_addresses.toLocaleString()),
  textColumn('groups', 'Device Groups', 180, (one) => one.device_groups.join(', ') || 'none'),
  {
    id: 'warnings',
    header: 'Warnings',
    width: 420,
    cell: (one) =>
      one.warnings.length === 0 ? null : (
        <Tooltip multiline maw={520} label={one.warnings.join('\n')}>
          <Group gap={4} wrap="nowrap">
            <IconAlertTriangle size={14} aria-hidden />
            <Clip>{one.warnings.join('; ')}</Clip>
          </Group>
        </Tooltip>
      ),
  },
];

export function ClustersScreen() {
  const clusters = useClusters();
  const forget = useForget();
  const [selected, setSelected] = useState<ReadonlyMap<string, Cluster>>(new Map());
  const [leaving, setLeaving] = useState(false);
  const list = clusters.data?.clusters ?? [];
  const [chosen] = [...selected.values()];
  if (clusters.error) return <Failure error={clusters.error} />;
  return (
    <Page
      title="Clusters"
      tools={
        <Tool
          label="Forget"
          icon={<IconTrash size={18} />}
          onClick={() => setLeaving(true)}
          disabled={chosen === undefined || selected.size !== 1}
        />
      }
    >
      <Text size="sm" c="dimmed" aria-live="polite">
        {list.filter((one) => !one.expired).length} of {list.length} heard
      </Text>
      <Grid
        label="Clusters"
        columns={COLUMNS}
        count={list.length}
        at={(line) => list[line]}
        keyOf={(one) => one.name}
        selected={selected}
        onSelect={setSelected}
        none={
          <Nothing>
            No cluster was heard. Install the chart with its controller, which gives this manager the cluster's labels
            and policies.
          </Nothing>
        }
      />
      {leaving && chosen && (
        <Confirm
          title={`Forget cluster ${chosen.name}?`}
          lines={[
            `its ${chosen.tagged_addresses} tagged addresses leave their address groups`,
            'rules that were made of its policies are removed',
            'a controller that still runs tells it anew',
          ]}
          verb="Forget"
          busy={forget.isPending}
          error={forget.error}
          onConfirm={() => forget.mutate(chosen.name, { onSuccess: () => setLeaving(false) })}
          onClose={() => setLeaving(false)}
        />
      )}
    </Page>
  );
}
