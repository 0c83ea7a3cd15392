// Which queries does somebody ask again and again? They stay in the browser, for each administrator and log.

import { ActionIcon, Button, Group, Menu, Popover, Stack, Text, TextInput, Tooltip } from '@mantine/core';
import { useLocalStorage } from '@mantine/hooks';
import { IconBookmark, IconTrash } from '@tabler/icons-react';
import { useState } from 'react';
import { useSession } from '../../api/session';

type Saved = { name: string; query: string };

const SAVED_MAX = 100;

export function SavedFilters({
  log,
  query,
  onChoose,
}: {
  log: string;
  query: string;
  onChoose: (query: string) => void;
}) {
  const session = useSession();
  const who = session.kind === 'in' ? session.session.who.user : '';
  const [saved, setSaved] = useLocalStorage<Saved[]>({ key: `filters.${who}.${log}`, defaultValue: [] });
  const [saving, setSaving] = useState(false);
  const save = (name: string) => {
    setSaved((now) => [{ name, query }, ...now.filter((one) => one.name !== name)].slice(0, SAVED_MAX));
    setSaving(false);
  };
  return (
    <Popover opened={saving} onChange={setSaving} position="bottom-end" trapFocus withRoles={false}>
      <Popover.Target>
        <div>
          <Menu position="bottom-end" width={320}>
            <Menu.Target>
              <Tooltip label="Saved filters">
                <ActionIcon aria-label="Saved filters" size="lg">
                  <IconBookmark size={18} />
                </ActionIcon>
              </Tooltip>
            </Menu.Target>
            <Menu.Dropdown mah={400} style={{ overflowY: 'auto' }}>
              <Menu.Item disabled={query === ''} onClick={() => setSaving(true)}>
                Save this filter…
              </Menu.Item>
              {saved.length > 0 && <Menu.Divider />}
              {saved.map((one) => (
                <Menu.Item key={one.name} onClick={() => onChoose(one.query)}>
                  <Text size="sm">{one.name}</Text>
                  <Text size="xs" c="dimmed" ff="monospace" truncate>
                    {one.query}
                  </Text>
                </Menu.Item>
              ))}
              {saved.length > 0 && <Menu.Divider />}
              {saved.map((one) => (
                <Menu.Item
                  key={one.name}
                  leftSection={<IconTrash size={14} />}
                  onClick={() => setSaved((now) => now.filter((other) => other.name !== one.name))}
                >
                  Delete {one.name}
                </Menu.Item>
              ))}
              <Menu.Label>They stay in this browser.</Menu.Label>
            </Menu.Dropdown>
          </Menu>
        </div>
      </Popover.Target>
      <Popover.Dropdown role="dialog" aria-label="Save this filter">
        <Naming onSave={save} />
      </Popover.Dropdown>
    </Popover>
  );
}

function Naming({ onSave }: { onSave: (name: string) => void }) {
  const [name, setName] = useState('');
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (name.trim()) onSave(name.trim());
      }}
    >
      <Stack gap="xs">
        <TextInput
          label="Name of the filter"
          data-autofocus
          maxLength={63}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        <Group justify="flex-end">
          <Button type="submit" disabled={!name.trim()}>
            Save
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
