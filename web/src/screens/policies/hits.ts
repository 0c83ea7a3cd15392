// How often did each rule decide? The devices of the group are asked, and their counts added up.

import { useQuery } from '@tanstack/react-query';
import { useDevices } from '../../api/devices';
import { useGroups } from '../../scope';
import { ask } from '../monitor/explain';
import type { Base } from './columns';

export type Hits = { count: number; last: number };

/** Devices that are asked at once at most; a group of thousands is not counted here. */
const DEVICES_MAX = 50;

const command = (base: Base): string =>
  `<show><rule-hit-count><vsys><vsys-name><entry name="vsys1"><rule-base><entry name="${base}"><rules><all/></rules></entry></rule-base></entry></vsys-name></vsys></rule-hit-count></show>`;

/** Hits by the names of rules; empty until the devices answered. */
export function useHits(base: Base, group: string | undefined): ReadonlyMap<string, Hits> {
  const devices = useDevices();
  const groups = useGroups();
  const below = (name: string | null | undefined): boolean => {
    if (!group || name === group) return true;
    const parent = groups.data?.groups.find((one) => one.name === name)?.parent;
    return parent ? below(parent) : false;
  };
  const serials = (devices.data?.devices ?? [])
    .filter((device) => device.connected && device.group && below(device.group))
    .map((device) => device.serial)
    .slice(0, DEVICES_MAX);
  const hits = useQuery({
    queryKey: ['hits', base, serials],
    enabled: serials.length > 0,
    refetchInterval: 30_000,
    queryFn: async () => added(await Promise.all(serials.map((serial) => hitsOf(serial, base)))),
  });
  return hits.data ?? new Map();
}

async function hitsOf(serial: string, base: Base): Promise<Map<string, Hits>> {
  const result = await ask(serial, command(base)).catch(() => undefined);
  const map = new Map<string, Hits>();
  for (const entry of result?.querySelectorAll('rules > entry') ?? []) {
    const number = (tag: string) => Number(entry.querySelector(tag)?.textContent ?? 0);
    map.set(entry.getAttribute('name') ?? '', { count: number('hit-count'), last: number('last-hit-timestamp') });
  }
  return map;
}

function added(all: Map<string, Hits>[]): Map<string, Hits> {
  const sum = new Map<string, Hits>();
  for (const one of all) {
    for (const [name, { count, last }] of one) {
      const before = sum.get(name);
      sum.set(name, { count: (before?.count ?? 0) + count, last: Math.max(before?.last ?? 0, last) });
    }
  }
  return sum;
}
