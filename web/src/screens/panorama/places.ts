// Which edits make a device group, a template or a stack, and put devices into it?

import type { Asked, Device } from '../../api/types';
import { LISTS } from '../../scope';
import { entryPath } from '../../tree/node';

export type Kind = 'group' | 'template' | 'stack';

/** What the form of a place holds. */
export type Held = { name: string; devices: string[]; templates: string[] };

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

/** The edits from one state to the other; without `before` the place is new. */
export function edits(kind: Kind, before: Held | undefined, after: Held): Asked[] {
  const xpath = entryPath(LISTS[kind], after.name);
  const list: Asked[] = [];
  if (!before) list.push({ action: 'set', xpath: LISTS[kind], element: `<entry name="${escaped(after.name)}"/>` });
  else if (before.name !== after.name) {
    list.push({ action: 'rename', xpath: entryPath(LISTS[kind], before.name), name: after.name });
  }
  if (kind === 'stack' && before?.templates.join('\n') !== after.templates.join('\n')) {
    const members = after.templates.map((name) => ({ tag: 'member', text: name }));
    list.push({ action: 'edit', xpath: `${xpath}/templates`, node: { tag: 'templates', children: members } });
  }
  if (kind === 'template') return list;
  const had = before?.devices ?? [];
  for (const serial of after.devices.filter((one) => !had.includes(one))) {
    list.push({ action: 'set', xpath: `${xpath}/devices`, element: `<entry name="${escaped(serial)}"/>` });
  }
  for (const serial of had.filter((one) => !after.devices.includes(one))) {
    list.push({ action: 'delete', xpath: entryPath(`${xpath}/devices`, serial) });
  }
  return list;
}

/** Devices as choices, by their names. */
export function choices(devices: Device[]): { value: string; label: string }[] {
  return devices.map(({ serial, hostname }) => ({
    value: serial,
    label: hostname ? `${hostname} (${serial})` : serial,
  }));
}
