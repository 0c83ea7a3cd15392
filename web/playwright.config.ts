// How are the page's tests run? In Debian's Chromium, against a manager with a firewall and traffic (`tests/lab.ts`).

import { defineConfig } from '@playwright/test';

export default defineConfig({
  testDir: 'tests',
  globalSetup: './tests/lab.ts',
  outputDir: 'test-results',
  workers: 2,
  // One manager has one candidate: tests that change it take their turns. Who only looks does so side by side.
  projects: [
    { name: 'sessions', testMatch: 'sessions.spec.ts', workers: 1 },
    {
      name: 'changes',
      testIgnore: ['screens.spec.ts', 'sessions.spec.ts'],
      workers: 1,
      dependencies: ['sessions'],
    },
    { name: 'screens', testMatch: 'screens.spec.ts', fullyParallel: true, dependencies: ['changes'] },
    ...(process.env['SPEED'] ? [{ name: 'speed', testMatch: 'speed.bench.ts', workers: 1 }] : []),
  ],
  forbidOnly: true,
  // The tests of the programs run beside them.
  timeout: 120_000,
  expect: { timeout: 20_000 },
  reporter: [['line']],
  use: {
    browserName: 'chromium',
    ignoreHTTPSErrors: true,
    actionTimeout: 30_000,
    viewport: { width: 1400, height: 850 },
    locale: 'en-GB',
    timezoneId: 'Europe/Berlin',
    colorScheme: 'light',
    screenshot: 'only-on-failure',
    launchOptions: {
      executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
      // Its own sandbox needs rights that a test's namespace has not.
      args: ['--no-sandbox', '--disable-gpu'],
    },
  },
});
