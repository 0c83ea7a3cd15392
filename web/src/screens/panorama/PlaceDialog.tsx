// How is a device group, a template or a stack made, and which devices are in it?

import { Button, Group, Modal, MultiSelect, Stack, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useEdit } from '../../api/config';
import { useDevices } from '../../api/devices';
import { useTemplates } from '../../scope';
import { Refusal } from '../Refusal';
import { choices, edits, type Held, type Kind } from './places';

export const ONE: Record<Kind, string> = { group: 'device group', template: 'template', stack: 'template stack' };

type Properties = { kind: Kind; before?: Held | undefined; onClose: () => void };

export function PlaceDialog({ kind, before, onClose }: Properties) {
  const [held, setHeld] = useState<Held>(before ?? { name: '', devices: [], templates: [] });
  const devices = useDevices().data?.devices ?? [];
  const templates = useTemplates().data?.templates ?? [];
  const edit = useEdit(true);
  const list = edits(kind, before, held);
  return (
    <Modal opened onClose={onClose} title={before ? `${ONE[kind]}: ${before.name}` : `Add ${ONE[kind]}`}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          edit.mutate(list, { onSuccess: onClose });
        }}
      >
        <Stack gap="sm">
          <TextInput
            label="Name"
            required
            maxLength={31}
            data-autofocus
            value={held.name}
            onChange={(event) => setHeld({ ...held, name: event.currentTarget.value })}
          />
          {kind === 'stack' && (
            <MultiSelect
              label="Templates"
              description="The first wins"
              data={templates}
              value={held.templates}
              onChange={(names) => setHeld({ ...held, templates: names })}
              clearButtonProps={{ 'aria-label': 'Clear' }}
              searchable
            />
          )}
          {kind !== 'template' && (
            <MultiSelect
              label="Devices"
              data={choices(devices)}
              value={held.devices}
              onChange={(serials) => setHeld({ ...held, devices: serials })}
              clearButtonProps={{ 'aria-label': 'Clear' }}
              searchable
            />
          )}
          {edit.error && <Refusal error={edit.error} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={edit.isPending} disabled={!held.name || list.length === 0}>
              {before ? 'Save' : 'Add'}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
