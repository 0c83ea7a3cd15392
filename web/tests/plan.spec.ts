// Do the plans for the clouds say what the deployment guide's tables say? No browser: the plan itself.

import { expect, test } from '@playwright/test';
import { firstUsable, isNetwork } from '../src/screens/wizard/ipv4';
import { type Cloud, EMPTY, type Line, type Part, plan, settled, warnings, wrong } from '../src/screens/wizard/plan';

const INPUTS = {
  ...EMPTY,
  trustSubnet: '192.168.1.0/24',
  untrustSubnet: '192.168.2.0/24',
  privateFrontend: '192.168.1.100',
  publicFrontend: '203.0.113.10',
  app: '10.1.0.0/16',
  server: '10.1.0.10',
  pods: '10.244.0.0/16',
  services: '172.16.0.0/24',
};

/** The lines of a part as the guide's tables, without what the guide does not ask for. */
const table = (lines: Line[], part: Part) =>
  lines.filter((line) => line.part === part && !line.extra).map((line) => line.cells.join(' | '));

const extras = (cloud: Cloud) =>
  plan(cloud, { ...INPUTS, clusterId: '7' })
    .filter((line) => line.extra)
    .map((line) => `${line.id} ${line.on}`);

test('Azure: two routers with the routes of the guide’s summaries, NAT both ways, loopbacks for the probes', () => {
  const lines = plan('azure', INPUTS);
  expect(table(lines, 'interfaces')).toEqual([
    'ethernet1/1 | Layer3 | DHCP Client | no | allow-https | vr-private | trust',
    'ethernet1/2 | Layer3 | DHCP Client | yes | allow-https | vr-public | untrust',
  ]);
  expect(table(lines, 'loopbacks')).toEqual([
    'loopback.1 | 192.168.1.100/32 | allow-health-checks | vr-private | trust',
    'loopback.2 | 203.0.113.10/32 | allow-health-checks | vr-public | untrust',
  ]);
  expect(table(lines, 'zones')).toEqual(['trust | Layer3 | $eth1, loopback.1', 'untrust | Layer3 | $eth2, loopback.2']);
  expect(table(lines, 'routers')).toEqual([
    'vr-private | ethernet1/1, loopback.1',
    'vr-public | ethernet1/2, loopback.2',
  ]);
  expect(table(lines, 'routes')).toEqual([
    'vr-private | Application routing | app-vnet | 10.1.0.0/16 | IP Address | 192.168.1.1 | ethernet1/1',
    'vr-private | Pod subnet | pod_route | 10.244.0.0/16 | IP Address | 192.168.1.1 | ethernet1/1',
    'vr-private | Service subnet | service_route | 172.16.0.0/24 | IP Address | 192.168.1.1 | ethernet1/1',
    'vr-private | Default Routing | default | 0.0.0.0/0 | Next Router | vr-public | None',
    'vr-private | Azure LB Health Probe | azure-probe | 168.63.129.16/32 | IP Address | 192.168.1.1 | ethernet1/1',
    'vr-public | Application routing | app-vnet | 10.1.0.0/16 | Next Router | vr-private | None',
    'vr-public | Pod subnet | pod_route | 10.244.0.0/16 | Next Router | vr-private | None',
    'vr-public | Service subnet | service_route | 172.16.0.0/24 | Next Router | vr-private | None',
    'vr-public | Default Routing | default | 0.0.0.0/0 | IP Address | 192.168.2.1 | ethernet1/2',
    'vr-public | Azure LB Health Probe | azure-probe | 168.63.129.16/32 | IP Address | 192.168.2.1 | ethernet1/2',
  ]);
  expect(table(lines, 'nat')).toEqual([
    'inbound-web | untrust | untrust | any | public-frontend | any | Both | ethernet1/1 | inbound-server',
    'outbound-internet | trust | untrust | app-vnet, pod-cidr | any | any | Source Address Only | ethernet1/2 | ',
  ]);
  expect(table(lines, 'security')[0]).toBe(
    'allow-health-checks | any | any | azure-probe | private-frontend, public-frontend | any | allow',
  );
  expect(extras('azure')).toEqual(['traffic cluster-7 true', 'nat azure-probe-no-nat true']);
});

test('Azure with one router for both load balancers is warned of, and a route by another router’s interface', () => {
  const lines = plan('azure', INPUTS);
  expect(warnings('azure', lines)).toEqual([]);
  const changed = lines.map((line) => {
    if (line.id === 'loopbacks loopback.2') return { ...line, cells: line.cells.with(3, 'vr-private') };
    if (line.id === 'routes vr-public app-vnet') return { ...line, cells: line.cells.with(6, 'ethernet1/1') };
    return line;
  });
  expect(warnings('azure', settled(changed))).toEqual([
    'vr-private is the router of both load balancers: their health probes come from one address, and one of them fails.',
    'Route app-vnet of vr-public names ethernet1/1, which is an interface of vr-private.',
  ]);
  expect(settled(changed).find((line) => line.id === 'routers vr-private')?.cells[1]).toBe(
    'ethernet1/1, loopback.1, loopback.2',
  );
});

