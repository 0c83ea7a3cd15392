// Which edits change a field of many rules at once? Only that field: what others change meanwhile stays.

import type { Asked, Node } from '../../api/types';
import type { Row } from '../../table/rows';
import { elements, memberList, members, quoted } from '../../tree/node';

export type How = 'set' | 'add' | 'remove' | 'clear';
export type Change = { tag: string; how: How; value: Node | undefined };

/** The edits of one change for those rules. */
export function editsOf(rows: Row[], change: Change): Asked[] {
  return rows.flatMap((row) => editsOfOne(`${row.entry.xpath}/${change.tag}`, row, change));
}

function editsOfOne(xpath: string, row: Row, { tag, how, value }: Change): Asked[] {
  if (how === 'clear' || !value) return [{ action: 'delete', xpath }];
  if (how === 'set') return [{ action: 'edit', xpath, node: value }];
  const given = elements(value).map((member) => member.text ?? '');
  const had = members(row.entry.node, tag);
  if (how === 'add') {
    // Something beside `any` would say nothing.
    if (had.includes('any')) return [{ action: 'edit', xpath, node: value }];
    return [{ action: 'set', xpath, nodes: elements(value) }];
  }
  const rest = had.filter((name) => !given.includes(name));
  if (rest.length === 0 && tag !== 'tag' && had.length > 0) {
    return [{ action: 'edit', xpath, node: memberList(tag, ['any']) }];
  }
  return given.map((name) => ({ action: 'delete', xpath: `${xpath}/member[text()=${quoted(name)}]` }));
}
