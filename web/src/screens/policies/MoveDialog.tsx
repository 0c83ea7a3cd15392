// Where shall the rules go? To the top or the bottom, or before or behind another one, by its name or its number.

import { Button, Group, Modal, Select, Stack, TextInput } from '@mantine/core';
import { useState } from 'react';
import { refused } from '../../api/config';

export type Target = { place: 'top' | 'bottom' } | { place: 'before' | 'after'; other: string };

type Properties = {
  count: number;
  /** The name of the rule of a number or a name; nothing when there is none. */
  find: (word: string) => Promise<string | undefined>;
  busy: boolean;
  onMove: (target: Target) => void;
  onClose: () => void;
};

export function MoveDialog({ count, find, busy, onMove, onClose }: Properties) {
  const [place, setPlace] = useState<Target['place']>('before');
  const [word, setWord] = useState('');
  const beside = place === 'before' || place === 'after';
  const [missing, setMissing] = useState(false);
  const move = async () => {
    if (!beside) return onMove({ place });
    const other = await find(word.trim());
    if (other) return onMove({ place, other });
    return setMissing(true);
  };
  return (
    <Modal opened onClose={onClose} title={count === 1 ? 'Move the rule' : `Move ${count} rules`}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          move().catch(refused);
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
              onChange={(event) => {
                setWord(event.currentTarget.value);
                setMissing(false);
              }}
              error={missing ? 'there is no such rule in this rulebase' : undefined}
              data-autofocus
            />
          )}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={busy} disabled={beside && !word.trim()}>
              Move
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
