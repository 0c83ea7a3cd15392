// Who speaks with whom? Places as boxes, and a line for each way, in the colour of its verdict.

import { useMemo } from 'react';
import type { MapPlace, MapWay, ServiceMap } from '../../api/types';
import { amount } from '../../words';
import { type Spot, spots } from './layout';
import classes from './Picture.module.css';

const [WIDTH, HEIGHT, ACROSS, DOWN, EDGE] = [190, 40, 130, 16, 24];
/** Letters of a name that fit into a box. */
const FITS = 26;

export type Verdict = 'allowed' | 'refused' | 'both';

export function verdictOf(way: MapWay): Verdict {
  if (way.refused === 0) return 'allowed';
  return way.refused === way.sessions ? 'refused' : 'both';
}

/** What a place is called. */
export function nameOf(place: MapPlace | undefined): string {
  if (!place) return '';
  return place.kind === 'others' ? `others in ${place.name || 'no zone'}` : place.name;
}

/** What a place is. */
export function whatOf(place: MapPlace): string {
  return [place.kind === 'others' ? '' : place.kind, place.cluster, place.zones.join(', ')].filter(Boolean).join(', ');
}

/** A way in words. */
export function told(map: ServiceMap, way: MapWay): string {
  const ends = `${nameOf(map.places[way.from])} to ${nameOf(map.places[way.to])}`;
  const refused = way.refused > 0 ? `, ${way.refused.toLocaleString()} of them not allowed` : '';
  return `${ends}: ${amount(way.sessions, 'session')}${refused}`;
}

type Properties = { map: ServiceMap; onOpen: (way: MapWay) => void };

export function Picture({ map, onOpen }: Properties) {
  const placed = useMemo(() => spots(map), [map]);
  const at = new Map(placed.map((spot) => [spot.place, spot]));
  const columns = Math.max(0, ...placed.map((spot) => spot.column)) + 1;
  const rows = Math.max(0, ...placed.map((spot) => spot.row)) + 1;
  const most = Math.max(1, ...map.ways.map((way) => way.sessions));
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and the keyboard must be able to do that
    <section className={classes.scroll} aria-label="Map" tabIndex={0}>
      <svg width={columns * (WIDTH + ACROSS) - ACROSS + 2 * EDGE} height={rows * (HEIGHT + DOWN) + 2 * EDGE}>
        <title>Places, and the ways between them</title>
        {map.ways.map((way) => {
          const [from, to] = [at.get(way.from), at.get(way.to)];
          if (!from || !to) return null;
          const name = told(map, way);
          const thick = 1.5 + 3.5 * (Math.log1p(way.sessions) / Math.log1p(most));
          return (
            // biome-ignore lint/a11y/useSemanticElements: there is no button within a picture
            <g
              key={`${way.from} ${way.to}`}
              className={classes.link}
              role="button"
              tabIndex={0}
              aria-label={name}
              onClick={() => onOpen(way)}
              onKeyDown={(event) => {
                if (event.key !== 'Enter' && event.key !== ' ') return;
                event.preventDefault();
                onOpen(way);
              }}
            >
              <title>{name}</title>
              <path d={path(from, to)} className={classes.near} />
              <path
                d={path(from, to)}
                className={`${classes.way} ${classes[verdictOf(way)]}`}
                style={{ strokeWidth: thick }}
              />
            </g>
          );
        })}
        {placed.map((spot) => {
          const place = map.places[spot.place];
          if (!place) return null;
          return (
            <g key={spot.place} transform={`translate(${x(spot)} ${y(spot)})`}>
              <title>{`${nameOf(place)} (${whatOf(place)}): ${amount(place.sessions, 'session')}`}</title>
              <rect
                width={WIDTH}
                height={HEIGHT}
                rx={4}
                className={`${classes.box} ${place.kind === 'others' ? classes.others : ''}`}
              />
              <text x={8} y={17} className={classes.name}>
                {cut(nameOf(place))}
              </text>
              <text x={8} y={32} className={classes.what}>
                {cut(whatOf(place))}
              </text>
            </g>
          );
        })}
      </svg>
    </section>
  );
}

const x = (spot: Spot) => EDGE + spot.column * (WIDTH + ACROSS);
const y = (spot: Spot) => EDGE + spot.row * (HEIGHT + DOWN);
const cut = (text: string) => (text.length > FITS ? `${text.slice(0, FITS - 1)}…` : text);

/** From the right side of a box to the left one of the other; back, and to itself, around the outside. */
function path(from: Spot, to: Spot): string {
  const [y1, y2] = [y(from) + HEIGHT / 2, y(to) + HEIGHT / 2];
  if (from.column < to.column) {
    const [x1, x2] = [x(from) + WIDTH, x(to)];
    const bend = (x2 - x1) / 2;
    return `M ${x1} ${y1} C ${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
  }
  const [x1, x2] = [x(from) + WIDTH, x(to) + WIDTH];
  const far = Math.max(x1, x2) + 50;
  const [up, down] = from.place === to.place ? [y1 - 8, y2 + 8] : [y1, y2];
  return `M ${x1} ${up} C ${far} ${up} ${far} ${down} ${x2} ${down}`;
}
