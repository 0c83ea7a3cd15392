// Which lines of a log are there, and which come?

import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { api, told } from '../../api/client';
import { useEvents } from '../../api/events';
import type { LogLine } from '../../api/types';
import { inSpans, rfc3339 } from './range';

const PAGE = 200;
/** Lines of the live tail that are kept on the screen. */
const TAIL_MAX = 2000;

export function useLogFields(log: string) {
  const logs = useQuery({
    queryKey: ['logs', 'fields'],
    queryFn: () => told(api.GET('/api/v1/logs')),
    staleTime: Number.POSITIVE_INFINITY,
  });
  return logs.data?.logs.find((one) => one.name === log)?.fields ?? [];
}

/** Pages of a log, the newest line first. */
export function useLogPages(log: string, query: string, enabled: boolean) {
  return useInfiniteQuery({
    queryKey: ['logs', log, query],
    enabled,
    initialPageParam: null as string | null,
    queryFn: ({ pageParam }) =>
      told(
        api.GET('/api/v1/logs/{log}', {
          params: { path: { log }, query: { query: query || null, cursor: pageParam, limit: PAGE } },
        }),
      ),
    getNextPageParam: (page) => page.next ?? undefined,
  });
}

/** Lines as they come, the newest first, while `on`. */
export function useTail(log: string, query: string, on: boolean): LogLine[] {
  const [lines, setLines] = useState<LogLine[]>([]);
  const path = `/api/v1/logs/${log}/tail?query=${encodeURIComponent(query)}`;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another question has no lines yet
  useEffect(() => setLines([]), [path, on]);
  useEvents<LogLine>(on ? path : undefined, (line) => {
    setLines((now) => [line, ...now].slice(0, TAIL_MAX));
    return true;
  });
  return lines;
}

/** How many lines there were in each span of a time. */
export function useCounts(log: string, query: string, range: string) {
  return useQuery({
    queryKey: ['logs', log, 'counts', query, range],
    queryFn: async () => {
      const { from, until, length } = inSpans(range);
      const times = { from: rfc3339(from), until: rfc3339(until), spans: (until - from) / length };
      const params = { path: { log }, query: { query: query || null, ...times } };
      return { ...(await told(api.GET('/api/v1/logs/{log}/counts', { params }))), from, until };
    },
    refetchInterval: 30_000,
    placeholderData: keepPreviousData,
  });
}

/** A time of a log line, which is UTC, as the API writes times elsewhere. */
export function timeOf(text: string | undefined): string | undefined {
  return text && /^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d$/.test(text)
    ? `${text.replaceAll('/', '-').replace(' ', 'T')}Z`
    : undefined;
}
