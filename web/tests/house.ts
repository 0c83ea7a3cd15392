// What do the page's tests share? A page that is logged in, requests behind its back, and what must not happen on it.

import { execFile } from 'node:child_process';
import { AxeBuilder } from '@axe-core/playwright';
import { type APIRequestContext, test as base, expect, type Page } from '@playwright/test';

export { expect };

export const password = (): string => process.env['PASSWORD'] ?? '';
export const manager = (): string => process.env['MANAGER'] ?? '';

/** The JSON API as an administrator, beside the page. */
export class Api {
  private readonly request: APIRequestContext;
  readonly token: string;
  readonly session: unknown;

  constructor(request: APIRequestContext, session: { token: string }) {
    this.request = request;
    const { token, ...who } = session;
    this.token = token;
    this.session = { token, who };
  }

  static async logIn(request: APIRequestContext, user = 'admin', secret = password()): Promise<Api> {
    const answer = await request.post(`${manager()}/api/v1/session`, { data: { user, password: secret } });
    expect(answer.status()).toBe(201);
    return new Api(request, await answer.json());
  }

  async get<T>(path: string): Promise<T> {
    const answer = await this.request.get(`${manager()}/api/v1${path}`, { headers: this.headers() });
    expect(answer.ok(), await answer.text()).toBe(true);
    return (await answer.json()) as T;
  }

  async post<T>(path: string, data: unknown): Promise<T> {
    const answer = await this.request.post(`${manager()}/api/v1${path}`, { headers: this.headers(), data });
    expect(answer.ok(), await answer.text()).toBe(true);
    // Some answers have no body.
    const body = await answer.text();
    return (body ? JSON.parse(body) : undefined) as T;
  }

  async put(path: string, data: unknown): Promise<void> {
    const answer = await this.request.put(`${manager()}/api/v1${path}`, { headers: this.headers(), data });
    expect(answer.ok(), await answer.text()).toBe(true);
  }

  async status(path: string): Promise<number> {
    return (await this.request.get(`${manager()}/api/v1${path}`, { headers: this.headers() })).status();
  }

  async remove(path: string): Promise<void> {
    const answer = await this.request.delete(`${manager()}/api/v1${path}`, { headers: this.headers() });
    expect(answer.ok(), await answer.text()).toBe(true);
  }

  /** Lines of the command line. */
  async lines(...lines: string[]): Promise<void> {
    await this.post('/config/edits', { lines });
  }

  async end(): Promise<void> {
    await this.request.delete(`${manager()}/api/v1/session`, { headers: this.headers() });
  }

  private headers() {
    return { Authorization: `Bearer ${this.token}` };
  }
}

/** Runs a program on a host of the deployment (`app1`, `pod`, `internet`, …); what it said, whatever its exit code. */
export function on(host: string, ...words: string[]): Promise<string> {
  const [program = '', ...enter] = (process.env['CLIENT'] ?? '').split(' ');
  return new Promise((resolve) => {
    execFile(program, [...enter, host, ...words], { timeout: 20_000 }, (_, stdout, stderr) => resolve(stdout + stderr));
  });
}

type House = {
  api: Api;
  /** Opens an address of the page as who is logged in. */
  go: (path: string) => Promise<void>;
  /** What the browser complained about. */
  complaints: string[];
};

export const test = base.extend<House>({
  api: async ({ request }, use) => {
    const api = await Api.logIn(request);
    await use(api);
    await api.end();
  },
  complaints: async ({ page }, use) => {
    const complaints: string[] = [];
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => {
      // A list that is not there yet is told by a 404, which the browser writes down by itself.
      const told = message.text().startsWith('Failed to load resource');
      if (message.type() === 'error' && !told) complaints.push(message.text());
    });
    await use(complaints);
    expect(complaints, 'errors on the console, as by the content security policy').toEqual([]);
  },
  go: async ({ page, api, complaints: _ }, use) => {
    await page.addInitScript((session) => {
      if (!sessionStorage.getItem('bartizan.session')) sessionStorage.setItem('bartizan.session', session);
    }, JSON.stringify(api.session));
    await use(async (path) => {
      await page.goto(manager() + path);
    });
  },
});

const STANDARDS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
/** What a theme can be wrong about: its colours. */
export const COLOURS = ['color-contrast', 'link-in-text-block'];

/**
 * Nothing on the page keeps somebody out: no finding of axe, by the rules of WCAG 2.2 AA and good practice, or by those
 * that are named.
 */
export async function accessible(page: Page, what: string, rules?: string[]): Promise<void> {
  const axe = new AxeBuilder({ page });
  const { violations } = await (rules ? axe.withRules(rules) : axe.withTags(STANDARDS)).analyze();
  const told = violations.map(
    (one) =>
      `${one.id} (${one.impact}): ${one.nodes
        .map((node) => node.html)
        .slice(0, 3)
        .join('\n  ')}`,
  );
  expect(told, what).toEqual([]);
}
