// How much was there, and when? A bar for each span of time; dragging over some of them chooses their time.

import { useState } from 'react';
import { moment } from '../../times';
import classes from './Bars.module.css';

/** How much a span has, and how much of that was refused. */
export type Span = { start: number; amount: number; refused?: number };

type Properties = {
  label: string;
  /** In order, without gaps. */
  spans: Span[];
  /** Milliseconds of one. */
  length: number;
  height: number;
  written?: (amount: number) => string;
  onBrush: (from: number, until: number) => void;
};

/** All spans of a time, also those that nothing is told of. */
export function spansOf(from: number, until: number, length: number, told: Map<number, Omit<Span, 'start'>>): Span[] {
  const spans: Span[] = [];
  for (let start = Math.floor(from / length) * length; start < until && spans.length < 1000; start += length) {
    spans.push({ start, ...(told.get(start) ?? { amount: 0 }) });
  }
  return spans;
}

export function Bars({ label, spans, length, height, written = String, onBrush }: Properties) {
  const [brush, setBrush] = useState<{ first: number; last: number }>();
  const most = Math.max(1, ...spans.map((span) => span.amount));
  const [low, high] = brush ? [Math.min(brush.first, brush.last), Math.max(brush.first, brush.last)] : [-1, -1];
  const done = () => {
    const [first, last] = [spans[low], spans[high]];
    setBrush(undefined);
    if (first && last && high > low) onBrush(first.start, last.start + length);
  };
  return (
    <div
      className={`${classes.bars} ${classes.brushed}`}
      style={{ height }}
      role="img"
      aria-label={label}
      onPointerUp={done}
      onPointerLeave={() => setBrush(undefined)}
    >
      {spans.map((span, index) => {
        const refused = span.refused ?? 0;
        const percent = (amount: number) => `${(100 * amount) / most}%`;
        return (
          <div
            key={span.start}
            className={index >= low && index <= high ? `${classes.span} ${classes.within}` : classes.span}
            title={`${moment(new Date(span.start).toISOString())}: ${written(span.amount)}${
              refused > 0 ? `, ${written(refused)} of them not allowed` : ''
            }`}
            onPointerDown={(event) => {
              event.preventDefault();
              setBrush({ first: index, last: index });
            }}
            onPointerEnter={() => setBrush((now) => now && { ...now, last: index })}
          >
            <div className={classes.refused} style={{ height: percent(refused) }} />
            <div className={classes.bar} style={{ height: percent(span.amount - refused) }} />
          </div>
        );
      })}
    </div>
  );
}
