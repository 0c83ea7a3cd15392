// Who am I here, how does the page look, and how do I leave?

import { ActionIcon, Menu, Text, useMantineColorScheme } from '@mantine/core';
import { IconDeviceDesktop, IconLogout, IconMoon, IconSun, IconUser } from '@tabler/icons-react';
import { logOut, useSession } from '../api/session';
import { zone } from '../times';

/** Its own component, so that the zone is asked for when the menu is open. */
const Zone = () => `Times are in ${zone()}`;

export function UserMenu() {
  const state = useSession();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const who = state.kind === 'in' ? state.session.who : state.kind === 'expired' ? state.who : undefined;
  const themes = [
    { value: 'light', label: 'Light', icon: <IconSun size={16} /> },
    { value: 'dark', label: 'Dark', icon: <IconMoon size={16} /> },
    { value: 'auto', label: 'As the system', icon: <IconDeviceDesktop size={16} /> },
  ] as const;
  return (
    <Menu position="bottom-end" width={230}>
      <Menu.Target>
        <ActionIcon aria-label="User and appearance" size="lg">
          <IconUser size={18} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          {who?.user} ({who?.role})
        </Menu.Label>
        <Menu.Divider />
        {themes.map((theme) => (
          <Menu.Item
            key={theme.value}
            leftSection={theme.icon}
            rightSection={colorScheme === theme.value ? <Text size="xs">✓</Text> : null}
            onClick={() => setColorScheme(theme.value)}
          >
            {theme.label}
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Label>
          <Zone />
        </Menu.Label>
        <Menu.Item leftSection={<IconLogout size={16} />} onClick={() => void logOut()}>
          Log out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
