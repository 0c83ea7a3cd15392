// Is each menu that the documents name there, under that name? One after the other, as somebody who reads them would go.

import type { Page } from '@playwright/test';
import { PLACES } from '../src/nav';
import { accessible, expect, test } from './house';

/** As the documents write them; between tab and place a heading may stand. */
const MENUS = [
  'Monitor > Packet Capture',
  'Network > Interfaces > Ethernet',
  'Network > Interfaces > Loopback',
  'Network > Zones',
  'Network > Routing > Logical Routers',
  'Policies > NAT',
  'Policies > Security',
  'Device > Certificate Management > SSL/TLS Service Profile',
  'Panorama > Templates',
  'Panorama > Device Groups',
  'Panorama > Managed Devices',
  'Panorama > Scheduled Config Push',
];

async function go(page: Page, menu: string): Promise<void> {
  const [tab = '', ...below] = menu.split(' > ');
  await page.getByRole('tab', { name: tab, exact: true }).click();
  const places = page.getByRole('navigation', { name: 'Places of this tab' });
  const label = below.pop() ?? '';
  const link = places.getByRole('link', { name: label, exact: true });
  const section = places.getByText(label, { exact: true });
  await expect(link.or(section).first(), menu).toBeVisible();
  for (const heading of below) await expect(places.getByText(heading, { exact: true }), menu).toBeVisible();
  // A rule base is a heading with the rules before and after those of the device.
  if ((await link.count()) === 0) return;
  await link.click();
  await expect(page.getByRole('heading', { level: 1, name: label }), menu).toBeVisible();
}

test('every menu that the documents name is there', async ({ page, go: open }) => {
  await open('/dashboard');
  await expect(page.getByRole('tab', { name: 'Dashboard' })).toBeVisible();
  for (const menu of MENUS) await go(page, menu);
  await page.getByRole('tab', { name: 'Network', exact: true }).click();
  await expect(page.getByRole('group', { name: 'Configuration Scope' })).toBeVisible();
  for (const item of ['Commit to Panorama', 'Push to Devices', 'Commit and Push']) {
    await page.getByRole('button', { name: /^Commit/ }).click();
    await page.getByRole('menuitem', { name: item, exact: true }).click();
    const dialog = page.getByRole('dialog', { name: item, exact: true });
    await expect(dialog).toBeVisible();
    if (item === 'Push to Devices') await expect(dialog.getByText('Push Scope Selection')).toBeVisible();
    await page.keyboard.press('Escape');
    await expect(dialog).toBeHidden();
  }
});

test('what the firewall keeps and does not do says so', async ({ page, go: open }) => {
  test.setTimeout(60_000);
  const kept = PLACES.filter((place) => place.kept);
  expect(kept.length).toBeGreaterThan(10);
  await open(kept[0]?.path ?? '');
  for (const [index, place] of kept.entries()) {
    if (place.tab !== kept[index - 1]?.tab) await page.getByRole('tab', { name: place.tab, exact: true }).click();
    await page
      .getByRole('navigation', { name: 'Places of this tab' })
      .getByRole('link', { name: place.label, exact: true })
      .click();
    await expect(page.getByRole('note'), place.path).toContainText('has no effect');
  }
  await page.mouse.move(700, 600);
  await accessible(page, 'a list with a notice');
});
