// What does the manager say when it refuses? Problem details of RFC 9457, kept whole for whoever shows them.

import type { components } from './schema.gen';

export type Complaint = components['schemas']['Complaint'];

/** A refusal, or a request that did not arrive (`status` is 0 then). */
export class Problem extends Error {
  readonly status: number;
  /** The last part of the type: `changed-meanwhile`, `forbidden`, … */
  readonly kind: string;
  readonly complaints: Complaint[];

  constructor(status: number, kind: string, title: string, complaints: Complaint[]) {
    super(title);
    this.name = 'Problem';
    this.status = status;
    this.kind = kind;
    this.complaints = complaints;
  }

  /** One line for each thing that is wrong, with what to do instead where the manager knows it. */
  lines(): string[] {
    const lines = this.complaints.map((one) => (one.help ? `${one.message} (${one.help})` : one.message));
    return lines.length > 0 ? lines : [this.message];
  }
}

/** The problem that a refusing response carries. */
export async function problemOf(response: Response): Promise<Problem> {
  const text = await response.text();
  try {
    const told = JSON.parse(text) as components['schemas']['Problem'];
    return new Problem(response.status, told.type.split(':').pop() ?? '', told.title, told.errors ?? []);
  } catch {
    const line = text.split('\n')[0] || response.statusText;
    return new Problem(response.status, 'unreadable', `the manager answered ${response.status}: ${line}`, []);
  }
}

/** Anything that was thrown, as lines for an operator. */
export function linesOf(error: unknown): string[] {
  if (error instanceof Problem) return error.lines();
  return [error instanceof Error ? error.message : String(error)];
}
