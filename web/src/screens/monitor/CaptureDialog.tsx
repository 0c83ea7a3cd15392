// What shall a firewall capture? Filters, stages, and how much; what it refuses is told beside what was written.

import {
  ActionIcon,
  Alert,
  Autocomplete,
  Button,
  Checkbox,
  Fieldset,
  Group,
  Modal,
  NumberInput,
  SimpleGrid,
  Stack,
  Table,
  Text,
  TextInput,
} from '@mantine/core';
import { IconPlus, IconTrash } from '@tabler/icons-react';
import { useState } from 'react';
import { moment } from '../../times';
import { Refusal } from '../Refusal';
import {
  type Capture,
  CONDITIONS,
  FILTERS_MAX,
  type Filter,
  fileOf,
  filterOf,
  freeName,
  isTaken,
  STAGES,
  useStart,
  type Wanted,
} from './capture';
import { PROTOCOLS } from './explain';

/** How much of what, and within which bounds. */
const LIMITS = [
  { key: 'packets', label: 'Packet Count', hint: 'Packets of each stage', least: 1, most: 1_000_000 },
  { key: 'bytes', label: 'Byte Count', hint: 'Bytes of each file', least: 1000, most: 26_214_400 },
  {
    key: 'snaplen',
    label: 'Snap Length',
    hint: 'Bytes of each packet that are kept, 0 for all',
    least: 0,
    most: 65_535,
  },
] as const;
type Limit = (typeof LIMITS)[number];

/** So long that the stage and the ending still fit. */
const NAME_MAX = 47;

const isEmpty = (filter: Filter) => CONDITIONS.every(({ tag }) => !filter[tag]);
const isWithin = ({ least, most }: Limit, text: string) => text !== '' && Number(text) >= least && Number(text) <= most;

type Properties = {
  serial: string;
  capture: Capture;
  /** What it is to be of, as the words of a filter. */
  flow: string | undefined;
  onClose: () => void;
};

