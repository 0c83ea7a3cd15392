// Where does a place of the service map stand in its picture? Who begins stands left of whom it speaks with, and lines cross
// as little as a few rounds of sorting bring about.

import type { ServiceMap } from '../../api/types';

/** A place's number, column and row. */
export type Spot = { place: number; column: number; row: number };

const COLUMNS_MAX = 6;
const ROUNDS = 6;

export function spots({ places, ways }: Pick<ServiceMap, 'places' | 'ways'>): Spot[] {
  const columns = columnsOf(places.length, ways);
  const rows: number[][] = [];
  columns.forEach((column, place) => {
    rows[column] = [...(rows[column] ?? []), place];
  });
  for (let round = 0; round < ROUNDS; round++) sort(rows, ways, round % 2 === 0);
  return rows.flatMap((places, column) => places.map((place, row) => ({ place, column, row })));
}

/** The longest way from a beginning to each place; a way that leads back to where it came from is left out. */
function columnsOf(count: number, ways: ServiceMap['ways']): number[] {
  const columns = new Array<number>(count).fill(0);
  const state = new Array<'new' | 'open' | 'done'>(count).fill('new');
  const onward: number[][] = Array.from({ length: count }, () => []);
  const order: number[] = [];
  for (const { from, to } of ways) onward[from]?.push(to);
  const visit = (place: number) => {
    state[place] = 'open';
    onward[place] = (onward[place] ?? []).filter((to) => {
      if (state[to] === 'new') visit(to);
      return state[to] === 'done';
    });
    state[place] = 'done';
    order.push(place);
  };
  // Who is spoken to by nobody begins.
  const spoken = new Set(ways.filter((way) => way.from !== way.to).map((way) => way.to));
  const all = Array.from({ length: count }, (_, place) => place);
  for (const place of [...all.filter((one) => !spoken.has(one)), ...all]) {
    if (state[place] === 'new') visit(place);
  }
  for (const place of order.reverse()) {
    for (const to of onward[place] ?? []) {
      columns[to] = Math.min(COLUMNS_MAX - 1, Math.max(columns[to] ?? 0, (columns[place] ?? 0) + 1));
    }
  }
  return columns;
}

/** Puts each place to the middle of those that it is tied to in the other columns. */
function sort(rows: number[][], ways: ServiceMap['ways'], onward: boolean): void {
  const height = new Map<number, number>();
  for (const places of rows) {
    places?.forEach((place, row) => {
      height.set(place, row / Math.max(1, places.length - 1));
    });
  }
  const middle = (place: number): number => {
    const tied = ways.flatMap(({ from, to }) => {
      if (from === to) return [];
      if (onward && to === place) return [from];
      return !onward && from === place ? [to] : [];
    });
    const own = height.get(place) ?? 0;
    return tied.length > 0 ? tied.reduce((sum, one) => sum + (height.get(one) ?? 0), 0) / tied.length : own;
  };
  for (const places of rows) {
    const middles = new Map(places?.map((place) => [place, middle(place)]));
    places?.sort((one, other) => (middles.get(one) ?? 0) - (middles.get(other) ?? 0) || one - other);
  }
}
