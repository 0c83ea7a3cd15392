// Which colour does a state have?

export const STATES: Record<string, string> = {
  running: 'blue',
  waiting: 'yellow',
  failed: 'red',
  rejected: 'red',
  done: 'green',
  superseded: 'gray',
  open: 'yellow',
  closed: 'gray',
};
