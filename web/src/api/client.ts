// How does the page ask the manager? Every request goes through here, typed by the OpenAPI document.

import createClient from 'openapi-fetch';
import { Problem, problemOf } from './problem';
import type { paths } from './schema.gen';
import { renewed, token } from './session';

/** Longer than this no request waits for a screen that is not drawn, as one in a window that nobody sees. */
const DRAWING_MS = 500;

let whenDrawn: Promise<unknown> = Promise.resolve();
let release = () => {};

/** Requests from now on wait until the first screen is drawn: what it shows is there, and their answers would hold it up. */
export function holdBack(): void {
  whenDrawn = new Promise<void>((resolve) => {
    release = resolve;
    setTimeout(resolve, DRAWING_MS);
  });
}

/** The first screen is in the document, and is drawn with the next frame. */
export function drawn(): void {
  requestAnimationFrame(() => setTimeout(release));
}

/** Sends a request as who is logged in; when the session ended, waits for the next one and sends it again. */
export async function send(request: Request): Promise<Response> {
  await whenDrawn;
  for (;;) {
    const used = token();
    // What has a body can be sent once.
    const again = request.method === 'GET' ? request : request.clone();
    again.headers.set('Authorization', `Bearer ${used ?? ''}`);
    const response = await fetch(again).catch((error: unknown) => {
      if (request.signal.aborted) throw error;
      throw new Problem(0, 'unreachable', 'the manager does not answer; is it running, and is the network there?', []);
    });
    if (response.status !== 401) return response;
    await renewed(used);
  }
}

export const api = createClient<paths>({ baseUrl: window.location.origin, fetch: send });

api.use({
  async onResponse({ response }) {
    if (!response.ok) throw await problemOf(response);
  },
});

/** The body of an answer; refusals were thrown before. */
export async function told<T>(answer: Promise<{ data?: T }>): Promise<T> {
  const { data } = await answer;
  return data as T;
}
