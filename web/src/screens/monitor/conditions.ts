// Which conditions hold for the ACC and every log? They are in the address of the page, and stay while one goes from the one
// to the other.

import type { LogField } from '../../api/types';
import { type Times, timesOf } from './range';

/** One condition of a query: `( app eq ssl )`. */
export type Condition = { field: string; text: string };

const CONDITION = /\(\s*(\S+)\s+(\S+)\s+('[^']*'|[^\s()']+)\s*\)/g;

export function conditionsOf(filter: string | undefined): Condition[] {
  return [...(filter ?? '').matchAll(CONDITION)].map(([text, field]) => ({ field: field ?? '', text }));
}

export function joinedBy(conditions: string[]): string {
  return conditions.join(' and ');
}

/** The filter without one of its conditions. */
export function lacking(filter: string | undefined, text: string): string | undefined {
  const rest = conditionsOf(filter).filter((one) => one.text !== text);
  return joinedBy(rest.map((one) => one.text)) || undefined;
}

/** Conditions that a log can be asked, and those that it has no field for. */
export function fitting(filter: string | undefined, fields: LogField[]): [Condition[], Condition[]] {
  const all = conditionsOf(filter);
  const fits = (one: Condition) => fields.some((field) => field.name === one.field);
  return [all.filter(fits), all.filter((one) => !fits(one))];
}

/** Everything that has to hold, as one query. */
export function together(query: string, conditions: Condition[]): string {
  const own = query.trim();
  const first = /\bor\b/i.test(own) && conditions.length > 0 ? `( ${own} )` : own;
  return joinedBy([first, ...conditions.map((one) => one.text)].filter(Boolean));
}

/** The conditions of a time. The manager reads times of a query as UTC. */
export function within(range: string | undefined): Condition[] {
  return timed(timesOf(range));
}

function timed({ from, until }: Times): Condition[] {
  const written = (time: string) => time.replaceAll('-', '/').replace('T', ' ').replace('Z', '');
  const condition = (operator: string, time: string | undefined): Condition[] =>
    time ? [{ field: 'time_generated', text: `( time_generated ${operator} '${written(time)}' )` }] : [];
  return [...condition('geq', from), ...condition('leq', until)];
}
