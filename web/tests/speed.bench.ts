// How fast is the page? A cold load from loopback, how much comes for the first screen, and a rulebase of 50,000 rules that
// scrolls.
//
//   DEMO=target/release/demo BARTIZAN=target/release/bartizan SPEED=1 web/tests/run --project=speed
//
// Each figure is a JSON line. A frame is late when it comes later than 1.5 of the screen's periods after the one before.

import { expect, manager, test } from './house';

const RULES = 50_000;
const RULES_PER_EDIT = 5_000;
const LOADS = 15;
/** The goals of the page: interactive in a second, 600 kB compressed for the first screen, 60 frames a second. */
const GOALS = { loadMs: 1000, firstScreenKb: 600, frames: 60 };
/** A rule of the demo's rulebase, among the first. */
const RULE = 'block-smtp';
const PATH = '/policies/security/pre-rules?group=azure';

function tell(name: string, unit: string, value: number, more: Record<string, unknown>): void {
  console.log(JSON.stringify({ name: `page: ${name}`, unit, value: Math.round(value * 10) / 10, ...more }));
}

function part(sorted: number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

test('a cold load', async ({ browser, api }) => {
  test.setTimeout(120_000);
  const times: number[] = [];
  let bytes = 0;
  for (let load = 0; load < LOADS; load += 1) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    const page = await context.newPage();
    await page.addInitScript((session) => {
      sessionStorage.setItem('bartizan.session', session);
    }, JSON.stringify(api.session));
    await page.addInitScript((rule) => {
      // Until it is on the screen, and until what the screen has to do then lets a click be heard.
      const look = (): void => {
        if (document.querySelector(`[role="row"] [title="${rule}"]`)) {
          setTimeout(() => {
            window.name = String(performance.now());
          });
        } else requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    }, RULE);
    await page.goto(manager() + PATH, { waitUntil: 'commit' });
    const row = page.getByRole('row', { name: RULE });
    await row.click();
    await expect(row).toHaveAttribute('aria-selected', 'true');
    // By the browser's own clock, from when it was told to go there.
    times.push(Number(await page.evaluate(() => window.name)));
    bytes = await page.evaluate(() => {
      const all = performance.getEntries().filter((entry) => 'encodedBodySize' in entry);
      return all.reduce((sum, entry) => sum + (entry as PerformanceResourceTiming).encodedBodySize, 0);
    });
    await context.close();
  }
  times.sort((one, other) => one - other);
  tell('cold load until rules can be clicked', 'ms', part(times, 0.5), {
    p95: Math.round(part(times, 0.95)),
    runs: LOADS,
    aim: GOALS.loadMs,
  });
  tell('first screen, compressed', 'kB', bytes / 1000, { aim: GOALS.firstScreenKb });
});

test('50,000 rules scroll', async ({ page, go, api }) => {
  test.setTimeout(600_000);
  const xpath =
    "/config/devices/entry[@name='localhost.localdomain']/device-group/entry[@name='azure']/pre-rulebase/security/rules";
  const any = (...tags: string[]) => tags.map((tag) => `<${tag}><member>any</member></${tag}>`).join('');
  const fields = any('from', 'to', 'source', 'destination', 'application', 'service');
  for (let first = 0; first < RULES; first += RULES_PER_EDIT) {
    const numbers = Array.from({ length: RULES_PER_EDIT }, (_, place) => first + place);
    const element = numbers.map((at) => `<entry name="r-${at}">${fields}<action>allow</action></entry>`).join('');
    await api.post('/config/edits', { edits: [{ action: 'set', xpath, element }] });
  }
  const begun = performance.now();
  await go(PATH);
  await expect(page.getByText(/^50,?0\d\d rules/)).toBeVisible({ timeout: 60_000 });
  tell('50,000 rules until they are there', 'ms', performance.now() - begun, {});
  const frames = await page.getByRole('grid').evaluate(async (grid) => {
    const frame = () => new Promise<number>((resolve) => requestAnimationFrame(resolve));
    const spans: number[] = [];
    let before = await frame();
    const until = before + 8000;
    while (before < until) {
      // As a wheel does it, half a screen a frame at most, with jumps of a dragged bar between.
      grid.scrollTop += spans.length % 120 === 119 ? 100_000 : 300;
      if (grid.scrollTop + grid.clientHeight >= grid.scrollHeight - 1) grid.scrollTop = 0;
      const now = await frame();
      spans.push(now - before);
      before = now;
    }
    return spans;
  });
  const sorted = frames.toSorted((one, other) => one - other);
  const late = frames.filter((span) => span > 25).length;
  tell('50,000 rules scrolled', 'frames/s', (frames.length * 1000) / frames.reduce((sum, span) => sum + span, 0), {
    frame_p50_ms: Math.round(part(sorted, 0.5) * 10) / 10,
    frame_p99_ms: Math.round(part(sorted, 0.99) * 10) / 10,
    late: `${late} of ${frames.length}`,
    aim: GOALS.frames,
  });
  await expect(page.getByRole('row').nth(3)).toContainText('r-');
});
