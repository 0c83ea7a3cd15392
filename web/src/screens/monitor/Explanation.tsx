// The steps of a flow, as a ladder: the stage, what was found there, and where it is written.

import { Alert, Badge, Button, Code, Loader, Stack, Text, Timeline } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { useDevices } from '../../api/devices';
import { wordsOf } from '../commit/Changes';
import { Failure } from '../Page';
import { type Flow, type Step, useExplained } from './explain';

export function Explanation({ serial, flow, logged }: { serial: string; flow: Flow; logged?: string }) {
  const explained = useExplained(serial, flow);
  const group = useDevices().data?.devices.find((device) => device.serial === serial)?.group ?? undefined;
  if (explained.error) return <Failure error={explained.error} />;
  if (!explained.data) return <Loader size="sm" aria-label="The firewall is asked" />;
  const { outcome, rule, steps } = explained.data;
  return (
    <Stack gap="sm">
      <Alert color={outcome === 'allow' ? 'green' : 'red'} title={`${outcome}${rule ? ` by rule ${rule}` : ''}`}>
        {logged} What the firewall would do with the first packet of this flow now, by what it enforces.
      </Alert>
      <Timeline active={steps.length} bulletSize={14} lineWidth={2} color="gray">
        {steps.map((step) => (
          <Timeline.Item key={`${step.stage} ${step.text}`}>
            <Badge variant="light" color="gray" size="sm">
              {step.stage}
            </Badge>
            <Text size="sm">
              <Ticked>{step.text}</Ticked>
            </Text>
            <Origin step={step} group={group} />
          </Timeline.Item>
        ))}
      </Timeline>
    </Stack>
  );
}

/** Text with names in backticks. */
function Ticked({ children }: { children: string }) {
  return children.split('`').map((part, index) => {
    // biome-ignore lint/suspicious/noArrayIndexKey: parts of one text, which do not change their places
    return index % 2 === 1 ? <Code key={index}>{part}</Code> : <span key={index}>{part}</span>;
  });
}

/** Where a step's rule or route is written; a rule of a device group can be gone to. */
function Origin({ step, group }: { step: Step; group: string | undefined }) {
  const navigate = useNavigate();
  if (!step.origin) return null;
  const rule = /(pre|post)-rulebase\/(security|nat)\/rules\/entry\[@name='([^']*)'\]/.exec(step.origin);
  if (!rule) {
    return (
      <Text size="xs" c="dimmed">
        {wordsOf(step.origin)}
      </Text>
    );
  }
  const [, which, base, name] = rule;
  const go = () => void navigate({ to: `/policies/${base}/${which}-rules`, search: { group, q: name } });
  return (
    <Button variant="subtle" size="compact-xs" onClick={go}>
      Go to the rule {name}
    </Button>
  );
}
