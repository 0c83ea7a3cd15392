// Are values of templates, stacks and devices told apart, overridden and taken back? And is what is scheduled pushed?

import { Form } from './form';
import { Api, accessible, expect, test } from './house';

test.beforeEach(async ({ api }) => {
  await api.post('/candidate/revert', {});
});
test.afterAll(async ({ request }) => {
  const api = await Api.logIn(request);
  await api.post('/candidate/revert', {});
  await api.end();
});

test('a variable has a value for each device; without one that is told before a commit', async ({ page, go }) => {
  await go('/panorama/device-variables?stack=azure-stack');
  const row = page.getByRole('row').nth(1);
  await expect(row).toContainText('10.0.1.4/24');
  await expect(row).toContainText('ethernet1/1');
  await row.dblclick();
  const dialog = page.getByRole('dialog', { name: /^Variables of/ });
  await expect(dialog.getByLabel('$eth1', { exact: true })).toHaveAttribute('placeholder', 'ethernet1/1');
  await dialog.getByLabel('$eth1_ip').fill('');
  await expect(dialog.getByText('a commit is refused without a value')).toBeVisible();
  await accessible(page, 'variables of a device');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByText('1 without a value')).toBeVisible();
  await go('/panorama/effective-configuration');
  await expect(page.getByRole('alert')).toContainText('$eth1_ip');
  await page.getByText('Running', { exact: true }).click();
  await page.getByLabel('Below').fill("/config/devices/entry[@name='localhost.localdomain']/network/interface");
  const value = page.getByRole('row', { name: /network\/interface\/ethernet\/ethernet1\/1/ }).first();
  await expect(value).toContainText('10.0.1.4/24');
  await expect(value).toContainText('$eth1_ip');
});

test('a stack shows which template each entry is of, overrides one, and takes that back', async ({ page, go }) => {
  await go('/network/interfaces/loopback?stack=azure-stack');
  const row = page.getByRole('row', { name: /loopback\.1/ });
  await expect(row).toContainText('template azure-network');
  await row.dblclick();
  const dialog = new Form(page, page.getByRole('dialog'));
  await expect(dialog.at.getByRole('note')).toContainText('From template azure-network');
  await expect(dialog.at.getByRole('combobox', { name: 'Zone' })).toHaveValue('trust');
  await dialog.put('Comment', 'of the stack');
  await dialog.at.getByRole('button', { name: 'Override' }).click();
  await expect(row).toContainText('template stack azure-stack');
  await expect(row).toContainText('of the stack');
  await row.dblclick();
  await accessible(page, 'an entry that overrides');
  await dialog.at.getByRole('button', { name: 'Revert to template azure-network' }).click();
  await expect(row).toContainText('template azure-network');
  await expect(row).not.toContainText('of the stack');

  await go('/device/setup/session?template=azure-network');
  const form = new Form(page, page.getByRole('main'));
  await (await form.part('Session')).put('Timeout Udp', '45');
  await page.getByRole('tab', { name: 'Policies' }).click();
  await page.getByRole('button', { name: 'Go on editing' }).click();
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByRole('button', { name: 'Save' })).toBeDisabled();
  await page.getByRole('combobox', { name: 'Template' }).click();
  await page.getByRole('option', { name: 'azure-stack' }).click();
  await expect(page.getByText('Session is from template azure-network')).toBeVisible();
  await expect(page.getByLabel('Timeout Udp')).toHaveValue('45');
});

test('an interface’s zone and router are chosen in its own form', async ({ page, go, api }) => {
  await go('/network/interfaces/ethernet?template=azure-network');
  await page.getByRole('row', { name: /ethernet1\/1/ }).dblclick();
  const dialog = new Form(page, page.getByRole('dialog'));
  await expect(dialog.at.getByRole('combobox', { name: 'Logical Router' })).toHaveValue('vr-private');
  await expect(dialog.at.getByRole('combobox', { name: 'Zone' })).toHaveValue('trust');
  await dialog.choose('Zone', 'untrust');
  await dialog.at.getByRole('button', { name: 'Save' }).click();
  await expect(dialog.at).toBeHidden();
  const { nodes } = await api.get<{ nodes: { xml: string }[] }>(
    `/config?xml=true&xpath=${encodeURIComponent("/config/devices/entry/template/entry[@name='azure-network']/config/devices/entry/vsys/entry/zone")}`,
  );
  expect(nodes[0]?.xml).toMatch(/"trust"><network><layer3><member>loopback.1<\/member><\/layer3>/);
  expect(nodes[0]?.xml).toMatch(
    /<member>\$eth2<\/member>\s*<member>loopback.2<\/member>\s*<member>ethernet1\/1<\/member>/,
  );
});

test('a scheduled push is made, run now, looked back at, disabled and deleted', async ({ page, go, api }) => {
  test.setTimeout(60_000);
  await go('/panorama/scheduled-config-push');
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  const dialog = new Form(page, page.getByRole('dialog'));
  await dialog.at.getByLabel('Name').fill('nightly');
  await dialog.choose('Type', 'Device Group');
  await dialog.members('Device Group', 'azure');
  await dialog.tab('When');
  await accessible(page, 'a schedule');
  const type = await dialog.part('Type');
  await type.choose('Type', 'Recurring');
  const recurring = await type.part('Recurring');
  await recurring.choose('Type', 'Weekly');
  const weekly = await recurring.part('Weekly');
  await weekly.members('Day Of Week', 'monday', 'friday');
  await weekly.put('At', '22:30');
  await dialog.at.getByRole('button', { name: 'Add', exact: true }).last().click();
  const row = page.getByRole('row', { name: /nightly/ });
  await expect(row).toContainText('weekly, monday, friday, 22:30');
  await expect(row).toContainText('not committed');
  const { warnings } = await api.post<{ warnings?: unknown[] }>('/validate', {});
  expect(JSON.stringify(warnings ?? [])).not.toContain('scheduled-config-push');
  await api.post('/commit?wait=60', {});
  await expect(row).toContainText('enabled');
  await row.click();
  await page.getByRole('button', { name: 'Run now' }).click();
  const job = page.getByRole('dialog', { name: /^Job/ });
  await expect(job.getByText('succeeded')).toBeVisible({ timeout: 30_000 });
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'History' }).click();
  await expect(page.getByRole('dialog', { name: 'History of nightly' }).getByRole('row', { name: /ok/ })).toBeVisible();
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Disable' }).click();
  await expect(row).toContainText('disabled');
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await expect(row).toBeHidden();
  await api.post('/commit?wait=60', {});
});
