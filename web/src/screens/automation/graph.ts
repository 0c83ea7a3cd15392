// Which tasks does a playbook have, what comes behind each, and where does each stand in a picture?

import { parse } from 'yaml';

export type Edge = { to: string; label: string };
export type Task = { name: string; what: string; next: Edge[]; column: number; row: number };

type Written = {
  run?: string;
  ask?: string;
  end?: string;
  next?: string;
  'on-error'?: string;
  choose?: { when?: string; next?: string }[];
};

/** The tasks of a playbook's text in rows of equal distance from its start; what nothing leads to comes last. */
export function tasksOf(text: string): Task[] {
  const { start, tasks } = parse(text) as { start: string; tasks: Record<string, Written> };
  const rows = new Map<string, number>([[start, 0]]);
  const queue = [start];
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    for (const { to } of edgesOf(tasks[name])) {
      if (rows.has(to) || !tasks[to]) continue;
      rows.set(to, (rows.get(name) ?? 0) + 1);
      queue.push(to);
    }
  }
  const last = Math.max(...rows.values()) + 1;
  const taken = new Map<number, number>();
  return Object.entries(tasks)
    .map(([name, task]) => ({ name, task, row: rows.get(name) ?? last }))
    .sort((one, other) => one.row - other.row)
    .map(({ name, task, row }) => {
      const column = taken.get(row) ?? 0;
      taken.set(row, column + 1);
      return { name, what: whatOf(task), next: edgesOf(task), column, row };
    });
}

function whatOf(task: Written): string {
  if (task.run) return `runs ${task.run}`;
  if (task.ask) return 'asks somebody';
  if (task.end) return `ends: ${task.end}`;
  return task.choose ? 'chooses' : '';
}

function edgesOf(task: Written | undefined): Edge[] {
  if (!task) return [];
  const edges: Edge[] = (task.choose ?? []).flatMap((one) =>
    one.next ? [{ to: one.next, label: one.when ?? 'otherwise' }] : [],
  );
  if (task.next) edges.push({ to: task.next, label: '' });
  if (task['on-error']) edges.push({ to: task['on-error'], label: 'on error' });
  return edges;
}
