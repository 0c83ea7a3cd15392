// How are lists of the configuration read, and the candidate changed?

import { notifications } from '@mantine/notifications';
import { type QueryClient, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { api, told } from './client';
import { linesOf } from './problem';
import type { Asked } from './types';

/** Entries that one request brings. */
export const PAGE = 200;

/** Which entries of a list are wanted: with a text, a tag, of a group of rules (`''`: of none). */
export type Narrow = { search?: string; tag?: string; group?: string };

export const keys = {
  entries: (xpath: string, narrow: Narrow, page: number, source?: string) =>
    ['config', 'entries', xpath, narrow, page, source] as const,
  node: (xpath: string, source?: string) => ['config', 'node', xpath, source] as const,
  candidate: ['config', 'candidate'] as const,
};

/** A page of a list; `source` is where it is read when not in the candidate. */
export function pageOf(xpath: string, narrow: Narrow, page: number, source?: string) {
  return {
    queryKey: keys.entries(xpath, narrow, page, source),
    queryFn: () => entriesOf(xpath, narrow, page * PAGE, PAGE, source),
  };
}

export function entriesOf(xpath: string, narrow: Narrow, offset: number, limit: number, source?: string) {
  const query = { xpath, ...narrow, source: source ?? null, search: narrow.search || null, offset, limit };
  return told(api.GET('/api/v1/config/entries', { params: { query } })).catch(absent(xpath));
}

/** A list that nobody made yet has no entries; that is no failure. */
function absent(xpath: string) {
  return (error: unknown) => {
    if (error instanceof Error && 'kind' in error && error.kind === 'not-found') {
      return { xpath, total: 0, matching: 0, entries: [] };
    }
    throw error;
  };
}

/** One node with its digest; `undefined` when it is not there. */
export function useNode(xpath: string | undefined, source?: string) {
  return useQuery({
    queryKey: keys.node(xpath ?? '', source),
    enabled: xpath !== undefined,
    queryFn: async () => (await nodeAt(xpath ?? '', source)) ?? null,
  });
}

export async function nodeAt(xpath: string, source?: string) {
  const { nodes } = await told(api.GET('/api/v1/config', { params: { query: { source: source ?? null, xpath } } }));
  return nodes[0];
}

/** What is pending; asked for again now and then, because others edit too. */
export function useCandidate() {
  return useQuery({
    queryKey: keys.candidate,
    queryFn: () => told(api.GET('/api/v1/candidate')),
    refetchInterval: 5000,
  });
}

/** After a change everything that was read of the configuration is asked for again. */
export function forget(queries: QueryClient): Promise<void> {
  return queries.invalidateQueries({ queryKey: ['config'] });
}

type Heard = (edits: Asked[], undo: Asked[] | null | undefined) => void;
const hearing = new Set<Heard>();

/** Hears of each edit of the page, and how it is taken back, as soon as it is made: before anything is read again. */
export function hearEdits(heard: Heard): () => void {
  hearing.add(heard);
  return () => {
    hearing.delete(heard);
  };
}

export const edited = (edits: Asked[]) => told(api.POST('/api/v1/config/edits', { body: { edits, undo: true } }));

/** Edits the candidate, all edits or none. Refusals are the caller's to show when it sets `quiet`. */
export function useEdit(quiet = false) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (edits: Asked[]) => {
      const answer = await edited(edits);
      for (const heard of hearing) heard(edits, answer.undo);
      return answer;
    },
    onSuccess: () => forget(queries),
    onError: (error) => {
      if (!quiet) refused(error);
    },
  });
}

/** Tells that something was refused, and why. */
export function refused(error: unknown): void {
  notifications.show({ color: 'red', title: 'Refused', message: linesOf(error).join('\n'), autoClose: 15_000 });
}