test('GCP: one router, eth1/1 is untrust, the CIDR is the destination and the gateway the next hop', () => {
  const lines = plan('gcp', { ...INPUTS, publicFrontend: '' });
  expect(table(lines, 'interfaces')).toEqual([
    'ethernet1/1 | Layer3 | DHCP Client | yes | allow-https | default | untrust',
    'ethernet1/2 | Layer3 | DHCP Client | no | allow-https | default | trust',
  ]);
  expect(table(lines, 'loopbacks')).toEqual(['loopback.1 | 192.168.1.100/32 | allow-health-checks | default | trust']);
  expect(table(lines, 'zones')).toEqual(['trust | Layer3 | $eth2, loopback.1', 'untrust | Layer3 | $eth1']);
  expect(table(lines, 'routers')).toEqual(['default | ethernet1/1, ethernet1/2, loopback.1']);
  expect(table(lines, 'routes')).toEqual([
    'default | Internal load balancer | ilb | 192.168.1.100/32 | IP Address | 192.168.1.1 | ethernet1/2',
    'default | VPC subnet | app-vpc | 10.1.0.0/16 | IP Address | 192.168.1.1 | ethernet1/2',
    'default | Pod subnet | pod_route | 10.244.0.0/16 | IP Address | 192.168.1.1 | ethernet1/2',
    'default | Service subnet | service_route | 172.16.0.0/24 | IP Address | 192.168.1.1 | ethernet1/2',
  ]);
  expect(table(lines, 'nat')).toEqual([
    'trust2untrust | trust | untrust | any | any | any | Source Address Only | ethernet1/1 | ',
  ]);
  expect(table(lines, 'security')[0]).toBe(
    'allow-health-checks | any | any | gcp-health-check, gcp-health-check-2 | private-frontend | any | allow',
  );
  expect(extras('gcp')).toEqual([
    'routes default gcp-health-check true',
    'routes default gcp-health-check-2 true',
    'traffic cluster-7 true',
    'nat untrust2trust false',
  ]);
});

test('AWS: one trust interface in vr-private', () => {
  const lines = plan('aws', INPUTS);
  expect(table(lines, 'interfaces')).toEqual([
    'ethernet1/1 | Layer3 | DHCP Client | yes | allow-https | vr-private | trust',
  ]);
  expect(table(lines, 'zones')).toEqual(['trust | Layer3 | $eth1']);
  expect(table(lines, 'routers')).toEqual(['vr-private | ethernet1/1']);
  expect(table(lines, 'routes')).toEqual([]);
  expect(table(lines, 'security')).toEqual(['allow-inspected | trust | trust | any | any | any | allow']);
  expect(extras('aws')).toEqual(['traffic gwlb true', 'traffic cluster-7 true']);
});

test('a gateway is the first usable address, several ranges are lines of their own, and what is no network is told', () => {
  const gateways = ['10.0.1.0/24', '10.0.1.77/25', '10.0.1.130/25', '192.0.2.4/31', '255.255.255.255/32', '0.0.0.0/0'];
  expect(gateways.map(firstUsable)).toEqual([
    '10.0.1.1',
    '10.0.1.1',
    '10.0.1.129',
    '192.0.2.4',
    '255.255.255.255',
    '0.0.0.1',
  ]);
  for (const text of [
    '',
    '10.0.1.0',
    '10.0.1.0/33',
    '10.0.1.256/24',
    '10.0.1/24',
    '10.0.1.0/24/1',
    '-1.0.0.0/8',
    '1e1.0.0.0/8',
  ]) {
    expect(isNetwork(text), text).toBe(false);
    expect(firstUsable(text)).toBe('');
  }
  const two = plan('azure', { ...INPUTS, app: '10.1.0.0/16, 10.2.0.0/16', trustGateway: '192.168.1.9' });
  expect(table(two, 'routes').slice(0, 2)).toEqual([
    'vr-private | Application routing | app-vnet | 10.1.0.0/16 | IP Address | 192.168.1.9 | ethernet1/1',
    'vr-private | Application routing | app-vnet-2 | 10.2.0.0/16 | IP Address | 192.168.1.9 | ethernet1/1',
  ]);
  const field = { label: '', hint: '', needed: true };
  expect(wrong({ ...field, holds: 'networks' }, '10.1.0.0/16, nonsense')).toBe(
    'nonsense is no network like 10.0.1.0/24',
  );
  expect(wrong({ ...field, holds: 'network' }, '10.1.0.0/16 10.2.0.0/16')).toBe('is one');
  expect(wrong({ ...field, holds: 'address' }, ' ')).toBe('is needed');
  expect(wrong({ ...field, holds: 'cluster' }, '2049')).toBe('is 1 to 2048');
});
