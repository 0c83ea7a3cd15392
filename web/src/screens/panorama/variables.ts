// Which variables does a template or a stack define, and what do they stand for?

import { at, elements, text } from '../../tree/node';
import type { ListKind } from '../lists/kinds';

const kindOf = (node: Parameters<typeof elements>[0]) => elements(at(node, 'type'))[0];

export const templateVariables: ListKind = {
  path: '/panorama/template-variables',
  title: 'Template Variables',
  one: 'variable',
  scope: 'holder',
  list: 'variable',
  purpose:
    'A variable, as $eth1, stands for a value that differs from firewall to firewall. What it says here counts where nobody nearer to the device says more; None leaves it to the device.',
  columns: [
    { header: 'Type', width: 140, of: (node) => kindOf(node)?.tag ?? '' },
    { header: 'Value', width: 240, of: (node) => kindOf(node)?.text ?? '' },
    { header: 'Description', width: 280, of: (node) => text(node, 'description') },
  ],
};
