// Is a rule made, moved, changed and deleted by the page, committed, pushed, and enforced?

import { expect, test } from './house';

const RULES = '/policies/security/pre-rules?group=azure';

test('a rule goes from the form to the firewall', async ({ page, go, api }) => {
  await go(RULES);
  const grid = page.getByRole('grid', { name: 'Security Pre Rules' });
  await expect(grid.getByRole('row', { name: /outbound-dns/ })).toBeVisible();

  // Made: with a name, a zone that is offered, a port, and an action.
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  const form = page.getByRole('dialog', { name: /Add Security rule/ });
  await form.getByLabel('Name').fill('block-ntp');
  await form.getByRole('tab', { name: 'Source' }).click();
  const zones = form.getByRole('combobox', { name: 'Source Zone' });
  await zones.press('Backspace');
  await zones.fill('tru');
  await page.getByRole('option', { name: 'trust', exact: true }).click();
  await form.getByRole('tab', { name: 'Service/URL Category' }).click();
  const services = form.getByRole('combobox', { name: 'Service' });
  await services.press('Backspace');
  await services.fill('service-http');
  await services.press('Enter');
  await form.getByRole('tab', { name: 'Actions' }).click();
  await form.getByRole('combobox', { name: 'Action' }).click();
  await page.getByRole('option', { name: 'drop' }).click();
  await form.getByRole('button', { name: 'Add', exact: true }).click();
  const row = grid.getByRole('row', { name: /block-ntp/ });
  await expect(row).toContainText('trust');
  await expect(row).toContainText('drop');

  // Moved to the top by the menu, one down by the keyboard.
  await row.click();
  await page.getByRole('button', { name: 'Move' }).click();
  await page.getByRole('menuitem', { name: 'Move Top' }).click();
  await expect(row).toHaveAttribute('aria-rowindex', '2');
  await row.press('Alt+ArrowDown');
  await expect(row).toHaveAttribute('aria-rowindex', '3');

  // Disabled and enabled again.
  await page.getByRole('button', { name: 'Disable' }).click();
  await expect(row).toContainText('disabled');
  await page.getByRole('button', { name: 'Enable' }).click();
  await expect(row).not.toContainText('disabled');

  // Committed and pushed, each change told before.
  await page.getByRole('button', { name: /^Commit \(/ }).click();
  await page.getByRole('menuitem', { name: 'Commit and Push' }).click();
  const commit = page.getByRole('dialog', { name: 'Commit and Push' });
  await expect(commit.getByRole('table', { name: 'Pending changes' })).toContainText('block-ntp');
  await commit.getByRole('tab', { name: 'Difference' }).click();
  await expect(commit.getByRole('region', { name: 'Difference' })).toContainText('block-ntp');
  await commit.getByRole('tab', { name: 'Validate' }).click();
  await expect(commit.getByText('It can be committed')).toBeVisible();
  await commit.getByLabel('Description').fill('no time from there');
  await commit.getByRole('button', { name: 'Commit and Push' }).click();
  const job = page.getByRole('dialog', { name: /^Job/ });
  await expect(job.getByText('succeeded')).toBeVisible({ timeout: 20_000 });
  await expect(job.getByRole('table', { name: 'Devices' })).toContainText('in force');
  await job.getByRole('button', { name: 'Close' }).last().click();
  await expect(page.getByRole('button', { name: 'Commit', exact: true })).toBeVisible();

  // The firewall decides by it.
  const command =
    '<test><security-policy-match><from>trust</from><to>untrust</to><source>10.1.0.10</source><destination>198.51.100.10</destination><protocol>6</protocol><destination-port>80</destination-port></security-policy-match></test>';
  const answer = await api.post<{ xml: string }>(`/devices/${process.env['SERIAL']}/command`, { command });
  expect(answer.xml).toContain('block-ntp');

  // Deleted, after a question, and the candidate is as the firewall is to be again.
  await row.click();
  await page.keyboard.press('Delete');
  await page.getByRole('dialog', { name: 'Delete the rule?' }).getByRole('button', { name: 'Delete' }).click();
  await expect(row).toBeHidden();
  await api.post('/commit?wait=30', {});
  await api.post('/push?wait=30', { device_groups: ['azure'] });
});

test('two people change one rule: what goes together is put together', async ({ page, go, api }) => {
  await api.lines('set device-group azure pre-rulebase security rules outbound-dns description ours');
  await go(RULES);
  await page.getByRole('row', { name: /outbound-dns/ }).dblclick();
  const form = page.getByRole('dialog', { name: /outbound-dns/ });
  await expect(form.getByLabel('Description')).toHaveValue('ours');
  await api.lines('set device-group azure pre-rulebase security rules outbound-dns log-end no');
  await form.getByLabel('Description').fill('mine');
  await form.getByRole('button', { name: 'Save' }).click();
  await expect(form.getByText('Somebody else changed this meanwhile')).toBeVisible();
  await form.getByRole('tab', { name: 'Actions' }).click();
  await expect(form.getByRole('combobox', { name: 'Log at Session End' })).toHaveValue('no');
  await form.getByRole('button', { name: 'Save' }).click();
  await expect(form).toBeHidden();
  const { nodes } = await api.get<{ nodes: { xml: string }[] }>(
    `/config?xml=true&path=${encodeURIComponent('device-group azure pre-rulebase security rules outbound-dns')}`,
  );
  expect(nodes[0]?.xml).toContain('<description>mine</description>');
  expect(nodes[0]?.xml).toContain('<log-end>no</log-end>');
  await api.post('/candidate/revert', {});
});

test('what the manager refuses is told in the form, which stays', async ({ page, go }) => {
  await go('/objects/addresses?group=azure');
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  const form = page.getByRole('dialog', { name: /Add address/ });
  await form.getByLabel('Name').fill('too-long');
  await form.getByLabel('Description').fill('x'.repeat(1100));
  await form.getByRole('button', { name: 'Add', exact: true }).click();
  await expect(form.getByRole('alert')).toContainText('at most 1023 characters');
  await form.getByRole('button', { name: 'Cancel' }).click();
  await expect(form.getByText('Leave without saving?')).toBeVisible();
  await form.getByRole('button', { name: /Leave, and lose/ }).click();
  await expect(form).toBeHidden();
});

test('a rule that something refers to is deleted only when nothing does', async ({ page, go }) => {
  await go('/objects/addresses?group=azure');
  await page.getByRole('row', { name: /app-vnet/ }).click();
  await page.keyboard.press('Delete');
  const question = page.getByRole('dialog', { name: /Delete/ });
  await question.getByRole('button', { name: 'Delete' }).click();
  await expect(question.getByRole('alert')).toContainText('cannot be deleted because of references');
});

test('a rule of a long list goes to a number that is not on the screen', async ({ page, go, api }) => {
  const rules = Array.from(
    { length: 450 },
    (_, index) => `<entry name="long-${index + 1}"><action>deny</action></entry>`,
  );
  const group = "/config/devices/entry[@name='localhost.localdomain']/device-group";
  await api.post('/config/edits', {
    edits: [
      { action: 'set', xpath: group, element: '<entry name="long"/>' },
      {
        action: 'set',
        xpath: `${group}/entry[@name='long']/pre-rulebase/security/rules`,
        element: rules.join(''),
      },
    ],
  });
  await go('/policies/security/pre-rules?group=long');
  const grid = page.getByRole('grid');
  await grid.getByRole('row', { name: /long-3 / }).click();
  await grid.getByRole('row', { name: /long-3 / }).press('End');
  await expect(grid.getByRole('row', { name: /long-450/ })).toBeFocused();
  await expect(page.getByText('450 rules, 1 selected')).toBeVisible();
  await page.getByRole('button', { name: 'Move' }).click();
  await page.getByRole('menuitem', { name: 'Move to…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Move the rule' });
  await dialog.getByLabel('Rule').fill('451');
  await dialog.getByRole('button', { name: 'Move' }).click();
  await expect(dialog.getByText('there is no such rule in this rulebase')).toBeVisible();
  await dialog.getByLabel('Rule').fill('201');
  await dialog.getByRole('button', { name: 'Move' }).click();
  await expect(dialog).toBeHidden();
  const path = encodeURIComponent('device-group long pre-rulebase security rules');
  const { entries } = await api.get<{ entries: { name: string }[] }>(`/config/entries?path=${path}&offset=199&limit=2`);
  expect(entries.map((entry) => entry.name)).toEqual(['long-3', 'long-201']);
  await api.post('/candidate/revert', {});
});
