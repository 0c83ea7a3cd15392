// What is most, by one field? A table with its shares; a value becomes a filter by a click.

import { Alert, Card, Table, Text, Title, UnstyledButton } from '@mantine/core';
import type { LogGrouping } from '../../api/types';
import { bytes } from '../../words';
import classes from './Acc.module.css';
import { amountOf, type Measure, written } from './acc';

type Properties = { title: string; grouping: LogGrouping; measure: Measure; onChoose: (value: string) => void };

export function Most({ title, grouping, measure, onChoose }: Properties) {
  const { groups, others } = grouping;
  const most = Math.max(1, ...groups.map((group) => amountOf(group, measure)));
  return (
    <Card withBorder padding="sm" component="section" aria-label={title}>
      <Title order={2} size="h5" mb="xs">
        {title}
      </Title>
      {others === null || others === undefined ? (
        <Alert color="yellow" variant="light">
          There are too many to tell which are the most. Look at a shorter time, or filter.
        </Alert>
      ) : (
        <Table aria-label={title} verticalSpacing={2} horizontalSpacing="xs" layout="fixed">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Value</Table.Th>
              <Table.Th w="26%">Share</Table.Th>
              <Table.Th w="22%" ta="right">
                {measure === 'bytes' ? 'Bytes' : 'Lines'}
              </Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {groups.map((group) => {
              const value = group.values[0] ?? '';
              const share = (amount: number) => ({ width: `${(100 * amount) / most}%` });
              const amount = amountOf(group, measure);
              const refused = measure === 'lines' ? group.refused : 0;
              return (
                <Table.Tr key={value}>
                  <Table.Td>
                    {value === '' ? (
                      <Text size="sm" c="dimmed">
                        none
                      </Text>
                    ) : (
                      <UnstyledButton
                        w="100%"
                        title={`Filter by ${value}`}
                        aria-label={`Filter by ${value}`}
                        onClick={() => onChoose(value)}
                      >
                        <Text size="sm" c="var(--mantine-color-anchor)" truncate>
                          {value}
                        </Text>
                      </UnstyledButton>
                    )}
                  </Table.Td>
                  <Table.Td>
                    <div className={classes.share} title={`${bytes(group.bytes)}, ${group.refused} not allowed`}>
                      <div className={classes.allowed} style={share(amount - refused)} />
                      <div className={classes.refused} style={share(refused)} />
                    </div>
                  </Table.Td>
                  <Table.Td ta="right">{written(amount, measure)}</Table.Td>
                </Table.Tr>
              );
            })}
            {others.groups > 0 && (
              <Table.Tr>
                <Table.Td colSpan={2}>
                  <Text size="sm" c="dimmed">
                    {others.groups.toLocaleString()} others
                  </Text>
                </Table.Td>
                <Table.Td ta="right">{written(amountOf(others, measure), measure)}</Table.Td>
              </Table.Tr>
            )}
          </Table.Tbody>
        </Table>
      )}
    </Card>
  );
}
