// Does an administrator do the documents' Azure chapter through the page alone, and does the firewall obey?
//
// Network, NAT and policy are made anew under names of their own, the firewall is moved there, and clients of the deployment
// send through it. Then everything is taken back.

import type { Page } from '@playwright/test';
import { Form } from './form';
import { type Api, accessible, expect, on, test } from './house';

const WEB = '198.51.100.10';
const PROBE = '168.63.129.16';
const DEVICES = "/config/devices/entry[@name='localhost.localdomain']";

const curl = (host: string, url: string, ...more: string[]) =>
  on(host, 'curl', '-sSk', '--max-time', '5', ...more, url);
/** The code that a load balancer's health check gets. */
const probe = (host: string, url: string) =>
  curl(host, url, '--interface', PROBE, '-o', '/dev/null', '-w', '%{http_code}');

/** The firewall goes back to what it had, with the configuration of before. */
async function restore(api: Api, version: number): Promise<void> {
  await api.post('/candidate/load', { source: `version:${version}` });
  await api.post('/commit?wait=60', {});
  await api.post('/push?wait=60', { device_groups: ['azure'] });
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
  await form.choose('Interface Type', 'Layer3');
  await (await form.part('Layer3')).entry('IPv4', address);
};

const loopback = (address: string) => async (form: Form) => {
  await form.entry('IPv4', address);
  await form.put('Management Profile', 'health');
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
    await form.choose('Type', 'Destination Address Translation');
    await (await form.part('Destination Address Translation')).put('Translated Address', '10.1.0.10');
    const source = await form.part('Source Address Translation');
    await source.choose('Translation Type', 'Dynamic IP And Port');
    const ports = await source.part('Dynamic IP And Port');
    await ports.choose('Address Type', 'Interface Address');
    await (await ports.part('Interface Address')).put('Interface', 'ethernet1/1');
  });
  await add(page, 'NAT', 'outbound-internet', async (form) => {
    await form.tab('Original Packet');
    await form.members('Source Zone', 'trust');
    await form.members('Destination Zone', 'untrust');
    await form.members('Source Address', '10.1.0.0/24');
    await form.tab('Translated Packet');
    const source = await form.part('Source Address Translation');
    await source.choose('Translation Type', 'Dynamic IP And Port');
    const ports = await source.part('Dynamic IP And Port');
    await ports.choose('Address Type', 'Interface Address');
    await (await ports.part('Interface Address')).put('Interface', 'ethernet1/2');
  });
  await at('/policies/security/pre-rules');
  const allow = async (name: string, from: string, to: string, more: (form: Form) => Promise<void>) =>
    add(page, 'rule', name, async (form) => {
      await form.tab('Source');
      await form.members('Source Zone', from);
      await form.tab('Destination');
      await form.members('Destination Zone', to);
      await more(form);
      await form.tab('Actions');
      await form.choose('Action', 'allow');
    });
  await allow('allow-health-checks', 'any', 'any', async (form) => {
    await form.tab('Source');
    await form.members('Source Address', PROBE);
    await form.tab('Service/URL Category');
    await form.members('Service', 'any');
  });
  await allow('inbound-web', 'untrust', 'trust', async (form) => {
    await form.members('Destination Address', '203.0.113.10');
    await form.tab('Service/URL Category');
    await form.members('Service', 'service-http');
  });
  await allow('outbound', 'trust', 'untrust', async (form) => {
    await form.tab('Service/URL Category');
    await form.members('Service', 'service-http');
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
    Source: '10.1.0.10',
    Destination: '198.51.100.10',
  };
  for (const [name, value] of Object.entries(flow)) {
    await page.getByRole('textbox', { name, exact: true }).fill(value);
  }
  await page.getByLabel('Destination port').fill('80');
  await page.getByRole('button', { name: 'Test', exact: true }).click();
  await expect(page.getByText('allow by rule outbound')).toBeVisible();
  await expect(page.getByText(/: source becomes 10.0.2.4/)).toBeVisible();
  await expect(page.getByText(/leads on to router/)).toBeVisible();

  expect(await curl('app1', `http://${WEB}/`)).toContain('internet answers 10.0.2.4');
  expect(await curl('internet', 'http://203.0.113.10/')).toContain('app1 answers 10.0.1.4');
  expect(await probe('vnet', 'http://10.0.1.100/')).toBe('200');
  expect(await probe('edge', 'https://203.0.113.10/')).toBe('200');
  expect(await on('app1', 'nc', '-vz', '-w', '2', WEB, '2525')).toContain('timed out');

  await go('/monitor/logs/traffic?q=( port.dst eq 2525 )');
  const dropped = page.getByRole('row', { name: /interzone-default/ }).first();
  await expect(dropped).toContainText('10.1.0.10');
  await dropped.dblclick();
  const line = page.getByRole('dialog', { name: /traffic log/ });
  await line.getByRole('tab', { name: 'Why?' }).click();
  await expect(line.getByText('deny by rule interzone-default', { exact: true })).toBeVisible();
  await expect(line.getByText(/does not match: service is tcp 2525/).first()).toBeVisible();
  await restore(api, before);
});

