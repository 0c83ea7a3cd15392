// Which zone and which logical router has an interface? Both stand elsewhere; the form of an interface asks for them.

import { Select } from '@mantine/core';
import { useEffect, useState } from 'react';
import { useNode } from '../../api/config';
import type { Asked, Node } from '../../api/types';
import { mergedPlace } from '../../scope';
import { at, elements, entries, entryPath, memberList, members, nameOf, text } from '../../tree/node';

type Properties = {
  /** The list of interfaces. */
  list: string;
  /** The interface as it was read. */
  before: Node | undefined;
  readOnly: boolean;
  put: (edits: (name: string) => Asked[]) => void;
};

export function Assigned({ list, before, readOnly, put }: Properties) {
  const device = list.slice(0, list.indexOf('/network/'));
  const routers = `${device}/network/logical-router`;
  const zones = `${device}/vsys/entry[@name='vsys1']/zone`;
  const was = before && nameOf(before);
  const names = [was ?? '', ...useAliases(list, was)];
  const [router, zone] = [useList(routers), useList(zones)];
  const routerWas = was ? nameOfHolder(router, routerMembers, names) : null;
  const zoneWas = was ? nameOfHolder(zone, zoneMembers, names) : null;
  const [chosen, setChosen] = useState<{ router?: string | null; zone?: string | null }>({});
  const [inRouter, inZone] = [chosen.router, chosen.zone];

  const moves = (name: string): Asked[] => [
    ...(inRouter === undefined ? [] : move(routers, router, ROUTER, names, name, routerWas, inRouter)),
    ...(inZone === undefined ? [] : move(zones, zone, ZONE, names, name, zoneWas, inZone)),
  ];
  // biome-ignore lint/correctness/useExhaustiveDependencies: what was chosen is what changes; the rest is what was read
  useEffect(() => {
    if (inRouter !== undefined || inZone !== undefined) put(moves);
  }, [chosen]);

  return (
    <>
      <Select
        label="Logical Router"
        placeholder="none"
        description={router.length === 0 ? 'There is none yet: add it below Network > Routing' : undefined}
        data={router.map(nameOf)}
        value={inRouter === undefined ? routerWas : inRouter}
        onChange={(name) => setChosen({ ...chosen, router: name })}
        readOnly={readOnly}
        clearable
      />
      <Select
        label="Zone"
        placeholder="none"
        description={zone.length === 0 ? 'There is none yet: add it below Network > Zones' : undefined}
        data={zone.map(nameOf)}
        value={inZone === undefined ? zoneWas : inZone}
        onChange={(name) => setChosen({ ...chosen, zone: name })}
        readOnly={readOnly}
        clearable
      />
    </>
  );
}

/** The entries of a list, of a stack with those of its templates. */
function useList(xpath: string): Node[] {
  const merged = mergedPlace(xpath);
  const { data } = useNode(merged?.xpath ?? xpath, merged?.source);
  return elements(data?.node).filter((child) => child.tag === 'entry');
}

/** The variables that stand for an interface, as `$eth1`. */
function useAliases(list: string, name: string | undefined): string[] {
  const { data } = useNode(`${list.slice(0, list.indexOf('/config/', 1))}/variable`);
  const meant = elements(data?.node).filter((variable) => text(variable, 'type', 'interface') === name);
  return name ? meant.map(nameOf) : [];
}

/** Where the members of an entry stand below it. */
type Place = { of: (node: Node | undefined) => string[]; at: (node: Node | undefined) => string };

const routerMembers = (node: Node | undefined) => entries(node, 'vrf').flatMap((vrf) => members(vrf, 'interface'));
const ROUTER: Place = { of: routerMembers, at: () => "vrf/entry[@name='default']/interface" };

const ZONE_KINDS = ['layer3', 'layer2', 'virtual-wire', 'tap'];
const zoneKind = (node: Node | undefined) =>
  elements(at(node, 'network')).find((child) => ZONE_KINDS.includes(child.tag));
const zoneMembers = (node: Node | undefined) => members(zoneKind(node));
/** A zone that has no type yet becomes one of layer 3. */
const ZONE: Place = { of: zoneMembers, at: (node) => `network/${zoneKind(node)?.tag ?? 'layer3'}` };

const nameOfHolder = (list: Node[], of: Place['of'], names: string[]): string | null => {
  const holder = list.find((one) => of(one).some((member) => names.includes(member)));
  return holder ? nameOf(holder) : null;
};

/** The edits that take an interface out of one entry's members and put it into another's. Lists are written as a whole: in a
 * stack they stand in the place of what a template lists. */
function move(
  xpath: string,
  list: Node[],
  place: Place,
  names: string[],
  name: string,
  from: string | null,
  to: string | null,
): Asked[] {
  if (to === from) return [];
  const write = (entry: string, change: (members: string[]) => string[]): Asked => {
    const node = list.find((one) => nameOf(one) === entry);
    const at = place.at(node);
    const tag = at.slice(at.lastIndexOf('/') + 1);
    return { action: 'edit', xpath: `${entryPath(xpath, entry)}/${at}`, node: memberList(tag, change(place.of(node))) };
  };
  // A new name has come into the lists by the rename, which is before.
  const gone = (members: string[]) => members.filter((member) => !names.includes(member) && member !== name);
  return [...(from ? [write(from, gone)] : []), ...(to ? [write(to, (members) => [...members, name])] : [])];
}
