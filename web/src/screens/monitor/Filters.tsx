// Which time, and which conditions hold on every screen of the ACC and the logs?

import { Button, Group, Pill, Popover, Select, Stack, Text, TextInput } from '@mantine/core';
import { IconFilterOff } from '@tabler/icons-react';
import { useState } from 'react';
import { useAddress } from '../../scope';
import { conditionsOf, lacking } from './conditions';
import { RELATIVE, rangeLabel, rangeOf, timesOf, useRange } from './range';

const CUSTOM = 'custom';
const ANY = 'any';

/** The field for the time. Without `otherwise` a log is looked at as a whole. */
export function RangePicker({ otherwise }: { otherwise?: string }) {
  const { range, setRange, moves } = useRange(otherwise);
  const [choosing, setChoosing] = useState(false);
  const fixed = range !== undefined && !moves;
  const data = [
    ...(otherwise ? [] : [{ value: ANY, label: 'Any Time' }]),
    ...RELATIVE.map(({ value, label }) => ({ value, label })),
    { value: CUSTOM, label: fixed ? rangeLabel(range) : 'Custom…' },
  ];
  return (
    <Popover opened={choosing} onChange={setChoosing} position="bottom-end" trapFocus withRoles={false}>
      <Popover.Target>
        <Select
          aria-label="Time"
          w={fixed ? 340 : 170}
          data={data}
          value={fixed ? CUSTOM : (range ?? ANY)}
          allowDeselect={false}
          onChange={(value) =>
            value === CUSTOM ? setChoosing(true) : setRange(value === ANY ? undefined : (value ?? ANY))
          }
          onOptionSubmit={(value) => value === CUSTOM && setChoosing(true)}
        />
      </Popover.Target>
      <Popover.Dropdown role="dialog" aria-label="From when until when">
        <Between
          range={range}
          onChoose={(next) => {
            setRange(next);
            setChoosing(false);
          }}
        />
      </Popover.Dropdown>
    </Popover>
  );
}

/** A moment as the field writes it: in the browser's zone. */
function local(time: string | undefined): string {
  const ms = time ? new Date(time).getTime() : Date.now();
  return new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

function Between({ range, onChoose }: { range: string | undefined; onChoose: (range: string) => void }) {
  const times = timesOf(range ?? 'last-hour');
  const [from, setFrom] = useState(local(times.from));
  const [until, setUntil] = useState(local(times.until));
  const [start, end] = [new Date(from).getTime(), new Date(until).getTime()];
  const wrong = Number.isNaN(start) || Number.isNaN(end) || start >= end;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (!wrong) onChoose(rangeOf(start, end));
      }}
    >
      <Stack gap="xs">
        <TextInput
          type="datetime-local"
          step={1}
          label="From"
          value={from}
          onChange={(event) => setFrom(event.currentTarget.value)}
        />
        <TextInput
          type="datetime-local"
          step={1}
          label="Until"
          value={until}
          error={wrong ? 'it is not after the start' : undefined}
          onChange={(event) => setUntil(event.currentTarget.value)}
        />
        <Group justify="flex-end">
          <Button type="submit" disabled={wrong}>
            Apply
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

/** The global filters, each with a way to let it go; `left` are those that this screen cannot ask. */
export function GlobalFilters({ left = [] }: { left?: string[] }) {
  const [address, setAddress] = useAddress();
  const conditions = conditionsOf(address.filter);
  if (conditions.length === 0) return null;
  return (
    <Group gap="xs" role="group" aria-label="Global filters">
      <Text size="sm">Global filters</Text>
      {conditions.map(({ text }) => (
        <Pill
          key={text}
          size="md"
          withRemoveButton
          onRemove={() => setAddress({ filter: lacking(address.filter, text) })}
          removeButtonProps={{ 'aria-label': `Remove the global filter ${text}`, tabIndex: 0, 'aria-hidden': false }}
        >
          {text}
        </Pill>
      ))}
      <Button
        variant="subtle"
        leftSection={<IconFilterOff size={16} />}
        onClick={() => setAddress({ filter: undefined })}
      >
        Clear all
      </Button>
      {left.length > 0 && (
        <Text size="sm" c="dimmed">
          This log has no field for {left.join(', ')}.
        </Text>
      )}
    </Group>
  );
}
