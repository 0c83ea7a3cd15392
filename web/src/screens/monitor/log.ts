// Which lines of a log are there, and which come?

import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { api, told } from '../../api/client';
import { useEvents } from '../../api/events';
import type { LogLine } from '../../api/types';

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

/** How many lines there were in each span of the last hour. */
export function useCounts(log: string, query: string) {
  return useQuery({
    queryKey: ['logs', log, 'counts', query],
    queryFn: () =>
      told(
        api.GET('/api/v1/logs/{log}/counts', { params: { path: { log }, query: { query: query || null, spans: 60 } } }),
      ),
    refetchInterval: 30_000,
  });
}

/** A time of a log line, which is UTC, as the API writes times elsewhere. */
export function timeOf(text: string | undefined): string | undefined {
  return text && /^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d$/.test(text)
    ? `${text.replaceAll('/', '-').replace(' ', 'T')}Z`
    : undefined;
}