export function CaptureDialog({ serial, capture, flow, onClose }: Properties) {
  const [wanted, setWanted] = useState<Wanted>(() => ({
    filters: [filterOf(flow ?? '')],
    stages: STAGES.map((stage) => stage.name),
    name: freeName(capture.files),
    packets: '10000',
    bytes: '10485760',
    snaplen: '0',
  }));
  const start = useStart(serial);
  const filters = wanted.filters.filter((filter) => !isEmpty(filter));
  const change = (more: Partial<Wanted>) => setWanted({ ...wanted, ...more });
  const ready = wanted.stages.length > 0 && LIMITS.every((limit) => isWithin(limit, wanted[limit.key]));
  return (
    <Modal opened onClose={onClose} title="Start a capture" size={980}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          start.mutate({ ...wanted, filters }, { onSuccess: onClose });
        }}
      >
        <Stack gap="sm">
          {capture.on && !start.isPending && (
            <Alert color="yellow" title="There is a capture already" role="alert">
              It began {moment(capture.started)}, and ends when this one starts.
            </Alert>
          )}
          <Filters
            filters={wanted.filters}
            onChange={(next) => change({ filters: next })}
            none={filters.length === 0}
          />
          <Stages stages={wanted.stages} onChange={(stages) => change({ stages })} />
          <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
            <TextInput
              label="Name of the files"
              description={
                isTaken(wanted.name, capture.files)
                  ? 'There are files of this name, which are written anew'
                  : fileOf(wanted.name, wanted.stages[0] ?? '')
              }
              required
              maxLength={NAME_MAX}
              pattern="[A-Za-z0-9][A-Za-z0-9._\-]*"
              title="Letters, digits, dots, underscores and hyphens, a letter or digit first"
              value={wanted.name}
              onChange={(event) => change({ name: event.currentTarget.value })}
            />
            {LIMITS.map((limit) => (
              <NumberInput
                key={limit.key}
                label={limit.label}
                description={`${limit.hint}: ${limit.least.toLocaleString()} to ${limit.most.toLocaleString()}`}
                required
                min={limit.least}
                max={limit.most}
                clampBehavior="none"
                allowDecimal={false}
                value={wanted[limit.key]}
                onChange={(value) => change({ [limit.key]: String(value) })}
                error={isWithin(limit, wanted[limit.key]) ? undefined : 'it is not within these bounds'}
              />
            ))}
          </SimpleGrid>
          {start.error && <Refusal error={start.error} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={start.isPending} disabled={!ready}>
              Start
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

type Filtering = { filters: Filter[]; onChange: (filters: Filter[]) => void; none: boolean };

function Filters({ filters, onChange, none }: Filtering) {
  const put = (place: number, more: Filter) =>
    onChange(filters.map((filter, index) => (index === place ? { ...filter, ...more } : filter)));
  return (
    <Fieldset legend="Filters" p="sm">
      <Stack gap="xs">
        {filters.length > 0 && (
          <Table.ScrollContainer minWidth={760}>
            <Table aria-label="Filters" verticalSpacing={2} horizontalSpacing={4}>
              <Table.Thead>
                <Table.Tr>
                  {CONDITIONS.map(({ tag, label }) => (
                    <Table.Th key={tag}>{label}</Table.Th>
                  ))}
                  <Table.Td />
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {filters.map((filter, place) => (
                  <OneFilter
                    // biome-ignore lint/suspicious/noArrayIndexKey: a filter has no name but its place
                    key={place}
                    number={place + 1}
                    filter={filter}
                    onChange={(more) => put(place, more)}
                    onRemove={() => onChange(filters.filter((_, index) => index !== place))}
                  />
                ))}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
        )}
        <Group gap="sm">
          <Button
            variant="light"
            leftSection={<IconPlus size={16} />}
            disabled={filters.length === FILTERS_MAX}
            onClick={() => onChange([...filters, {}])}
          >
            Add a filter
          </Button>
          <Text size="sm" c="dimmed">
            {none
              ? 'Without a filter packets of all flows are captured.'
              : 'Packets that fit one of them are captured, with all of their sessions, both ways.'}
          </Text>
        </Group>
      </Stack>
    </Fieldset>
  );
}

type Filled = { number: number; filter: Filter; onChange: (more: Filter) => void; onRemove: () => void };

function OneFilter({ number, filter, onChange, onRemove }: Filled) {
  return (
    <Table.Tr>
      {CONDITIONS.map(({ tag, label, hint }) => {
        const common = {
          'aria-label': `${label} of filter ${number}`,
          size: 'xs' as const,
          placeholder: hint,
          value: filter[tag] ?? '',
        };
        return (
          <Table.Td key={tag}>
            {tag === 'protocol' ? (
              <Autocomplete {...common} data={PROTOCOLS} onChange={(text) => onChange({ [tag]: text.trim() })} />
            ) : (
              <TextInput
                {...common}
                data-autofocus={(number === 1 && tag === 'source') || undefined}
                onChange={(event) => onChange({ [tag]: event.currentTarget.value.trim() })}
              />
            )}
          </Table.Td>
        );
      })}
      <Table.Td>
        <ActionIcon aria-label={`Remove filter ${number}`} onClick={onRemove}>
          <IconTrash size={16} />
        </ActionIcon>
      </Table.Td>
    </Table.Tr>
  );
}

function Stages({ stages, onChange }: { stages: string[]; onChange: (stages: string[]) => void }) {
  return (
    <Fieldset legend="Stages" p="sm">
      <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="xs">
        {STAGES.map(({ name, means }) => (
          <Checkbox
            key={name}
            label={name}
            description={means}
            checked={stages.includes(name)}
            onChange={(event) => {
              const { checked } = event.currentTarget;
              const next = STAGES.filter((one) => (one.name === name ? checked : stages.includes(one.name)));
              onChange(next.map((one) => one.name));
            }}
          />
        ))}
      </SimpleGrid>
    </Fieldset>
  );
}
