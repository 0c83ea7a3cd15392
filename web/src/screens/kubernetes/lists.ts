// Which lists does the plugin for Kubernetes have?

import type { Node } from '../../api/types';
import { elements, members, text } from '../../tree/node';
import { joined, type ListKind, type Told } from '../lists/kinds';

const list = (path: string, at: string, title: string, one: string, purpose: string, columns: Told[]): ListKind => ({
  path: `/panorama/kubernetes/${path}`,
  section: 'Kubernetes',
  list: `plugins/kubernetes/${at}`,
  scope: 'panorama',
  title,
  one,
  purpose,
  columns,
});

const flag = (name: string, header: string, otherwise: string): Told => ({
  header,
  width: 120,
  of: (node: Node) => text(node, name) || otherwise,
});

const place = (node: Node): string => {
  const choice = elements(elements(node).find((child) => child.tag === 'place'))[0];
  return choice ? `${choice.tag} ${choice.text ?? ''}`.trim() : 'bottom';
};

export const kubernetesLists: ListKind[] = [
  list(
    'monitoring-definitions',
    'monitoring-definition',
    'Monitoring Definitions',
    'monitoring definition',
    "Which firewalls hear of a cluster's tags: a cluster, and a notify group.",
    [
      { header: 'Cluster', width: 180, of: (node) => text(node, 'cluster') },
      { header: 'Notify Group', width: 180, of: (node) => text(node, 'notify-group') },
      flag('enable', 'Enabled', 'yes'),
    ],
  ),
  list(
    'notify-groups',
    'setup/notify-group',
    'Notify Groups',
    'notify group',
    'Device groups whose firewalls hear of the same tags.',
    [
      { header: 'Device Groups', width: 380, of: (node) => joined(members(node, 'device-group')) },
      flag('share-internal-tags', 'Internal Tags', 'yes'),
    ],
  ),
  list(
    'policy-automation',
    'policy-automation',
    'Policy Automation',
    'policy automation of a cluster',
    "How a cluster's NetworkPolicies become rules. An entry has the name of its cluster.",
    [
      { header: 'Device Group', width: 160, of: (node) => text(node, 'device-group') },
      { header: 'Place', width: 160, of: place },
      flag('auto-commit', 'Auto-commit', 'no'),
      flag('four-eyes', 'Four Eyes', 'no'),
      flag('drift', 'Drift', 'report'),
      flag('disabled', 'Disabled', 'no'),
    ],
  ),
  list(
    'policy-catalogue',
    'policy-catalogue',
    'Policy Catalogue',
    'entry of the policy catalogue',
    'Which profiles, applications and schedules the policies of a team may name. Without any entry, all that there are.',
    [
      { header: 'Clusters', width: 180, of: (node) => joined(members(node, 'cluster')) || 'all' },
      { header: 'Namespaces', width: 220, of: (node) => text(node, 'namespace-selector') || 'all' },
      { header: 'Applications', width: 220, of: (node) => joined(members(node, 'application')) },
      flag('require-profile', 'Profile Required', 'no'),
    ],
  ),
];
