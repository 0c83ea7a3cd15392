// What is copied, and how does it get somewhere else? Rules that were copied wait in this tab, for another rulebase.

import type { Asked } from '../../api/types';
import type { Row } from '../../table/rows';
import type { Base } from './bases';

/** The edit that copies rules to the end of a list, or moves them there; names that are taken get a number. */
export function copies(list: string, rows: Row[], moved = false): Asked {
  const lists = new Map<string, string[]>();
  for (const { source, entry } of rows) {
    const names = lists.get(source.xpath);
    if (names) names.push(entry.name);
    else lists.set(source.xpath, [entry.name]);
  }
  const entries = [...lists].map(([from, names]) => ({ list: from, names }));
  return { action: moved ? 'multi-move' : 'multi-clone', xpath: list, entries };
}

let kept: { base: Base; rows: Row[] } | undefined;

export function keep(base: Base, rows: Row[]): void {
  if (rows.length > 0) kept = { base, rows };
}

/** The rules that were copied last, when they are of this kind. */
export function keptRules(base: Base): Row[] {
  return kept?.base === base ? kept.rows : [];
}
