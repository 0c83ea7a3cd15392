// Which entries stand at which line of a long table? Lists of several places one below the other, read page by page.

import { useQueries } from '@tanstack/react-query';
import { useState } from 'react';
import { PAGE, pageOf } from '../api/config';
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
  /** Which lines are looked at: their pages are read. */
  look: (from: number, to: number) => void;
  loading: boolean;
  error: unknown;
};

/** The lines of those lists; `after` lines are kept where a search narrows them. */
export function useRows(sources: Source[], search: string): Rows {
  const [range, setRange] = useState({ from: 0, to: 60 });
  const heads = useQueries({ queries: sources.map((source) => pageOf(source.xpath, search, 0, source.from)) });
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
      pageOf(sources[source]?.xpath ?? '', search, page, sources[source]?.from),
    ),
  });

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
    return entry && { source, entry };
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
    look,
    loading: heads.some((head) => head.isPending),
    error: failed?.error,
  };
}
