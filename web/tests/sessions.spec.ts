// Are sessions found, explained and ended? Asked first: what the demo's clients left expires within a minute or two.

import { expect, test } from './house';

test('a session is found, and ended', async ({ page, go }) => {
  await go('/monitor/session-browser');
  // What a rule refuses is remembered for a while, so that the next packets cost less.
  const row = page.getByRole('row', { name: /block-smtp/ });
  await row.dblclick();
  await page.getByRole('tab', { name: 'Why?' }).click();
  await expect(page.getByText('reset-client by rule block-smtp')).toBeVisible();
  const capture = page.getByRole('link', { name: 'Capture packets' });
  await expect(capture).toHaveAttribute('href', /\/monitor\/packet-capture\?.*flow=source\+10\.1\.0\.10/);
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click();
  await page.getByRole('button', { name: 'Clear' }).click();
  await page.getByRole('button', { name: 'End', exact: true }).click();
  await expect(row).toBeHidden();
});
