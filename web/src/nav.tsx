// What is where? The tabs and their places, under the names that an administrator of PAN-OS looks for.
//
// A place is here when its screen is there; what the program cannot show has no line.

import type { ComponentType } from 'react';
import { kubernetesLists } from './screens/kubernetes/lists';
import { type ListKind, objectLists } from './screens/lists/kinds';
import { networkLists } from './screens/lists/network';
import { administratorLists } from './screens/panorama/administrators';

/** One screen. */
export type Place = {
  path: string;
  tab: Tab;
  /** The heading that it stands below. */
  section?: string;
  label: string;
  /** What the scope picker offers. */
  scope?: 'group' | 'template' | undefined;
  load: () => Promise<{ default: ComponentType }>;
};

export const TABS = [
  'Dashboard',
  'ACC',
  'Monitor',
  'Policies',
  'Objects',
  'Network',
  'Automation',
  'Panorama',
] as const;
export type Tab = (typeof TABS)[number];

const listPlace = (tab: Tab, kind: ListKind): Place => ({
  path: kind.path,
  tab,
  section: kind.section,
  label: kind.title,
  scope: kind.scope === 'panorama' || kind.scope === 'root' ? undefined : kind.scope === 'group' ? 'group' : 'template',
  load: async () => {
    const { ListScreen } = await import('./screens/lists/ListScreen');
    return { default: () => <ListScreen kind={kind} /> };
  },
});

const rules = (base: 'security' | 'nat', which: 'pre' | 'post', section: string, label: string): Place => ({
  path: `/policies/${base}/${which}-rules`,
  tab: 'Policies',
  section,
  label,
  scope: 'group',
  load: async () => {
    const { RulesScreen } = await import('./screens/policies/RulesScreen');
    return { default: () => <RulesScreen base={base} which={which} /> };
  },
});

const acc = (view: 'network' | 'threat' | 'blocked', label: string): Place => ({
  path: `/acc/${view}-activity`,
  tab: 'ACC',
  label,
  load: async () => {
    const { AccScreen } = await import('./screens/acc/AccScreen');
    return { default: () => <AccScreen view={view} /> };
  },
});

const log = (name: string, label: string): Place => ({
  path: `/monitor/logs/${name}`,
  tab: 'Monitor',
  section: 'Logs',
  label,
  load: async () => {
    const { LogScreen } = await import('./screens/monitor/LogScreen');
    return { default: () => <LogScreen log={name} title={label} /> };
  },
});

export const PLACES: Place[] = [
  {
    path: '/dashboard',
    tab: 'Dashboard',
    label: 'Dashboard',
    load: async () => ({ default: (await import('./screens/dashboard/Dashboard')).Dashboard }),
  },
  acc('network', 'Network Activity'),
  acc('threat', 'Threat Activity'),
  acc('blocked', 'Blocked Activity'),
  {
    path: '/acc/service-map',
    tab: 'ACC',
    label: 'Service Map',
    load: async () => ({ default: (await import('./screens/acc/MapScreen')).MapScreen }),
  },
  log('traffic', 'Traffic'),
  log('threat', 'Threat'),
  log('iptag', 'IP-Tag'),
  log('system', 'System'),
  log('config', 'Configuration'),
  {
    path: '/monitor/session-browser',
    tab: 'Monitor',
    label: 'Session Browser',
    load: async () => ({ default: (await import('./screens/monitor/SessionsScreen')).SessionsScreen }),
  },
  rules('security', 'pre', 'Security', 'Pre Rules'),
  rules('security', 'post', 'Security', 'Post Rules'),
  rules('nat', 'pre', 'NAT', 'Pre Rules'),
  rules('nat', 'post', 'NAT', 'Post Rules'),
  {
    path: '/policies/test',
    tab: 'Policies',
    section: 'Test',
    label: 'Test Policy Match',
    load: async () => ({ default: (await import('./screens/policies/TestScreen')).TestScreen }),
  },
  ...objectLists.map((kind) => listPlace('Objects', kind)),
  ...networkLists.map((kind) => listPlace('Network', kind)),
  {
    path: '/automation/runs',
    tab: 'Automation',
    label: 'Runs',
    load: async () => ({ default: (await import('./screens/automation/RunsScreen')).RunsScreen }),
  },
  {
    path: '/automation/incidents',
    tab: 'Automation',
    label: 'Incidents',
    load: async () => ({ default: (await import('./screens/automation/IncidentsScreen')).IncidentsScreen }),
  },
  {
    path: '/automation/playbooks',
    tab: 'Automation',
    label: 'Playbooks',
    load: async () => ({ default: (await import('./screens/automation/PlaybooksScreen')).PlaybooksScreen }),
  },
  {
    path: '/panorama/managed-devices',
    tab: 'Panorama',
    label: 'Managed Devices',
    load: async () => ({ default: (await import('./screens/panorama/DevicesScreen')).DevicesScreen }),
  },
  {
    path: '/panorama/device-groups',
    tab: 'Panorama',
    label: 'Device Groups',
    load: async () => ({ default: (await import('./screens/panorama/PlacesScreen')).DeviceGroupsScreen }),
  },
  {
    path: '/panorama/templates',
    tab: 'Panorama',
    label: 'Templates',
    load: async () => ({ default: (await import('./screens/panorama/PlacesScreen')).TemplatesScreen }),
  },
  {
    path: '/panorama/config-audit',
    tab: 'Panorama',
    label: 'Config Audit',
    load: async () => ({ default: (await import('./screens/panorama/AuditScreen')).AuditScreen }),
  },
  {
    path: '/panorama/approvals',
    tab: 'Panorama',
    label: 'Approvals',
    load: async () => ({ default: (await import('./screens/panorama/ApprovalsScreen')).ApprovalsScreen }),
  },
  {
    path: '/panorama/locks',
    tab: 'Panorama',
    label: 'Locks',
    load: async () => ({ default: (await import('./screens/panorama/LocksScreen')).LocksScreen }),
  },
  ...administratorLists.map((kind) => listPlace('Panorama', kind)),
  {
    path: '/panorama/logged-in-admins',
    tab: 'Panorama',
    section: 'Administrators',
    label: 'Logged In Admins',
    load: async () => ({ default: (await import('./screens/panorama/PresentScreen')).PresentScreen }),
  },
  {
    path: '/panorama/api-keys',
    tab: 'Panorama',
    section: 'Administrators',
    label: 'API Keys',
    load: async () => ({ default: (await import('./screens/panorama/KeysScreen')).KeysScreen }),
  },
  {
    path: '/panorama/kubernetes/clusters',
    tab: 'Panorama',
    section: 'Kubernetes',
    label: 'Clusters',
    load: async () => ({ default: (await import('./screens/kubernetes/ClustersScreen')).ClustersScreen }),
  },
  {
    path: '/panorama/kubernetes/network-policies',
    tab: 'Panorama',
    section: 'Kubernetes',
    label: 'Network Policies',
    load: async () => ({ default: (await import('./screens/kubernetes/PoliciesScreen')).PoliciesScreen }),
  },
  ...kubernetesLists.map((kind) => listPlace('Panorama', kind)),
  {
    path: '/panorama/kubernetes/registered-addresses',
    tab: 'Panorama',
    section: 'Kubernetes',
    label: 'Registered Addresses',
    load: async () => ({ default: (await import('./screens/kubernetes/TagsScreen')).TagsScreen }),
  },
];

/** The first place of a tab. */
export function first(tab: Tab): Place | undefined {
  return PLACES.find((place) => place.tab === tab);
}

/** Tabs that have something to show. */
export const OPEN_TABS = TABS.filter((tab) => first(tab));
