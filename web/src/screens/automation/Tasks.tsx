// What did each task of a run do, what was it told, and what came of it?

import { Anchor, Code, Collapse, Group, Stack, Text, Timeline, UnstyledButton } from '@mantine/core';
import { IconCheck, IconClock, IconLoader2, IconX } from '@tabler/icons-react';
import { type ReactNode, useState } from 'react';
import type { Step } from '../../api/types';
import { moment } from '../../times';
import { purpose, type Stop } from './graph';
import { took } from './RunsScreen';
import { colourOf, State } from './states';

const ICONS: Record<string, ReactNode> = {
  done: <IconCheck size={14} />,
  failed: <IconX size={14} />,
  waiting: <IconClock size={14} />,
  running: <IconLoader2 size={14} />,
};

type Properties = {
  stops: Stop[];
  /** Has the run go on at another task than the one that failed. */
  again?: ((task: string) => void) | undefined;
  from: string;
};

export function Tasks({ stops, again, from }: Properties) {
  return (
    <Timeline bulletSize={24} lineWidth={2} aria-label="Tasks" role="list">
      {stops.map((stop) => (
        <Timeline.Item
          key={stop.name}
          role="listitem"
          bullet={ICONS[stop.state]}
          {...(stop.state ? { color: colourOf(stop.state), active: true } : {})}
          title={
            <Group gap="xs">
              <Text size="sm" fw={600} {...(stop.state ? {} : { c: 'dimmed' })}>
                {stop.name}
              </Text>
              <Text size="sm" c="dimmed">
                {purpose(stop.task)}
              </Text>
              {again && stop.steps.length > 0 && stop.name !== from && (
                <Anchor component="button" type="button" size="sm" onClick={() => again(stop.name)}>
                  rerun from here
                </Anchor>
              )}
            </Group>
          }
        >
          {stop.steps.map((step) => (
            <Did key={step.number} step={step} />
          ))}
        </Timeline.Item>
      ))}
    </Timeline>
  );
}

function Did({ step }: { step: Step }) {
  const [open, setOpen] = useState(false);
  const told = [
    ['told', step.inputs],
    ['came of it', step.outputs],
  ] as const;
  return (
    <Stack gap={2}>
      <UnstyledButton aria-expanded={open} onClick={() => setOpen(!open)}>
        <Group gap="xs">
          <State>{step.state}</State>
          <Text size="xs" c="dimmed">
            {moment(step.started)}, {took(step) || 'under way'}
          </Text>
        </Group>
      </UnstyledButton>
      {step.error && (
        <Text size="sm" c="red.9" style={{ wordBreak: 'break-word' }}>
          {step.error}
        </Text>
      )}
      <Collapse expanded={open}>
        {told.map(([what, values]) => (
          <div key={what}>
            <Text size="xs" fw={600}>
              {what}
            </Text>
            <Code block mah={200} style={{ overflowY: 'auto' }} tabIndex={0}>
              {JSON.stringify(values, null, 2)}
            </Code>
          </div>
        ))}
      </Collapse>
    </Stack>
  );
}
