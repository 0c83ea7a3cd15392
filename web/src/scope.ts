// Which part of the configuration is looked at? A device group for policies and objects, a template for the network.

import { useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { api, told } from './api/client';
import { entryPath } from './tree/node';

/** What the address of a screen says behind the question mark. */
export type Search = {
  group?: string;
  template?: string;
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
    cluster: word('cluster'),
    q: word('q'),
    range: word('range'),
    filter: word('filter'),
    open: word('open'),
  };
}

export function useAddress(): [Search, (change: Partial<Search>) => void] {
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  const change = (more: Partial<Search>) => void navigate({ to: '.', search: { ...search, ...more }, replace: true });
  return [search, change];
}

/** What of an address goes with one to another screen: the scope; of the ACC and the logs the time and the filters, too. */
export function goingWith(from: string, to: string): (search: Search) => Search {
  const both = [from, to].every((path) => /^\/(acc\/|monitor\/logs\/)/.test(path));
  return ({ group, template, range, filter }) => ({ group, template, ...(both ? { range, filter } : {}) });
}

export function useGroups() {
  return useQuery({ queryKey: ['config', 'groups'], queryFn: () => told(api.GET('/api/v1/device-groups')) });
}

export function useTemplates() {
  return useQuery({ queryKey: ['config', 'templates'], queryFn: () => told(api.GET('/api/v1/templates')) });
}

export function groupPath(group: string | undefined): string {
  return group ? entryPath(`${DEVICES}/device-group`, group) : SHARED;
}

export function templatePath(template: string): string {
  return `${entryPath(`${DEVICES}/template`, template)}/config/devices/entry[@name='localhost.localdomain']`;
}

/** Where lists of device groups, templates and stacks stand. */
export const LISTS = {
  group: `${DEVICES}/device-group`,
  template: `${DEVICES}/template`,
  stack: `${DEVICES}/template-stack`,
};

/** The place of a list in the scope of a screen: `path` is what stands below the group, the template, its vsys, or the manager. */
export function useScoped(
  scope: 'group' | 'template' | 'vsys' | 'panorama' | 'root',
  path: string,
): string | undefined {
  const [search] = useAddress();
  const templates = useTemplates();
  if (scope === 'root') return `/config/${path}`;
  if (scope === 'panorama') return `${DEVICES}/${path}`;
  if (scope === 'group') return `${groupPath(search.group)}/${path}`;
  const template = search.template ?? templates.data?.templates[0];
  if (!template) return undefined;
  const base = templatePath(template);
  return scope === 'vsys' ? `${base}/vsys/entry[@name='vsys1']/${path}` : `${base}/${path}`;
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
