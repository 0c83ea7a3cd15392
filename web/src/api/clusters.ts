// Which Kubernetes clusters are there, and what became of their policies?

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { api, told } from './client';

export function useClusters() {
  return useQuery({
    queryKey: ['clusters'],
    queryFn: () => told(api.GET('/api/v1/kubernetes/clusters')),
    refetchInterval: 5000,
  });
}

/** `null` when the cluster's controller told no policies. */
export function usePolicies(cluster: string | undefined) {
  return useQuery({
    queryKey: ['clusters', cluster, 'policies'],
    enabled: cluster !== undefined,
    queryFn: () =>
      told(
        api.GET('/api/v1/kubernetes/clusters/{name}/policies', {
          params: { path: { name: cluster ?? '' }, query: {} },
        }),
      ).catch((error: unknown) => {
        if (error instanceof Error && 'kind' in error && error.kind === 'not-found') return null;
        throw error;
      }),
    refetchInterval: 3000,
  });
}

export function useForget() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (name: string) =>
      told(api.DELETE('/api/v1/kubernetes/clusters/{name}', { params: { path: { name } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: ['clusters'] }),
  });
}

/** Addresses that have tags, a page of them. */
export function useTagged(search: { address?: string; tag?: string }, limit: number) {
  return useQuery({
    queryKey: ['registered', search, limit],
    queryFn: () => told(api.GET('/api/v1/registered-addresses', { params: { query: { ...search, limit } } })),
    refetchInterval: 5000,
  });
}
