// Which fields of a rule stand together in its form? As on the vendor's pages.

import type { Node } from '../../api/types';
import type { Layout } from '../../tree/Form';
import { leaf, memberList } from '../../tree/node';
import type { Base } from './columns';

export const LAYOUTS: Record<Base, Layout> = {
  security: [
    { label: 'General', tags: ['rule-type', 'description', 'tag', 'group-tag', 'disabled'] },
    { label: 'Source', tags: ['from', 'source', 'negate-source', 'source-user', 'source-hip'] },
    { label: 'Destination', tags: ['to', 'destination', 'negate-destination', 'destination-hip'] },
    { label: 'Application', tags: ['application'] },
    { label: 'Service/URL Category', tags: ['service', 'category'] },
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
    { label: 'Target', tags: ['target'] },
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
    { label: 'Target', tags: ['target'] },
  ],
};

const any = (tag: string) => memberList(tag, ['any']);

/** What a new rule begins with: everything is `any`, and nothing is let through. */
export const STARTS: Record<Base, Node> = {
  security: {
    tag: 'entry',
    attributes: { name: '' },
    children: [
      any('from'),
      any('to'),
      any('source'),
      any('destination'),
      any('source-user'),
      any('category'),
      any('application'),
      memberList('service', ['application-default']),
      leaf('action', 'deny'),
    ],
  },
  nat: {
    tag: 'entry',
    attributes: { name: '' },
    children: [any('from'), any('to'), any('source'), any('destination'), leaf('service', 'any')],
  },
};
