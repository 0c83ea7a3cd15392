// How often did each rule decide? The devices of the group are asked, and their counts added up.

import { useQuery } from '@tanstack/react-query';
import { useDevices } from '../../api/devices';
import { useGroups } from '../../scope';
import { ask } from '../monitor/explain';
import { type Base, ENFORCED } from './bases';

/** Times are seconds; 0 is never. */
export type Hits = { count: number; first: number; last: number; reset: number };

export type Counts = {
  /** By the names of rules; empty until devices answered. */
  hits: ReadonlyMap<string, Hits>;
  /** Devices that answered, and those that were to be asked. */
  answered: number;
  devices: number;
};

const NONE: Counts = { hits: new Map(), answered: 0, devices: 0 };

/** Devices that are asked at once at most; a group of thousands is not counted here. */
const DEVICES_MAX = 50;

const command = (base: Base): string =>
  `<show><rule-hit-count><vsys><vsys-name><entry name="vsys1"><rule-base><entry name="${base}"><rules><all/></rules></entry></rule-base></entry></vsys-name></vsys></rule-hit-count></show>`;

export function useHits(base: Base, group: string | undefined): Counts {
  const devices = useDevices();
  const groups = useGroups();
  const below = (name: string | null | undefined): boolean => {
    if (!group || name === group) return true;
    const parent = groups.data?.groups.find((one) => one.name === name)?.parent;
    return parent ? below(parent) : false;
  };
  const all = (devices.data?.devices ?? []).filter((device) => device.group && below(device.group));
  const serials = all
    .filter((device) => device.connected)
    .map((device) => device.serial)
    .slice(0, DEVICES_MAX);
  const hits = useQuery({
    queryKey: ['hits', base, serials, all.length],
    enabled: serials.length > 0 && ENFORCED.includes(base),
    refetchInterval: 30_000,
    queryFn: async (): Promise<Counts> => {
      const asked = await Promise.all(serials.map((serial) => hitsOf(serial, base)));
      const told = asked.filter((one) => one !== undefined);
      return { hits: added(told), answered: told.length, devices: all.length };
    },
  });
  return hits.data ?? NONE;
}

async function hitsOf(serial: string, base: Base): Promise<Map<string, Hits> | undefined> {
  const result = await ask(serial, command(base)).catch(() => undefined);
  if (!result) return undefined;
  const map = new Map<string, Hits>();
  for (const entry of result.querySelectorAll('rules > entry')) {
    const number = (tag: string) => Number(entry.querySelector(tag)?.textContent ?? 0);
    map.set(entry.getAttribute('name') ?? '', {
      count: number('hit-count'),
      first: number('first-hit-timestamp'),
      last: number('last-hit-timestamp'),
      reset: number('last-reset-timestamp'),
    });
  }
  return map;
}

function added(all: Map<string, Hits>[]): Map<string, Hits> {
  const sum = new Map<string, Hits>();
  for (const one of all) {
    for (const [name, hits] of one) {
      const before = sum.get(name) ?? { count: 0, first: 0, last: 0, reset: 0 };
      sum.set(name, {
        count: before.count + hits.count,
        first: Math.min(before.first || hits.first, hits.first || before.first),
        last: Math.max(before.last, hits.last),
        reset: Math.max(before.reset, hits.reset),
      });
    }
  }
  return sum;
}
