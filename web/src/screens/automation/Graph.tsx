// Where does a run stand in its playbook? Each task a box, in the colour of what became of it.

import { useQuery } from '@tanstack/react-query';
import { api, told } from '../../api/client';
import type { Step } from '../../api/types';
import { Failure } from '../Page';
import classes from './Graph.module.css';
import { type Task, tasksOf } from './graph';

const [WIDTH, HEIGHT, ACROSS, DOWN] = [170, 44, 60, 44];

export function Graph({ playbook, version, steps }: { playbook: string; version: number; steps: Step[] }) {
  const text = useQuery({
    queryKey: ['playbook', playbook, version],
    queryFn: async () => {
      const params = { path: { name: playbook } };
      const { playbooks } = await told(api.GET('/api/v1/automation/playbooks/{name}', { params }));
      return playbooks.find((one) => one.version === version)?.text ?? '';
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
  if (text.error) return <Failure error={text.error} />;
  if (!text.data) return null;
  const tasks = tasksOf(text.data);
  // A task that ran again is what it is now.
  const states = new Map(steps.map((step) => [step.task, step.state]));
  const columns = Math.max(...tasks.map((task) => task.column)) + 1;
  const rows = Math.max(...tasks.map((task) => task.row)) + 1;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and the keyboard must be able to do that
    <section className={classes.scroll} aria-label={`Playbook ${playbook}`} tabIndex={0}>
      <svg width={columns * (WIDTH + ACROSS) + 20} height={rows * (HEIGHT + DOWN)} role="img">
        <title>{tasks.map((task) => `${task.name}: ${states.get(task.name) ?? 'not reached'}`).join(', ')}</title>
        {tasks.flatMap((task) =>
          task.next.map((edge) => {
            const to = tasks.find((one) => one.name === edge.to);
            return to && <Line key={`${task.name} ${edge.to} ${edge.label}`} from={task} to={to} label={edge.label} />;
          }),
        )}
        {tasks.map((task) => (
          <g key={task.name} transform={`translate(${x(task)} ${y(task)})`}>
            <rect
              width={WIDTH}
              height={HEIGHT}
              rx={4}
              className={`${classes.box} ${classes[states.get(task.name) ?? ''] ?? ''}`}
            />
            <text x={8} y={18} className={classes.name}>
              {task.name}
            </text>
            <text x={8} y={35} className={classes.what}>
              {task.what}
            </text>
          </g>
        ))}
      </svg>
    </section>
  );
}

const x = (task: Task) => 10 + task.column * (WIDTH + ACROSS);
const y = (task: Task) => 10 + task.row * (HEIGHT + DOWN);

function Line({ from, to, label }: { from: Task; to: Task; label: string }) {
  const back = to.row <= from.row;
  const [x1, y1] = [x(from) + (back ? WIDTH : WIDTH / 2), y(from) + (back ? HEIGHT / 2 : HEIGHT)];
  const [x2, y2] = [x(to) + (back ? WIDTH : WIDTH / 2), y(to) + (back ? HEIGHT / 2 : 0)];
  const path = back
    ? `M ${x1} ${y1} C ${x1 + 50} ${y1} ${x2 + 50} ${y2} ${x2} ${y2}`
    : `M ${x1} ${y1} C ${x1} ${y1 + 24} ${x2} ${y2 - 24} ${x2} ${y2}`;
  return (
    <>
      <path d={path} className={classes.line} />
      {label && (
        <text x={(x1 + x2) / 2 + 6} y={(y1 + y2) / 2 + 4} className={classes.edge}>
          {label.length > 26 ? `${label.slice(0, 25)}…` : label}
        </text>
      )}
    </>
  );
}
