// Does an administrator do the documents' Azure chapter through the page alone, and does the firewall obey?
//
// Network, NAT and policy are made anew under names of their own, the firewall is moved there, and tells what it would do
// with the chapter's flows. Then everything is taken back.

import type { Locator, Page } from '@playwright/test';
import { expect, test } from './house';

/** A form that is open, and how it is filled. */
class Form {
  readonly page: Page;
  readonly at: Locator;

  constructor(page: Page, at: Locator) {
    this.page = page;
    this.at = at;
  }

  /** The part of the form below a heading, opened when it is not yet. */
  async part(name: string): Promise<Form> {
    const part = this.at.getByRole('group', { name, exact: true }).first();
    const closed = this.at.getByRole('button', { name, exact: true, expanded: false }).first();
    await expect(part.or(closed).first()).toBeVisible();
    if (!(await part.isVisible())) await closed.click();
    return new Form(this.page, part);
  }

  async choose(label: string, option: string): Promise<void> {
    await this.at.getByRole('combobox', { name: label, exact: true }).first().click();
    await this.page.getByRole('option', { name: option, exact: true }).click();
  }

  async put(label: string, text: string): Promise<void> {
    const field = this.at.getByLabel(label, { exact: true }).first();
    await field.fill(text);
    await field.press('Tab');
  }

  /** Values of a field that takes several, instead of those that are there. */
  async members(label: string, ...values: string[]): Promise<void> {
    const field = this.at.getByRole('combobox', { name: label, exact: true }).first();
    await field.focus();
    await field.press('Backspace');
    for (const value of values) {
      await field.fill(value);
      await field.press('Enter');
    }
  }

  /** An entry of a list, whose own form is opened. */
  async entry(list: string, name: string): Promise<Form> {
    const part = await this.part(list);
    await part.at.getByLabel(`Add to ${list}`).last().fill(name);
    await part.at.getByRole('button', { name: 'Add', exact: true }).last().click();
    return new Form(this.page, part.at.getByRole('region', { name, exact: true }));
  }

  async tab(name: string): Promise<void> {
    await this.at.getByRole('tab', { name, exact: true }).click();
  }
}

async function add(page: Page, path: string, name: string, fill: (form: Form) => Promise<void>): Promise<void> {
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  const form = new Form(page, page.getByRole('dialog'));
  await form.at.getByLabel('Name').fill(name);
  await fill(form);
  await form.at.getByRole('button', { name: 'Add', exact: true }).last().click();
  await expect(form.at, `${path}: ${name}`).toBeHidden();
  await expect(page.getByRole('row', { name: new RegExp(name) }).first()).toBeVisible();
}

const ethernet = (address: string) => async (form: Form) => {
  await form.choose('Type', 'Layer3');
  await (await form.part('Layer3')).entry('IPv4', address);
};

const loopback = (address: string) => async (form: Form) => {
  await form.entry('IPv4', address);
  await form.put('Interface Management Profile', 'health');
};

const zone =
  (...interfaces: string[]) =>
  async (form: Form) => {
    const network = await form.part('Network');
    await network.choose('Type', 'Layer3');
    await network.members('Layer3', ...interfaces);
  };

type Route = { name: string; to: string; hop: 'IP Address' | 'Next Router'; via: string; by?: string };

const router = (interfaces: string[], routes: Route[]) => async (form: Form) => {
  const instance = await form.entry('Routing Instances (VRF)', 'default');
  await instance.members('Interface', ...interfaces);
  const table = await (await instance.part('Routing Table')).part('IPv4');
  for (const { name, to, hop, via, by } of routes) {
    const route = await table.entry('Static Route', name);
    await route.put('Destination Address', to);
    const next = await route.part('Next Hop');
    await next.choose('Type', hop);
    await next.put(hop, via);
    if (by) await route.put('Interface', by);
  }
};

