// Where does a task of a playbook stand in its picture, and what did a run do there?

import type { PlaybookTask, Step } from '../../api/types';

/** A task of the graph, and each time that it was done. */
export type Stop = {
  name: string;
  task?: PlaybookTask | undefined;
  steps: Step[];
  /** `running`, `waiting`, `failed`, `done`, or empty when the run was not there. */
  state: string;
};

/** The tasks of a playbook with the steps of a run; steps of a version that is not known any more come as they were done. */
export function stops(tasks: PlaybookTask[], steps: Step[]): Stop[] {
  const names = tasks.map((task) => task.name);
  for (const { task } of steps) {
    if (!names.includes(task)) names.push(task);
  }
  return names.map((name) => {
    const own = steps.filter((step) => step.task === name);
    return { name, task: tasks.find((task) => task.name === name), steps: own, state: own.at(-1)?.state ?? '' };
  });
}

/** What a task is for, in a line. */
export function purpose(task: PlaybookTask | undefined): string {
  if (!task) return '';
  switch (task.kind) {
    case 'run':
      return task.for_each ? `${task.what}, for each of the ${task.for_each}` : task.what;
    case 'ask':
      return 'a person approves or rejects';
    case 'end':
      return `the run ends: ${task.what}`;
    default:
      return 'a choice';
  }
}

/** A task's place: rows of equal distance from the start, in the graph's order. */
export type Spot = Stop & { column: number; row: number };

export function spots(all: Stop[]): Spot[] {
  const rows = new Map<string, number>();
  const queue = all.slice(0, 1).map((stop) => stop.name);
  if (queue[0]) rows.set(queue[0], 0);
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    for (const { to } of all.find((stop) => stop.name === name)?.task?.ways ?? []) {
      if (rows.has(to)) continue;
      rows.set(to, (rows.get(name) ?? 0) + 1);
      queue.push(to);
    }
  }
  const last = Math.max(0, ...rows.values()) + 1;
  const taken = new Map<number, number>();
  return all.map((stop) => {
    const row = rows.get(stop.name) ?? last;
    const column = taken.get(row) ?? 0;
    taken.set(row, column + 1);
    return { ...stop, row, column };
  });
}
