// How is an amount told in words?

/** `1 session`, `1,204 sessions`. */
export function amount(count: number, one: string, more = `${one}s`): string {
  return `${count.toLocaleString()} ${count === 1 ? one : more}`;
}
