// How does one get anywhere by typing? Ctrl+K: every screen, every device group, and the commit.

import { ActionIcon, Tooltip } from '@mantine/core';
import { useHotkeys } from '@mantine/hooks';
import { Spotlight, spotlight } from '@mantine/spotlight';
import { IconSearch } from '@tabler/icons-react';
import { useNavigate } from '@tanstack/react-router';
import { PLACES } from '../nav';
import { scopeOf, useAddress, useGroups, useTemplates } from '../scope';
import { openCommit } from './commits';

export function Palette() {
  const navigate = useNavigate();
  const [address, setAddress] = useAddress();
  const groups = useGroups().data?.groups ?? [];
  const { templates = [], stacks = [] } = useTemplates().data ?? {};
  const search = scopeOf(address);
  const actions = [
    {
      group: 'Screens',
      actions: PLACES.map((place) => ({
        id: place.path,
        label: [place.tab, place.section, place.label]
          .filter((part, index, all) => part && part !== all[index - 1])
          .join(' > '),
        onClick: () => void navigate({ to: place.path, search }),
      })),
    },
    {
      group: 'Commit',
      actions: [
        { id: 'commit', label: 'Commit to Panorama', onClick: () => openCommit('commit') },
        { id: 'push', label: 'Push to Devices', onClick: () => openCommit('push') },
        { id: 'commit-and-push', label: 'Commit and Push', onClick: () => openCommit('both') },
      ],
    },
    {
      group: 'Device groups and templates',
      actions: [
        ...groups.map((group) => ({
          id: `group ${group.name}`,
          label: `Device group ${group.name}`,
          onClick: () => setAddress({ group: group.name }),
        })),
        ...templates.map((template) => ({
          id: `template ${template}`,
          label: `Template ${template}`,
          onClick: () => setAddress({ template, stack: undefined }),
        })),
        ...stacks.map(({ name }) => ({
          id: `stack ${name}`,
          label: `Template stack ${name}`,
          onClick: () => setAddress({ stack: name }),
        })),
      ],
    },
  ];
  return (
    <Spotlight
      actions={actions}
      shortcut={null}
      nothingFound="Nothing is called so."
      searchProps={{ placeholder: 'Where to?', 'aria-label': 'Where to?', leftSection: <IconSearch size={18} /> }}
      attributes={{ content: { 'aria-label': 'Go to' } }}
      limit={12}
      scrollable
    />
  );
}

/** The key is heard from the beginning; the palette itself may come a moment later. */
export function PaletteButton() {
  useHotkeys([['mod+K', () => spotlight.toggle()]]);
  return (
    <Tooltip label="Go to… (Ctrl+K)">
      <ActionIcon aria-label="Go to" size="lg" onClick={() => spotlight.open()}>
        <IconSearch size={18} />
      </ActionIcon>
    </Tooltip>
  );
}
