// When was that, where the viewer is? The manager speaks UTC; the page shows the browser's zone.

/** What is made when it is first used: a browser that reads its tables of languages is busy for 50 ms. */
function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

const short = once(
  () =>
    new Intl.DateTimeFormat(undefined, {
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
      hourCycle: 'h23',
    }),
);
const relative = once(() => new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' }));

/** The zone that times are shown in. */
export const zone = once(() => Intl.DateTimeFormat().resolvedOptions().timeZone);

/** A moment with date and time; `–` where there is none. */
export function moment(time: string | null | undefined): string {
  if (!time) return '–';
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? time : short().format(date);
}

/** How long ago, or how soon: `3 minutes ago`. */
export function ago(time: string | null | undefined): string {
  if (!time) return '–';
  const seconds = (new Date(time).getTime() - Date.now()) / 1000;
  const units: [Intl.RelativeTimeFormatUnit, number][] = [
    ['day', 86_400],
    ['hour', 3600],
    ['minute', 60],
  ];
  for (const [unit, length] of units) {
    if (Math.abs(seconds) >= length) return relative().format(Math.round(seconds / length), unit);
  }
  return relative().format(Math.round(seconds), 'second');
}

/** A span of seconds: `2 d 3 h`, `5 min`, `12 s`. */
export function span(seconds: number): string {
  if (seconds >= 86_400) return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
  if (seconds >= 3600) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  if (seconds >= 60) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds)} s`;
}
