// What would happen to a flow, and why? A firewall follows it by the code that decides.

import { Button, Card, SimpleGrid, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useDevice } from '../../shell/DevicePicker';
import { Explanation } from '../monitor/Explanation';
import type { Flow } from '../monitor/explain';
import { Nothing, Page } from '../Page';

const FIELDS: { key: keyof Flow; label: string; hint: string; required: boolean }[] = [
  { key: 'ingress', label: 'Ingress interface', hint: 'ethernet1/1', required: true },
  { key: 'source', label: 'Source address', hint: '10.1.0.10', required: true },
  { key: 'destination', label: 'Destination address', hint: '198.51.100.10', required: true },
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

export function TestScreen() {
  const { serial, picker } = useDevice();
  const [flow, setFlow] = useState(EMPTY);
  const [asked, setAsked] = useState<Flow>();
  return (
    <Page title="Test Policy Match" tools={picker}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          setAsked({ ...flow });
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
          <Button type="submit" mt="md" w="fit-content" disabled={!serial}>
            Test
          </Button>
        </Card>
      </form>
      {asked && serial ? (
        <Explanation serial={serial} flow={asked} />
      ) : (
        <Nothing>
          {serial
            ? 'Name a flow as its first packet would come. The firewall tells step by step what it would do with it.'
            : 'A firewall that is connected is asked. None is.'}
        </Nothing>
      )}
    </Page>
  );
}
