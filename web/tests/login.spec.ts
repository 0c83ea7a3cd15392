// Does one get in and out, and is nothing lost when the session ends in between?

import { accessible, expect, manager, password, test } from './house';

test('a wrong password is told; the right one opens the page, which stays open over a reload', async ({
  page,
  complaints: _,
}) => {
  await page.goto(manager());
  await accessible(page, 'login');
  await page.getByLabel('User').fill('admin');
  await page.locator('input[name=password]').fill('wrong');
  await page.getByRole('button', { name: 'Log in' }).click();
  await expect(page.getByRole('alert')).toContainText('Invalid Credential');
  await page.locator('input[name=password]').fill(password());
  await page.getByRole('button', { name: 'Log in' }).click();
  await expect(page.getByRole('tab', { name: 'Policies' })).toBeVisible();
  await page.reload();
  await expect(page.getByRole('tab', { name: 'Policies' })).toBeVisible();
  await page.getByRole('button', { name: 'User and appearance' }).click();
  await page.getByRole('menuitem', { name: 'Log out' }).click();
  await expect(page.getByRole('button', { name: 'Log in' })).toBeVisible();
  expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
});

test('a second tab asks the first one for the session', async ({ context, page, go }) => {
  await go('/objects/tags');
  await expect(page.getByRole('heading', { name: 'Tags' })).toBeVisible();
  const second = await context.newPage();
  await second.goto(`${manager()}/objects/tags`);
  await expect(second.getByRole('heading', { name: 'Tags' })).toBeVisible();
});

test('what is being typed survives the end of the session', async ({ page, go, api }) => {
  await go('/objects/addresses');
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByRole('dialog').getByLabel('Name').fill('kept-over-the-end');
  await page.getByRole('combobox', { name: 'Type' }).click();
  await page.getByRole('option', { name: 'FQDN' }).click();
  await page.getByRole('textbox', { name: 'FQDN' }).fill('kept.example');
  await api.end();
  await page.getByRole('dialog').getByRole('button', { name: 'Add', exact: true }).click();
  const again = page.getByRole('dialog', { name: 'Your session has ended' });
  await expect(again).toBeVisible();
  await accessible(page, 'login again');
  await again.locator('input[name=password]').fill(password());
  await again.getByRole('button', { name: 'Log in' }).click();
  await expect(page.getByRole('row', { name: /kept-over-the-end/ })).toBeVisible();
  await page.getByRole('row', { name: /kept-over-the-end/ }).click();
  await page.keyboard.press('Delete');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await expect(page.getByRole('row', { name: /kept-over-the-end/ })).toBeHidden();
});
