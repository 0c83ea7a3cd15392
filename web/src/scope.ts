// Which part of the configuration is looked at? A device group for policies and objects, a template for the network.

import { type QueryClient, queryOptions, useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { api, told } from './api/client';
import type { Narrow } from './api/config';
import { entryPath } from './tree/node';

/** What the address of a screen says behind the question mark. */
export type Search = {
  group?: string;
  template?: string;
  /** The template stack that is looked at instead of one template. */
  stack?: string;
  /** The Kubernetes cluster that is looked at. */
  cluster?: string;
  /** What is searched for in a list, or asked of a log. */
  q?: string;
  /** Which time the ACC and the logs are looked at. */
  range?: string;
  /** Conditions that hold on all screens of the ACC and of the logs. */
  filter?: string;
  /** The entry whose form is open. */
  open?: string;
  /** The tag that rules shall have. */
  tag?: string;
  /** Rules are shown by their groups, and of this one; `''` is of none. */
  grouped?: string;
  /** What a packet capture is to be of, as the words of a filter. */
  flow?: string;
};

const DEVICES = "/config/devices/entry[@name='localhost.localdomain']";
export const SHARED = '/config/shared';
export const PANORAMA = '/config/panorama';

export function readSearch(search: Record<string, unknown>): Search {
  const word = (name: string) => {
    const value = search[name];
    return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
  };
  return {
    group: word('group'),
    template: word('template'),
    stack: word('stack'),
    cluster: word('cluster'),
    q: word('q'),
    range: word('range'),
    filter: word('filter'),
    open: word('open'),
    tag: word('tag'),
    grouped: word('grouped'),
    flow: word('flow'),
  };
}

/** Which entries of a list an address asks for. */
export function narrowOf({ q, tag, grouped }: Pick<Search, 'q' | 'tag' | 'grouped'>): Narrow {
  return { search: q ?? '', ...(tag && { tag }), ...(grouped !== undefined && { group: grouped }) };
}

export function useAddress(): [Search, (change: Partial<Search>) => void] {
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  const change = (more: Partial<Search>) => void navigate({ to: '.', search: { ...search, ...more }, replace: true });
  return [search, change];
}

/** What of an address goes with one to another screen. */
export function scopeOf({ group, template, stack }: Search): Search {
  return { group, template, stack };
}

/** The same, and between the ACC and the logs the time and the filters, too. */
export function goingWith(from: string, to: string): (search: Search) => Search {
  const both = [from, to].every((path) => /^\/(acc\/|monitor\/logs\/)/.test(path));
  return (search) => ({ ...scopeOf(search), ...(both ? { range: search.range, filter: search.filter } : {}) });
}

export const GROUPS = queryOptions({
  queryKey: ['config', 'groups'],
  queryFn: () => told(api.GET('/api/v1/device-groups')),
});

export const useGroups = () => useQuery(GROUPS);

const TEMPLATES = queryOptions({
  queryKey: ['config', 'templates'],
  queryFn: () => told(api.GET('/api/v1/templates')),
});

export const useTemplates = () => useQuery(TEMPLATES);

export function groupPath(group: string | undefined): string {
  return group ? entryPath(`${DEVICES}/device-group`, group) : SHARED;
}

/** Where the settings of a device stand in a template's or a stack's configuration. */
const DEVICE = "devices/entry[@name='localhost.localdomain']";

export function templatePath(template: string): string {
  return `${entryPath(LISTS.template, template)}/config/${DEVICE}`;
}

/** Where lists of device groups, templates and stacks stand. */
export const LISTS = {
  group: `${DEVICES}/device-group`,
  template: `${DEVICES}/template`,
  stack: `${DEVICES}/template-stack`,
};

/**
 * What a list or a setting stands in: the manager, a device group, or of a template what its name says; `root` is beside
 * all devices.
 */
export type ScopeKind = 'group' | 'template' | 'vsys' | 'config' | 'holder' | 'panorama' | 'root';

/** Where what a stack's templates say is read together with its own. */
export type Merged = { stack: string; source: string; xpath: string };

/** A place in the scope of a screen. */
export type Scoped = {
  /** Where it is written. */
  xpath: string;
  /** Of a stack. */
  merged?: Merged;
};

/** Where below a template or a stack each kind begins; `holder` is the template itself. */
const BELOW = {
  template: `/config/${DEVICE}`,
  vsys: `/config/${DEVICE}/vsys/entry[@name='vsys1']`,
  config: '/config',
  holder: '',
};

/** The place of `path` in the scope of a screen; none while there is no template. */
export function useScoped(kind: ScopeKind, path: string): Scoped | undefined {
  const [search] = useAddress();
  return scoped(kind, path, search, useTemplates().data?.templates[0]);
}

/** The place of `path` in the scope that an address says; `otherwise` is the template when it says none. */
export function scoped(kind: ScopeKind, path: string, search: Search, otherwise?: string): Scoped | undefined {
  if (kind === 'root') return { xpath: `/config/${path}` };
  if (kind === 'panorama') return { xpath: `${DEVICES}/${path}` };
  if (kind === 'group') return { xpath: `${groupPath(search.group)}/${path}` };
  const below = `${BELOW[kind]}/${path}`;
  const { stack } = search;
  if (stack) {
    const xpath = entryPath(LISTS.stack, stack) + below;
    return kind === 'holder'
      ? { xpath }
      : { xpath, merged: { stack, source: `candidate-stack:${stack}`, xpath: below } };
  }
  const template = search.template ?? otherwise;
  return template ? { xpath: entryPath(LISTS.template, template) + below } : undefined;
}

/** The templates of a stack as they are now, the winning one first, and where each has what the place is of. */
export async function stackTemplates(
  queries: QueryClient,
  { stack, xpath }: Merged,
): Promise<{ name: string; xpath: string }[]> {
  const { stacks } = await queries.fetchQuery(TEMPLATES);
  const names = stacks.find((one) => one.name === stack)?.templates ?? [];
  return names.map((name) => ({ name, xpath: entryPath(LISTS.template, name) + xpath }));
}

/** A place in a stack as one of the view that its templates are in, too. */
export function mergedPlace(xpath: string): { source: string; xpath: string } | undefined {
  const [, name, below] = /\/template-stack\/entry\[@name=(?:'([^']*)'|"[^"]*")\](\/config\/.*)$/.exec(xpath) ?? [];
  return name && below ? { source: `candidate-stack:${name}`, xpath: below } : undefined;
}

/** The groups above a group, the farthest first; Shared is above all and not among them. */
export function ancestors(groups: { name: string; parent?: string | null }[], group: string | undefined): string[] {
  const above: string[] = [];
  let here = groups.find((one) => one.name === group)?.parent;
  while (here && !above.includes(here)) {
    above.unshift(here);
    here = groups.find((one) => one.name === here)?.parent;
  }
  return above;
}
