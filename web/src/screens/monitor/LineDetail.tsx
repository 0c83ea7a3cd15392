// One line of a log: every field, what to search for next, and, of traffic, why it fared so.

import { ActionIcon, Button, Drawer, Group, Stack, Table, Tabs, Text, Tooltip } from '@mantine/core';
import { IconFilterMinus, IconFilterPlus } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import type { LogField, LogLine } from '../../api/types';
import { moment } from '../../times';
import { CaptureButton } from './CaptureButton';
import { Explanation } from './Explanation';
import type { Flow } from './explain';
import { timeOf } from './log';
import { searchedBy } from './query';

type Properties = {
  log: string;
  line: LogLine;
  fields: LogField[];
  onNarrow: (field: string, operator: string, value: string) => void;
  onClose: () => void;
};

export function LineDetail({ log, line, fields, onNarrow, onClose }: Properties) {
  const table = <Fields line={line} fields={fields} onNarrow={onNarrow} />;
  const serial = line.fields['serial'] ?? '';
  const flow = flowOf(line);
  return (
    <Drawer
      opened
      onClose={onClose}
      position="right"
      size="lg"
      title={`${log} log, line ${line.id}`}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      {log === 'traffic' ? (
        <Tabs defaultValue="fields" keepMounted={false}>
          <Tabs.List mb="sm">
            <Tabs.Tab value="fields">Details</Tabs.Tab>
            <Tabs.Tab value="why">Why?</Tabs.Tab>
          </Tabs.List>
          <Tabs.Panel value="fields">{table}</Tabs.Panel>
          <Tabs.Panel value="why">
            <Explanation serial={serial} flow={flow} logged={loggedOf(line)} />
          </Tabs.Panel>
        </Tabs>
      ) : (
        table
      )}
      <Group justify="flex-end" gap="xs" mt="md">
        {serial && flow.source && <CaptureButton serial={serial} flow={flow} />}
        <Button variant="default" onClick={onClose}>
          Close
        </Button>
      </Group>
    </Drawer>
  );
}

/** The flow of a line of the traffic or threat log, as its first packet came. */
export function flowOf({ fields }: LogLine): Flow {
  return {
    ingress: fields['inbound_if'] ?? '',
    source: fields['src'] ?? '',
    destination: fields['dst'] ?? '',
    protocol: fields['proto'] ?? '',
    sourcePort: fields['sport'] ?? '',
    destinationPort: fields['dport'] ?? '',
  };
}

/** What the log says of the flow, in a sentence. */
function loggedOf({ fields }: LogLine): string {
  const reason = fields['session_end_reason'];
  return `The log says: ${fields['action']} by rule ${fields['rule']}${reason ? ` (${reason})` : ''}.`;
}

function Fields({ line, fields, onNarrow }: Pick<Properties, 'line' | 'fields' | 'onNarrow'>) {
  const told = Object.entries(line.fields).filter(([, value]) => value !== '');
  return (
    <Stack gap="xs">
      <Table aria-label="Fields" verticalSpacing={4}>
        <Table.Tbody>
          {told.map(([name, value]) => {
            const search = searchedBy(name, fields);
            const time = timeOf(value);
            return (
              <Table.Tr key={name}>
                <Table.Th scope="row">{name}</Table.Th>
                <Table.Td style={{ wordBreak: 'break-word' }}>{time ? moment(time) : value}</Table.Td>
                <Table.Td>
                  {search && (
                    <Group gap={2} wrap="nowrap">
                      <Narrow
                        label={`Only ${name} ${value}`}
                        icon={<IconFilterPlus size={16} />}
                        onClick={() => onNarrow(search.field, search.operator, value)}
                      />
                      <Narrow
                        label={`Without ${name} ${value}`}
                        icon={<IconFilterMinus size={16} />}
                        onClick={() => onNarrow(search.field, search.operator === 'in' ? 'notin' : 'neq', value)}
                      />
                    </Group>
                  )}
                </Table.Td>
              </Table.Tr>
            );
          })}
        </Table.Tbody>
      </Table>
      <Text size="xs" c="dimmed">
        Fields without a value are left out.
      </Text>
    </Stack>
  );
}

function Narrow({ label, icon, onClick }: { label: string; icon: ReactNode; onClick: () => void }) {
  return (
    <Tooltip label={label}>
      <ActionIcon aria-label={label} onClick={onClick}>
        {icon}
      </ActionIcon>
    </Tooltip>
  );
}