test('the plan of the cloud setup for Azure, changed, written and pushed, passes traffic', async ({
  page,
  go,
  api,
}) => {
  test.setTimeout(120_000);
  const { running_version: before } = await api.get<{ running_version: number }>('/system');
  const serial = process.env['SERIAL'] ?? '';
  await go('/network/cloud-setup');
  const inputs = {
    'Trust subnet (eth1/1)': '10.0.1.0/24',
    'Untrust subnet (eth1/2)': '10.0.2.0/24',
    'Internal load balancer': '10.0.1.100',
    'Public load balancer': '203.0.113.10',
    'Application VNet ranges': 'nonsense',
    'Server for inbound traffic': '10.1.0.10',
    'Pod ranges': '172.16.0.0/24',
  };
  for (const [label, text] of Object.entries(inputs)) await page.getByLabel(label).fill(text);
  await expect(page.getByText('nonsense is no network')).toBeVisible();
  await page.getByLabel('Application VNet ranges').fill('10.1.0.0/24');
  const cell = (name: string) => page.getByRole('textbox', { name, exact: true });
  await expect(cell('Next Hop Value of routes vr-private app-vnet')).toHaveValue('10.0.1.1');
  await expect(cell('Interfaces of zones trust')).toHaveValue('$eth1, loopback.1');
  await cell('IP Address of interfaces ethernet1/1').fill('10.0.1.4/24');
  await cell('IP Address of interfaces ethernet1/2').fill('10.0.2.4/24');
  await cell('Service of security outbound-internet').fill('service-http');
  await accessible(page, 'a plan');
  await page.getByRole('combobox', { name: 'Template' }).fill('wizard-net');
  await page.getByRole('combobox', { name: 'Device group' }).fill('wizard-policy');
  await page.getByRole('button', { name: /^Write \d+ lines$/ }).click();
  await expect(page.getByText('Firewalls get it when')).toBeVisible();

  const set = (xpath: string, element: string) => ({ action: 'set', xpath, element });
  await api.post('/config/edits', {
    edits: [
      {
        action: 'delete',
        xpath: `${DEVICES}/template-stack/entry[@name='azure-stack']/devices/entry[@name='${serial}']`,
      },
      { action: 'delete', xpath: `${DEVICES}/device-group/entry[@name='azure']/devices/entry[@name='${serial}']` },
      set(
        `${DEVICES}/template-stack`,
        `<entry name="wizard-stack"><templates><member>wizard-net</member></templates><devices><entry name="${serial}"/></devices></entry>`,
      ),
      set(`${DEVICES}/device-group/entry[@name='wizard-policy']/devices`, `<entry name="${serial}"/>`),
    ],
  });
  await api.post('/commit?wait=60', {});
  await api.post('/push?wait=60', { device_groups: ['wizard-policy'] });

  expect(await curl('app1', `http://${WEB}/`)).toContain('internet answers 10.0.2.4');
  expect(await curl('pod', `http://${WEB}/`)).toContain('internet answers 10.0.2.4');
  expect(await curl('internet', 'http://203.0.113.10/')).toContain('app1 answers 10.0.1.4');
  expect(await probe('vnet', 'http://10.0.1.100/')).toBe('200');
  expect(await probe('edge', 'http://203.0.113.10/')).toBe('200');
  expect(await on('app1', 'nc', '-vz', '-w', '2', WEB, '22')).toContain('timed out');
  await restore(api, before);
});
