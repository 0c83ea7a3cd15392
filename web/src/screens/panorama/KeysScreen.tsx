// Which API keys are there, and which of them should end? Each login of the page is one.

import { Alert, Badge, Button, Modal, Stack, Text } from '@mantine/core';
import { IconPlus, IconTrash } from '@tabler/icons-react';
import { useState } from 'react';
import { useApiKeys, useEndKeys, useMakeKey } from '../../api/administration';
import { refused } from '../../api/config';
import type { ApiKey } from '../../api/types';
import { type Column, Grid, textColumn } from '../../table/Grid';
import { ago, moment } from '../../times';
import { Confirm } from '../Confirm';
import { Tool } from '../lists/Tools';
import { Failure, Nothing, Page } from '../Page';
import { Secret } from '../Secret';

const COLUMNS: Column<ApiKey>[] = [
  textColumn('administrator', 'Administrator', 180, (key) => key.administrator),
  textColumn('created', 'Made', 180, (key) => moment(key.created)),
  textColumn('used', 'Last Used', 160, (key) => ago(key.used)),
  {
    id: 'own',
    header: 'Session',
    width: 140,
    cell: (key) =>
      key.own && (
        <Badge variant="light" color="blue">
          this session
        </Badge>
      ),
  },
  textColumn('id', 'Digest', 300, (key) => key.id.slice(0, 16)),
];

export function KeysScreen() {
  const keys = useApiKeys();
  const make = useMakeKey();
  const end = useEndKeys();
  const [selected, setSelected] = useState<ReadonlyMap<string, ApiKey>>(new Map());
  const [ending, setEnding] = useState(false);
  const list = keys.data?.keys ?? [];
  const chosen = list.filter((key) => selected.has(key.id));
  if (keys.error) return <Failure error={keys.error} />;
  return (
    <Page
      title="API Keys"
      tools={
        <>
          <Button
            leftSection={<IconPlus size={16} />}
            loading={make.isPending}
            onClick={() => make.mutate(undefined, { onError: refused })}
          >
            Make a key
          </Button>
          <Tool
            label="End"
            icon={<IconTrash size={18} />}
            onClick={() => setEnding(true)}
            disabled={chosen.length === 0}
          />
        </>
      }
    >
      <Text size="sm" c="dimmed" aria-live="polite">
        {list.length} keys{selected.size > 0 && `, ${chosen.length} selected`}. A superuser sees those of everybody.
        When a key was used is written down once in an hour.
      </Text>
      <Grid
        label="API Keys"
        columns={COLUMNS}
        count={list.length}
        at={(line) => list[line]}
        keyOf={(key) => key.id}
        selected={selected}
        onSelect={setSelected}
        none={<Nothing>There is no key.</Nothing>}
      />
      {make.data && <Made secret={make.data.key} onClose={() => make.reset()} />}
      {ending && (
        <Confirm
          title="End these keys?"
          lines={chosen.map(
            (key) => `of ${key.administrator}, made ${moment(key.created)}${key.own ? ': this session' : ''}`,
          )}
          verb="End"
          busy={end.isPending}
          error={end.error}
          onConfirm={() =>
            end.mutate(
              chosen.map((key) => key.id),
              {
                onSuccess: () => {
                  setEnding(false);
                  setSelected(new Map());
                },
              },
            )
          }
          onClose={() => {
            setEnding(false);
            end.reset();
          }}
        />
      )}
    </Page>
  );
}

function Made({ secret, onClose }: { secret: string; onClose: () => void }) {
  return (
    <Modal opened onClose={onClose} title="A new API key">
      <Stack gap="sm">
        <Alert color="yellow" variant="light">
          It is shown only now. It has your role, and ends with your password.
        </Alert>
        <Secret text={secret} onClose={onClose} />
      </Stack>
    </Modal>
  );
}
