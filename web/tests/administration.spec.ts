// Does one give others their rights, see what they do, and look at their edits, by the page alone?

import { Api, accessible, expect, test } from './house';

const USERS = '/config/mgt-config/users';
const FOUR_EYES = "/config/devices/entry[@name='localhost.localdomain']/deviceconfig/setting/management/four-eyes";
const SECRET = 'a longer Passw0rd';

test('an administrator is made, locks, is seen, and a commit gets its second look', async ({
  page,
  go,
  api,
  request,
}) => {
  await go('/panorama/administrators');
  await page.getByRole('button', { name: 'Add', exact: true }).first().click();
  const form = page.getByRole('dialog', { name: 'Add administrator' });
  await form.getByRole('textbox', { name: 'Name', exact: true }).fill('second');
  await form.getByLabel('New Password').fill(SECRET);
  await form.getByRole('button', { name: 'Use it' }).click();
  await expect(form.getByText('another one, when this is saved')).toBeVisible();
  await accessible(page, 'an administrator');
  await form.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('button', { name: 'Leave, and lose the changes' }).click();

  // The same by the API, whose role the form does not test here.
  const { phash } = await api.post<{ phash: string }>('/password-hash', { password: SECRET });
  const superuser = '<permissions><role-based><superuser>yes</superuser></role-based></permissions>';
  await api.post('/config/edits', {
    edits: [
      { action: 'set', xpath: `${USERS}/entry[@name='second']`, element: `<phash>${phash}</phash>` },
      { action: 'set', xpath: `${USERS}/entry[@name='second']`, element: superuser },
    ],
  });
  await api.post('/commit?wait=30', {});
  await page.reload();
  await expect(page.getByRole('row', { name: /second.*superuser.*set/ })).toBeVisible();

  await page.getByRole('link', { name: 'Four Eyes' }).click();
  await page.getByRole('combobox', { name: 'Commit', exact: true }).click();
  await page.getByRole('option', { name: 'yes', exact: true }).click();
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByRole('button', { name: /^Commit \(/ })).toBeVisible();
  await api.post('/commit?wait=30', {});

  // Who keeps others from editing, who is there, and by which keys.
  const spare = await Api.logIn(request, 'second', SECRET);
  await spare.post('/locks', { kind: 'config', comment: 'moving the data centre' });
  const mark = page.getByRole('link', { name: 'A lock is held by second' });
  await mark.click();
  const lock = page.getByRole('row', { name: /editing.*everything.*second.*moving the data centre/ });
  await expect(lock).toBeVisible();
  // Whoever hovers sees what the mark says; that is no part of the page.
  await page.mouse.move(700, 700);
  await expect(page.getByRole('tooltip')).toBeHidden();
  await accessible(page, 'locks');
  await lock.click();
  await page.getByRole('button', { name: 'Remove', exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await expect(mark).toBeHidden();
  await page.getByRole('link', { name: 'Logged In Admins' }).click();
  await expect(page.getByRole('row', { name: /^second/ })).toBeVisible();
  await page.getByRole('link', { name: 'API Keys' }).click();
  await expect(page.getByText('this session')).toBeVisible();
  await page.getByRole('row', { name: /^second/ }).click();
  await page.getByRole('button', { name: 'End', exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'End' }).click();
  await expect(page.getByRole('row', { name: /^second/ })).toBeHidden();
  expect(await spare.status('/session')).toBe(401);

  // A commit of the first one waits for the second one.
  await api.lines('set shared tag looked-at comments twice');
  await api.post('/commit?wait=30', {});
  const second = await Api.logIn(request, 'second', SECRET);
  const session = JSON.stringify(second.session);
  await page.evaluate((text) => sessionStorage.setItem('bartizan.session', text), session);
  await go('/panorama/approvals');
  await page.getByRole('row', { name: /Commit.*waiting.*admin/ }).dblclick();
  const waiting = page.getByRole('dialog', { name: /^Approval/ });
  await expect(waiting).toContainText('looked-at');
  await accessible(page, 'an approval');
  await waiting.getByLabel('Comment').fill('seen');
  await waiting.getByRole('button', { name: 'Approve' }).click();
  await expect(waiting).toBeHidden();
  await expect(page.getByText('Nothing waits for an approval.')).toBeVisible();
  await api.post('/commit?wait=30', {});
  const place = `/config?source=running&path=${encodeURIComponent('shared tag looked-at')}`;
  expect((await api.get<{ nodes: unknown[] }>(place)).nodes).toHaveLength(1);

  // Who made none of the edits commits them without being asked.
  await api.lines('delete shared tag looked-at');
  await api.post('/config/edits', { edits: [{ action: 'delete', xpath: FOUR_EYES }] });
  await second.post('/commit?wait=30', {});
  await api.post('/config/edits', { edits: [{ action: 'delete', xpath: `${USERS}/entry[@name='second']` }] });
  await api.post('/commit?wait=30', {});
});
