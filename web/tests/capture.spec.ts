// Does one get the packets of a flow as a file, from the form or from a line of the log, by the page alone?

import type { Locator, Page } from '@playwright/test';
import { accessible, expect, on, test } from './house';

const SCREEN = '/monitor/packet-capture';
const APP = '10.1.0.10';
const WEB = '198.51.100.10';
/** How a pcapng file begins. */
const MAGIC = '0a0d0d0a';

/** The line of a stage, which counts its packets. */
const counted = (page: Page, stage: string): Locator =>
  page
    .getByRole('table', { name: 'Stages' })
    .getByRole('row')
    .filter({ hasText: `-${stage}.pcapng` });

/** The lines of files whose names begin so. */
const files = (page: Page, begin: string): Locator =>
  page.getByRole('grid', { name: 'Captured Files' }).getByRole('row', { name: new RegExp(`^${begin}-`) });

async function stop(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Stop', exact: true }).click();
  await expect(page.getByRole('status')).toContainText('ended because');
  await expect(page.getByRole('button', { name: 'Start a capture' })).toBeEnabled();
}

/** Deletes the files of a capture, which are `count`. */
async function remove(page: Page, name: string, count: number): Promise<void> {
  await expect(files(page, name)).toHaveCount(count);
  for (const file of await files(page, name).all()) await file.click({ modifiers: ['Control'] });
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  const question = page.getByRole('dialog', { name: 'Delete these files?' });
  await expect(question.getByRole('listitem')).toHaveCount(count);
  await question.getByRole('button', { name: 'Delete' }).click();
  await expect(question).toBeHidden();
  await expect(files(page, name)).toHaveCount(0);
}

test('packets of a flow are captured, counted, downloaded and deleted', async ({ page, go }) => {
  await go(SCREEN);
  await page.getByRole('button', { name: 'Start a capture' }).click();
  const form = page.getByRole('dialog', { name: 'Start a capture' });
  await form.getByLabel('Source of filter 1').fill(APP);
  await form.getByLabel('Destination of filter 1').fill(WEB);
  await form.getByLabel('Destination Port of filter 1').fill('80');
  await form.getByLabel('Protocol of filter 1').fill('tcp');
  await form.getByLabel('Name of the files').fill('page');
  await form.getByLabel('Packet Count').fill('1000');
  await accessible(page, 'the form of a capture');
  await form.getByRole('button', { name: 'Start', exact: true }).click();
  await expect(form).toBeHidden();
  await expect(page.getByRole('status')).toContainText('capturing');
  const filter = page.getByRole('table', { name: 'Filters' }).getByRole('row').nth(1);
  await expect(filter).toContainText(APP);
  await expect(filter).toContainText('tcp');

  // Answers come to an address of the firewall's: they are there by their session.
  expect(await on('app1', 'curl', '-sS', '--max-time', '5', `http://${WEB}/`)).toContain('answers');
  for (const stage of ['receive', 'firewall', 'transmit']) {
    await expect(counted(page, stage)).toContainText(/[1-9]\d* of 1,000/);
  }
  await expect(counted(page, 'drop')).toContainText('0 of 1,000');
  await page.mouse.move(700, 700);
  await accessible(page, 'a capture');
  await stop(page);

  const receive = page.getByRole('row', { name: /^page-receive/ });
  await receive.click();
  const [file] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Download', exact: true }).click(),
  ]);
  expect(file.suggestedFilename()).toBe('page-receive.pcapng');
  const bytes = Buffer.concat(await (await file.createReadStream()).toArray());
  expect(bytes.subarray(0, 4).toString('hex')).toBe(MAGIC);
  await receive.click({ modifiers: ['Control'] });
  await remove(page, 'page', 4);
});

test('what was not allowed is captured from its line of the log', async ({ page, go }) => {
  await go('/monitor/logs/traffic?q=( port.dst eq 22 )');
  await page
    .getByRole('row', { name: new RegExp(`${APP}.*interzone-default`) })
    .first()
    .dblclick();
  await page.getByRole('dialog').getByRole('link', { name: 'Capture packets' }).click();
  const form = page.getByRole('dialog', { name: 'Start a capture' });
  await expect(form.getByLabel('Source of filter 1')).toHaveValue(APP);
  await expect(form.getByLabel('Destination of filter 1')).toHaveValue(WEB);
  await expect(form.getByLabel('Destination Port of filter 1')).toHaveValue('22');
  await expect(form.getByLabel('Protocol of filter 1')).toHaveValue('tcp');
  await form.getByLabel('Name of the files').fill('refused');
  for (const stage of ['receive', 'firewall', 'transmit']) {
    await form.getByRole('checkbox', { name: stage, exact: true }).uncheck();
  }
  await form.getByRole('button', { name: 'Start', exact: true }).click();
  await expect(form).toBeHidden();
  expect(await on('app1', 'nc', '-vz', '-w', '2', WEB, '22')).toContain('timed out');
  await expect(counted(page, 'drop')).toContainText(/[1-9]\d* of 10,000/);
  await stop(page);
  await remove(page, 'refused', 1);
});

test('what the firewall refuses is told beside the form, which stays', async ({ page, go }) => {
  await go(SCREEN);
  await page.getByRole('button', { name: 'Start a capture' }).click();
  const form = page.getByRole('dialog', { name: 'Start a capture' });
  await form.getByLabel('Source of filter 1').fill('nonsense');
  await form.getByRole('button', { name: 'Add a filter' }).click();
  await form.getByLabel('Destination Port of filter 2').fill('443');
  await form.getByRole('button', { name: 'Start', exact: true }).click();
  await expect(form.getByRole('alert')).toContainText('nonsense');
  await accessible(page, 'a refusal');
  await expect(form.getByLabel('Source of filter 1')).toHaveValue('nonsense');
  await form.getByRole('button', { name: 'Remove filter 1' }).click();
  await expect(form.getByLabel('Destination Port of filter 1')).toHaveValue('443');
  await form.getByRole('button', { name: 'Cancel' }).click();
  await expect(form).toBeHidden();
  await expect(page.getByRole('status')).toContainText('off');
});

test('what was set before stays when the firewall refuses what is to be set', async ({ page, go }) => {
  await go(SCREEN);
  const start = async (source: string) => {
    await page.getByRole('button', { name: 'Start a capture' }).click();
    const form = page.getByRole('dialog', { name: 'Start a capture' });
    await form.getByLabel('Source of filter 1').fill(source);
    await form.getByLabel('Name of the files').fill('kept');
    await form.getByRole('checkbox', { name: 'drop', exact: true }).uncheck();
    await form.getByLabel('Packet Count').fill('777');
    await form.getByLabel('Snap Length').fill('96');
    await form.getByRole('button', { name: 'Start', exact: true }).click();
    return form;
  };
  await expect(await start(APP)).toBeHidden();
  await stop(page);
  const refused = await start('nonsense');
  await expect(refused.getByRole('alert')).toContainText('nonsense');
  await refused.getByRole('button', { name: 'Cancel' }).click();
  await page.reload();
  await expect(page.getByRole('table', { name: 'Filters' }).getByRole('row').nth(1)).toContainText(APP);
  await expect(counted(page, 'receive')).toContainText('of 777');
  await expect(page.getByRole('table', { name: 'Stages' }).getByRole('row')).toHaveCount(4);
  await expect(page.getByText('The first 96 bytes of each packet are kept.')).toBeVisible();
  await remove(page, 'kept', 3);
});
