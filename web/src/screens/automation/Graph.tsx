// Which way did a run go through its playbook? Each task a box, in the colour of what became of it.

import classes from './Graph.module.css';
import { purpose, type Spot, type Stop, spots } from './graph';

const [WIDTH, HEIGHT, ACROSS, DOWN] = [190, 44, 60, 44];
/** Letters of a condition that fit beside a line, and of a task's purpose that fit into a box. */
const [FITS_LINE, FITS_BOX] = [26, 30];

export function Graph({ name, stops }: { name: string; stops: Stop[] }) {
  const placed = spots(stops);
  const columns = Math.max(0, ...placed.map((spot) => spot.column)) + 1;
  const rows = Math.max(0, ...placed.map((spot) => spot.row)) + 1;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and the keyboard must be able to do that
    <section className={classes.scroll} aria-label={`Playbook ${name}`} tabIndex={0}>
      <svg width={columns * (WIDTH + ACROSS) + 20} height={rows * (HEIGHT + DOWN)} role="img">
        <title>{placed.map((spot) => `${spot.name}: ${spot.state || 'not reached'}`).join(', ')}</title>
        {placed.flatMap((from) =>
          (from.task?.ways ?? []).map(({ to, when }) => {
            const target = placed.find((one) => one.name === to);
            return target && <Line key={`${from.name} ${to} ${when}`} from={from} to={target} label={when} />;
          }),
        )}
        {placed.map((spot) => (
          <g key={spot.name} transform={`translate(${x(spot)} ${y(spot)})`}>
            <rect width={WIDTH} height={HEIGHT} rx={4} className={`${classes.box} ${classes[spot.state] ?? ''}`} />
            <text x={8} y={18} className={classes.name}>
              {spot.name}
            </text>
            <text x={8} y={35} className={classes.what}>
              {cut(purpose(spot.task), FITS_BOX)}
            </text>
          </g>
        ))}
      </svg>
    </section>
  );
}

const x = (spot: Spot) => 10 + spot.column * (WIDTH + ACROSS);
const y = (spot: Spot) => 10 + spot.row * (HEIGHT + DOWN);
const cut = (text: string, letters: number) => (text.length > letters ? `${text.slice(0, letters - 1)}…` : text);

function Line({ from, to, label }: { from: Spot; to: Spot; label: string }) {
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
          {cut(label, FITS_LINE)}
        </text>
      )}
    </>
  );
}
