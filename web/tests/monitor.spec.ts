// Does one find why a flow was dropped, from the log to the rule?

import { accessible, expect, test } from './house';

test('why was this dropped? from a query to the rules that did not match', async ({ page, go }) => {
  await go('/monitor/logs/traffic');
  const query = page.getByRole('combobox', { name: 'Query' });
  await query.fill('( port.d');
  await page.getByRole('option', { name: '( port.dst' }).click();
  await query.press('End');
  await query.pressSequentially('eq 22 )');
  await query.press('Enter');
  const row = page.getByRole('row', { name: /interzone-default/ }).first();
  await expect(row).toContainText('deny');
  await expect(page.getByRole('row', { name: /block-smtp/ })).toHaveCount(0);
  await row.focus();
  await page.keyboard.press('Enter');
  const line = page.getByRole('dialog', { name: /traffic log/ });
  await expect(line.getByRole('row', { name: /session_end_reason/ })).toContainText('policy-deny');
  await accessible(page, 'details');
  await line.getByRole('tab', { name: 'Why?' }).click();
  await expect(line.getByText('deny by rule interzone-default', { exact: true })).toBeVisible();
  await expect(line.getByText(/does not match: service is tcp 22/).first()).toBeVisible();
  await accessible(page, 'why');
  await line.getByRole('button', { name: 'Go to the rule outbound-dns' }).click();
  await expect(page.getByRole('heading', { name: 'Security Pre Rules' })).toBeVisible();
  await expect(page.getByRole('row', { name: /outbound-dns/ })).toBeVisible();
  await expect(page.getByRole('row')).toHaveCount(2);
});

test('a value of a line becomes a condition, and the address of the page says it', async ({ page, go }) => {
  await go('/monitor/logs/traffic');
  await page
    .getByRole('row', { name: /interzone-default/ })
    .first()
    .dblclick();
  await page.getByRole('button', { name: 'Only rule interzone-default' }).click();
  await expect(page.getByRole('combobox', { name: 'Query' })).toHaveValue('( rule eq interzone-default )');
  await expect(page).toHaveURL(/q=/);
  await page.reload();
  await expect(page.getByRole('row', { name: /interzone-default/ }).first()).toBeVisible();
  await expect(page.getByRole('row', { name: /outbound/ })).toHaveCount(0);
});

test('a query that cannot be read is told with what is wrong', async ({ page, go }) => {
  await go('/monitor/logs/traffic');
  await page.getByRole('combobox', { name: 'Query' }).fill('( addr.src in ');
  await page.getByRole('button', { name: 'Search' }).click();
  await expect(page.getByRole('alert')).toBeVisible();
});

test('a line comes by itself while the log is live', async ({ page, go, api }) => {
  await go('/monitor/logs/config');
  await page.getByRole('switch', { name: 'Live' }).check();
  await expect(page.getByText('Lines appear here as they come.')).toBeVisible();
  await api.lines('set shared tag live-one comments live');
  await expect(page.getByRole('row', { name: /live-one/ })).toBeVisible();
  await api.lines('delete shared tag live-one');
});

test('hits of the rules are those of the firewall', async ({ page, go }) => {
  await go('/policies/security/pre-rules?group=azure');
  const row = page.getByRole('row', { name: /block-smtp/ });
  await expect(row.locator('[data-column="hits"]')).toHaveText(/^[1-9]/);
});
