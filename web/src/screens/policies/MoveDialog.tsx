// Where shall the rules go? To the top or the bottom, or before or behind another one, by its name or its number.

import { Button, Group, Modal, Select, Stack, TextInput } from '@mantine/core';
import { useState } from 'react';

export type Target = { place: 'top' | 'bottom' } | { place: 'before' | 'after'; other: string };

type Properties = {
  count: number;
  /** The name of the rule of a number or a name; nothing when there is none. */
  find: (word: string) => string | undefined;
  busy: boolean;
  onMove: (target: Target) => void;
  onClose: () => void;
};

export function MoveDialog({ count, find, busy, onMove, onClose }: Properties) {
  const [place, setPlace] = useState<Target['place']>('before');
  const [word, setWord] = useState('');
  const beside = place === 'before' || place === 'after';
  const other = find(word.trim());
  const move = () => {
    if (!beside) onMove({ place });
    else if (other) onMove({ place, other });
  };
  return (
    <Modal opened onClose={onClose} title={count === 1 ? 'Move the rule' : `Move ${count} rules`}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          move();
        }}
      >
        <Stack gap="sm">
          <Select
            label="Where"
            data={[
              { value: 'top', label: 'To the top' },
              { value: 'bottom', label: 'To the bottom' },
              { value: 'before', label: 'Before a rule' },
              { value: 'after', label: 'Behind a rule' },
            ]}
            value={place}
            onChange={(value) => setPlace((value ?? 'before') as Target['place'])}
            allowDeselect={false}
          />
          {beside && (
            <TextInput
              label="Rule"
              description="Its number or its name"
              value={word}
              onChange={(event) => setWord(event.currentTarget.value)}
              error={word && !other ? 'there is no such rule in this rulebase' : undefined}
              data-autofocus
            />
          )}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={busy} disabled={beside && !other}>
              Move
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
