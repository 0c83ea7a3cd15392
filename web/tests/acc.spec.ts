// Does one get from what is most of all traffic to the reason why a session was refused, by the page alone?

import { accessible, expect, test } from './house';

test('from the ACC by a filter and the service map to the log and the reason', async ({ page, go, api }) => {
  // Axe looks at four screens.
  test.slow();
  await go('/acc/blocked-activity');
  const rules = page.getByRole('region', { name: 'Rules' });
  await expect(rules.getByRole('row', { name: /block-smtp/ })).toBeVisible();
  await rules.getByRole('button', { name: 'Filter by interzone-default' }).click();
  const filters = page.getByRole('group', { name: 'Global filters' });
  await expect(filters).toContainText('( rule eq interzone-default )');
  await expect(rules.getByRole('row', { name: /block-smtp/ })).toBeHidden();
  await expect(page).toHaveURL(/filter=/);
  await page.getByRole('radiogroup', { name: 'Measure' }).getByText('Bytes').click();
  await expect(rules.getByRole('columnheader', { name: 'Bytes' })).toBeVisible();
  await accessible(page, 'acc with a filter');

  // An address is what its tags say.
  const client = '10.1.0.10';
  const tagged = (verb: string) =>
    `<uid-message><type>update</type><payload><${verb}><entry ip="${client}"><tag><member>web-team</member></tag></entry></${verb}></payload></uid-message>`;
  await api.post('/user-id', { message: tagged('register') });
  await page.getByRole('link', { name: 'Service Map' }).click();
  await expect(filters).toContainText('interzone-default');
  const way = page.getByRole('button', { name: /^web-team to .* sessions?.*not allowed/ }).first();
  await expect(way).toBeAttached();
  await accessible(page, 'map');
  await page.getByRole('radiogroup', { name: 'Form' }).getByText('Table').click();
  await expect(
    page
      .getByRole('grid', { name: 'Ways' })
      .getByRole('row', { name: /web-team/ })
      .first(),
  ).toContainText('not allowed');
  await page.getByRole('radiogroup', { name: 'Form' }).getByText('Map').click();
  await way.focus();
  await page.keyboard.press('Enter');
  const detail = page.getByRole('dialog', { name: /^web-team to/ });
  await accessible(page, 'a way');
  await detail.getByRole('link', { name: 'Flows of interzone-default' }).first().click();

  // The log has the same filter and time, and the line the reason.
  await expect(page.getByRole('heading', { name: 'Traffic' })).toBeVisible();
  await expect(filters).toContainText('interzone-default');
  await expect(page.getByRole('combobox', { name: 'Time' })).toHaveValue('Last Hour');
  const line = page.getByRole('row', { name: new RegExp(`${client}.*interzone-default`) }).first();
  await line.dblclick();
  const opened = page.getByRole('dialog', { name: /traffic log/ });
  await opened.getByRole('tab', { name: 'Why?' }).click();
  await expect(opened.getByText(/by rule interzone-default/).first()).toBeVisible();
  await opened.getByRole('button', { name: 'Close' }).last().click();
  await filters.getByRole('button', { name: /^Remove the global filter/ }).click();
  await expect(filters).toBeHidden();
  await api.post('/user-id', { message: tagged('unregister') });
});

test('a time is chosen, a filter is saved, and what is found leaves as a file', async ({ page, go }) => {
  await go('/monitor/logs/traffic?q=%28%20rule%20eq%20block-smtp%20%29');
  await expect(page.getByRole('row', { name: /block-smtp/ }).first()).toBeVisible();
  await page.getByRole('combobox', { name: 'Time' }).click();
  await page.getByRole('option', { name: 'Custom…' }).click();
  await page.getByRole('textbox', { name: 'From' }).fill('2020-01-01T00:00:00');
  await page.getByRole('textbox', { name: 'Until' }).fill('2020-01-02T00:00:00');
  await accessible(page, 'a time');
  await page.getByRole('button', { name: 'Apply' }).click();
  await expect(page.getByText('No line fits the query.')).toBeVisible();
  await page.getByRole('combobox', { name: 'Time' }).click();
  await page.getByRole('option', { name: 'Last 24 Hrs' }).click();
  await expect(page.getByRole('row', { name: /block-smtp/ }).first()).toBeVisible();

  await page.getByRole('button', { name: 'Saved filters' }).click();
  await page.getByRole('menuitem', { name: 'Save this filter…' }).click();
  await page.getByLabel('Name of the filter').fill('mail');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByRole('button', { name: 'Clear', exact: true }).click();
  await expect(page.getByRole('combobox', { name: 'Query' })).toHaveValue('');
  await page.getByRole('button', { name: 'Saved filters' }).click();
  await page.getByRole('menuitem', { name: /^mail/ }).click();
  await expect(page.getByRole('combobox', { name: 'Query' })).toHaveValue('( rule eq block-smtp )');

  await page.getByRole('button', { name: 'Export' }).click();
  const [file] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('menuitem', { name: /JSON/ }).click(),
  ]);
  expect(file.suggestedFilename()).toBe('traffic.json');
  const text = await (await file.createReadStream()).toArray();
  const lines = Buffer.concat(text).toString().trim().split('\n');
  expect(lines.length).toBeGreaterThan(0);
  for (const line of lines) expect(JSON.parse(line)).toMatchObject({ rule: 'block-smtp' });
});
