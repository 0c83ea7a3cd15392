// How does a firewall in a cloud get its network and its first rules? The deployment guide's tables, filled in from a few
// answers, changed line by line, and written into the candidate in one go.

import {
  Alert,
  Autocomplete,
  Box,
  Button,
  Card,
  Checkbox,
  Group,
  NativeSelect,
  ScrollArea,
  SegmentedControl,
  SimpleGrid,
  Stack,
  Table,
  Text,
  TextInput,
  Title,
} from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useState } from 'react';
import { useEdit } from '../../api/config';
import { useAddress, useGroups, useTemplates } from '../../scope';
import { openCommit } from '../../shell/commits';
import { Page } from '../Page';
import { Refusal } from '../Refusal';
import { edits } from './edits';
import { firstUsable } from './ipv4';
import {
  type Asked,
  asked,
  type Cloud,
  EMPTY,
  follows,
  type Input,
  type Inputs,
  type Line,
  PARTS,
  type Part,
  plan,
  settled,
  warnings,
  wrong,
} from './plan';

const CLOUDS = [
  { value: 'gcp', label: 'GCP' },
  { value: 'azure', label: 'Azure' },
  { value: 'aws', label: 'AWS' },
];

/** Columns whose cells are one of a few words. */
const WORDS: Record<string, string[]> = {
  'Default Route': ['yes', 'no'],
  'Next Hop': ['IP Address', 'Next Router'],
  Translation: ['None', 'Both', 'Source Address Only', 'Destination Address Only'],
  Action: ['allow', 'deny', 'drop', 'reset-client', 'reset-server', 'reset-both'],
};

/** What somebody changed of a line. */
type Changed = { on?: boolean; cells?: string[] };

export function WizardScreen() {
  const [cloud, setCloud] = useState<Cloud>('azure');
  const [inputs, setInputs] = useState(EMPTY);
  const [changed, setChanged] = useState<Record<string, Changed>>({});
  const fields = Object.entries(asked(cloud)) as [Input, Asked][];
  const ready = fields.every(([name, field]) => wrong(field, inputs[name]) === undefined);
  const proposed = ready ? plan(cloud, inputs) : [];
  const lines = settled(proposed.map((line) => ({ ...line, ...changed[line.id] })));
  const change = (id: string, what: Changed) => setChanged({ ...changed, [id]: { ...changed[id], ...what } });
  return (
    <Page
      title="Cloud Setup"
      tools={
        <SegmentedControl
          aria-label="Cloud"
          data={CLOUDS}
          value={cloud}
          onChange={(value) => {
            setCloud(value as Cloud);
            setChanged({});
          }}
        />
      }
    >
      <ScrollArea flex={1} type="auto" viewportProps={{ tabIndex: 0, 'aria-label': 'Plan', role: 'region' }}>
        <Stack gap="md" p={4}>
          <Text size="sm" c="dimmed" maw={820}>
            The tables of the deployment guide, for a firewall that stands in this cloud. Say what is where; look at
            each line, change it or leave it out; then write them into a template and a device group.
          </Text>
          <Questions fields={fields} inputs={inputs} onChange={setInputs} />
          {ready ? (
            <>
              {(Object.keys(PARTS) as Part[]).map((part) => (
                <PartTable
                  key={part}
                  part={part}
                  lines={lines.filter((line) => line.part === part)}
                  onChange={change}
                />
              ))}
              <Write lines={lines} warnings={warnings(cloud, lines)} />
            </>
          ) : (
            <Text size="sm">The plan appears here when every needed answer is given.</Text>
          )}
        </Stack>
      </ScrollArea>
    </Page>
  );
}

type Answers = { fields: [Input, Asked][]; inputs: Inputs; onChange: (inputs: Inputs) => void };

function Questions({ fields, inputs, onChange }: Answers) {
  const gateway = (name: Input) =>
    name === 'trustGateway'
      ? firstUsable(inputs.trustSubnet)
      : name === 'untrustGateway'
        ? firstUsable(inputs.untrustSubnet)
        : '';
  return (
    <Card withBorder>
      <SimpleGrid cols={{ base: 1, sm: 2, lg: 3 }} spacing="sm">
        {fields.map(([name, field]) => {
          const mistake = wrong(field, inputs[name]);
          return (
            <TextInput
              key={name}
              label={field.label}
              required={field.needed}
              placeholder={gateway(name) || field.hint}
              error={inputs[name] ? mistake : undefined}
              value={inputs[name]}
              onChange={(event) => onChange({ ...inputs, [name]: event.currentTarget.value })}
            />
          );
        })}
      </SimpleGrid>
    </Card>
  );
}

