// Who is logged in here, and what happens when the manager forgets them?
//
// The token is in the tab's session storage: no request carries it by itself, so that a foreign page can make none. A
// tab that is opened beside one that is logged in asks it for the token. A session that ended is not the end of what
// somebody was typing: requests that were refused wait until the same person has logged in again.

import { useSyncExternalStore } from 'react';
import { Problem, problemOf } from './problem';
import type { components } from './schema.gen';

export type Who = Omit<components['schemas']['Session'], 'token'>;
export type Session = { token: string; who: Who };

export type State =
  | { kind: 'asking' }
  | { kind: 'out' }
  | { kind: 'in'; session: Session }
  /** The token is no longer good; the page stands as it is. */
  | { kind: 'expired'; who: Who };

const KEY = 'bartizan.session';
const channel = new BroadcastChannel('bartizan.session');
/** A tab that has a session answers at once, or is not there. */
const ASKING_MS = 150;

let state: State = stored();
const listeners = new Set<() => void>();
let waiting: Array<() => void> = [];

function stored(): State {
  const text = sessionStorage.getItem(KEY);
  return text ? { kind: 'in', session: JSON.parse(text) as Session } : { kind: 'asking' };
}

function become(next: State): void {
  state = next;
  if (next.kind === 'in') sessionStorage.setItem(KEY, JSON.stringify(next.session));
  else sessionStorage.removeItem(KEY);
  for (const listener of listeners) listener();
}

channel.addEventListener('message', (event: MessageEvent<{ ask?: true; out?: true; session?: Session }>) => {
  const { ask, out, session } = event.data;
  if (ask && state.kind === 'in') channel.postMessage({ session: state.session });
  if (session && state.kind === 'asking') become({ kind: 'in', session });
  if (out) become({ kind: 'out' });
});
if (state.kind === 'asking') {
  channel.postMessage({ ask: true });
  setTimeout(() => state.kind === 'asking' && become({ kind: 'out' }), ASKING_MS);
}

export function useSession(): State {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => state,
  );
}

/** The token, for a request that is made by hand. */
export function token(): string | undefined {
  return state.kind === 'in' ? state.session.token : undefined;
}

export async function logIn(user: string, password: string): Promise<void> {
  const response = await fetch('/api/v1/session', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ user, password }),
  }).catch(() => {
    throw new Problem(0, 'unreachable', 'the manager does not answer; is it running, and is the network there?', []);
  });
  if (!response.ok) throw await problemOf(response);
  const { token, ...who } = (await response.json()) as components['schemas']['Session'];
  become({ kind: 'in', session: { token, who } });
  const ready = waiting;
  waiting = [];
  for (const go of ready) go();
}

/** Ends the session here, in the other tabs, and in the manager. */
export async function logOut(): Promise<void> {
  const headers = { Authorization: `Bearer ${token() ?? ''}` };
  await fetch('/api/v1/session', { method: 'DELETE', headers }).catch(() => undefined);
  become({ kind: 'out' });
  channel.postMessage({ out: true });
}

/** Resolves once somebody has logged in again after `used` was refused. */
export function renewed(used: string | undefined): Promise<void> {
  if (state.kind === 'in') {
    if (state.session.token !== used) return Promise.resolve();
    become({ kind: 'expired', who: state.session.who });
  }
  return new Promise((resolve) => waiting.push(resolve));
}
