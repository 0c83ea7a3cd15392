// What frames every screen? Tabs, the places of a tab, the scope, and what is pending.

import {
  Anchor,
  AppShell,
  Box,
  Burger,
  Divider,
  Group,
  NavLink,
  Skeleton,
  Stack,
  Tabs,
  Text,
  Title,
} from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { Link, Outlet, useNavigate, useRouterState } from '@tanstack/react-router';
import { Suspense, useLayoutEffect } from 'react';
import { drawn } from '../api/client';
import { first, OPEN_TABS, PLACES, type Place, type Tab } from '../nav';
import { goingWith, useAddress } from '../scope';
import { CommitControls } from './CommitControls';
import { Later } from './Later';
import { LockMark } from './LockMark';
import { Palette, PaletteButton } from './Palette';
import { ScopePicker } from './ScopePicker';
import { Tasks } from './Tasks';
import { Undo } from './Undo';
import { UserMenu } from './UserMenu';

export function Shell() {
  const [narrow, { toggle, close }] = useDisclosure(false);
  const path = useRouterState({ select: (state) => state.location.pathname });
  const place = PLACES.find((one) => one.path === path);
  const tab = place?.tab;
  const places = PLACES.filter((one) => one.tab === tab);
  const alone = places.length < 2 && !place?.scope;
  useLayoutEffect(drawn, []);
  return (
    <AppShell
      header={{ height: 52 }}
      navbar={{ width: 220, breakpoint: 'sm', collapsed: { mobile: !narrow, desktop: alone } }}
      padding="md"
    >
      <AppShell.Header>
        <Group h="100%" px="md" gap="md" wrap="nowrap">
          <Burger opened={narrow} onClick={toggle} hiddenFrom="sm" size="sm" aria-label="Places" />
          <Title order={2} size="h4" visibleFrom="lg">
            Bartizan
          </Title>
          <TopTabs tab={tab} path={path} />
          <Group gap="xs" wrap="nowrap" ml="auto">
            <LockMark />
            <CommitControls />
            <Tasks />
            <PaletteButton />
            <UserMenu />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="xs" aria-label="Places">
        {place?.scope && <ScopePicker kind={place.scope} />}
        <Box style={{ overflowY: 'auto' }} tabIndex={-1}>
          <Places places={places} path={path} onGo={close} />
        </Box>
      </AppShell.Navbar>
      <AppShell.Main h="100vh">
        <Suspense fallback={<Skeleton h={200} />}>
          <Outlet />
        </Suspense>
      </AppShell.Main>
      <Later>
        <Palette />
      </Later>
      <Undo />
    </AppShell>
  );
}

function TopTabs({ tab, path }: { tab: Tab | undefined; path: string }) {
  const navigate = useNavigate();
  const [search] = useAddress();
  const go = (name: string | null) => {
    const place = first(name as Tab);
    if (place) void navigate({ to: place.path, search: goingWith(path, place.path)(search) });
  };
  return (
    <Tabs value={tab ?? null} onChange={go} activateTabWithKeyboard={false} component="nav" aria-label="Tabs">
      <Tabs.List style={{ flexWrap: 'nowrap' }}>
        {OPEN_TABS.map((name) => (
          <Tabs.Tab key={name} value={name} px="sm">
            {name}
          </Tabs.Tab>
        ))}
      </Tabs.List>
    </Tabs>
  );
}

function Places({ places, path, onGo }: { places: Place[]; path: string; onGo: () => void }) {
  const sections = [...new Set(places.map((place) => place.section))];
  return (
    <Stack gap={2} component="nav" aria-label="Places of this tab">
      {sections.map((section, index) => (
        <Box key={section ?? ''}>
          {!section && index > 0 && <Divider my="xs" />}
          {section && (
            <Text size="xs" fw={700} c="dimmed" mt="xs" px="xs" tt="uppercase">
              {section}
            </Text>
          )}
          {places
            .filter((place) => place.section === section)
            .map((place) => (
              <NavLink
                key={place.path}
                renderRoot={(properties) => (
                  <Link to={place.path} search={goingWith(path, place.path)} {...properties} />
                )}
                label={place.label}
                active={place.path === path}
                aria-current={place.path === path ? 'page' : undefined}
                onClick={onGo}
              />
            ))}
        </Box>
      ))}
    </Stack>
  );
}

/** An address that no screen has. */
export function NoSuchPlace() {
  return (
    <Stack align="center" mt="xl">
      <Title order={1} size="h3">
        There is no such screen
      </Title>
      <Text>
        Choose a tab above, or go to{' '}
        <Anchor renderRoot={(properties) => <Link to={PLACES[0]?.path ?? '/'} {...properties} />}>
          {PLACES[0]?.section} {PLACES[0]?.label}
        </Anchor>
        .
      </Text>
    </Stack>
  );
}
