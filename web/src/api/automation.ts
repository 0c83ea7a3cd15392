// What do playbooks do for the policies of clusters? Runs, incidents and playbooks, read and decided.

import { type QueryClient, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { api, told } from './client';
import type { Run } from './types';

/** Rows that one request brings. */
const PAGE = 500;
/** How often lists are read again, ms; what is under way is looked at more often. */
const LIST_MS = 3000;
const LIVE_MS = 700;

const KEY = 'automation';

/** Whether a run may still do something by itself, or when somebody decides. */
export function isOpen(run: Run): boolean {
  return run.state === 'running' || run.state === 'waiting';
}

export function useRuns(state: string, cluster: string) {
  return useQuery({
    queryKey: [KEY, 'runs', state, cluster],
    queryFn: () => told(api.GET('/api/v1/automation/runs', { params: { query: { state, cluster, limit: PAGE } } })),
    refetchInterval: LIST_MS,
  });
}

export function useRun(id: number) {
  return useQuery({
    queryKey: [KEY, 'run', id],
    queryFn: () => told(api.GET('/api/v1/automation/runs/{id}', { params: { path: { id: String(id) } } })),
    refetchInterval: (query) => (query.state.data && !isOpen(query.state.data.run) ? LIST_MS : LIVE_MS),
  });
}

export function useIncidents(state: string) {
  return useQuery({
    queryKey: [KEY, 'incidents', state],
    queryFn: () => told(api.GET('/api/v1/automation/incidents', { params: { query: { state, limit: PAGE } } })),
    refetchInterval: LIST_MS,
  });
}

export function useIncident(id: number) {
  return useQuery({
    queryKey: [KEY, 'incident', id],
    queryFn: () => told(api.GET('/api/v1/automation/incidents/{id}', { params: { path: { id: String(id) } } })),
    refetchInterval: LIST_MS,
  });
}

export function usePlaybooks() {
  return useQuery({
    queryKey: [KEY, 'playbooks'],
    queryFn: () => told(api.GET('/api/v1/automation/playbooks')),
  });
}

/** All versions of a playbook, the newest first. */
export function usePlaybook(name: string) {
  return useQuery({
    queryKey: [KEY, 'playbooks', name],
    queryFn: () => told(api.GET('/api/v1/automation/playbooks/{name}', { params: { path: { name } } })),
  });
}

const heard = (queries: QueryClient) => queries.invalidateQueries({ queryKey: [KEY] });

export type Decision = 'approve' | 'reject' | 'rerun';

/** Approves or rejects what a run waits for, or has it go on where it failed. */
export function useDecide(id: number) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async ({ what, comment, task }: { what: Decision; comment: string; task?: string }) => {
      const params = { path: { id: String(id) } };
      if (what === 'rerun') {
        await told(api.POST('/api/v1/automation/runs/{id}/rerun', { params, body: { task: task ?? null } }));
      } else if (what === 'approve') {
        await told(api.POST('/api/v1/automation/runs/{id}/approve', { params, body: { comment } }));
      } else {
        await told(api.POST('/api/v1/automation/runs/{id}/reject', { params, body: { comment } }));
      }
    },
    onSettled: () => heard(queries),
  });
}

export type Remark = { comment?: string; owner?: string; severity?: string; status?: string };

export function useRemark(id: number) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: Remark) =>
      told(api.POST('/api/v1/automation/incidents/{id}', { params: { path: { id: String(id) } }, body })),
    onSettled: () => heard(queries),
  });
}

/** Writes a version of a playbook; without a text, the program's own is used again. */
export function useWrite(name: string) {
  const queries = useQueryClient();
  const params = { path: { name } };
  return useMutation({
    mutationFn: (text: string | undefined) =>
      text === undefined
        ? told(api.DELETE('/api/v1/automation/playbooks/{name}', { params }))
        : told(api.PUT('/api/v1/automation/playbooks/{name}', { params, body: { text } })),
    onSettled: () => heard(queries),
  });
}

export function useStart() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { playbook: string; cluster: string; inputs: Record<string, string> }) =>
      told(api.POST('/api/v1/automation/runs', { body })),
    onSettled: () => heard(queries),
  });
}