test('the Azure chapter, by the page alone', async ({ page, go, api }) => {
  test.setTimeout(240_000);
  const { running_version: before } = await api.get<{ running_version: number }>('/system');
  const serial = process.env['SERIAL'] ?? '';
  const at = (path: string) => go(`${path}?template=page-net&group=page-policy`);

  await go('/panorama/templates');
  await page.getByRole('button', { name: 'Add template', exact: true }).click();
  await page.getByRole('dialog').getByLabel('Name').fill('page-net');
  await page.getByRole('dialog').getByRole('button', { name: 'Add' }).click();
  await expect(page.getByRole('row', { name: /page-net/ })).toBeVisible();

  await at('/network/network-profiles/interface-mgmt');
  await add(page, 'profile', 'health', async (form) => {
    for (const service of ['Ping', 'Http', 'Https']) await form.choose(service, 'yes');
  });
  await at('/network/interfaces/ethernet');
  await add(page, 'interface', 'ethernet1/1', ethernet('10.0.1.4/24'));
  await add(page, 'interface', 'ethernet1/2', ethernet('10.0.2.4/24'));
  await at('/network/interfaces/loopback');
  await add(page, 'interface', 'loopback.1', loopback('10.0.1.100/32'));
  await add(page, 'interface', 'loopback.2', loopback('203.0.113.10/32'));
  await at('/network/zones');
  await add(page, 'zone', 'trust', zone('ethernet1/1', 'loopback.1'));
  await add(page, 'zone', 'untrust', zone('ethernet1/2', 'loopback.2'));
  await at('/network/routing/logical-routers');
  await add(
    page,
    'router',
    'vr-private',
    router(
      ['ethernet1/1', 'loopback.1'],
      [
        { name: 'app-vnet', to: '10.1.0.0/24', hop: 'IP Address', via: '10.0.1.1', by: 'ethernet1/1' },
        { name: 'default', to: '0.0.0.0/0', hop: 'Next Router', via: 'vr-public' },
        { name: 'azure-probe', to: '168.63.129.16/32', hop: 'IP Address', via: '10.0.1.1', by: 'ethernet1/1' },
      ],
    ),
  );
  await add(
    page,
    'router',
    'vr-public',
    router(
      ['ethernet1/2', 'loopback.2'],
      [
        { name: 'app-vnet', to: '10.1.0.0/24', hop: 'Next Router', via: 'vr-private' },
        { name: 'default', to: '0.0.0.0/0', hop: 'IP Address', via: '10.0.2.1', by: 'ethernet1/2' },
        { name: 'azure-probe', to: '168.63.129.16/32', hop: 'IP Address', via: '10.0.2.1', by: 'ethernet1/2' },
      ],
    ),
  );

  // The firewall moves from the demo's stack and group to those of the page.
  const place = async (path: string, old: string, kind: string, name: string, template?: string) => {
    await go(path);
    await page.getByRole('row', { name: new RegExp(old) }).dblclick();
    const devices = page.getByRole('dialog').getByRole('combobox', { name: 'Devices' });
    await devices.press('Backspace');
    await devices.press('Tab');
    await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
    await expect(page.getByRole('dialog')).toBeHidden();
    await page.getByRole('button', { name: `Add ${kind}`, exact: true }).click();
    const dialog = new Form(page, page.getByRole('dialog'));
    await dialog.at.getByLabel('Name').fill(name);
    if (template) await dialog.choose('Templates', template);
    await dialog.at.getByLabel('Name').click();
    await dialog.at.getByRole('combobox', { name: 'Devices' }).click();
    await page.getByRole('option', { name: new RegExp(serial) }).click();
    await dialog.at.getByLabel('Name').click();
    await dialog.at.getByRole('button', { name: 'Add' }).click();
    await expect(dialog.at).toBeHidden();
  };
  await place('/panorama/templates', 'azure-stack', 'template stack', 'page-stack', 'page-net');
  await place('/panorama/device-groups', 'azure', 'device group', 'page-policy');

  await at('/policies/nat/pre-rules');
  await add(page, 'NAT', 'inbound-web', async (form) => {
    await form.tab('Original Packet');
    await form.members('Source Zone', 'untrust');
    await form.members('Destination Zone', 'untrust');
    await form.put('Service', 'service-http');
    await form.members('Destination Address', '203.0.113.10');
    await form.tab('Translated Packet');
    await form.choose('Type', 'Destination Translation');
    await (await form.part('Destination Translation')).put('Translated Address', '10.1.0.10');
    const source = await form.part('Source Translation');
    await source.choose('Type', 'Dynamic IP And Port');
    const ports = await source.part('Dynamic IP And Port');
    await ports.choose('Type', 'Interface Address');
    await (await ports.part('Interface Address')).put('Interface', 'ethernet1/1');
  });
  await add(page, 'NAT', 'outbound-internet', async (form) => {
    await form.tab('Original Packet');
    await form.members('Source Zone', 'trust');
    await form.members('Destination Zone', 'untrust');
    await form.members('Source Address', '10.1.0.0/24');
    await form.tab('Translated Packet');
    const source = await form.part('Source Translation');
    await source.choose('Type', 'Dynamic IP And Port');
    const ports = await source.part('Dynamic IP And Port');
    await ports.choose('Type', 'Interface Address');
    await (await ports.part('Interface Address')).put('Interface', 'ethernet1/2');
  });
  await at('/policies/security/pre-rules');
  await add(page, 'rule', 'outbound', async (form) => {
    await form.tab('Source');
    await form.members('Source Zone', 'trust');
    await form.tab('Destination');
    await form.members('Destination Zone', 'untrust');
    await form.tab('Service/URL Category');
    await form.members('Service', 'service-http');
    await form.tab('Actions');
    await form.choose('Action', 'allow');
  });

  await page.getByRole('button', { name: /^Commit \(/ }).click();
  await page.getByRole('menuitem', { name: 'Commit and Push' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Commit and Push' }).click();
  const job = page.getByRole('dialog', { name: /^Job/ });
  await expect(job.getByText('succeeded')).toBeVisible({ timeout: 30_000 });
  await expect(job.getByRole('table', { name: 'Devices' })).toContainText('in force');

  await go('/policies/test');
  const flow = {
    'Ingress interface': 'ethernet1/1',
    'Source address': '10.1.0.10',
    'Destination address': '198.51.100.10',
  };
  for (const [label, value] of Object.entries(flow)) await page.getByLabel(label).fill(value);
  await page.getByLabel('Destination port').fill('80');
  await page.getByRole('button', { name: 'Test', exact: true }).click();
  await expect(page.getByText('allow by rule outbound')).toBeVisible();
  await expect(page.getByText(/: source becomes 10.0.2.4/)).toBeVisible();
  await expect(page.getByText(/leads on to router/)).toBeVisible();
  await page.getByLabel('Destination port').fill('25');
  await page.getByRole('button', { name: 'Test', exact: true }).click();
  await expect(page.getByText('deny by rule interzone-default')).toBeVisible();

  await api.post('/candidate/load', { source: `version:${before}` });
  await api.post('/commit?wait=60', {});
  await api.post('/push?wait=60', { device_groups: ['azure'] });
});
