// A part of a device that is no list: what is set, in a stack by whom, and what is saved of it?
//
// In a template the element is written as a whole, over the version that was read. In a stack each of its elements that
// changed is: the others stay those of the templates.

import { Alert, Button, Group, Loader, ScrollArea, Stack, Text } from '@mantine/core';
import { useBlocker } from '@tanstack/react-router';
import { useState } from 'react';
import { useEdit, useNode } from '../../api/config';
import type { Asked, Node } from '../../api/types';
import { type Scoped, useScoped } from '../../scope';
import { EntryForm } from '../../tree/Form';
import { at, elements, isOfStack, same } from '../../tree/node';
import { Failure, Nothing, Page, Remark } from '../Page';
import { Refusal } from '../Refusal';
import type { SettingsKind } from './device';

export function SettingsScreen({ kind }: { kind: SettingsKind }) {
  const place = useScoped(kind.scope, kind.at);
  const read = useNode(place?.merged?.xpath ?? place?.xpath, place?.merged?.source);
  return (
    <Page title={kind.title}>
      <Text size="sm" c="dimmed">
        {kind.purpose}
      </Text>
      {kind.remark && <Remark>{kind.remark}</Remark>}
      {read.error ? (
        <Failure error={read.error} />
      ) : !place ? (
        <Nothing>There is no template yet: make one under Panorama &gt; Templates.</Nothing>
      ) : read.isPending ? (
        <Loader size="sm" aria-label="Loading" />
      ) : (
        <Settings
          key={`${place.xpath} ${read.data?.digest ?? ''}`}
          kind={kind}
          place={place}
          read={read.data?.node ?? { tag: kind.at.slice(kind.at.lastIndexOf('/') + 1) }}
          digest={read.data?.digest ?? ''}
        />
      )}
    </Page>
  );
}

function Settings({ kind, place, read, digest }: { kind: SettingsKind; place: Scoped; read: Node; digest: string }) {
  const [value, setValue] = useState(read);
  const edit = useEdit(true);
  const dirty = !same(value, read);
  const leaving = useBlocker({ shouldBlockFn: () => dirty, enableBeforeUnload: () => dirty, withResolver: true });
  const own = elements(read).filter(isOfStack);
  const save = () => {
    const whole: Asked[] = [{ action: 'edit', xpath: place.xpath, node: value, if_digest: digest }];
    edit.mutate(place.merged ? changes(place.xpath, read, value) : whole);
  };
  return (
    <ScrollArea flex={1} type="auto">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          save();
        }}
      >
        <Stack gap="sm" maw={720} p={4}>
          {edit.error && <Refusal error={edit.error} />}
          <EntryForm xpath={place.xpath} value={value} onChange={setValue} layout={kind.layout} />
          {leaving.status === 'blocked' && (
            <Alert color="yellow" title="Leave without saving?" role="alert">
              <Group gap="xs">
                <Button color="red" onClick={leaving.proceed}>
                  Leave, and lose the changes
                </Button>
                <Button variant="default" onClick={leaving.reset}>
                  Go on editing
                </Button>
              </Group>
            </Alert>
          )}
          <Group gap="xs">
            <Button type="submit" loading={edit.isPending} disabled={!dirty}>
              {place.merged ? 'Override' : 'Save'}
            </Button>
            <Button variant="default" disabled={!dirty} onClick={() => setValue(read)}>
              Undo
            </Button>
            {own.length > 0 && (
              <Button
                variant="subtle"
                color="red"
                loading={edit.isPending}
                onClick={() =>
                  edit.mutate(own.map(({ tag }) => ({ action: 'delete', xpath: `${place.xpath}/${tag}` })))
                }
              >
                Revert {own.length === 1 ? "the stack's own setting" : `the ${own.length} settings of the stack`}
              </Button>
            )}
          </Group>
        </Stack>
      </form>
    </ScrollArea>
  );
}

/** What a stack writes so that its view has these elements instead of those. */
function changes(xpath: string, before: Node, after: Node): Asked[] {
  const tags = new Set([...elements(before), ...elements(after)].map((child) => child.tag));
  return [...tags].flatMap((tag): Asked[] => {
    const [was, is] = [at(before, tag), at(after, tag)];
    if (same(was, is)) return [];
    const place = `${xpath}/${tag}`;
    if (!is) return was && isOfStack(was) ? [{ action: 'delete', xpath: place }] : [];
    const inherited = was !== undefined && !isOfStack(was);
    return [{ action: inherited ? 'override' : 'edit', xpath: place, node: is }];
  });
}
