// How is it with a run, a task or an incident? The colour and the word.

import { Badge } from '@mantine/core';

const COLOURS: Record<string, string> = {
  running: 'blue',
  waiting: 'yellow',
  failed: 'red',
  done: 'green',
  succeeded: 'green',
  superseded: 'gray',
  rejected: 'gray',
  approved: 'green',
  used: 'green',
  refused: 'red',
  open: 'yellow',
  closed: 'green',
  info: 'blue',
  warning: 'yellow',
  error: 'red',
};

export function State({ children }: { children: string }) {
  return (
    <Badge variant="light" color={COLOURS[children] ?? 'gray'}>
      {children}
    </Badge>
  );
}

export function colourOf(state: string): string {
  return COLOURS[state] ?? 'gray';
}
