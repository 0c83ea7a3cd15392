// What became of the NetworkPolicies of a cluster: translated, committed, enforced, and if not, why?

import { Badge, Group, Modal, Select, Stack, Table, Text, TextInput } from '@mantine/core';
import { IconSearch } from '@tabler/icons-react';
import { useClusters, usePolicies } from '../../api/clusters';
import type { Policy } from '../../api/types';
import { useAddress } from '../../scope';
import { type Column, Grid } from '../../table/Grid';
import { ago } from '../../times';
import { Failure, Nothing, Page } from '../Page';
import { Links } from './Links';

type Condition = Policy['conditions'][number];

const COLOURS: Record<string, string> = { True: 'green', False: 'red', Unknown: 'yellow' };

function badge(condition: Condition | undefined) {
  if (!condition) return null;
  return (
    <Badge variant="light" color={COLOURS[condition.status] ?? 'gray'} title={condition.message}>
      {condition.status === 'True' ? 'yes' : condition.reason}
    </Badge>
  );
}

function condition(type: string): Column<Policy> {
  return {
    id: type,
    header: type,
    width: 140,
    cell: (policy) => badge(policy.conditions.find((one) => one.type === type)),
  };
}

const COLUMNS: Column<Policy>[] = [
  { id: 'namespace', header: 'Namespace', width: 150, cell: (one) => one.namespace || 'all' },
  { id: 'name', header: 'Name', width: 220, cell: (one) => one.name },
  { id: 'kind', header: 'Kind', width: 170, cell: (one) => one.kind },
  condition('Translated'),
  condition('Committed'),
  condition('Enforced'),
  { id: 'rules', header: 'Rules', width: 70, cell: (one) => String(one.rules.length) },
  { id: 'why', header: 'Why Not', width: 460, cell: (one) => whyNot(one) },
];

/** The first thing that keeps a policy from being enforced. */
function whyNot(policy: Policy): string {
  return policy.conditions.find((one) => one.status !== 'True')?.message ?? '';
}

/** One name for a policy in the address of the page. */
function keyOf(policy: Policy): string {
  return `${policy.kind}/${policy.namespace}/${policy.name}`;
}

export function PoliciesScreen() {
  const [address, setAddress] = useAddress();
  const clusters = useClusters();
  const names = clusters.data?.clusters.map((one) => one.name) ?? [];
  const cluster = address.cluster ?? names[0];
  const policies = usePolicies(cluster);
  const search = (address.q ?? '').toLowerCase();
  const all = policies.data?.policies ?? [];
  const list = all.filter((one) =>
    `${one.namespace}/${one.name} ${one.rules.join(' ')}`.toLowerCase().includes(search),
  );
  const opened = all.find((one) => keyOf(one) === address.open);
  const error = clusters.error ?? policies.error;
  if (error) return <Failure error={error} />;
  const enforced = all.filter((one) => one.conditions.every((condition) => condition.status === 'True')).length;
  return (
    <Page
      title="Network Policies"
      tools={
        <>
          <TextInput
            aria-label="Search policies"
            placeholder="Search"
            leftSection={<IconSearch size={16} />}
            value={address.q ?? ''}
            onChange={(event) => setAddress({ q: event.currentTarget.value || undefined })}
          />
          <Select
            aria-label="Cluster"
            placeholder="Cluster"
            data={names}
            value={cluster ?? null}
            onChange={(value) => setAddress({ cluster: value ?? undefined })}
            allowDeselect={false}
          />
        </>
      }
    >
      <Text size="sm" c="dimmed" aria-live="polite">
        {enforced} of {all.length} enforced
        {policies.data?.device_group && ` by device group ${policies.data.device_group}`}
      </Text>
      <Grid
        label="Network Policies"
        columns={COLUMNS}
        count={list.length}
        at={(line) => list[line]}
        keyOf={keyOf}
        onOpen={(one) => setAddress({ open: keyOf(one) })}
        none={
          <Nothing>
            {cluster
              ? 'The controller of this cluster told no such policies.'
              : 'No cluster was heard. Install the chart with its controller.'}
          </Nothing>
        }
      />
      {opened && <Details policy={opened} onClose={() => setAddress({ open: undefined })} />}
    </Page>
  );
}

function Details({ policy, onClose }: { policy: Policy; onClose: () => void }) {
  const where = policy.namespace ? `${policy.namespace}/${policy.name}` : policy.name;
  return (
    <Modal opened onClose={onClose} title={`${policy.kind} ${where}`} size="xl">
      <Stack gap="sm">
        <Table aria-label="Conditions">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Condition</Table.Th>
              <Table.Th>Status</Table.Th>
              <Table.Th>Since</Table.Th>
              <Table.Th>Message</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {policy.conditions.map((one) => (
              <Table.Tr key={one.type}>
                <Table.Td>{one.type}</Table.Td>
                <Table.Td>{badge(one)}</Table.Td>
                <Table.Td>{ago(one.since)}</Table.Td>
                <Table.Td style={{ wordBreak: 'break-word' }}>{one.message}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
        <Text size="sm" fw={600}>
          {policy.rules.length === 0 ? 'No rule of its own' : 'Rules'}
        </Text>
        {policy.rules.map((rule) => (
          <Text key={rule} size="sm" style={{ wordBreak: 'break-word' }}>
            {rule}
          </Text>
        ))}
        <Group justify="flex-end" gap="xs">
          <Links run={policy.run} incident={policy.incident} />
        </Group>
      </Stack>
    </Modal>
  );
}
