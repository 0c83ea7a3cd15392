// What does the page show in tests? The Azure reference deployment of `make demo`: a manager and a firewall that runs,
// in network namespaces of their own, after real clients sent their traffic. It ends with the tests.

import { spawn } from 'node:child_process';
import { join } from 'node:path';

const TARGET = process.env['CARGO_TARGET_DIR'] ?? join(import.meta.dirname, '..', '..', 'target');
const DEMO = process.env['DEMO'] ?? join(TARGET, 'debug', 'demo');
const BARTIZAN = process.env['BARTIZAN'] ?? join(TARGET, 'debug', 'bartizan');
/** A debug build on a busy machine; with nothing else to do it takes 20 s. */
const START_MS = 120_000;

/** Starts the deployment unless MANAGER and PASSWORD name one that is there already. */
export default async function start(): Promise<() => Promise<void>> {
  if (process.env['MANAGER']) return async () => undefined;
  const demo = spawn(DEMO, [BARTIZAN], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  const ended = new Promise<never>((_, reject) => {
    demo.on('error', reject);
    demo.on('exit', (code) => reject(new Error(`the demo ended with ${code} before it was up`)));
  });
  ended.catch(() => undefined);
  let said = '';
  const up = new Promise<void>((resolve) => {
    demo.stdout.on('data', (text) => {
      said += text;
      if (said.includes('Ctrl-C ends everything')) resolve();
    });
  });
  const late = new Promise<never>((_, reject) =>
    setTimeout(() => reject(new Error(`the demo was not up in time; it said:\n${said}`)), START_MS).unref(),
  );
  await Promise.race([up, ended, late]);
  const told = (pattern: RegExp): string => {
    const found = pattern.exec(said)?.[1];
    if (!found) throw new Error(`the demo does not say ${pattern}; it said:\n${said}`);
    return found;
  };
  process.env['MANAGER'] = told(/^manager +(https:\/\/[\d.:]+)\//m);
  process.env['PASSWORD'] = told(/^password +(\S+)/m);
  process.env['CLIENT'] = told(/^client +(.+) app1 curl /m);
  process.env['SERIAL'] = told(/enrolled as (\S+)/);
  return async () => {
    const gone = new Promise((resolve) => demo.on('exit', resolve));
    process.kill(demo.pid ?? 0, 'SIGINT');
    await gone;
  };
}
