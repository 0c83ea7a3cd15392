// How is an edit of this page taken back? The manager told with each which edits do that; the last ones are kept here,
// for a toast and for Ctrl+Z, until the page is left.
//
// They come with the digests of what they replace: what somebody else changed since is not overwritten, but told.

import { Button, Group, Text } from '@mantine/core';
import { useHotkeys } from '@mantine/hooks';
import { notifications } from '@mantine/notifications';
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useMemo } from 'react';
import { edited, forget, hearEdits } from '../api/config';
import { linesOf, Problem } from '../api/problem';
import type { Asked } from '../api/types';
import { lastName } from '../tree/node';

type Line = { what: string; back: Asked[] };
type Way = 'undo' | 'redo';

const KEPT = 50;
const SHOWN_MS = 8000;
const TOAST = 'undo';
const NAMES: Record<Way, string> = { undo: 'Undo', redo: 'Redo' };

export function Undo() {
  const queries = useQueryClient();
  const go = useMemo(() => {
    const kept: Record<Way, Line[]> = { undo: [], redo: [] };
    const keep = (way: Way, line: Line | undefined, title: string) => {
      if (line) kept[way] = [...kept[way], line].slice(-KEPT);
      notifications.hide(TOAST);
      notifications.show({
        id: TOAST,
        autoClose: SHOWN_MS,
        position: 'bottom-center',
        withCloseButton: true,
        closeButtonProps: { 'aria-label': 'Close' },
        message: (
          <Group justify="space-between" wrap="nowrap">
            <Text size="sm">{title}</Text>
            {line && (
              <Button variant="light" onClick={() => void step(way)}>
                {NAMES[way]}
              </Button>
            )}
          </Group>
        ),
      });
    };
    const step = async (way: Way) => {
      const line = kept[way].pop();
      if (!line) return;
      const other = way === 'undo' ? 'redo' : 'undo';
      try {
        const { undo } = await edited(line.back);
        const back = undo ? { what: line.what, back: undo } : undefined;
        keep(other, back, way === 'undo' ? `Taken back: ${line.what}` : line.what);
        await forget(queries);
      } catch (error) {
        const theirs = error instanceof Problem && error.kind === 'changed-meanwhile';
        notifications.show({
          color: 'red',
          title: `${theirs ? 'Not taken back, it is another one by now' : 'Not taken back'}: ${line.what}`,
          message: linesOf(error).join('\n'),
          autoClose: 15_000,
          closeButtonProps: { 'aria-label': 'Close' },
        });
      }
    };
    const made = (edits: Asked[], undo: Asked[] | null | undefined) => {
      if (undo?.length === 0) return;
      kept.redo = [];
      const what = described(edits);
      keep('undo', undo ? { what, back: undo } : undefined, what);
    };
    return { step, made };
  }, [queries]);

  useEffect(() => hearEdits(go.made), [go]);
  // In a form the keys belong to what is typed there.
  const alone = (way: Way) => () => {
    if (!document.querySelector('[role="dialog"]')) void go.step(way);
  };
  useHotkeys([
    ['mod+Z', alone('undo')],
    ['mod+shift+Z', alone('redo')],
    ['mod+Y', alone('redo')],
  ]);
  return null;
}

const DONE: Record<Asked['action'], string> = {
  set: 'Changed',
  edit: 'Changed',
  override: 'Overridden',
  delete: 'Deleted',
  rename: 'Renamed',
  clone: 'Cloned',
  move: 'Moved',
  'multi-move': 'Moved',
  'multi-clone': 'Copied',
};

/** Edits in a few words: `Deleted web`, `Changed 12 entries`. */
function described(edits: Asked[]): string {
  const [first] = edits;
  if (!first) return '';
  const made = first.action === 'edit' && first.if_digest === '';
  const verb = made ? 'Added' : DONE[first.action];
  const names = new Set(edits.flatMap((edit) => edit.entries?.flatMap((one) => one.names) ?? [nameIn(edit)]));
  const [name] = names;
  return `${verb} ${names.size === 1 ? name : `${names.size} entries`}`;
}

/** The entry that an edit is about, or that is made by it. */
function nameIn({ action, from, xpath }: Asked): string {
  return lastName((action === 'clone' ? from : xpath) ?? '');
}
