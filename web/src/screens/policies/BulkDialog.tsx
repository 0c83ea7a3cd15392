// What shall all selected rules have? Any number of fields, each set, added to, taken from or cleared, in one edit.

import { ActionIcon, Box, Button, Group, Loader, Modal, Select, Stack } from '@mantine/core';
import { IconPlus, IconTrash } from '@tabler/icons-react';
import { useState } from 'react';
import { useEdit } from '../../api/config';
import type { Field, Node } from '../../api/types';
import type { Row } from '../../table/rows';
import { useFacts } from '../../tree/facts';
import { FieldInput } from '../../tree/inputs';
import { labelOf } from '../../tree/labels';
import { at, entryPath } from '../../tree/node';
import { Refusal } from '../Refusal';
import { type Change, editsOf, type How } from './bulk';

type Properties = { list: string; rows: Row[]; onClose: () => void };

const HOWS: Record<How, string> = { set: 'Set to', add: 'Add', remove: 'Remove', clear: 'Clear' };
const PROFILES = 'profile-setting';
const GROUP: Field = { tag: 'group', branch: false, holds: { kind: 'members' } };
const EMPTY: Change = { tag: '', how: 'set', value: undefined };

const called = (tag: string): string => (tag === PROFILES ? 'Profile Group' : labelOf(tag));
/** Whether all of it is one input. */
const isPlain = (field: Field): boolean => !['any', 'node', 'list'].includes(field.holds.kind);
const isWhole = ({ tag, how, value }: Change): boolean => tag !== '' && (how === 'clear' || value !== undefined);

export function BulkDialog({ list, rows, onClose }: Properties) {
  const facts = useFacts(list);
  const [changes, setChanges] = useState<Change[]>([EMPTY]);
  const edit = useEdit(true);
  const fields = (facts.data?.fields ?? []).filter((field) => isPlain(field) || field.tag === PROFILES);
  const put = (place: number, change: Change) =>
    setChanges(changes.map((one, index) => (index === place ? change : one)));
  const count = rows.length === 1 ? '1 rule' : `${rows.length} rules`;
  return (
    <Modal opened onClose={onClose} title={`Edit ${count}`} size="xl">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          edit.mutate(
            changes.filter(isWhole).flatMap((change) => editsOf(rows, change)),
            { onSuccess: onClose },
          );
        }}
      >
        <Stack gap="sm">
          {facts.isPending && <Loader size="sm" aria-label="Loading the form" />}
          {changes.map((change, place) => (
            <OneChange
              // biome-ignore lint/suspicious/noArrayIndexKey: a change has no name but its place
              key={place}
              list={list}
              fields={fields}
              change={change}
              onChange={(next) => put(place, next)}
              onRemove={
                changes.length > 1 ? () => setChanges(changes.filter((_, index) => index !== place)) : undefined
              }
            />
          ))}
          <Button
            variant="subtle"
            w="fit-content"
            leftSection={<IconPlus size={16} />}
            onClick={() => setChanges([...changes, EMPTY])}
          >
            Another field
          </Button>
          {edit.error && <Refusal error={edit.error} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={edit.isPending} disabled={!changes.some(isWhole)}>
              Change {count}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

type OneProperties = {
  list: string;
  fields: Field[];
  change: Change;
  onChange: (change: Change) => void;
  onRemove: (() => void) | undefined;
};

function OneChange({ list, fields, change, onChange, onRemove }: OneProperties) {
  const field = fields.find((one) => one.tag === change.tag);
  const hows: How[] = field?.holds.kind === 'members' ? ['set', 'add', 'remove', 'clear'] : ['set', 'clear'];
  const xpath = `${entryPath(list, 'new')}/${change.tag}`;
  const put = (value: Node | undefined) => onChange({ ...change, value });
  return (
    <Group align="end" gap="xs" wrap="nowrap">
      <Select
        label="Field"
        placeholder="Choose"
        data={fields.map(({ tag }) => ({ value: tag, label: called(tag) }))}
        value={change.tag || null}
        onChange={(tag) => onChange({ ...EMPTY, tag: tag ?? '' })}
        searchable
        w={200}
      />
      <Select
        label="How"
        data={hows.map((how) => ({ value: how, label: HOWS[how] }))}
        value={change.how}
        onChange={(how) => onChange({ ...change, how: (how ?? 'set') as How })}
        allowDeselect={false}
        w={120}
      />
      <Box flex={1} miw={0}>
        {field && change.how !== 'clear' && field.tag !== PROFILES && (
          <FieldInput
            key={field.tag}
            field={field}
            xpath={xpath}
            value={change.value}
            onChange={put}
            readOnly={false}
          />
        )}
        {field?.tag === PROFILES && change.how !== 'clear' && (
          <FieldInput
            field={GROUP}
            xpath={`${xpath}/group`}
            value={at(change.value, 'group')}
            onChange={(group) => put(group && { tag: PROFILES, children: [group] })}
            readOnly={false}
          />
        )}
      </Box>
      {onRemove && (
        <ActionIcon aria-label={`Leave ${called(change.tag) || 'it'} out`} onClick={onRemove} mb={4}>
          <IconTrash size={16} />
        </ActionIcon>
      )}
    </Group>
  );
}
