// What goes on in the network: what is most of it, when, and what of it was refused? Each value can become a filter that all
// screens of the ACC and of the logs have.

import { Box, Button, Group, SegmentedControl, SimpleGrid, Text } from '@mantine/core';
import { IconList } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { goingWith, useAddress } from '../../scope';
import { Bars, spansOf } from '../monitor/Bars';
import { conditionsOf, together } from '../monitor/conditions';
import { GlobalFilters, RangePicker } from '../monitor/Filters';
import { timeOf } from '../monitor/log';
import { narrowed } from '../monitor/query';
import { HOUR, rangeLabel, rangeOf, useRange } from '../monitor/range';
import { Failure, Nothing, Page } from '../Page';
import classes from './Acc.module.css';
import { amountOf, type Measure, useSummary, written } from './acc';
import { Most } from './Most';
import { VIEWS, type View, type Widget } from './views';

export function AccScreen({ view: name }: { view: keyof typeof VIEWS }) {
  const view = VIEWS[name];
  const [address, setAddress] = useAddress();
  const { range, setRange } = useRange(HOUR);
  const [measure, setMeasure] = useState<Measure>('lines');
  const { summary, left } = useSummary(view, view.log === 'threat' ? 'lines' : measure);
  const narrow = ({ field, operator }: Widget, value: string) => {
    const filter = narrowed(address.filter ?? '', field, operator ?? 'eq', value);
    const known = conditionsOf(address.filter).some((one) => filter.endsWith(` and ${one.text}`));
    if (!known) setAddress({ filter });
  };
  const log = `/monitor/logs/${view.log}`;
  return (
    <Page
      title={view.title}
      tools={
        <>
          {view.log === 'traffic' && (
            <SegmentedControl
              aria-label="Measure"
              size="xs"
              data={[
                { value: 'lines', label: 'Sessions' },
                { value: 'bytes', label: 'Bytes' },
              ]}
              value={measure}
              onChange={(value) => setMeasure(value === 'bytes' ? 'bytes' : 'lines')}
            />
          )}
          <RangePicker otherwise={HOUR} />
          <Button
            variant="default"
            leftSection={<IconList size={16} />}
            renderRoot={(properties) => (
              <Link
                to={log}
                search={(now) => ({
                  ...goingWith('/acc/', log)(now),
                  range: range ?? HOUR,
                  q: name === 'blocked' ? together('( action neq allow )', []) : undefined,
                })}
                {...properties}
              />
            )}
          >
            Logs
          </Button>
        </>
      }
    >
      <GlobalFilters left={left} />
      {summary.error ? (
        <Failure error={summary.error} />
      ) : (
        summary.data && (
          <Box className={classes.scroll} aria-busy={summary.isFetching}>
            <Over
              data={summary.data}
              measure={measure}
              label={rangeLabel(range)}
              onBrush={(from, until) => setRange(rangeOf(from, until))}
            />
            <Lists view={view} data={summary.data} measure={measure} onChoose={narrow} />
          </Box>
        )
      )}
    </Page>
  );
}

type Data = NonNullable<ReturnType<typeof useSummary>['summary']['data']>;
type Parts = { data: Data; measure: Measure };

/** When there was how much. */
function Over({
  data,
  measure,
  label,
  onBrush,
}: Parts & { label: string; onBrush: (from: number, until: number) => void }) {
  const groups = data.groupings.at(-1)?.groups ?? [];
  const { from, until, length } = data.times;
  const told = new Map(
    groups.map((group) => [
      new Date(timeOf(group.values[0]) ?? 0).getTime(),
      { amount: amountOf(group, measure), refused: measure === 'lines' ? group.refused : 0 },
    ]),
  );
  const sum = groups.reduce((all, group) => all + amountOf(group, measure), 0);
  const refused = groups.reduce((all, group) => all + group.refused, 0);
  const what =
    measure === 'bytes'
      ? written(sum, measure)
      : `${sum.toLocaleString()}, ${refused.toLocaleString()} of them not allowed`;
  return (
    <>
      <Bars
        label={`${label}: ${what}`}
        spans={spansOf(from, until, length, told)}
        length={length}
        height={90}
        written={(amount) => written(amount, measure)}
        onBrush={onBrush}
      />
      <Group justify="space-between" mb="sm">
        <Text size="xs" c="dimmed" aria-live="polite">
          {label}: {what}. Drag over bars to look at their time.
        </Text>
      </Group>
    </>
  );
}

function Lists({
  view,
  data,
  measure,
  onChoose,
}: Parts & { view: View; onChoose: (widget: Widget, value: string) => void }) {
  const whole = data.groupings.at(-1)?.groups.length === 0;
  if (whole) return <Nothing>{view.none}</Nothing>;
  return (
    <SimpleGrid cols={{ base: 1, md: 2, xl: 3 }}>
      {view.widgets.map((widget, index) => {
        const grouping = data.groupings[index];
        return (
          grouping && (
            <Most
              key={widget.by}
              title={widget.title}
              grouping={grouping}
              measure={measure}
              onChoose={(value) => onChoose(widget, value)}
            />
          )
        );
      })}
    </SimpleGrid>
  );
}
