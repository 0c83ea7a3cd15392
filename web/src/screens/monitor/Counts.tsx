// How much was there, and when? Bars over the time that is looked at, or over the last hour.

import { Text } from '@mantine/core';
import { span } from '../../times';
import { amount } from '../../words';
import { Bars, spansOf } from './Bars';
import { useCounts } from './log';
import { HOUR, rangeLabel, rangeOf, useRange } from './range';

export function Counts({ log, query }: { log: string; query: string }) {
  const { range, setRange } = useRange();
  const counts = useCounts(log, query, range ?? HOUR);
  if (!counts.data) return <div style={{ height: 60 }} />;
  const { span_s, spans, from, until } = counts.data;
  const told = new Map(spans.map((one) => [new Date(one.start).getTime(), { amount: one.lines }]));
  const bars = spansOf(from, until, span_s * 1000, told);
  const most = Math.max(0, ...bars.map((bar) => bar.amount));
  const sum = spans.reduce((total, one) => total + one.lines, 0);
  const label = `${amount(sum, 'line')}: ${rangeLabel(range ?? HOUR)}`;
  return (
    <div>
      <Bars
        label={label}
        spans={bars}
        length={span_s * 1000}
        height={40}
        onBrush={(start, end) => setRange(rangeOf(start, end))}
      />
      <Text size="xs" c="dimmed">
        {label}, at most {most.toLocaleString()} in {span(span_s)}. Drag over bars to look at their time.
      </Text>
    </div>
  );
}
