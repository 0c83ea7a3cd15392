// How is one entry of a list made or changed, and what if somebody else changed it meanwhile?
//
// The form holds everything until it is saved; leaving it with changes asks first. It is saved only over the version
// that was read (`if_digest`): when there is another one by then, both are put together and shown before anything is
// written.

import { Alert, Button, Drawer, Group, Stack, Text, TextInput } from '@mantine/core';
import { type ReactNode, useState } from 'react';
import { nodeAt, useEdit } from '../api/config';
import { Problem } from '../api/problem';
import type { Asked, Node } from '../api/types';
import { Refusal } from '../screens/Refusal';
import { EntryForm, type Layout, Owner } from './Form';
import { labelOf } from './labels';
import { merge } from './merge';
import { entryPath, nameOf, ownerOf, same } from './node';

export type Opened = {
  /** XPath of the list. */
  list: string;
  /** The entry as it was read; without it a new one is made. */
  was?: { node: Node; digest: string };
  /** What a new one begins with. */
  start?: Node;
  /** The template that a stack inherits the entry from: what is saved overrides it. */
  inherited?: string | undefined;
  /** Whether the stack has an entry of its own in the place of the inherited one. */
  overrides?: boolean;
};

type Properties = {
  opened: Opened;
  title: string;
  layout?: Layout | undefined;
  readOnly?: boolean;
  /** What else is edited together with the entry. */
  also?: ((list: string, before: Node | undefined, after: Node | undefined) => Asked[]) | undefined;
  /** Whether the name is given by what it is, as of a default rule. */
  named?: boolean;
  /** What is to be known of the entry. */
  notes?: ReactNode;
  /** Fields that stand elsewhere and belong to the entry for whoever edits it, and the edits that they mean. */
  beside?: ((readOnly: boolean, put: (edits: (name: string) => Asked[]) => void) => ReactNode) | undefined;
  onClose: () => void;
  onSaved?: (name: string) => void;
};

export function EntryDialog(properties: Properties) {
  const { opened, title, layout, readOnly = false, notes, also, beside, onClose, onSaved } = properties;
  const { inherited } = opened;
  const named = properties.named || inherited !== undefined;
  const [base, setBase] = useState(opened.was);
  const [value, setValue] = useState<Node>(
    opened.was?.node ?? opened.start ?? { tag: 'entry', attributes: { name: '' } },
  );
  const [conflict, setConflict] = useState<string[]>();
  const [leaving, setLeaving] = useState(false);
  const [more, setMore] = useState<(name: string) => Asked[]>();
  const edit = useEdit(true);
  const start = base?.node ?? opened.start ?? { tag: 'entry', attributes: { name: '' } };
  const changed = !same(value, start);
  const dirty = changed || more !== undefined;
  const before = base ? nameOf(base.node) : undefined;
  const name = nameOf(value);

  const close = () => (dirty && !readOnly && !leaving ? setLeaving(true) : onClose());
  const save = () => {
    const edits: Asked[] = [];
    if (before !== undefined && before !== name) {
      edits.push({ action: 'rename', xpath: entryPath(opened.list, before), name });
    }
    const renamed = base && before !== name;
    const digest = renamed ? undefined : (base?.digest ?? '');
    if (changed || before === undefined) {
      const action = inherited ? 'override' : 'edit';
      edits.push({ action, xpath: entryPath(opened.list, name), node: value, if_digest: digest });
      edits.push(...(also?.(opened.list, base?.node, value) ?? []));
    }
    edits.push(...(more?.(name) ?? []));
    edit.mutate(edits, {
      onSuccess: () => {
        onSaved?.(name);
        onClose();
      },
      onError: (error) => {
        if (error instanceof Problem && error.kind === 'changed-meanwhile') void reconcile();
      },
    });
  };
  const revert = () => edit.mutate([{ action: 'delete', xpath: entryPath(opened.list, name) }], { onSuccess: onClose });
  const reconcile = async () => {
    const theirs = await nodeAt(entryPath(opened.list, before ?? name));
    if (!theirs?.node) return;
    const both = merge(base?.node ?? { tag: 'entry' }, value, theirs.node);
    setBase({ node: theirs.node, digest: theirs.digest });
    setValue(both.node);
    setConflict(both.conflicts);
    edit.reset();
  };

  return (
    <Drawer
      opened
      onClose={close}
      position="right"
      size="lg"
      title={`${title}${before ? `: ${before}` : ''}`}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!readOnly && name) save();
        }}
      >
        <Stack gap="sm">
          {notes}
          {conflict && <Merged conflicts={conflict} />}
          {edit.error && <Refusal error={edit.error} />}
          {inherited && (
            <Text size="sm" role="note">
              {opened.overrides
                ? `The stack's own, in the place of that from ${inherited}.`
                : `From ${inherited}. What is saved here overrides it in this stack, as a whole.`}
            </Text>
          )}
          <TextInput
            label="Name"
            required
            data-autofocus
            value={name}
            readOnly={readOnly || named}
            onChange={(event) =>
              setValue({ ...value, attributes: { ...value.attributes, name: event.currentTarget.value } })
            }
          />
          {beside?.(readOnly, (edits) => setMore(() => edits))}
          <Owner value={ownerOf(value)}>
            <EntryForm
              xpath={entryPath(opened.list, before ?? 'new')}
              value={value}
              onChange={setValue}
              readOnly={readOnly}
              layout={layout}
            />
          </Owner>
          {leaving && (
            <Alert color="yellow" title="Leave without saving?" role="alert">
              <Group gap="xs">
                <Button color="red" onClick={onClose}>
                  Leave, and lose the changes
                </Button>
                <Button variant="default" onClick={() => setLeaving(false)}>
                  Go on editing
                </Button>
              </Group>
            </Alert>
          )}
          <Group justify="flex-end" gap="xs">
            {opened.overrides && !readOnly && (
              <Button variant="subtle" color="red" mr="auto" loading={edit.isPending} onClick={revert}>
                Revert to {inherited}
              </Button>
            )}
            <Button variant="default" onClick={close}>
              {readOnly ? 'Close' : 'Cancel'}
            </Button>
            {!readOnly && (
              <Button type="submit" loading={edit.isPending} disabled={!name || (!dirty && before !== undefined)}>
                {before === undefined
                  ? properties.named
                    ? 'Override'
                    : 'Add'
                  : inherited && !opened.overrides
                    ? 'Override'
                    : 'Save'}
              </Button>
            )}
          </Group>
        </Stack>
      </form>
    </Drawer>
  );
}

function Merged({ conflicts }: { conflicts: string[] }) {
  return (
    <Alert color={conflicts.length > 0 ? 'red' : 'yellow'} title="Somebody else changed this meanwhile" role="alert">
      {conflicts.length === 0
        ? 'You changed different fields. The form has both now; look at it, and save again.'
        : `Both changed ${conflicts.map(labelOf).join(', ')}. The form has your values there, and theirs elsewhere. Saving overwrites what they wrote.`}
    </Alert>
  );
}
