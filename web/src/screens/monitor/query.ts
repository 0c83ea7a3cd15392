// What could come next in a log query? Fields, their operators, values that are words, and what joins conditions.

import type { LogField } from '../../api/types';

/** Values that a field can have when they are few. */
const VALUES: Record<string, string[]> = {
  action: ['allow', 'deny', 'drop', 'reset-client', 'reset-server', 'reset-both'],
  proto: ['tcp', 'udp', 'icmp'],
  subtype: ['start', 'end', 'drop', 'deny'],
  severity: ['informational', 'low', 'medium', 'high', 'critical'],
};

/** Whole queries that begin with the text, each with one word more. */
export function suggest(text: string, fields: LogField[]): string[] {
  const word = /[^\s()]*$/.exec(text)?.[0] ?? '';
  const before = text.slice(0, text.length - word.length);
  const tokens = before.split(/[\s()]+/).filter(Boolean);
  const [last, second] = [tokens.at(-1), tokens.at(-2)];
  const field = fields.find((one) => one.name === last);
  const completed = fields.find((one) => one.name === second);
  const offer = (words: string[], behind: string) =>
    words.filter((one) => one.startsWith(word) && one !== word).map((one) => `${before}${one}${behind}`);
  if (/\)\s*$/.test(before)) return offer(['and', 'or'], ' ( ');
  if (field) return offer(field.operators, ' ');
  if (completed && last && completed.operators.includes(last)) return offer(VALUES[completed.name] ?? [], ' )');
  const opened = before.includes('(') || before.trim() !== '';
  return offer(
    fields.map((one) => one.name),
    ' ',
  ).map((one) => (opened ? one : `( ${one}`));
}

/** The query with a condition more. */
export function narrowed(query: string, field: string, operator: string, value: string): string {
  const quoted = /^[\w.:/-]+$/.test(value) ? value : `'${value}'`;
  const condition = `( ${field} ${operator} ${quoted} )`;
  return query.trim() ? `${query.trim()} and ${condition}` : condition;
}

/** What a column is called in queries. */
const QUERIED: Record<string, string> = {
  src: 'addr.src',
  dst: 'addr.dst',
  sport: 'port.src',
  dport: 'port.dst',
  from: 'zone.src',
  to: 'zone.dst',
  inbound_if: 'interface.src',
  outbound_if: 'interface.dst',
};

/** The field and operator by which a value of a line is searched for; nothing when the log has no such field. */
export function searchedBy(column: string, fields: LogField[]): { field: string; operator: string } | undefined {
  const field = fields.find((one) => one.name === (QUERIED[column] ?? column));
  if (!field) return undefined;
  return { field: field.name, operator: field.operators.includes('in') ? 'in' : 'eq' };
}