type Tabled = { part: Part; lines: Line[]; onChange: (id: string, what: Changed) => void };

function PartTable({ part, lines, onChange }: Tabled) {
  const { title, columns } = PARTS[part];
  if (lines.length === 0) return null;
  return (
    <Box component="section" aria-label={title}>
      <Title order={2} size="h5" mb={4}>
        {title}
      </Title>
      <Table aria-label={title} verticalSpacing={2} withTableBorder>
        <Table.Thead>
          <Table.Tr>
            <Table.Th w={60}>Write</Table.Th>
            {columns.map((column) => (
              <Table.Th key={column}>{column}</Table.Th>
            ))}
            <Table.Th>Why</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {lines.map((line) => (
            <PlanLine key={line.id} line={line} onChange={(what) => onChange(line.id, what)} />
          ))}
        </Table.Tbody>
      </Table>
    </Box>
  );
}

function PlanLine({ line, onChange }: { line: Line; onChange: (what: Changed) => void }) {
  const { columns } = PARTS[line.part];
  const put = (index: number, text: string) =>
    onChange({ cells: line.cells.map((cell, place) => (place === index ? text : cell)) });
  return (
    <Table.Tr>
      <Table.Td>
        <Checkbox
          aria-label={`Write ${line.id}`}
          checked={line.on}
          onChange={(event) => onChange({ on: event.currentTarget.checked })}
        />
      </Table.Td>
      {columns.map((column, index) => {
        const common = {
          'aria-label': `${column} of ${line.id}`,
          size: 'xs' as const,
          disabled: !line.on,
          value: line.cells[index] ?? '',
          onChange: (event: { currentTarget: { value: string } }) => put(index, event.currentTarget.value),
        };
        const words = WORDS[column];
        return (
          <Table.Td key={column}>
            {words ? (
              <NativeSelect {...common} miw={124} data={words} />
            ) : (
              <TextInput {...common} title={common.value} readOnly={follows(line.part, column)} />
            )}
          </Table.Td>
        );
      })}
      <Table.Td maw={260}>
        <Text size="xs">{line.extra ?? 'Guide'}</Text>
      </Table.Td>
    </Table.Tr>
  );
}

/** Where the plan is written, and writing it. */
function Write({ lines, warnings }: { lines: Line[]; warnings: string[] }) {
  const [address] = useAddress();
  const { templates = [] } = useTemplates().data ?? {};
  const groups = (useGroups().data?.groups ?? []).map((group) => group.name);
  const [template, setTemplate] = useState(address.template ?? templates[0] ?? '');
  const [group, setGroup] = useState(address.group ?? groups[0] ?? '');
  const edit = useEdit(true);
  const has = { template: templates.includes(template), group: groups.includes(group) };
  const count = lines.filter((line) => line.on).length;
  const hint = (there: boolean, name: string) =>
    name && !there ? 'There is none of that name: it is made' : undefined;
  const write = () =>
    edit.mutate(edits(lines, { template, group, has }), {
      onSuccess: () =>
        notifications.show({
          color: 'green',
          message: 'The plan is in the candidate. Look at the difference, and commit.',
        }),
    });
  return (
    <Card withBorder>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          write();
        }}
      >
        <Stack gap="sm">
          <SimpleGrid cols={{ base: 1, sm: 2 }}>
            <Autocomplete
              label="Template"
              description={hint(has.template, template)}
              required
              maxLength={31}
              data={templates}
              value={template}
              onChange={setTemplate}
            />
            <Autocomplete
              label="Device group"
              description={hint(has.group, group)}
              required
              maxLength={31}
              data={groups}
              value={group}
              onChange={setGroup}
            />
          </SimpleGrid>
          {warnings.map((warning) => (
            <Alert key={warning} color="yellow" title="This will not work" role="alert">
              {warning}
            </Alert>
          ))}
          {edit.error && <Refusal error={edit.error} />}
          {edit.isSuccess && (
            <Alert color="green" title="Written" role="status">
              Firewalls get it when their template stack has the template {template}, and the device group {group} has
              them: Panorama &gt; Templates, Panorama &gt; Device Groups. Then commit and push.
            </Alert>
          )}
          <Group justify="flex-end" gap="xs">
            <Text size="sm" c="dimmed" mr="auto">
              An entry that has the name of one of these lines is replaced. Nothing is committed by this.
            </Text>
            {edit.isSuccess && (
              <Button variant="default" onClick={() => openCommit('both')}>
                Commit and Push…
              </Button>
            )}
            <Button type="submit" loading={edit.isPending} disabled={!template || !group || count === 0}>
              Write {count} lines
            </Button>
          </Group>
        </Stack>
      </form>
    </Card>
  );
}
