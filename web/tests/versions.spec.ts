// Does one get back to what was committed before?

import { accessible, expect, test } from './house';

test('a commit is taken back by loading the version before it', async ({ page, go, api }) => {
  await api.lines('set shared tag regretted comments why');
  await api.post('/commit?wait=30', { description: 'regretted' });
  await go('/panorama/config-audit');
  await page.getByRole('row', { name: /regretted/ }).dblclick();
  const regretted = page.getByRole('dialog', { name: /^Version/ });
  await expect(regretted.getByRole('region', { name: 'Difference' })).toContainText('regretted');
  await accessible(page, 'version');
  await regretted.getByRole('button', { name: 'Close' }).last().click();
  await page.getByRole('row').nth(2).dblclick();
  await page.getByRole('button', { name: 'Load as the candidate' }).click();
  await page.getByRole('button', { name: /^Commit \(/ }).click();
  await page.getByRole('menuitem', { name: 'Commit to Panorama' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Commit to Panorama' }).click();
  await expect(page.getByRole('dialog', { name: /^Job/ }).getByText('succeeded')).toBeVisible({ timeout: 20_000 });
  await page.getByRole('dialog', { name: /^Job/ }).getByRole('button', { name: 'Close' }).last().click();
  await page.getByRole('tab', { name: 'Objects' }).click();
  await page.getByRole('link', { name: 'Tags', exact: true }).click();
  await expect(page.getByText(/^\d+ entr/)).toBeVisible();
  await expect(page.getByRole('row', { name: /regretted/ })).toHaveCount(0);
});

test('a flow is tested on the firewall', async ({ page, go }) => {
  await go('/policies/test');
  await page.getByLabel('Ingress interface').fill('ethernet1/1');
  await page.getByRole('textbox', { name: 'Source', exact: true }).fill('10.1.0.10');
  await page.getByRole('textbox', { name: 'Destination', exact: true }).fill('198.51.100.10');
  await page.getByLabel('Destination port').fill('25');
  await page.getByRole('button', { name: 'Test', exact: true }).click();
  await expect(page.getByText('reset-client by rule block-smtp')).toBeVisible();
});
