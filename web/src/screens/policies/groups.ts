// Which groups and tags do the rules that are shown have, and how many rules each?

import { useQueries } from '@tanstack/react-query';
import { api, told } from '../../api/client';
import { Problem } from '../../api/problem';
import type { Source } from '../../table/rows';

export type Counted = { name: string; rules: number };
export type Grouping = { groups: Counted[]; tags: Counted[] };

export function useGrouping(sources: Source[]): Grouping {
  return useQueries({
    queries: sources.map(({ xpath }) => ({
      queryKey: ['config', 'rule-groups', xpath],
      queryFn: () => groupsOf(xpath),
    })),
    combine: (results) => ({
      groups: added(results.map((result) => result.data?.groups ?? [])),
      tags: added(results.map((result) => result.data?.tags ?? [])),
    }),
  });
}

async function groupsOf(xpath: string): Promise<Grouping> {
  return told(api.GET('/api/v1/rules/groups', { params: { query: { xpath } } })).catch((error: unknown) => {
    // A rulebase that nobody made yet has none.
    if (error instanceof Problem && error.kind === 'not-found') return { groups: [], tags: [] };
    throw error;
  });
}

function added(lists: Counted[][]): Counted[] {
  const sums = new Map<string, number>();
  for (const { name, rules } of lists.flat()) sums.set(name, (sums.get(name) ?? 0) + rules);
  return [...sums].map(([name, rules]) => ({ name, rules }));
}
