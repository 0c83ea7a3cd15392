// Which time is looked at? One that ends now, or one from a moment to another; it is in the address of the page.

import { useAddress } from '../../scope';
import { moment } from '../../times';

/** A time that ends now; its name is that of PAN-OS. */
type Relative = { value: string; label: string; seconds: number };

export const RELATIVE: Relative[] = [
  { value: 'last-15-minutes', label: 'Last 15 Minutes', seconds: 900 },
  { value: 'last-hour', label: 'Last Hour', seconds: 3600 },
  { value: 'last-6-hrs', label: 'Last 6 Hrs', seconds: 6 * 3600 },
  { value: 'last-12-hrs', label: 'Last 12 Hrs', seconds: 12 * 3600 },
  { value: 'last-24-hrs', label: 'Last 24 Hrs', seconds: 86_400 },
  { value: 'last-7-days', label: 'Last 7 Days', seconds: 7 * 86_400 },
  { value: 'last-30-days', label: 'Last 30 Days', seconds: 30 * 86_400 },
];

export const HOUR = 'last-hour';

/** From when until when, as the API writes times; nothing where there is no bound. */
export type Times = { from?: string; until?: string };

/** As the API writes times, without parts of a second. */
export function rfc3339(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

const between = (from: string, until: string) => `${from}_${until}`;

/** The time that a range means now; a range that nobody can read is none. */
export function timesOf(range: string | undefined): Times {
  const relative = RELATIVE.find((one) => one.value === range);
  const now = Date.now();
  if (relative) return { from: rfc3339(now - relative.seconds * 1000), until: rfc3339(now + 1000) };
  const [from, until] = (range ?? '').split('_').map((text) => new Date(text).getTime());
  if (from === undefined || until === undefined || !(from < until)) return {};
  return { from: rfc3339(from), until: rfc3339(until) };
}

/** Seconds that a span of a picture may have. */
const STEPS = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 14_400, 43_200, 86_400, 7 * 86_400];
const SPANS = 90;

/** A time in spans of whole seconds, in milliseconds; what begins or ends within a span has all of it. */
export function inSpans(range: string): { from: number; until: number; length: number } {
  const times = timesOf(range);
  const [from, until] = [new Date(times.from ?? 0).getTime(), new Date(times.until ?? Date.now()).getTime()];
  const wanted = (until - from) / SPANS / 1000;
  const length = 1000 * (STEPS.find((step) => step >= wanted) ?? Math.ceil(wanted));
  return { from: Math.floor(from / length) * length, until: Math.ceil(until / length) * length, length };
}

/** A range from a moment to another one, in milliseconds. */
export function rangeOf(from: number, until: number): string {
  return between(rfc3339(from), rfc3339(Math.max(until, from + 1000)));
}

/** The same time, and not another one tomorrow. */
export function pinned(range: string | undefined): string | undefined {
  const { from, until } = timesOf(range);
  return from && until ? between(from, until) : undefined;
}

/** What a range is called. */
export function rangeLabel(range: string | undefined): string {
  const relative = RELATIVE.find((one) => one.value === range);
  if (relative) return relative.label;
  const { from, until } = timesOf(range);
  return from && until ? `${moment(from)} – ${moment(until)}` : 'Any Time';
}

/** The range in the address, and how it is changed. */
export function useRange(otherwise?: string) {
  const [address, setAddress] = useAddress();
  const range = address.range ?? otherwise;
  const setRange = (next: string | undefined) => setAddress({ range: next === otherwise ? undefined : next });
  return { range, setRange, moves: RELATIVE.some((one) => one.value === range) };
}
