// Does somebody keep others from working? A lock in the header says so, and leads to who does.

import { ActionIcon, Tooltip } from '@mantine/core';
import { IconLock } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { useLocks } from '../api/administration';

export function LockMark() {
  const locks = useLocks().data?.locks ?? [];
  if (locks.length === 0) return null;
  const holders = [...new Set(locks.map((lock) => lock.admin))].join(', ');
  const label = `${locks.length === 1 ? 'A lock is' : `${locks.length} locks are`} held by ${holders}`;
  return (
    <Tooltip label={label}>
      <ActionIcon
        variant="light"
        color="orange"
        size="lg"
        aria-label={label}
        renderRoot={(properties) => <Link to="/panorama/locks" {...properties} />}
      >
        <IconLock size={18} />
      </ActionIcon>
    </Tooltip>
  );
}
