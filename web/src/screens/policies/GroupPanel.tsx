// Which group of rules is looked at? Groups are made by a tag of the rules, in the order of their first ones.

import { Badge, NavLink } from '@mantine/core';
import type { Counted } from './groups';

type Properties = { groups: Counted[]; chosen: string; onChoose: (name: string) => void };

export function GroupPanel({ groups, chosen, onChoose }: Properties) {
  return (
    <nav aria-label="Groups of rules" style={{ width: 190, flex: 'none', overflowY: 'auto' }}>
      {groups.map(({ name, rules }) => (
        <NavLink
          key={name}
          component="button"
          label={name || 'none'}
          active={name === chosen}
          aria-current={name === chosen ? 'true' : undefined}
          onClick={() => onChoose(name)}
          rightSection={
            <Badge size="sm" variant="light" color="gray">
              {rules}
            </Badge>
          }
        />
      ))}
    </nav>
  );
}
