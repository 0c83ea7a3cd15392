// Does the dashboard lead to what waits, and to what is to be done first?

import { accessible, expect, test } from './house';

const PLAYBOOK = `playbook: ask
description: somebody is asked
start: question
tasks:
  question: {ask: 'Shall it go on?', next: done}
  done: {end: succeeded}
`;

test('a run waits for a decision, and goes on when it is approved', async ({ page, go, api }) => {
  await api.put('/automation/playbooks/ask', { text: PLAYBOOK });
  const { run } = await api.post<{ run: number }>('/automation/runs', { playbook: 'ask' });
  await go('/dashboard');
  await page.getByRole('link', { name: 'Show: Runs that wait for approval' }).click();
  await page.getByRole('row', { name: new RegExp(`^${run} ?waiting`) }).dblclick();
  const dialog = page.getByRole('dialog', { name: `Run ${run}: ask` });
  await expect(dialog.getByText('Shall it go on?', { exact: true })).toBeVisible();
  await expect(dialog.getByRole('img', { name: 'question: waiting, done: not reached' })).toBeVisible();
  await accessible(page, 'run');
  await dialog.getByLabel('Comment').fill('looked at');
  await dialog.getByRole('button', { name: 'Approve' }).click();
  await expect(dialog.getByText('done', { exact: true }).first()).toBeVisible();
  await expect(dialog.getByRole('button', { name: 'Approve' })).toBeHidden();
});

test('the first steps say what is done and what is not', async ({ page, go }) => {
  await go('/dashboard');
  const steps = page.getByRole('listitem');
  await expect(steps.filter({ hasText: 'Push to the firewall' }).getByLabel('done')).toBeVisible();
  await expect(steps.filter({ hasText: 'Set a password of your own' }).getByLabel('to do')).toBeVisible();
  await page.getByRole('button', { name: 'Set a password of your own' }).click();
  await accessible(page, 'password');
});
