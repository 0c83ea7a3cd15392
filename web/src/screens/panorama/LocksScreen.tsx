// Who keeps others from editing or committing, and how does that end?

import { Button, Group, Modal, Select, Stack, Text, TextInput } from '@mantine/core';
import { IconLock, IconLockOpen } from '@tabler/icons-react';
import { useState } from 'react';
import { useLocks, useRemoveLocks, useTakeLock } from '../../api/administration';
import type { Lock } from '../../api/types';
import { useGroups, useTemplates } from '../../scope';
import { type Column, Grid, textColumn } from '../../table/Grid';
import { moment } from '../../times';
import { Confirm } from '../Confirm';
import { Tool } from '../lists/Tools';
import { Failure, Nothing, Page } from '../Page';
import { Refusal } from '../Refusal';

const KINDS = { config: 'editing', commit: 'committing' };
const EVERYTHING = 'shared';

const kindOf = (lock: Lock) => (lock.kind === 'commit' ? KINDS.commit : KINDS.config);
const scopeOf = (lock: Lock) => (lock.scope === EVERYTHING ? 'everything' : lock.scope);

const COLUMNS: Column<Lock>[] = [
  textColumn('kind', 'Keeps Others From', 160, kindOf),
  textColumn('scope', 'Location', 180, scopeOf),
  textColumn('admin', 'Admin', 160, (lock) => lock.admin),
  textColumn('since', 'Since', 180, (lock) => moment(lock.since)),
  textColumn('comment', 'Comment', 400, (lock) => lock.comment),
];

export function LocksScreen() {
  const locks = useLocks();
  const remove = useRemoveLocks();
  const [selected, setSelected] = useState<ReadonlyMap<string, Lock>>(new Map());
  const [taking, setTaking] = useState(false);
  const [removing, setRemoving] = useState(false);
  const list = locks.data?.locks ?? [];
  const keyOf = (lock: Lock) => `${lock.kind} ${lock.scope}`;
  const chosen = list.filter((lock) => selected.has(keyOf(lock)));
  if (locks.error) return <Failure error={locks.error} />;
  return (
    <Page
      title="Locks"
      tools={
        <>
          <Button leftSection={<IconLock size={16} />} onClick={() => setTaking(true)}>
            Take a lock
          </Button>
          <Tool
            label="Remove"
            icon={<IconLockOpen size={18} />}
            onClick={() => setRemoving(true)}
            disabled={chosen.length === 0}
          />
        </>
      }
    >
      <Text size="sm" c="dimmed" aria-live="polite">
        {list.length === 0 ? 'Nobody keeps others from working.' : `${list.length} held.`} A commit ends the locks of
        whoever commits.
      </Text>
      <Grid
        label="Locks"
        columns={COLUMNS}
        count={list.length}
        at={(line) => list[line]}
        keyOf={keyOf}
        selected={selected}
        onSelect={setSelected}
        none={
          <Nothing>Take a lock before edits that belong together, and others wait until you have committed.</Nothing>
        }
      />
      {taking && <Take onClose={() => setTaking(false)} />}
      {removing && (
        <Confirm
          title="Remove these locks?"
          lines={chosen.map((lock) => `${lock.admin} keeps others from ${kindOf(lock)} ${scopeOf(lock)}`)}
          verb="Remove"
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() =>
            remove.mutate(chosen, {
              onSuccess: () => {
                setRemoving(false);
                setSelected(new Map());
              },
            })
          }
          onClose={() => {
            setRemoving(false);
            remove.reset();
          }}
        />
      )}
    </Page>
  );
}

function Take({ onClose }: { onClose: () => void }) {
  const take = useTakeLock();
  const groups = useGroups().data?.groups ?? [];
  const templates = useTemplates().data;
  const [kind, setKind] = useState<'config' | 'commit'>('config');
  const [scope, setScope] = useState(EVERYTHING);
  const [comment, setComment] = useState('');
  const stacks = templates?.stacks.map((one) => one.name) ?? [];
  const places = [...new Set([...groups.map((one) => one.name), ...(templates?.templates ?? []), ...stacks])];
  return (
    <Modal opened onClose={onClose} title="Take a lock">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const where = kind === 'config' && scope !== EVERYTHING ? { scope } : {};
          take.mutate({ kind, ...where, comment }, { onSuccess: onClose });
        }}
      >
        <Stack gap="sm">
          <Select
            label="Keep others from"
            data={[
              { value: 'config', label: KINDS.config },
              { value: 'commit', label: KINDS.commit },
            ]}
            value={kind}
            allowDeselect={false}
            onChange={(value) => setKind(value === 'commit' ? 'commit' : 'config')}
          />
          {kind === 'config' && (
            <Select
              label="Location"
              data={[
                { value: EVERYTHING, label: 'everything' },
                ...places.map((name) => ({ value: name, label: name })),
              ]}
              value={scope}
              allowDeselect={false}
              searchable={places.length > 10}
              onChange={(value) => setScope(value ?? EVERYTHING)}
            />
          )}
          <TextInput
            label="Comment"
            placeholder="Why?"
            maxLength={512}
            value={comment}
            onChange={(event) => setComment(event.currentTarget.value)}
          />
          {take.error && <Refusal error={take.error} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={take.isPending}>
              Take it
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
