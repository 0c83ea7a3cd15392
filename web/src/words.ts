// How is an amount told in words?

/** `1 session`, `1,204 sessions`. */
export function amount(count: number, one: string, more = `${one}s`): string {
  return `${count.toLocaleString()} ${count === 1 ? one : more}`;
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** `512 B`, `1.4 MB`. */
export function bytes(amount: number): string {
  const power = amount > 0 ? Math.min(UNITS.length - 1, Math.floor(Math.log10(amount) / 3)) : 0;
  const value = amount / 1000 ** power;
  return `${value >= 100 || power === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[power]}`;
}
