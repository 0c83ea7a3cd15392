// A table of any length: which lines are on the screen, and how does one get along with the keyboard alone?
//
// Arrows, Page, Home and End go through the lines, Enter opens one, Space selects, Shift selects up to there. The owner
// may listen to further keys. Only the lines that can be seen are in the document.

import { Text } from '@mantine/core';
import { useVirtualizer } from '@tanstack/react-virtual';
import {
  type DragEvent,
  type KeyboardEvent,
  type MouseEvent,
  type ReactNode,
  useEffect,
  useRef,
  useState,
} from 'react';
import classes from './Grid.module.css';

export type Column<T> = {
  id: string;
  header: string;
  /** Width, pixels. */
  width: number;
  cell: (row: T, line: number) => ReactNode;
};

type Properties<T> = {
  label: string;
  columns: Column<T>[];
  count: number;
  at: (line: number) => T | undefined;
  keyOf: (row: T) => string;
  look?: (from: number, to: number) => void;
  /** Lines that are selected, by their keys, as they were when they were; they need not be on the screen. */
  selected?: ReadonlyMap<string, T>;
  onSelect?: (rows: Map<string, T>) => void;
  onOpen?: (row: T) => void;
  /** A key that the table does not know itself, on the line that has the focus; `true` when it was used. */
  onKey?: (event: KeyboardEvent, row: T) => boolean;
  /** A line was dropped before another one. */
  onDrop?: (from: T, before: T) => void;
  draggable?: (row: T) => boolean;
  /** Lines that are shown, but belong elsewhere. */
  quiet?: (row: T) => boolean;
  /** What stands in the place of the lines when there are none. */
  none: ReactNode;
};

const HEIGHT = 34;

export function Grid<T>(properties: Properties<T>) {
  const { columns, count, at, keyOf, look, selected, onSelect, onOpen, onKey, none } = properties;
  const scroll = useRef<HTMLDivElement>(null);
  const [active, setActive] = useState(0);
  const [over, setOver] = useState<number>();
  const dragged = useRef<number>(undefined);
  /** The line that shall have the focus as soon as it is in the document. */
  const wanted = useRef<number>(undefined);
  const within = useRef(false);
  const virtual = useVirtualizer({
    count,
    getScrollElement: () => scroll.current,
    estimateSize: () => HEIGHT,
    overscan: 12,
  });
  const items = virtual.getVirtualItems();
  const from = items[0]?.index ?? 0;
  const to = items.at(-1)?.index ?? 0;
  useEffect(() => look?.(from, to), [look, from, to]);

  // A line that had the focus and is another element now (it was on its way, and came) has it again.
  useEffect(() => {
    const lost = within.current && document.activeElement === document.body;
    const line = wanted.current ?? (lost ? active : undefined);
    if (line === undefined) return;
    const element = scroll.current?.querySelector<HTMLElement>(`[data-line="${line}"]`);
    element?.focus({ preventScroll: true });
    if (element) wanted.current = undefined;
  });

  const go = (line: number) => {
    const next = Math.max(0, Math.min(count - 1, line));
    setActive(next);
    wanted.current = next;
    virtual.scrollToIndex(next);
  };
  const select = (line: number, event: { shiftKey: boolean; ctrlKey: boolean; metaKey: boolean }, toggle: boolean) => {
    const row = at(line);
    if (!row || !onSelect) return;
    const next = new Map(event.ctrlKey || event.metaKey || toggle ? selected : []);
    if (event.shiftKey) {
      for (let index = Math.min(active, line); index <= Math.max(active, line); index++) {
        const between = at(index);
        if (between) next.set(keyOf(between), between);
      }
    } else if (next.has(keyOf(row))) next.delete(keyOf(row));
    else next.set(keyOf(row), row);
    onSelect(next);
  };
  const keys = (event: KeyboardEvent, line: number) => {
    if (event.target !== event.currentTarget) return;
    const row = at(line);
    const steps: Record<string, number> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: 20,
      PageUp: -20,
      Home: -count,
      End: count,
    };
    if (row && onKey?.(event, row)) event.preventDefault();
    else if (event.altKey || event.ctrlKey || event.metaKey) return;
    else if (steps[event.key]) {
      event.preventDefault();
      go(line + (steps[event.key] ?? 0));
    } else if (event.key === 'Enter' && row) onOpen?.(row);
    else if (event.key === ' ') {
      event.preventDefault();
      select(line, event, true);
    }
  };
  const drop = (event: DragEvent, line: number) => {
    event.preventDefault();
    setOver(undefined);
    const [moved, before] = [at(dragged.current ?? -1), at(line)];
    if (moved && before && moved !== before) properties.onDrop?.(moved, before);
  };

  return (
    <div
      ref={scroll}
      className={classes.scroll}
      role="grid"
      aria-label={properties.label}
      aria-rowcount={count + 1}
      aria-multiselectable={onSelect ? true : undefined}
      tabIndex={count === 0 ? 0 : -1}
      onFocus={() => {
        within.current = true;
      }}
      onBlur={(event) => {
        within.current = event.relatedTarget === null || event.currentTarget.contains(event.relatedTarget);
      }}
    >
      <div className={classes.head} role="row" aria-rowindex={1}>
        {columns.map((column) => (
          <div key={column.id} role="columnheader" className={classes.headcell} style={{ width: column.width }}>
            {column.header}
          </div>
        ))}
      </div>
      {count === 0 ? (
        <div className={classes.none} role="row">
          <div role="gridcell">{none}</div>
        </div>
      ) : (
        <div className={classes.body} role="rowgroup" style={{ height: virtual.getTotalSize() }}>
          {items.map((item) => {
            const row = at(item.index);
            const key = row ? keyOf(row) : `line ${item.index}`;
            const names = [classes.row];
            if (row && properties.quiet?.(row)) names.push(classes.quiet);
            if (over === item.index) names.push(classes.over);
            return (
              <div
                key={key}
                role="row"
                data-line={item.index}
                aria-rowindex={item.index + 2}
                aria-selected={selected ? selected.has(key) : undefined}
                tabIndex={item.index === active || (active < from && item.index === from) ? 0 : -1}
                className={names.join(' ')}
                style={{ transform: `translateY(${item.start}px)` }}
                draggable={row ? (properties.draggable?.(row) ?? false) : false}
                onDragStart={() => {
                  dragged.current = item.index;
                }}
                onDragOver={(event) => {
                  if (dragged.current === undefined || !row || !properties.draggable?.(row)) return;
                  event.preventDefault();
                  setOver(item.index);
                }}
                onDragEnd={() => {
                  dragged.current = undefined;
                  setOver(undefined);
                }}
                onDrop={(event) => drop(event, item.index)}
                onFocus={() => setActive(item.index)}
                onKeyDown={(event) => keys(event, item.index)}
                onClick={(event: MouseEvent) => {
                  select(item.index, event, false);
                  setActive(item.index);
                }}
                onDoubleClick={() => row && onOpen?.(row)}
              >
                {columns.map((column) => (
                  <div key={column.id} role="gridcell" className={classes.cell} style={{ width: column.width }}>
                    {row ? column.cell(row, item.index) : <Text c="dimmed">…</Text>}
                  </div>
                ))}
              </div>
            );
          })}
        </div>
      )}
    </div>
  );
}

/** Text that is cut where the column ends, whole in its title. */
export function Clip({ children, mono }: { children: string; mono?: boolean }) {
  return (
    <span
      className={classes.clip}
      title={children}
      style={mono ? { fontFamily: 'var(--mantine-font-family-monospace)' } : undefined}
    >
      {children}
    </span>
  );
}
