// What does every screen have? A heading, a line of tools, and what comes in the place of data: loading, failure, nothing.

import { Alert, Box, Group, List, Stack, Title } from '@mantine/core';
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
