// What would happen to a flow, and why? A firewall follows it by the code that decides; the answer becomes a test.

import { Alert, Button, Card, Code, Group, SimpleGrid, Stack, Text, Textarea, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { useDevice } from '../../shell/DevicePicker';
import { Copy } from '../Copy';
import { Explanation } from '../monitor/Explanation';
import { type Flow, useExplained } from '../monitor/explain';
import { Nothing, Page } from '../Page';
import { Refusal } from '../Refusal';
import { addressOf, asTest, pasted } from './flow';

const FIELDS: { key: keyof Flow; label: string; hint: string; required: boolean }[] = [
  { key: 'ingress', label: 'Ingress interface', hint: 'ethernet1/1', required: true },
  { key: 'source', label: 'Source', hint: '10.1.0.10, or namespace/workload', required: true },
  { key: 'destination', label: 'Destination', hint: '198.51.100.10, or namespace/service', required: true },
  { key: 'protocol', label: 'Protocol', hint: 'tcp, udp, icmp or a number', required: true },
  { key: 'sourcePort', label: 'Source port', hint: '49152', required: false },
  { key: 'destinationPort', label: 'Destination port', hint: '443', required: false },
];

const EMPTY: Flow = {
  ingress: '',
  source: '',
  destination: '',
  protocol: 'tcp',
  sourcePort: '',
  destinationPort: '',
};

/** A flow as it was named, and with the addresses that it has. */
type Asked = { named: Flow; flow: Flow };

export function TestScreen() {
  const { serial, picker, choose } = useDevice();
  const [flow, setFlow] = useState(EMPTY);
  const [asked, setAsked] = useState<Asked>();
  const [tests, setTests] = useState<string[]>([]);
  const ask = useMutation({
    mutationFn: async (named: Flow): Promise<Asked> => {
      const [source, destination] = await Promise.all([addressOf(named.source), addressOf(named.destination)]);
      return { named, flow: { ...named, source, destination } };
    },
    onSuccess: setAsked,
  });
  return (
    <Page title="Test Policy Match" tools={picker}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          ask.mutate({ ...flow });
        }}
      >
        <Card withBorder>
          <SimpleGrid cols={{ base: 1, sm: 2, lg: 3 }}>
            {FIELDS.map(({ key, label, hint, required }) => (
              <TextInput
                key={key}
                label={label}
                placeholder={hint}
                required={required}
                value={flow[key]}
                onChange={(event) => setFlow({ ...flow, [key]: event.currentTarget.value.trim() })}
              />
            ))}
          </SimpleGrid>
          <Paste
            onFlow={(told, from) => {
              setFlow(told);
              choose(from);
            }}
          />
          <Button type="submit" mt="md" w="fit-content" disabled={!serial} loading={ask.isPending}>
            Test
          </Button>
        </Card>
      </form>
      {ask.error && <Refusal error={ask.error} />}
      {asked && serial ? (
        <Answer
          key={JSON.stringify(asked)}
          serial={serial}
          asked={asked}
          onTest={(test) => setTests([...tests, test])}
        />
      ) : (
        <Nothing>
          {serial
            ? 'Name a flow as its first packet would come. The firewall tells step by step what it would do with it.'
            : 'A firewall that is connected is asked. None is.'}
        </Nothing>
      )}
      {tests.length > 0 && <Tests tests={tests} onClear={() => setTests([])} />}
    </Page>
  );
}

/** A line of a log instead of the fields. */
function Paste({ onFlow }: { onFlow: (flow: Flow, serial: string) => void }) {
  const [text, setText] = useState('');
  const wrong = text.trim() !== '' && !pasted(text);
  return (
    <Textarea
      mt="sm"
      label="Or paste a line of the traffic log"
      description="As CSV with its head, as JSON, or as it is sent by syslog"
      autosize
      maxRows={4}
      value={text}
      onChange={(event) => {
        const next = event.currentTarget.value;
        setText(next);
        const found = pasted(next);
        if (found) onFlow(found.flow, found.serial);
      }}
      error={wrong ? 'this has no source and destination; paste a whole line, of CSV its head too' : undefined}
    />
  );
}

function Answer({ serial, asked, onTest }: { serial: string; asked: Asked; onTest: (test: string) => void }) {
  const { named, flow } = asked;
  const explained = useExplained(serial, flow);
  const [name, setName] = useState(`${named.source} to ${named.destination}`);
  const ends = [
    [named.source, flow.source],
    [named.destination, flow.destination],
  ].filter(([one, other]) => one !== other);
  return (
    <Stack gap="sm">
      {ends.map(([one, other]) => (
        <Text key={one} size="sm" c="dimmed">
          {other} is asked for {one}.
        </Text>
      ))}
      <Explanation serial={serial} flow={flow} />
      {explained.data && (
        <Group align="end" gap="xs">
          <TextInput
            label="Name of the test"
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
            w={320}
          />
          <Button
            variant="default"
            size="sm"
            disabled={!name}
            onClick={() => onTest(asTest(name, named, explained.data.outcome))}
          >
            Save as a test
          </Button>
        </Group>
      )}
    </Stack>
  );
}

/** The tests as the file that the command line runs. */
function Tests({ tests, onClear }: { tests: string[]; onClear: () => void }) {
  const text = `tests:\n${tests.join('\n')}\n`;
  const shown = useRef<HTMLDivElement>(null);
  // Below the steps of the answer nobody would see that there is one more.
  // biome-ignore lint/correctness/useExhaustiveDependencies: with each test
  useEffect(() => shown.current?.scrollIntoView({ block: 'nearest' }), [tests]);
  const download = () => {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([text], { type: 'application/yaml' }));
    link.download = 'policies.test.yaml';
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return (
    <Alert
      ref={shown}
      color="blue"
      title={`${tests.length === 1 ? '1 test' : `${tests.length} tests`} for bartizan policy test`}
    >
      <Stack gap="xs">
        <Text size="sm">
          Put the file beside the manifests of the policies; the command fails when a flow fares otherwise.
        </Text>
        <Code block aria-label="Tests" tabIndex={0} role="region">
          {text}
        </Code>
        <Group gap="xs">
          <Copy text={text} variant="default" />
          <Button variant="default" onClick={download}>
            Download
          </Button>
          <Button variant="subtle" onClick={onClear}>
            Clear
          </Button>
        </Group>
      </Stack>
    </Alert>
  );
}
