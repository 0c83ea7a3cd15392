// Which entries stand at which line of a long table? Lists of several places one below the other, read page by page.

import { useQueries } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { type Narrow, PAGE, pageOf } from '../api/config';
import type { Entry } from '../api/types';

/** A list of the configuration, and the name of the place that it stands in; `from` when not in the candidate. */
export type Source = { xpath: string; location: string; own: boolean; from?: string };
export type Row = { source: Source; entry: Entry };

export type Rows = {
  count: number;
  /** Entries of the lists, found or not. */
  total: number;
  /** The rows that are at hand, by XPath. */
  known: () => Map<string, Row>;
  loading: boolean;
  error: unknown;
  /** What the table makes lines of. */
  lists: Lists;
};

type Read = { source: number; entries: Entry[] };

type Lists = {
  sources: Source[];
  narrow: Narrow;
  /** The entries of each list that fit, and the line of its first one. */
  counts: number[];
  starts: number[];
  /** The first page of each list. */
  heads: (Entry[] | undefined)[];
  /** The other pages that the table has. */
  pages: { current: Read[] };
  rowOf: (source: Source, entry: Entry) => Row;
};

/** Those lists. An entry that stays the same is the same row, so that its line is not drawn again. */
export function useRows(sources: Source[], narrow: Narrow): Rows {
  const made = useRef(new WeakMap<Entry, Row>());
  const pages = useRef<Read[]>([]);
  const read = useQueries({ queries: sources.map((source) => pageOf(source.xpath, narrow, 0, source.from)) });
  const heads = read.map((head) => head.data?.entries);
  const counts = read.map((head) => head.data?.matching ?? 0);
  const starts = counts.map((_, index) => counts.slice(0, index).reduce((sum, count) => sum + count, 0));

  const rowOf = (source: Source, entry: Entry): Row => {
    const known = made.current.get(entry);
    if (known?.source === source) return known;
    const row = { source, entry };
    made.current.set(entry, row);
    return row;
  };
  const known = () => {
    const rows = new Map<string, Row>();
    for (const { source, entries } of [
      ...heads.map((entries, source) => ({ source, entries: entries ?? [] })),
      ...pages.current,
    ]) {
      const from = sources[source];
      if (from) for (const entry of entries) rows.set(entry.xpath, rowOf(from, entry));
    }
    return rows;
  };
  return {
    count: counts.reduce((sum, one) => sum + one, 0),
    total: read.reduce((sum, head) => sum + (head.data?.total ?? 0), 0),
    known,
    loading: read.some((head) => head.isPending),
    error: read.find((head) => head.error)?.error,
    lists: { sources, narrow, counts, starts, heads, pages, rowOf },
  };
}

export type Lines = {
  /** The entry of a line; `undefined` while it is on its way. */
  at: (line: number) => Row | undefined;
  /** Which lines are looked at: their pages are read. */
  look: (from: number, to: number) => void;
};

/** The lines of those lists, for the table alone: what surrounds it is not drawn again for each page that comes. */
export function useLines({ sources, narrow, counts, starts, heads, pages, rowOf }: Lists): Lines {
  const [range, setRange] = useState({ from: 0, to: 60 });
  const wanted: { source: number; page: number }[] = [];
  sources.forEach((_, index) => {
    const start = starts[index] ?? 0;
    const from = Math.max(range.from - start, 0);
    const to = Math.min(range.to - start, (counts[index] ?? 0) - 1);
    for (let page = Math.floor(from / PAGE); page * PAGE <= to; page++) {
      if (page > 0) wanted.push({ source: index, page });
    }
  });
  const read = useQueries({
    queries: wanted.map(({ source, page }) =>
      pageOf(sources[source]?.xpath ?? '', narrow, page, sources[source]?.from),
    ),
  });
  useEffect(() => {
    pages.current = wanted.map(({ source }, place) => ({ source, entries: read[place]?.data?.entries ?? [] }));
  });

  const at = (line: number): Row | undefined => {
    const index = starts.findLastIndex((start, place) => line >= start && line < start + (counts[place] ?? 0));
    const source = sources[index];
    if (!source) return undefined;
    const offset = line - (starts[index] ?? 0);
    const page = Math.floor(offset / PAGE);
    const entries =
      page === 0
        ? heads[index]
        : read[wanted.findIndex((one) => one.source === index && one.page === page)]?.data?.entries;
    const entry = entries?.[offset % PAGE];
    return entry && rowOf(source, entry);
  };
  const look = (from: number, to: number) => {
    if (from < range.from || to > range.to || range.to - range.from > 2000)
      setRange({ from: from - 100, to: to + 100 });
  };
  return { at, look };
}
