// Which edits are pending, by whom, and when were they made?

import { Table, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { api, told } from '../../api/client';
import { keys } from '../../api/config';
import { ago, moment } from '../../times';
import { Failure } from '../Page';

const SHOWN = 200;

export function Changes({ left }: { left: string[] }) {
  const changes = useQuery({
    queryKey: [...keys.candidate, 'changes'],
    queryFn: () => told(api.GET('/api/v1/candidate/changes', { params: { query: { limit: SHOWN } } })),
  });
  if (changes.error) return <Failure error={changes.error} />;
  const lines = (changes.data?.changes ?? []).filter((change) => !left.includes(change.author));
  const more = (changes.data?.total ?? 0) - SHOWN;
  return (
    <>
      <Table.ScrollContainer minWidth={600} mah={320}>
        <Table striped aria-label="Pending changes">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Who</Table.Th>
              <Table.Th>What</Table.Th>
              <Table.Th>Where</Table.Th>
              <Table.Th>When</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {lines.map((change) => (
              <Table.Tr key={change.id}>
                <Table.Td>{change.author}</Table.Td>
                <Table.Td>{change.action}</Table.Td>
                <Table.Td style={{ wordBreak: 'break-word' }}>{wordsOf(change.xpath)}</Table.Td>
                <Table.Td title={moment(change.time)}>{ago(change.time)}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {more > 0 && <Text size="sm">and {more} more</Text>}
    </>
  );
}

/** An XPath as the words of the command line, without the device that is always the same. */
export function wordsOf(xpath: string): string {
  return xpath
    .replace("/config/devices/entry[@name='localhost.localdomain']", '')
    .replace(/^\/config/, '')
    .replaceAll(/\/entry\[@name=(['"])(.*?)\1\]/g, ' $2')
    .replaceAll(/\/member\[text\(\)=(['"])(.*?)\1\]/g, ' $2')
    .replaceAll('/', ' ')
    .trim();
}
