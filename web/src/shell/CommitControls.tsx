// Is something pending, and where does one commit it?

import { Button, Menu, Tooltip } from '@mantine/core';
import { IconChevronDown, IconGitCommit } from '@tabler/icons-react';
import { lazy, Suspense } from 'react';
import { useCandidate } from '../api/config';
import { closeDialog, openCommit, useDialog } from './commits';

const CommitDialog = lazy(async () => ({ default: (await import('../screens/commit/CommitDialog')).CommitDialog }));
const JobDialog = lazy(async () => ({ default: (await import('../screens/commit/JobDialog')).JobDialog }));

export function CommitControls() {
  const candidate = useCandidate();
  const dialog = useDialog();
  const pending = candidate.data?.pending ?? 0;
  const authors = candidate.data?.authors ?? [];
  const tip = pending > 0 ? `Pending, by ${authors.join(', ')}` : 'Nothing is pending';
  return (
    <>
      <Menu position="bottom-end" width={200}>
        <Menu.Target>
          <Tooltip label={tip}>
            <Button
              variant={pending > 0 ? 'filled' : 'default'}
              leftSection={<IconGitCommit size={16} />}
              rightSection={<IconChevronDown size={14} />}
            >
              {pending > 0 ? `Commit (${pending})` : 'Commit'}
            </Button>
          </Tooltip>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item onClick={() => openCommit('commit')}>Commit to Panorama</Menu.Item>
          <Menu.Item onClick={() => openCommit('push')}>Push to Devices</Menu.Item>
          <Menu.Item onClick={() => openCommit('both')}>Commit and Push</Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <Suspense>
        {dialog && 'kind' in dialog && <CommitDialog kind={dialog.kind} onClose={closeDialog} />}
        {dialog && 'job' in dialog && <JobDialog job={dialog.job} onClose={closeDialog} />}
      </Suspense>
    </>
  );
}
