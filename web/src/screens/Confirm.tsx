// Is that really meant? Nothing is deleted before somebody saw what.

import { Button, Group, List, Modal, Stack, Text } from '@mantine/core';
import { Refusal } from './Refusal';

type Properties = {
  title: string;
  lines: string[];
  verb: string;
  busy: boolean;
  error?: unknown;
  onConfirm: () => void;
  onClose: () => void;
};

const SHOWN = 12;

export function Confirm({ title, lines, verb, busy, error, onConfirm, onClose }: Properties) {
  return (
    <Modal opened onClose={onClose} title={title}>
      <Stack gap="sm">
        <List size="sm">
          {lines.slice(0, SHOWN).map((line) => (
            <List.Item key={line}>{line}</List.Item>
          ))}
        </List>
        {lines.length > SHOWN && <Text size="sm">and {lines.length - SHOWN} more</Text>}
        {error != null && <Refusal error={error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose} data-autofocus>
            Cancel
          </Button>
          <Button color="red" onClick={onConfirm} loading={busy}>
            {verb}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
