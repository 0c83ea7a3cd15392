// Where else shall these rules be? In another device group, or behind the rules of the devices instead of before.

import { Button, Group, Modal, Select, Stack, Switch } from '@mantine/core';
import { useState } from 'react';
import { useEdit } from '../../api/config';
import { groupPath, useGroups } from '../../scope';
import type { Row } from '../../table/rows';
import { Refusal } from '../Refusal';
import type { Base } from './bases';
import { copies } from './copies';

type Properties = { base: Base; which: 'pre' | 'post'; rows: Row[]; from: string; onClose: () => void };

const SHARED = ' shared';

export function CopyDialog({ base, which: here, rows, from, onClose }: Properties) {
  const groups = useGroups().data?.groups ?? [];
  const [group, setGroup] = useState<string | null>(null);
  const [which, setWhich] = useState<string>(here);
  const [moved, setMoved] = useState(false);
  const edit = useEdit(true);
  const list = group && `${groupPath(group === SHARED ? undefined : group)}/${which}-rulebase/${base}/rules`;
  const count = rows.length === 1 ? 'the rule' : `${rows.length} rules`;
  return (
    <Modal opened onClose={onClose} title={`${moved ? 'Move' : 'Copy'} ${count} to another rulebase`}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (list) edit.mutate([copies(list, rows, moved)], { onSuccess: onClose });
        }}
      >
        <Stack gap="sm">
          <Select
            label="Device group"
            data={[{ value: SHARED, label: 'Shared' }, ...groups.map(({ name }) => ({ value: name, label: name }))]}
            value={group}
            onChange={setGroup}
            searchable
            required
            data-autofocus
          />
          <Select
            label="Rulebase"
            data={[
              { value: 'pre', label: 'Pre Rules' },
              { value: 'post', label: 'Post Rules' },
            ]}
            value={which}
            onChange={(value) => setWhich(value ?? here)}
            allowDeselect={false}
          />
          <Switch
            label="Move them: they go from here"
            checked={moved}
            onChange={(event) => setMoved(event.currentTarget.checked)}
            disabled={rows.some((row) => !row.source.own)}
          />
          {edit.error && <Refusal error={edit.error} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={edit.isPending} disabled={!list || (moved && list === from)}>
              {moved ? 'Move' : 'Copy'}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
