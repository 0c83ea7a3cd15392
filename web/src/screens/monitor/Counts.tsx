// How much was there, and when? A bar for each minute of the last hour.

import { Text } from '@mantine/core';
import { moment } from '../../times';
import classes from './Counts.module.css';
import { useCounts } from './log';

const SPANS = 60;

export function Counts({ log, query }: { log: string; query: string }) {
  const counts = useCounts(log, query);
  if (!counts.data) return <div className={classes.bars} />;
  const { span_s: span, spans } = counts.data;
  const end = Math.floor(Date.now() / 1000 / span) * span;
  const told = new Map(spans.map((one) => [new Date(one.start).getTime() / 1000, one.lines]));
  const bars = Array.from({ length: SPANS }, (_, index) => {
    const start = end - (SPANS - 1 - index) * span;
    return { start, lines: told.get(start) ?? 0 };
  });
  const most = Math.max(1, ...bars.map((bar) => bar.lines));
  const sum = spans.reduce((total, one) => total + one.lines, 0);
  return (
    <div>
      <div className={classes.bars} role="img" aria-label={`${sum} lines in the last hour`}>
        {bars.map((bar) => (
          <div
            key={bar.start}
            className={classes.bar}
            style={{ height: `${(100 * bar.lines) / most}%` }}
            title={`${moment(new Date(bar.start * 1000).toISOString())}: ${bar.lines}`}
          />
        ))}
      </div>
      <Text size="xs" c="dimmed">
        {sum} lines in the last hour, at most {most} in {span} s
      </Text>
    </div>
  );
}
