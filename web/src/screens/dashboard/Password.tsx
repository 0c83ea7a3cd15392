// How does an administrator get another password? Its hash is an edit of the candidate, which counts when it is committed.

import { Button, Group, Modal, PasswordInput, Stack, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, told } from '../../api/client';
import { forget } from '../../api/config';
import { Problem } from '../../api/problem';
import { useSession } from '../../api/session';
import { entryPath } from '../../tree/node';
import { Refusal } from '../Refusal';

const USERS = '/config/mgt-config/users';
/** Longer than any commit of one edit. */
const WAIT_S = 60;

export function Password({ onClose }: { onClose: () => void }) {
  const state = useSession();
  const user = state.kind === 'in' ? state.session.who.user : '';
  const [password, setPassword] = useState('');
  const [again, setAgain] = useState('');
  const queries = useQueryClient();
  const change = useMutation({
    mutationFn: async () => {
      const { phash } = await told(api.POST('/api/v1/password-hash', { body: { password } }));
      const xpath = `${entryPath(USERS, user)}/phash`;
      const { pending } = await told(
        api.POST('/api/v1/config/edits', { body: { edits: [{ action: 'set', xpath, text: phash }] } }),
      );
      // Nobody else's edits are committed by the way.
      if (pending > 1) return;
      const params = { query: { wait: WAIT_S } };
      const { job } = await told(api.POST('/api/v1/commit', { params, body: { description: `password of ${user}` } }));
      if (job && job.result !== 'ok') {
        throw new Problem(
          409,
          'failed',
          `commit job ${job.id} did not succeed`,
          job.details.map((message) => ({ message })),
        );
      }
    },
    onSuccess: async () => {
      await forget(queries);
      notifications.show({ color: 'green', message: 'The password is another one. It counts once it is committed.' });
      onClose();
    },
  });
  const differs = again !== '' && again !== password;
  return (
    <Modal opened onClose={onClose} title={`Password of ${user}`}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          change.mutate();
        }}
      >
        <Stack gap="sm">
          <Text size="sm">
            The change is committed at once, unless other edits are pending: then it goes with the next commit. After
            that the page asks for the new password.
          </Text>
          <PasswordInput
            label="New password"
            autoComplete="new-password"
            required
            data-autofocus
            value={password}
            visibilityToggleButtonProps={{ 'aria-label': 'Show the password' }}
            onChange={(event) => setPassword(event.currentTarget.value)}
          />
          <PasswordInput
            label="The same again"
            autoComplete="new-password"
            required
            value={again}
            error={differs ? 'it is not the same' : undefined}
            visibilityToggleButtonProps={{ 'aria-label': 'Show the second password' }}
            onChange={(event) => setAgain(event.currentTarget.value)}
          />
          {change.error && <Refusal error={change.error} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={change.isPending} disabled={!password || password !== again}>
              Set the password
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
