// What will the first screen show? It is asked for while the page is still being put together, so that the screen is drawn
// once, with what it shows.

import type { QueryClient } from '@tanstack/react-query';
import { pageOf } from './api/config';
import type { Place } from './nav';
import { GROUPS, narrowOf, type Search, SHARED, scoped } from './scope';

/** Longer than this nobody looks at nothing. */
const PATIENCE_MS = 300;

/** Begins to read what a place shows; resolves when it is there, or when it takes long. */
export function ahead(queries: QueryClient, place: Place | undefined, search: Search): Promise<unknown> {
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
  return Promise.race([Promise.all([place?.load(), ...readList(queries, place, search)]), late]);
}

/** The beginning of the list, and of the one that it inherits from in any case. */
function readList(queries: QueryClient, place: Place | undefined, search: Search): Promise<unknown>[] {
  const { list } = place ?? {};
  const own = list && scoped(list.scope, list.path, search);
  if (!own) return [];
  const { xpath, source } = own.merged ?? { xpath: own.xpath, source: undefined };
  const pages = [pageOf(xpath, narrowOf(search), 0, source)];
  if (list.scope === 'group' && search.group) pages.push(pageOf(`${SHARED}/${list.path}`, narrowOf(search), 0));
  return [queries.prefetchQuery(GROUPS), ...pages.map((page) => queries.prefetchQuery(page))];
}
