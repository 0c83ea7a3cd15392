// How is one field of an entry changed where a table shows it? In a box over the cell, saved over what was read.

import { Alert, Button, Group, Popover, Stack } from '@mantine/core';
import { useState } from 'react';
import { nodeAt, useEdit } from '../api/config';
import { Problem } from '../api/problem';
import type { Entry, Field, Node } from '../api/types';
import { Refusal } from '../screens/Refusal';
import { FieldInput } from './inputs';
import { labelOf } from './labels';
import { merge } from './merge';
import { at, withChild } from './node';

export type EditedCell = { entry: Entry; field: Field; cell: HTMLElement };

export function CellEditor({ entry, field, cell, onClose }: EditedCell & { onClose: () => void }) {
  const { tag } = field;
  const [base, setBase] = useState<{ node: Node; digest: string }>({
    node: entry.node ?? { tag: 'entry' },
    digest: entry.digest,
  });
  const [value, setValue] = useState(at(base.node, tag));
  const [conflict, setConflict] = useState<string>();
  const edit = useEdit(true);

  const close = () => {
    onClose();
    cell.closest<HTMLElement>('[role="row"]')?.focus();
  };
  const save = (from: { node: Node; digest: string }) =>
    edit.mutate(
      [{ action: 'edit', xpath: entry.xpath, node: withChild(from.node, tag, value), if_digest: from.digest }],
      {
        onSuccess: close,
        onError: (error) => {
          if (error instanceof Problem && error.kind === 'changed-meanwhile') void reconcile();
        },
      },
    );
  const reconcile = async () => {
    const theirs = await nodeAt(entry.xpath);
    if (!theirs?.node) return;
    const both = merge(base.node, withChild(base.node, tag, value), theirs.node);
    const next = { node: theirs.node, digest: theirs.digest };
    setBase(next);
    edit.reset();
    if (both.conflicts.length === 0) save(next);
    else setConflict(`Somebody else changed ${labelOf(tag)} meanwhile. Saving overwrites what they wrote.`);
  };

  const { left, top, width, height } = cell.getBoundingClientRect();
  return (
    <Popover
      opened
      position="bottom-start"
      width={340}
      trapFocus
      closeOnClickOutside={false}
      onDismiss={close}
      shadow="md"
    >
      <Popover.Target>
        <div style={{ position: 'fixed', left, top, width, height, pointerEvents: 'none' }} />
      </Popover.Target>
      <Popover.Dropdown aria-label={`${labelOf(tag)} of ${entry.name}`}>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            save(base);
          }}
          onKeyDown={(event) => {
            if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) save(base);
          }}
        >
          <Stack gap="xs">
            <FieldInput
              field={field}
              xpath={`${entry.xpath}/${tag}`}
              value={value}
              onChange={setValue}
              readOnly={false}
            />
            {conflict && (
              <Alert color="red" role="alert">
                {conflict}
              </Alert>
            )}
            {edit.error && <Refusal error={edit.error} />}
            <Group justify="flex-end" gap="xs">
              <Button variant="default" onClick={close}>
                Cancel
              </Button>
              <Button type="submit" loading={edit.isPending} title="Ctrl+Enter">
                Save
              </Button>
            </Group>
          </Stack>
        </form>
      </Popover.Dropdown>
    </Popover>
  );
}
