// What may stand at a place of the configuration? The manager's schema says, and which names may be referred to.

import { useQuery } from '@tanstack/react-query';
import { api, told } from '../api/client';
import { mergedPlace } from '../scope';
import { elements, nameOf } from './node';

/** In a stack, the names are those of its templates, too. */
const read = (xpath: string) =>
  told(api.GET('/api/v1/config/schema', { params: { query: mergedPlace(xpath) ?? { xpath } } }));

/** The fields of a place. They do not change while the manager runs. */
export function useFacts(xpath: string | undefined) {
  return useQuery({
    queryKey: ['schema', xpath],
    enabled: xpath !== undefined,
    queryFn: () => read(xpath ?? ''),
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** The names that can stand at a place; they change with the candidate. */
export function useNames(xpath: string, enabled: boolean): string[] {
  const zones = /-rulebase\/.*\/(from|to|zone)$/.test(xpath);
  const names = useQuery({
    queryKey: ['config', 'names', zones ? 'zones' : xpath],
    enabled,
    queryFn: async () => (zones ? await zonesOfAll() : (await read(xpath)).names),
    staleTime: 5000,
  });
  return names.data ?? [];
}

const ZONES =
  "/config/devices/entry[@name='localhost.localdomain']/template/entry/config/devices/entry/vsys/entry/zone";

/** A rule of a device group may be for any template's zones: which of them its devices have, a commit checks. */
async function zonesOfAll(): Promise<string[]> {
  const { nodes } = await told(api.GET('/api/v1/config', { params: { query: { xpath: ZONES, depth: 1 } } }));
  const names = nodes.flatMap((found) => elements(found.node).map(nameOf));
  return ['any', ...new Set(names)];
}
