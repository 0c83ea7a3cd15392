// Two people changed the same entry: what of it can be put together, and where do they contradict each other?

import type { Node } from '../api/types';
import { at, elements, same, withChild } from './node';

export type Merge = {
  /** What only one of both changed, with mine where both did. */
  node: Node;
  /** Elements that both changed, to something different. */
  conflicts: string[];
};

/** Puts my changes over theirs, element by element, both made from the same base. */
export function merge(base: Node, mine: Node, theirs: Node): Merge {
  const tags = new Set([base, mine, theirs].flatMap((node) => elements(node).map((child) => child.tag)));
  let node = theirs;
  const conflicts: string[] = [];
  for (const tag of tags) {
    const [was, my, their] = [at(base, tag), at(mine, tag), at(theirs, tag)];
    if (same(was, my) || same(my, their)) continue;
    if (!same(was, their)) conflicts.push(tag);
    node = withChild(node, tag, my);
  }
  return { node, conflicts };
}
