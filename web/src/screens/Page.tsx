// What does every screen have? A heading, a line of tools, and what comes in the place of data: loading, failure, nothing.

import { Alert, Box, Group, List, Stack, Text, Title } from '@mantine/core';
import { IconInfoCircle } from '@tabler/icons-react';
import { type ReactNode, useEffect } from 'react';
import { linesOf } from '../api/problem';

export function Page({ title, tools, children }: { title: string; tools?: ReactNode; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} – Bartizan`;
  }, [title]);
  return (
    <Stack gap="sm" h="100%" style={{ minHeight: 0 }}>
      <Group justify="space-between" gap="sm">
        <Title order={1} size="h3">
          {title}
        </Title>
        <Group gap="xs">{tools}</Group>
      </Group>
      {children}
    </Stack>
  );
}

/** What is to be known of all that a screen shows, as that the product keeps it and does nothing with it. */
export function Remark({ children }: { children: ReactNode }) {
  return (
    <Alert color="yellow" variant="light" p="xs" role="note">
      <Group gap="xs" wrap="nowrap">
        <IconInfoCircle size={18} style={{ flex: 'none' }} aria-hidden />
        <Text size="sm">{children}</Text>
      </Group>
    </Alert>
  );
}

export function Failure({ error }: { error: unknown }) {
  return (
    <Alert color="red" title="This cannot be shown" role="alert">
      <List size="sm">
        {linesOf(error).map((line) => (
          <List.Item key={line}>{line}</List.Item>
        ))}
      </List>
    </Alert>
  );
}

/** What a screen says where there is nothing, and what to do next. */
export function Nothing({ children, next }: { children: ReactNode; next?: ReactNode }) {
  return (
    <Stack align="center" gap="sm">
      <Box maw={560} ta="center">
        {children}
      </Box>
      {next}
    </Stack>
  );
}
