// Which configurations were committed, what did each change, and how does one go back?

import { Alert, Button, Drawer, Group, Stack, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, told } from '../../api/client';
import { forget, useCandidate } from '../../api/config';
import type { Version } from '../../api/types';
import { useAddress } from '../../scope';
import { type Column, Grid, textColumn } from '../../table/Grid';
import { moment } from '../../times';
import { Diff } from '../commit/Diff';
import { Failure, Nothing, Page } from '../Page';
import { Refusal } from '../Refusal';

const COLUMNS: Column<Version>[] = [
  textColumn('version', 'Version', 90, (one) => String(one.version)),
  textColumn('time', 'Committed', 180, (one) => moment(one.time)),
  textColumn('author', 'By', 140, (one) => one.author),
  textColumn('description', 'Description', 500, (one) => one.description),
];

export function AuditScreen() {
  const [address, setAddress] = useAddress();
  const versions = useQuery({
    queryKey: ['config', 'versions'],
    queryFn: () => told(api.GET('/api/v1/versions')),
  });
  const list = versions.data?.versions ?? [];
  const opened = list.find((one) => String(one.version) === address.open);
  const before = list[opened ? list.indexOf(opened) + 1 : -1];
  if (versions.error) return <Failure error={versions.error} />;
  return (
    <Page title="Config Audit">
      <Text size="sm" c="dimmed">
        Enter opens a version: what it changed, and the way back to it.
      </Text>
      <Grid
        label="Config Audit"
        columns={COLUMNS}
        count={list.length}
        at={(line) => list[line]}
        keyOf={(one) => String(one.version)}
        onOpen={(one) => setAddress({ open: String(one.version) })}
        none={<Nothing>Nothing was committed yet.</Nothing>}
      />
      {opened && (
        <Detail
          key={opened.version}
          version={opened}
          before={before}
          newest={opened === list[0]}
          onClose={() => setAddress({ open: undefined })}
        />
      )}
    </Page>
  );
}

type Properties = { version: Version; before: Version | undefined; newest: boolean; onClose: () => void };

function Detail({ version, before, newest, onClose }: Properties) {
  const [sure, setSure] = useState(false);
  const pending = useCandidate().data?.pending ?? 0;
  const queries = useQueryClient();
  const load = useMutation({
    mutationFn: () => told(api.POST('/api/v1/candidate/load', { body: { source: `version:${version.version}` } })),
    onSuccess: async () => {
      await forget(queries);
      notifications.show({
        color: 'green',
        message: `Version ${version.version} is the candidate now. Look at the difference, and commit.`,
      });
      onClose();
    },
  });
  return (
    <Drawer
      opened
      onClose={onClose}
      position="right"
      size="xl"
      title={`Version ${version.version}`}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      <Stack gap="sm">
        <Text size="sm">
          Committed by {version.author}, {moment(version.time)}
          {version.description && `: ${version.description}`}
        </Text>
        {before ? (
          <Diff from={`version:${before.version}`} to={`version:${version.version}`} />
        ) : (
          <Text size="sm">There is no version before it to compare with.</Text>
        )}
        {load.error && <Refusal error={load.error} />}
        {sure && pending > 0 && (
          <Alert color="yellow" title="Something is pending" role="alert">
            {pending} edits that are not committed go when this version is loaded.
          </Alert>
        )}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>
            Close
          </Button>
          {!newest && (
            <Button
              color={sure ? 'red' : undefined}
              loading={load.isPending}
              onClick={() => (sure || pending === 0 ? load.mutate() : setSure(true))}
            >
              {sure ? 'Load it, and lose what is pending' : 'Load as the candidate'}
            </Button>
          )}
        </Group>
      </Stack>
    </Drawer>
  );
}
