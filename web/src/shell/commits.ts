// Is a dialog for a commit open, and for which? One for the whole page, opened from the bar, the palette, or a screen.

import { useSyncExternalStore } from 'react';

/** Commit, push, or the one and then the other. */
export type Kind = 'commit' | 'push' | 'both';
export type Dialog = { kind: Kind } | { job: number } | undefined;

let dialog: Dialog;
const listeners = new Set<() => void>();

function become(next: Dialog): void {
  dialog = next;
  for (const listener of listeners) listener();
}

export const openCommit = (kind: Kind) => become({ kind });
/** Shows how a job gets on. */
export const openJob = (job: number) => become({ job });
export const closeDialog = () => become(undefined);

export function useDialog(): Dialog {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => dialog,
  );
}
