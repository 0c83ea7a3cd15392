// Which fields of a rule stand together in its form? As on the vendor's pages.

import type { Node } from '../../api/types';
import type { Layout } from '../../tree/Form';
import { leaf, memberList } from '../../tree/node';
import type { Base } from './bases';

const GENERAL = { label: 'General', tags: ['description', 'tag', 'group-tag', 'disabled'] };
const SOURCE = { label: 'Source', tags: ['from', 'source', 'negate-source', 'source-user', 'source-hip'] };
const DESTINATION = { label: 'Destination', tags: ['to', 'destination', 'negate-destination', 'destination-hip'] };
const SERVICE = { label: 'Service/URL Category', tags: ['service', 'category'] };
const TARGET = { label: 'Target', tags: ['target'] };

export const LAYOUTS: Record<Base, Layout> = {
  security: [
    { label: 'General', tags: ['rule-type', 'description', 'tag', 'group-tag', 'disabled'] },
    SOURCE,
    DESTINATION,
    { label: 'Application', tags: ['application'] },
    SERVICE,
    {
      label: 'Actions',
      tags: [
        'action',
        'icmp-unreachable',
        'profile-setting',
        'log-start',
        'log-end',
        'log-setting',
        'schedule',
        'qos',
        'option',
        'disable-inspect',
      ],
    },
    TARGET,
  ],
  nat: [
    { label: 'General', tags: ['nat-type', 'description', 'tag', 'group-tag', 'disabled'] },
    { label: 'Original Packet', tags: ['from', 'to', 'to-interface', 'service', 'source', 'destination'] },
    {
      label: 'Translated Packet',
      tags: [
        'source-translation',
        'destination-translation',
        'dynamic-destination-translation',
        'active-active-device-binding',
      ],
    },
    TARGET,
  ],
  pbf: [
    GENERAL,
    { label: 'Source', tags: ['from', 'source', 'negate-source', 'source-user'] },
    {
      label: 'Destination/Application/Service',
      tags: ['destination', 'negate-destination', 'application', 'service'],
    },
    {
      label: 'Forwarding',
      tags: ['action', 'enforce-symmetric-return', 'schedule', 'active-active-device-binding'],
    },
    TARGET,
  ],
  decryption: [
    GENERAL,
    SOURCE,
    DESTINATION,
    SERVICE,
    {
      label: 'Options',
      tags: ['action', 'type', 'profile', 'packet-broker-profile', 'log-success', 'log-fail', 'log-setting'],
    },
    TARGET,
  ],
  authentication: [
    GENERAL,
    SOURCE,
    DESTINATION,
    SERVICE,
    {
      label: 'Actions',
      tags: ['authentication-enforcement', 'timeout', 'log-authentication-timeout', 'log-setting'],
    },
    TARGET,
  ],
};

/** The form of a default rule: what can be overridden. */
export const DEFAULT_LAYOUT: Layout = [
  { label: 'General', tags: ['tag', 'group-tag'] },
  { label: 'Actions', tags: ['action', 'icmp-unreachable', 'profile-setting', 'log-start', 'log-end', 'log-setting'] },
];

const any = (tag: string) => memberList(tag, ['any']);

const rule = (...children: Node[]): Node => ({ tag: 'entry', attributes: { name: '' }, children });
const ends = ['from', 'to', 'source', 'destination'].map(any);

/** What a new rule begins with: everything is `any`, and nothing is let through. */
export const STARTS: Record<Base, Node> = {
  security: rule(
    ...ends,
    any('source-user'),
    any('category'),
    any('application'),
    memberList('service', ['application-default']),
    leaf('action', 'deny'),
  ),
  nat: rule(...ends, leaf('service', 'any')),
  pbf: rule(...['source', 'destination', 'source-user', 'application', 'service'].map(any)),
  decryption: rule(...ends, any('source-user'), any('category'), any('service'), leaf('action', 'no-decrypt')),
  authentication: rule(...ends, any('source-user'), any('category'), any('service')),
};
