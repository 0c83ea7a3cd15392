// How is a password written into the configuration? Only its hash is, which the manager makes, by its rules for passwords.

import { Button, Group, PasswordInput, Text } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { api, told } from '../api/client';
import { linesOf } from '../api/problem';
import type { Node } from '../api/types';
import { leaf } from './node';

type Properties = { value: Node | undefined; onChange: (value: Node) => void; readOnly: boolean | undefined };

export function PasswordHash({ value, onChange, readOnly }: Properties) {
  const [password, setPassword] = useState('');
  const make = useMutation({
    mutationFn: () => told(api.POST('/api/v1/password-hash', { body: { password } })),
    onSuccess: ({ phash }) => {
      onChange(leaf('phash', phash));
      setPassword('');
    },
  });
  const state = make.data && value?.text === make.data.phash ? 'another one, when this is saved' : 'set';
  return (
    <div>
      {!readOnly && (
        <Group align="end" gap="xs">
          <PasswordInput
            flex={1}
            label="New Password"
            autoComplete="new-password"
            value={password}
            error={make.error ? linesOf(make.error).join('; ') : undefined}
            visibilityToggleButtonProps={{ 'aria-label': 'Show the password' }}
            onChange={(event) => setPassword(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key !== 'Enter' || !password) return;
              event.preventDefault();
              make.mutate();
            }}
          />
          <Button variant="light" loading={make.isPending} disabled={!password} onClick={() => make.mutate()}>
            Use it
          </Button>
        </Group>
      )}
      <Text size="sm" c="dimmed">
        The password is {value?.text ? state : 'not set'}.
      </Text>
    </div>
  );
}
