// What is most of a log in a time, and who speaks with whom?

import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { api, told } from '../../api/client';
import type { LogField } from '../../api/types';
import { useAddress } from '../../scope';
import { bytes } from '../../words';
import { fitting, together } from '../monitor/conditions';
import { useLogFields } from '../monitor/log';
import { HOUR, inSpans, rfc3339, useRange } from '../monitor/range';
import type { View } from './views';

/** How often a time that moves is looked at again. */
const AGAIN_MS = 30_000;

export type Measure = 'lines' | 'bytes';

/** The query of a screen: what it asks in any case, and the global filters that its log has fields for. */
function useFiltered(query: string, fields: LogField[]): { query: string; left: string[] } {
  const [address] = useAddress();
  const [fit, rest] = fitting(address.filter, fields);
  return { query: together(query, fit), left: [...new Set(rest.map((one) => one.field))] };
}

export function useSummary(view: View, measure: Measure) {
  const { range, moves } = useRange(HOUR);
  const fields = useLogFields(view.log);
  const { query, left } = useFiltered(view.query, fields);
  const by = [...view.widgets.map((widget) => widget.by), 'time'].join(';');
  const summary = useQuery({
    queryKey: ['logs', view.log, 'summary', query, range, by, measure],
    enabled: fields.length > 0,
    queryFn: async () => {
      const { from, until, length } = inSpans(range ?? HOUR);
      const times = { from: rfc3339(from), until: rfc3339(until), spans: (until - from) / length };
      const params = { path: { log: view.log }, query: { query: query || null, by, order: measure, ...times } };
      return { ...(await told(api.GET('/api/v1/logs/{log}/summary', { params }))), times: { from, until, length } };
    },
    refetchInterval: moves ? AGAIN_MS : false,
    placeholderData: keepPreviousData,
  });
  return { summary, left };
}

export type Level = 'namespace' | 'service' | 'address';

export function useServiceMap(level: Level, query: string) {
  const { range, moves } = useRange(HOUR);
  const fields = useLogFields('traffic');
  const filtered = useFiltered(query, fields);
  return useQuery({
    queryKey: ['logs', 'traffic', 'map', filtered.query, range, level],
    enabled: fields.length > 0,
    queryFn: () => {
      const { from, until } = inSpans(range ?? HOUR);
      const times = { from: rfc3339(from), until: rfc3339(until) };
      return told(api.GET('/api/v1/service-map', { params: { query: { query: filtered.query, level, ...times } } }));
    },
    refetchInterval: moves ? AGAIN_MS : false,
    placeholderData: keepPreviousData,
  });
}

export function amountOf(sums: { lines: number; bytes: number }, measure: Measure): number {
  return measure === 'bytes' ? sums.bytes : sums.lines;
}

export function written(amount: number, measure: Measure): string {
  return measure === 'bytes' ? bytes(amount) : amount.toLocaleString();
}
