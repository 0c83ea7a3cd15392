// A table of any length: which lines are on the screen, and how does one get along with the keyboard alone?
//
// Arrows, Page, Home and End go through the lines, Enter opens one, F2 edits a cell of it, Space selects, Shift selects
// up to there. The owner may listen to further keys. Only the lines that can be seen are in the document, and a line is
// drawn again only when it says something else. The elements of a line that goes show the one that comes: that keeps up
// with the scrolling.

import { useVirtualizer } from '@tanstack/react-virtual';
import {
  type DragEvent,
  type KeyboardEvent,
  type MouseEvent,
  memo,
  type ReactNode,
  useEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import classes from './Grid.module.css';

export type Column<T> = {
  id: string;
  header: string;
  /** Width, pixels. */
  width: number;
  /** What a cell shows; text is cut where the column ends, and whole in its title. */
  cell: (row: T, line: number) => ReactNode;
  /** Whether the cell can be edited where it stands. */
  edit?: (row: T) => boolean;
};

/** A column of text. */
export const textColumn = <T,>(id: string, header: string, width: number, of: (row: T) => string): Column<T> => ({
  id,
  header,
  width,
  cell: of,
});

export type GridProperties<T> = {
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
  /** A cell is to be edited where it stands. */
  onEdit?: (row: T, column: string, cell: HTMLElement) => void;
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
/** Pixels of a letter of a column's head, in the middle, and of what is left and right of it. */
const LETTER = 8.4;
const AROUND = 18;
/** Pixels of a letter of a cell, of a word of capitals. */
const WIDEST = 10;

/** As wide as asked for, and never too small for its head. */
const widthOf = ({ header, width }: { header: string; width: number }) =>
  Math.max(width, Math.ceil(header.length * LETTER) + AROUND);

/** Whether a text surely needs no cutting: each cell that cuts costs a layer's worth of painting. */
const fits = (text: string, width: number) => text.length * WIDEST + AROUND <= width && /^[\x20-\x7e]*$/.test(text);

export function Grid<T>(properties: GridProperties<T>) {
  const { columns, count, at, keyOf, look, selected, onSelect, none } = properties;
  const scroll = useRef<HTMLDivElement>(null);
  const [active, setActive] = useState(0);
  const [over, setOver] = useState<number>();
  const dragged = useRef<number>(undefined);
  /** The column that was edited last. */
  const edited = useRef<string>(undefined);
  /** The row of the active line. */
  const held = useRef<string>(undefined);
  /** The line that shall have the focus as soon as it is in the document. */
  const wanted = useRef<number>(undefined);
  const within = useRef(false);
  const virtual = useVirtualizer({
    count,
    getScrollElement: () => scroll.current,
    estimateSize: () => HEIGHT,
    overscan: 8,
    // About what it will be: the first lines need not wait until it is measured.
    initialRect: { width: 0, height: window.innerHeight / 2 },
  });
  const items = virtual.getVirtualItems();
  // Neighbours, so no two of them have the same; it only grows, so that lines keep theirs.
  const most = useRef(0);
  most.current = Math.max(most.current, items.length);
  const slots = most.current;
  // While it scrolls, no element is moved in the document; those who read that in its order have it right when it rests.
  const inPlace = virtual.isScrolling
    ? items.toSorted((one, other) => (one.index % slots) - (other.index % slots))
    : items;
  const width = columns.reduce((sum, column) => sum + widthOf(column), 0);
  const from = items[0]?.index ?? 0;
  const to = items.at(-1)?.index ?? 0;
  useEffect(() => look?.(from, to), [look, from, to]);

  // A line that had the focus and is another element now (it went out of sight, and came again) has it again.
  useEffect(() => {
    const focused = document.activeElement?.closest<HTMLElement>('[data-line]');
    const isOther = focused && scroll.current?.contains(focused) && Number(focused.dataset['line']) !== active;
    if (isOther && wanted.current === undefined) focused.blur();
    const lost = within.current && document.activeElement === document.body;
    const line = wanted.current ?? (lost ? active : undefined);
    if (line === undefined) return;
    const element = scroll.current?.querySelector<HTMLElement>(`[data-line="${line}"]`);
    element?.focus({ preventScroll: true });
    if (element) wanted.current = undefined;
  });

  // The row stays the active one where the lines change, as when it is moved.
  useEffect(() => {
    const keyAt = (line: number) => {
      const row = at(line);
      return row && keyOf(row);
    };
    const key = keyAt(active);
    if (key === undefined || key === held.current) return;
    const moved = within.current ? items.find((item) => keyAt(item.index) === held.current) : undefined;
    if (moved) {
      setActive(moved.index);
      wanted.current = moved.index;
    } else held.current = key;
  });

  const activate = (line: number) => {
    const row = at(line);
    held.current = row && keyOf(row);
    setActive(line);
  };
  const go = (line: number) => {
    const next = Math.max(0, Math.min(count - 1, line));
    activate(next);
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
  /** Edits a cell; without one, that of the column that was edited last, or the first that can be. */
  const edit = (row: T, cells: HTMLElement[], cell?: HTMLElement): boolean => {
    const can = (one: HTMLElement) => columns.find((column) => column.id === one.dataset['column'])?.edit?.(row);
    const open = cell
      ? [cell].find(can)
      : (cells.find((one) => one.dataset['column'] === edited.current && can(one)) ?? cells.find(can));
    const column = open?.dataset['column'];
    if (!open || !column || !properties.onEdit) return false;
    edited.current = column;
    properties.onEdit(row, column, open);
    return true;
  };
  const keys = (event: KeyboardEvent<HTMLElement>, line: number) => {
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
    if (row && properties.onKey?.(event, row)) event.preventDefault();
    else if (event.altKey || event.ctrlKey || event.metaKey) return;
    else if (steps[event.key]) {
      event.preventDefault();
      go(line + (steps[event.key] ?? 0));
    } else if (event.key === 'Enter' && row) properties.onOpen?.(row);
    else if (event.key === 'F2' && row) edit(row, cellsOf(event.currentTarget));
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

  /** What a line tells of; it stays the same, so that it is no reason to draw a line again. */
  const told = useRef<Heard>(undefined);
  told.current = {
    key: keys,
    drop,
    focus: activate,
    click: (event, line) => {
      select(line, event, false);
      activate(line);
    },
    doubleClick: (event, line) => {
      const row = at(line);
      const cell = (event.target as HTMLElement).closest<HTMLElement>('[data-column]') ?? undefined;
      if (row && !(cell && edit(row, [], cell))) properties.onOpen?.(row);
    },
    dragStart: (line) => {
      dragged.current = line;
    },
    dragOver: (event, line) => {
      const row = at(line);
      if (dragged.current === undefined || !row || !properties.draggable?.(row)) return;
      event.preventDefault();
      setOver(line);
    },
    dragEnd: () => {
      dragged.current = undefined;
      setOver(undefined);
    },
  };
  const hear = useMemo((): Heard => {
    const now = () => told.current as Heard;
    return {
      key: (event, line) => now().key(event, line),
      drop: (event, line) => now().drop(event, line),
      focus: (line) => now().focus(line),
      click: (event, line) => now().click(event, line),
      doubleClick: (event, line) => now().doubleClick(event, line),
      dragStart: (line) => now().dragStart(line),
      dragOver: (event, line) => now().dragOver(event, line),
      dragEnd: () => now().dragEnd(),
    };
  }, []);

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
      <div className={classes.head} role="row" aria-rowindex={1} style={{ minWidth: width }}>
        {columns.map((column) => (
          <div key={column.id} role="columnheader" className={classes.headcell} style={{ width: widthOf(column) }}>
            {column.header}
          </div>
        ))}
      </div>
      {count === 0 ? (
        <div className={classes.none} role="row">
          <div role="gridcell">{none}</div>
        </div>
      ) : (
        <div className={classes.body} role="rowgroup" style={{ height: virtual.getTotalSize(), minWidth: width }}>
          {inPlace.map((item) => {
            const row = at(item.index);
            const key = row && keyOf(row);
            return (
              <Line
                key={item.index % slots}
                line={item.index}
                start={item.start}
                row={row}
                columns={columns as Column<unknown>[]}
                selected={selected ? key !== undefined && selected.has(key) : undefined}
                tabbable={item.index === active || (active < from && item.index === from)}
                over={over === item.index}
                quiet={row !== undefined && (properties.quiet?.(row) ?? false)}
                draggable={row !== undefined && (properties.draggable?.(row) ?? false)}
                hear={hear}
              />
            );
          })}
        </div>
      )}
    </div>
  );
}

/** What the table hears of a line. */
type Heard = {
  key: (event: KeyboardEvent<HTMLElement>, line: number) => void;
  drop: (event: DragEvent, line: number) => void;
  focus: (line: number) => void;
  click: (event: MouseEvent, line: number) => void;
  doubleClick: (event: MouseEvent, line: number) => void;
  dragStart: (line: number) => void;
  dragOver: (event: DragEvent, line: number) => void;
  dragEnd: () => void;
};

type LineProperties = {
  line: number;
  start: number;
  row: unknown;
  columns: Column<unknown>[];
  selected: boolean | undefined;
  tabbable: boolean;
  over: boolean;
  quiet: boolean;
  draggable: boolean;
  hear: Heard;
};

const Line = memo(function Line(properties: LineProperties) {
  const { line, start, row, columns, selected, tabbable, over, quiet, draggable, hear } = properties;
  return (
    <div
      role="row"
      data-line={line}
      aria-rowindex={line + 2}
      aria-selected={selected}
      tabIndex={tabbable ? 0 : -1}
      className={[classes.row, quiet && classes.quiet, over && classes.over].filter(Boolean).join(' ')}
      style={{ top: start }}
      draggable={draggable}
      onDragStart={() => hear.dragStart(line)}
      onDragOver={(event) => hear.dragOver(event, line)}
      onDragEnd={hear.dragEnd}
      onDrop={(event) => hear.drop(event, line)}
      onFocus={() => hear.focus(line)}
      onKeyDown={(event) => hear.key(event, line)}
      onClick={(event) => hear.click(event, line)}
      onDoubleClick={(event) => hear.doubleClick(event, line)}
    >
      {columns.map((column) => {
        const shown = row === undefined ? '…' : column.cell(row, line);
        const width = widthOf(column);
        const isText = typeof shown === 'string';
        return (
          <div
            key={column.id}
            role="gridcell"
            data-column={column.id}
            className={isText ? (fits(shown, width) ? classes.short : classes.text) : classes.cell}
            title={isText && row !== undefined ? shown : undefined}
            style={{ width }}
          >
            {shown}
          </div>
        );
      })}
    </div>
  );
});

const cellsOf = (line: HTMLElement) => [...line.querySelectorAll<HTMLElement>('[data-column]')];

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
