// Who uses the manager, by which keys, who keeps others from working, and what waits for a second look?

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { api, told } from './client';

const LIST_MS = 5000;

/** Who made a request a short while ago. */
export function usePresent() {
  return useQuery({
    queryKey: ['administrators', 'present'],
    queryFn: () => told(api.GET('/api/v1/administrators/present')),
    refetchInterval: LIST_MS,
  });
}

export function useApiKeys() {
  return useQuery({
    queryKey: ['api-keys'],
    queryFn: () => told(api.GET('/api/v1/api-keys')),
    refetchInterval: LIST_MS,
  });
}

export function useMakeKey() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => told(api.POST('/api/v1/api-keys')),
    onSettled: () => queries.invalidateQueries({ queryKey: ['api-keys'] }),
  });
}

export function useEndKeys() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (ids: string[]) => {
      for (const id of ids) await told(api.DELETE('/api/v1/api-keys/{id}', { params: { path: { id } } }));
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ['api-keys'] }),
  });
}

export function useLocks() {
  return useQuery({
    queryKey: ['locks'],
    queryFn: () => told(api.GET('/api/v1/locks')),
    refetchInterval: LIST_MS,
  });
}

export type Wanted = { kind: 'config' | 'commit'; scope?: string; comment: string };

export function useTakeLock() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: Wanted) => told(api.POST('/api/v1/locks', { body })),
    onSettled: () => queries.invalidateQueries({ queryKey: ['locks'] }),
  });
}

export type Held = { kind: string; scope: string; admin: string };

export function useRemoveLocks() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (locks: Held[]) => {
      for (const { kind, scope, admin } of locks) {
        const query = { kind: kind === 'commit' ? ('commit' as const) : ('config' as const), scope, admin };
        await told(api.DELETE('/api/v1/locks', { params: { query } }));
      }
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ['locks'] }),
  });
}

/** Commits and pushes for which the four-eyes option wants somebody else. */
export function useApprovals() {
  return useQuery({
    queryKey: ['approvals'],
    queryFn: () => told(api.GET('/api/v1/approvals')),
    refetchInterval: LIST_MS,
  });
}

export function useDecideApproval(id: number) {
  const queries = useQueryClient();
  const params = { path: { id: String(id) } };
  return useMutation({
    mutationFn: ({ approve, comment }: { approve: boolean; comment: string }) =>
      approve
        ? told(api.POST('/api/v1/approvals/{id}/approve', { params, body: { comment } }))
        : told(api.POST('/api/v1/approvals/{id}/refuse', { params, body: { comment } })),
    onSettled: () => queries.invalidateQueries({ queryKey: ['approvals'] }),
  });
}
