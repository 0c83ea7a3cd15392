// How does the page hear what goes on? Server-sent events over `fetch`, because an `EventSource` sends no token.

import { useEffect, useRef } from 'react';
import { send } from './client';
import { problemOf } from './problem';

/** How long the page waits before it follows a stream that broke again. */
const AGAIN_MS = 2000;

/** The JSON of each event of a stream, until it ends. */
async function* events<T>(path: string, signal: AbortSignal): AsyncGenerator<T> {
  const response = await send(new Request(path, { headers: { Accept: 'text/event-stream' }, signal }));
  if (!response.ok || !response.body) throw await problemOf(response);
  let rest = '';
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line.startsWith('data:')) yield JSON.parse(line.slice(5)) as T;
    }
  }
}

async function follow<T>(path: string, signal: AbortSignal, hear: (event: T) => boolean): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const event of events<T>(path, signal)) {
        if (!hear(event)) return;
      }
    } catch {
      // The manager restarts, or the network breaks: what counts is that it is followed again.
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

/** Follows a stream while the component is shown. `hear` says whether there is more to hear; no `path`, no stream. */
export function useEvents<T>(path: string | undefined, hear: (event: T) => boolean): void {
  const heard = useRef(hear);
  heard.current = hear;
  useEffect(() => {
    if (!path) return undefined;
    const abort = new AbortController();
    void follow<T>(path, abort.signal, (event) => !abort.signal.aborted && heard.current(event));
    return () => abort.abort();
  }, [path]);
}
