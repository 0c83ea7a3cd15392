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
  /** The entry whose form is open. */
  open?: string;
  /** The tag that rules shall have. */
  tag?: string;
  /** Rules are shown by their groups, and of this one; `''` is of none. */
  grouped?: string;
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
    open: word('open'),
    tag: word('tag'),
    grouped: word('grouped'),
  };
}

export function useAddress(): [Search, (change: Partial<Search>) => void] {
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  const change = (more: Partial<Search>) => void navigate({ to: '.', search: { ...search, ...more }, replace: true });
  return [search, change];
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
export function useScoped(scope: 'group' | 'template' | 'vsys' | 'panorama', path: string): string | undefined {
  const [search] = useAddress();
  const templates = useTemplates();
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
