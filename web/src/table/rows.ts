// Which entries stand at which line of a long table? Lists of several places one below the other, read page by page.

import { useQueries } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import { type Narrow, PAGE, pageOf } from '../api/config';
import type { Entry } from '../api/types';

/** A list of the configuration, and the name of the place that it stands in; `from` when not in the candidate. */
export type Source = { xpath: string; location: string; own: boolean; from?: string };
export type Row = { source: Source; entry: Entry };

export type Rows = {
  count: number;
  /** Entries of the lists, found or not. */
  total: number;
  /** The entry of a line; `undefined` while it is on its way. */
  at: (line: number) => Row | undefined;
  /** The rows that are at hand, by XPath. */
  known: () => Map<string, Row>;
  /** Which lines are looked at: their pages are read. */
  look: (from: number, to: number) => void;
  loading: boolean;
  error: unknown;
};

/** The lines of those lists. An entry that stays the same is the same row, so that its line is not drawn again. */
export function useRows(sources: Source[], narrow: Narrow): Rows {
  const made = useRef(new WeakMap<Entry, Row>());
  const [range, setRange] = useState({ from: 0, to: 60 });
  const heads = useQueries({ queries: sources.map((source) => pageOf(source.xpath, narrow, 0, source.from)) });
  const counts = heads.map((head) => head.data?.matching ?? 0);
  const starts = counts.map((_, index) => counts.slice(0, index).reduce((sum, count) => sum + count, 0));
  const count = counts.reduce((sum, one) => sum + one, 0);

  const wanted: { source: number; page: number }[] = [];
  sources.forEach((_, index) => {
    const start = starts[index] ?? 0;
    const from = Math.max(range.from - start, 0);
    const to = Math.min(range.to - start, (counts[index] ?? 0) - 1);
    for (let page = Math.floor(from / PAGE); page * PAGE <= to; page++) {
      if (page > 0) wanted.push({ source: index, page });
    }
  });
  const pages = useQueries({
    queries: wanted.map(({ source, page }) =>
      pageOf(sources[source]?.xpath ?? '', narrow, page, sources[source]?.from),
    ),
  });

  const rowOf = (source: Source, entry: Entry): Row => {
    const known = made.current.get(entry);
    if (known?.source === source) return known;
    const row = { source, entry };
    made.current.set(entry, row);
    return row;
  };
  const known = () => {
    const read = [
      ...heads.map((head, source) => ({ source, entries: head.data?.entries ?? [] })),
      ...pages.map((page, place) => ({ source: wanted[place]?.source ?? 0, entries: page.data?.entries ?? [] })),
    ];
    const rows = new Map<string, Row>();
    for (const { source, entries } of read) {
      const from = sources[source];
      if (from) for (const entry of entries) rows.set(entry.xpath, rowOf(from, entry));
    }
    return rows;
  };
  const at = (line: number): Row | undefined => {
    const index = starts.findLastIndex((start, place) => line >= start && line < start + (counts[place] ?? 0));
    const source = sources[index];
    if (!source) return undefined;
    const offset = line - (starts[index] ?? 0);
    const page = Math.floor(offset / PAGE);
    const data =
      page === 0
        ? heads[index]?.data
        : pages[wanted.findIndex((one) => one.source === index && one.page === page)]?.data;
    const entry = data?.entries[offset % PAGE];
    return entry && rowOf(source, entry);
  };
  const look = (from: number, to: number) => {
    if (from < range.from || to > range.to || range.to - range.from > 2000)
      setRange({ from: from - 100, to: to + 100 });
  };
  const failed = heads.find((head) => head.error);
  return {
    count,
    total: heads.reduce((sum, head) => sum + (head.data?.total ?? 0), 0),
    at,
    known,
    look,
    loading: heads.some((head) => head.isPending),
    error: failed?.error,
  };
}
