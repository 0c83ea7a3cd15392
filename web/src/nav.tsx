// What is where? The tabs and their places, under the names that an administrator of PAN-OS looks for.
//
// A place is here when its screen is there; what the program cannot show has no line.

import type { ComponentType } from 'react';
import type { ScopeKind } from './scope';
import { kubernetesLists } from './screens/kubernetes/lists';
import { decryptionExclusion, deviceLists, deviceSetup, type SettingsKind } from './screens/lists/device';
import { KEPT, type ListKind, objectLists } from './screens/lists/kinds';
import { networkLists } from './screens/lists/network';
import { profileLists } from './screens/lists/profiles';
import { administratorLists, administratorSettings } from './screens/panorama/administrators';
import { templateVariables } from './screens/panorama/variables';
import { BASES, type Base } from './screens/policies/bases';

/** One screen. */
export type Place = {
  path: string;
  tab: Tab;
  /** The heading that it stands below. */
  section?: string;
  label: string;
  /** What the scope picker offers. */
  scope?: 'group' | 'template' | undefined;
  /** Whether the firewall does nothing of what is there, which the screen says. */
  kept?: boolean;
  load: () => Promise<{ default: ComponentType }>;
  /** The list that the screen is about: where it stands in the scope. */
  list?: { scope: ScopeKind; path: string };
};

export const TABS = [
  'Dashboard',
  'ACC',
  'Monitor',
  'Policies',
  'Objects',
  'Network',
  'Device',
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
  kept: kind.remark === KEPT,
  load: async () => {
    const { ListScreen } = await import('./screens/lists/ListScreen');
    return { default: () => <ListScreen kind={kind} /> };
  },
  list: { scope: kind.scope, path: kind.list },
});

const rules = (base: Base): Place[] =>
  (['pre', 'post'] as const).map((which) => ({
    path: `/policies/${base}/${which}-rules`,
    tab: 'Policies',
    section: BASES[base],
    label: which === 'pre' ? 'Pre Rules' : 'Post Rules',
    scope: 'group',
    load: async () => {
      const { RulesScreen } = await import('./screens/policies/RulesScreen');
      return { default: () => <RulesScreen base={base} which={which} /> };
    },
    list: { scope: 'group', path: `${which}-rulebase/${base}/rules` },
  }));
const settingsPlace = (tab: 'Device' | 'Panorama', kind: SettingsKind): Place => ({
  path: kind.path,
  tab,
  section: kind.section,
  label: kind.title,
  scope: tab === 'Device' ? 'template' : undefined,
  kept: kind.remark === KEPT,
  load: async () => {
    const { SettingsScreen } = await import('./screens/lists/SettingsScreen');
    return { default: () => <SettingsScreen kind={kind} /> };
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
    path: '/monitor/packet-capture',
    tab: 'Monitor',
    label: 'Packet Capture',
    load: async () => ({ default: (await import('./screens/monitor/CaptureScreen')).CaptureScreen }),
  },
  {
    path: '/monitor/session-browser',
    tab: 'Monitor',
    label: 'Session Browser',
    load: async () => ({ default: (await import('./screens/monitor/SessionsScreen')).SessionsScreen }),
  },
  ...rules('security'),
  {
    path: '/policies/security/default-rules',
    tab: 'Policies',
    section: BASES.security,
    label: 'Default Rules',
    scope: 'group',
    load: async () => ({ default: (await import('./screens/policies/DefaultRulesScreen')).DefaultRulesScreen }),
  },
  ...rules('nat'),
  ...rules('pbf'),
  ...rules('decryption'),
  ...rules('authentication'),
  {
    path: '/policies/test',
    tab: 'Policies',
    section: 'Test',
    label: 'Test Policy Match',
    load: async () => ({ default: (await import('./screens/policies/TestScreen')).TestScreen }),
  },
  ...[...objectLists, ...profileLists].map((kind) => listPlace('Objects', kind)),
  ...networkLists.map((kind) => listPlace('Network', kind)),
  {
    path: '/network/cloud-setup',
    tab: 'Network',
    label: 'Cloud Setup',
    load: async () => ({ default: (await import('./screens/wizard/WizardScreen')).WizardScreen }),
  },
  ...deviceSetup.map((kind) => settingsPlace('Device', kind)),
  ...deviceLists.map((kind) => listPlace('Device', kind)),
  settingsPlace('Device', decryptionExclusion),
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
  listPlace('Panorama', templateVariables),
  {
    path: '/panorama/device-variables',
    tab: 'Panorama',
    label: 'Device Variables',
    load: async () => ({ default: (await import('./screens/panorama/DeviceVariablesScreen')).DeviceVariablesScreen }),
  },
  {
    path: '/panorama/effective-configuration',
    tab: 'Panorama',
    label: 'Effective Configuration',
    load: async () => ({ default: (await import('./screens/panorama/EffectiveScreen')).EffectiveScreen }),
  },
  {
    path: '/panorama/scheduled-config-push',
    tab: 'Panorama',
    label: 'Scheduled Config Push',
    load: async () => ({ default: (await import('./screens/panorama/SchedulesScreen')).SchedulesScreen }),
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
  ...administratorSettings.map((kind) => settingsPlace('Panorama', kind)),
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
