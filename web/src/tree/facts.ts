// What may stand at a place of the configuration? The manager's schema says, and which names may be referred to.

import { useQuery } from '@tanstack/react-query';
import { api, told } from '../api/client';

const read = (xpath: string) => told(api.GET('/api/v1/config/schema', { params: { query: { xpath } } }));

/** The fields of a place. They do not change while the manager runs. */
export function useFacts(xpath: string | undefined) {
  return useQuery({
    queryKey: ['schema', xpath],
    enabled: xpath !== undefined,
    queryFn: () => read(xpath ?? ''),
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** The names that can stand at a place; they change with the candidate. */
export function useNames(xpath: string, enabled: boolean): string[] {
  const facts = useQuery({
    queryKey: ['config', 'names', xpath],
    enabled,
    queryFn: () => read(xpath),
    staleTime: 5000,
  });
  return facts.data?.names ?? [];
}
