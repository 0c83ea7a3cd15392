// Who are you? At the start, and over the page as it stands when the session has ended.

import { Alert, Button, Center, Modal, Paper, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core';
import { type FormEvent, useState } from 'react';
import { linesOf } from '../api/problem';
import { logIn, type Who } from '../api/session';

function Form({ who }: { who?: Who }) {
  const [user, setUser] = useState(who?.user ?? '');
  const [password, setPassword] = useState('');
  const [busy, setBusy] = useState(false);
  const [lines, setLines] = useState<string[]>([]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    logIn(user, password)
      .catch((error: unknown) => setLines(linesOf(error)))
      .finally(() => setBusy(false));
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="sm">
        <TextInput
          label="User"
          name="user"
          autoComplete="username"
          required
          value={user}
          readOnly={who !== undefined}
          data-autofocus={who ? undefined : true}
          onChange={(event) => setUser(event.currentTarget.value)}
        />
        <PasswordInput
          label="Password"
          name="password"
          autoComplete="current-password"
          required
          value={password}
          data-autofocus={who ? true : undefined}
          visibilityToggleButtonProps={{ 'aria-label': 'Show the password' }}
          onChange={(event) => setPassword(event.currentTarget.value)}
        />
        {lines.length > 0 && (
          <Alert color="red" role="alert">
            {lines.map((line) => (
              <Text key={line} size="sm">
                {line}
              </Text>
            ))}
          </Alert>
        )}
        <Button type="submit" size="sm" loading={busy} fullWidth>
          Log in
        </Button>
      </Stack>
    </form>
  );
}

export function Login() {
  return (
    <Center component="main" h="100vh">
      <Paper withBorder p="xl" w={360}>
        <Stack>
          <Title order={1} size="h2" ta="center">
            Bartizan
          </Title>
          <Form />
        </Stack>
      </Paper>
    </Center>
  );
}

/** The session ended; what stands on the page stays. */
export function LoginAgain({ who }: { who: Who }) {
  return (
    <Modal opened onClose={() => undefined} withCloseButton={false} title="Your session has ended" zIndex={1000}>
      <Stack>
        <Text size="sm">Log in again to go on. Nothing that you were doing is lost.</Text>
        <Form who={who} />
      </Stack>
    </Modal>
  );
}
