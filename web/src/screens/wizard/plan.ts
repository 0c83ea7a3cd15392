// What does a firewall need in a cloud? The deployment guide's interfaces, zones, routers, routes, rules, from a few inputs.
//
// A plan is tables of text, as the guide's own. What the guide does not say and packets need all the same is `extra`, with
// the reason. Where the guide contradicts itself: of GCP's routes the CIDR is the destination and the gateway the next hop;
// a route to another router names no interface.

import { firstUsable, isAddress, isNetwork } from './ipv4';

export type Cloud = 'gcp' | 'azure' | 'aws';

/** The parts of a plan with their columns, in the order in which they are written. */
export const PARTS = {
  variables: { title: 'Template variables', columns: ['Name', 'Type', 'Value'] },
  profiles: { title: 'Interface management profiles', columns: ['Name', 'Services', 'Permitted IP Addresses'] },
  interfaces: {
    title: 'Ethernet interfaces',
    columns: ['Name', 'Interface Type', 'IP Address', 'Default Route', 'Management Profile', 'Logical Router', 'Zone'],
  },
  loopbacks: {
    title: 'Loopback interfaces',
    columns: ['Name', 'IPv4', 'Management Profile', 'Logical Router', 'Zone'],
  },
  zones: { title: 'Zones', columns: ['Name', 'Type', 'Interfaces'] },
  routers: { title: 'Logical routers', columns: ['Name', 'Interfaces'] },
  routes: {
    title: 'Static routes',
    columns: ['Logical Router', 'Route Type', 'Name', 'Destination', 'Next Hop', 'Next Hop Value', 'Interface'],
  },
  traffic: { title: 'Traffic objects', columns: ['Name', 'Type', 'Tunnel', 'Logical Router', 'Zone', 'Interfaces'] },
  addresses: { title: 'Addresses', columns: ['Name', 'Address'] },
  nat: {
    title: 'NAT rules',
    columns: [
      'Name',
      'Source Zone',
      'Destination Zone',
      'Source Address',
      'Destination Address',
      'Service',
      'Translation',
      'Source Interface',
      'Translated Address',
    ],
  },
  security: {
    title: 'Security rules',
    columns: ['Name', 'Source Zone', 'Destination Zone', 'Source Address', 'Destination Address', 'Service', 'Action'],
  },
} as const;
export type Part = keyof typeof PARTS;

/** One line of one table. Several values in a cell are separated by commas. */
export type Line = {
  /** What it stays known by when its cells are changed. */
  id: string;
  part: Part;
  cells: string[];
  /** Whether it is written. */
  on: boolean;
  /** Why it is there, though no step of the guide asks for it; or why it may be wanted. */
  extra?: string;
};

/** What is asked about a deployment. Lists are separated by commas. */
export type Inputs = {
  trustSubnet: string;
  trustGateway: string;
  untrustSubnet: string;
  untrustGateway: string;
  privateFrontend: string;
  publicFrontend: string;
  app: string;
  server: string;
  pods: string;
  services: string;
  clusterId: string;
};
export type Input = keyof Inputs;

export const EMPTY: Inputs = {
  trustSubnet: '',
  trustGateway: '',
  untrustSubnet: '',
  untrustGateway: '',
  privateFrontend: '',
  publicFrontend: '',
  app: '',
  server: '',
  pods: '',
  services: '',
  clusterId: '',
};

type Holds = 'network' | 'networks' | 'address' | 'addresses' | 'cluster';
export type Asked = { label: string; hint: string; holds: Holds; needed: boolean };

/** What each cloud is asked, in this order. */
export function asked(cloud: Cloud): Partial<Record<Input, Asked>> {
  const field = (label: string, hint: string, holds: Holds, needed = false): Asked => ({ label, hint, holds, needed });
  const [trust, untrust] = cloud === 'gcp' ? ['eth1/2', 'eth1/1'] : ['eth1/1', 'eth1/2'];
  const subnet = {
    trustSubnet: field(`Trust subnet (${trust})`, '10.0.1.0/24', 'network', true),
  };
  const clusters = {
    clusterId: field('Cluster ID', '1 to 2048, as in values.yaml', 'cluster'),
  };
  const ranges = {
    pods: field('Pod ranges', '172.16.0.0/24', 'networks'),
    services: field('Service ranges', '172.16.1.0/24', 'networks'),
  };
  if (cloud === 'aws') return { ...subnet, ...clusters };
  return {
    ...subnet,
    trustGateway: field('Trust gateway', 'the first usable address', 'address'),
    untrustSubnet: field(`Untrust subnet (${untrust})`, '10.0.2.0/24', 'network', true),
    untrustGateway: field('Untrust gateway', 'the first usable address', 'address'),
    privateFrontend: field('Internal load balancer', 'output of security_project', 'addresses', true),
    publicFrontend: field('Public load balancer', '203.0.113.10', 'addresses', cloud === 'azure'),
    app: field(cloud === 'gcp' ? 'Application VPC ranges' : 'Application VNet ranges', '10.1.0.0/24', 'networks', true),
    ...(cloud === 'azure' ? { server: field('Server for inbound traffic', '10.1.0.10', 'address') } : {}),
    ...ranges,
    ...clusters,
  };
}

export const listOf = (text: string): string[] =>
  text
    .split(/[\s,]+/)
    .map((one) => one.trim())
    .filter(Boolean);

/** What is wrong with an input; nothing when it is right, or empty and not needed. */
export function wrong({ holds, needed }: Asked, text: string): string | undefined {
  const values = listOf(text);
  if (values.length === 0) return needed ? 'is needed' : undefined;
  if (!holds.endsWith('s') && values.length > 1) return 'is one';
  if (holds === 'cluster') return /^\d+$/.test(text) && +text >= 1 && +text <= 2048 ? undefined : 'is 1 to 2048';
  const fits = holds.startsWith('network') ? isNetwork : isAddress;
  const bad = values.find((value) => !fits(value));
  const like = holds.startsWith('network') ? 'network like 10.0.1.0/24' : 'address like 10.0.1.4';
  return bad && `${bad} is no ${like}`;
}

/** Where the health checks of each cloud's load balancers come from, as their vendors say. */
const PROBES = { gcp: ['35.191.0.0/16', '130.211.0.0/22'], azure: ['168.63.129.16/32'], aws: [] } as const;

const DHCP = 'DHCP Client';
const NONE = 'None';

/** The plan for a cloud. */
export function plan(cloud: Cloud, inputs: Inputs): Line[] {
  const known: Inputs = {
    ...inputs,
    trustGateway: inputs.trustGateway || firstUsable(inputs.trustSubnet),
    untrustGateway: inputs.untrustGateway || firstUsable(inputs.untrustSubnet),
  };
  return settled({ gcp, azure, aws }[cloud](known));
}

/** What a column of a line holds. */
export const cell = ({ part, cells }: Line, column: string): string =>
  cells[(PARTS[part].columns as readonly string[]).indexOf(column)] ?? '';

/** Whether a cell follows from other lines: a zone's and a router's interfaces are those that name it. */
export const follows = (part: Part, column: string): boolean =>
  column === 'Interfaces' && (part === 'zones' || part === 'routers');

/** The lines, with the interfaces of zones and routers; a zone has an interface by its variable. */
export function settled(lines: Line[]): Line[] {
  const taken = lines.filter((one) => one.on);
  const ports = taken.filter(({ part }) => part === 'interfaces' || part === 'loopbacks');
  const variable = (name: string) =>
    taken.find((one) => one.part === 'variables' && cell(one, 'Value') === name)?.cells[0] ?? name;
  return lines.map((one) => {
    const [name = ''] = one.cells;
    const of = (column: string) =>
      ports.filter((port) => cell(port, column) === name).map((port) => port.cells[0] ?? '');
    if (one.part === 'zones')
      return { ...one, cells: [...one.cells.slice(0, -1), of('Zone').map(variable).join(', ')] };
    if (one.part === 'routers') return { ...one, cells: [name, of('Logical Router').join(', ')] };
    return one;
  });
}

/** What of a plan that somebody changed will not work. */
export function warnings(cloud: Cloud, lines: Line[]): string[] {
  const taken = lines.filter((one) => one.on);
  const ports = taken.filter(({ part }) => part === 'interfaces' || part === 'loopbacks');
  const routers = (zone: string) =>
    ports.filter((one) => cell(one, 'Zone') === zone).map((one) => cell(one, 'Logical Router'));
  const both = routers('trust').find((router) => routers('untrust').includes(router));
  const probes =
    cloud === 'azure' && both !== undefined
      ? [
          `${both} is the router of both load balancers: their health probes come from one address, and one of them fails.`,
        ]
      : [];
  const strays = taken
    .filter(({ part }) => part === 'routes')
    .flatMap((one) => {
      const [router, port] = [cell(one, 'Logical Router'), cell(one, 'Interface')];
      const owner = ports.find((other) => cell(other, 'Name') === port);
      const home = owner && cell(owner, 'Logical Router');
      if (!home || home === router) return [];
      return [`Route ${cell(one, 'Name')} of ${router} names ${port}, which is an interface of ${home}.`];
    });
  return [...probes, ...strays];
}

type More = { on?: boolean; extra?: string };
const line = (part: Part, cells: string[], more: More = {}, id = cells[0] ?? ''): Line => ({
  id: `${part} ${id}`,
  part,
  cells,
  on: true,
  ...more,
});

/** Names for several of a kind: `app-vnet`, `app-vnet-2`, …. */
const numbered = (name: string, index: number): string => (index === 0 ? name : `${name}-${index + 1}`);
const named = (name: string, text: string) =>
  listOf(text).map((value, index) => ({ name: numbered(name, index), value }));

const profiles = (cloud: Cloud, inputs: Inputs): Line[] => [
  line('profiles', ['allow-https', 'https', inputs.trustSubnet]),
  ...(cloud === 'aws' ? [] : [line('profiles', ['allow-health-checks', 'http, https', PROBES[cloud].join(', ')])]),
];

const ethernet = (name: string, route: 'yes' | 'no', router: string, zone: string): Line =>
  line('interfaces', [name, 'Layer3', DHCP, route, 'allow-https', router, zone]);

type Side = { router: string; zone: string };

/** A loopback for each load balancer, the private ones first. */
function loopbacks(inputs: Inputs, trust: Side, untrust: Side): Line[] {
  const all = [
    ...listOf(inputs.privateFrontend).map((address) => ({ address, ...trust })),
    ...listOf(inputs.publicFrontend).map((address) => ({ address, ...untrust })),
  ];
  return all.map(({ address, router, zone }, index) =>
    line('loopbacks', [`loopback.${index + 1}`, `${address}/32`, 'allow-health-checks', router, zone]),
  );
}

const route = (router: string, kind: string, name: string, to: string, hop: string[], more?: More): Line =>
  line('routes', [router, kind, name, to, ...hop], more, `${router} ${name}`);
const by = (gateway: string, port: string) => ['IP Address', gateway, port];
const next = (router: string) => ['Next Router', router, NONE];

const addresses = (name: string, text: string): Line[] =>
  named(name, text).map(({ name, value }) => line('addresses', [name, value]));
const namesIn = (lines: Line[]): string => lines.map(({ cells }) => cells[0]).join(', ');

const cluster = (inputs: Inputs, router: string, port: string): Line[] =>
  inputs.clusterId
    ? [
        line('traffic', [`cluster-${inputs.clusterId}`, 'k8s-cluster', inputs.clusterId, router, 'trust', port], {
          extra: "Pods' packets come in a tunnel of the cluster's number; without this they are dropped.",
        }),
      ]
    : [];

function azure(inputs: Inputs): Line[] {
  const [PRIVATE, PUBLIC] = ['vr-private', 'vr-public'];
  const loops = loopbacks(inputs, { router: PRIVATE, zone: 'trust' }, { router: PUBLIC, zone: 'untrust' });
  const apps = named('app-vnet', inputs.app);
  const inner = [
    ...apps.map((one) => ({ kind: 'Application routing', ...one })),
    ...named('pod_route', inputs.pods).map((one) => ({ kind: 'Pod subnet', ...one })),
    ...named('service_route', inputs.services).map((one) => ({ kind: 'Service subnet', ...one })),
  ];
  const [trust, untrust] = [by(inputs.trustGateway, 'ethernet1/1'), by(inputs.untrustGateway, 'ethernet1/2')];
  const [probe] = PROBES.azure;
  const [appNames, podNames] = [addresses('app-vnet', inputs.app), addresses('pod-cidr', inputs.pods)];
  const [privates, publics] = [
    addresses('private-frontend', inputs.privateFrontend),
    addresses('public-frontend', inputs.publicFrontend),
  ];
  const sources = namesIn([...appNames, ...podNames]);
  const inbound = inputs.server !== '' && publics.length > 0;
  const server = inbound ? [line('addresses', ['inbound-server', inputs.server])] : [];
  return [
    line('variables', ['$eth1', 'interface', 'ethernet1/1']),
    line('variables', ['$eth2', 'interface', 'ethernet1/2']),
    ...profiles('azure', inputs),
    ethernet('ethernet1/1', 'no', PRIVATE, 'trust'),
    ethernet('ethernet1/2', 'yes', PUBLIC, 'untrust'),
    ...loops,
    ...['trust', 'untrust'].map((zone) => line('zones', [zone, 'Layer3', ''])),
    ...[PRIVATE, PUBLIC].map((router) => line('routers', [router, ''])),
    ...inner.map(({ kind, name, value }) => route(PRIVATE, kind, name, value, trust)),
    route(PRIVATE, 'Default Routing', 'default', '0.0.0.0/0', next(PUBLIC)),
    route(PRIVATE, 'Azure LB Health Probe', 'azure-probe', probe, trust),
    ...inner.map(({ kind, name, value }) => route(PUBLIC, kind, name, value, next(PRIVATE))),
    route(PUBLIC, 'Default Routing', 'default', '0.0.0.0/0', untrust),
    route(PUBLIC, 'Azure LB Health Probe', 'azure-probe', probe, untrust),
    ...cluster(inputs, PRIVATE, 'ethernet1/1'),
    ...appNames,
    ...podNames,
    ...privates,
    ...publics,
    ...server,
    line('addresses', ['azure-probe', probe]),
    ...(inbound
      ? [
          line(
            'nat',
            ['azure-probe-no-nat', 'untrust', 'untrust', 'azure-probe', namesIn(publics), 'any', NONE, '', ''],
            {
              extra: 'Health checks of the public load balancer end at its loopback; the next rule would send them on.',
            },
          ),
          line('nat', [
            'inbound-web',
            'untrust',
            'untrust',
            'any',
            namesIn(publics),
            'any',
            'Both',
            'ethernet1/1',
            'inbound-server',
          ]),
        ]
      : []),
    line('nat', [
      'outbound-internet',
      'trust',
      'untrust',
      sources,
      'any',
      'any',
      'Source Address Only',
      'ethernet1/2',
      '',
    ]),
    line('security', [
      'allow-health-checks',
      'any',
      'any',
      'azure-probe',
      namesIn([...privates, ...publics]),
      'any',
      'allow',
    ]),
    ...(inbound
      ? [
          line('security', [
            'inbound-web',
            'untrust',
            'trust',
            'any',
            namesIn(publics),
            'service-http, service-https',
            'allow',
          ]),
        ]
      : []),
    line('security', ['outbound-internet', 'trust', 'untrust', sources, 'any', 'any', 'allow']),
  ];
}

function gcp(inputs: Inputs): Line[] {
  const ROUTER = 'default';
  const loops = loopbacks(inputs, { router: ROUTER, zone: 'trust' }, { router: ROUTER, zone: 'untrust' });
  const trust = by(inputs.trustGateway, 'ethernet1/2');
  const frontends = [
    ...addresses('private-frontend', inputs.privateFrontend),
    ...addresses('public-frontend', inputs.publicFrontend),
  ];
  const probes = addresses('gcp-health-check', PROBES.gcp.join(', '));
  return [
    line('variables', ['$eth1', 'interface', 'ethernet1/1']),
    line('variables', ['$eth2', 'interface', 'ethernet1/2']),
    ...profiles('gcp', inputs),
    ethernet('ethernet1/1', 'yes', ROUTER, 'untrust'),
    ethernet('ethernet1/2', 'no', ROUTER, 'trust'),
    ...loops,
    ...['trust', 'untrust'].map((zone) => line('zones', [zone, 'Layer3', ''])),
    line('routers', [ROUTER, '']),
    ...named('ilb', inputs.privateFrontend).map(({ name, value }) =>
      route(ROUTER, 'Internal load balancer', name, `${value}/32`, trust),
    ),
    ...named('app-vpc', inputs.app).map(({ name, value }) => route(ROUTER, 'VPC subnet', name, value, trust)),
    ...named('pod_route', inputs.pods).map(({ name, value }) => route(ROUTER, 'Pod subnet', name, value, trust)),
    ...named('service_route', inputs.services).map(({ name, value }) =>
      route(ROUTER, 'Service subnet', name, value, trust),
    ),
    ...named('gcp-health-check', PROBES.gcp.join(', ')).map(({ name, value }) =>
      route(ROUTER, 'Health checks', name, value, trust, {
        extra: 'The answer to a health check of the internal load balancer leaves by the interface that it came by.',
      }),
    ),
    ...cluster(inputs, ROUTER, 'ethernet1/2'),
    ...frontends,
    ...probes,
    line('nat', ['trust2untrust', 'trust', 'untrust', 'any', 'any', 'any', 'Source Address Only', 'ethernet1/1', '']),
    line('nat', ['untrust2trust', 'untrust', 'trust', 'any', 'any', 'any', 'Source Address Only', 'ethernet1/2', ''], {
      on: false,
      extra: 'The other direction, if servers behind the firewall do not send their answers back through it.',
    }),
    line('security', ['allow-health-checks', 'any', 'any', namesIn(probes), namesIn(frontends), 'any', 'allow']),
    line('security', ['outbound-internet', 'trust', 'untrust', 'any', 'any', 'any', 'allow']),
  ];
}

function aws(inputs: Inputs): Line[] {
  const ROUTER = 'vr-private';
  return [
    line('variables', ['$eth1', 'interface', 'ethernet1/1']),
    ...profiles('aws', inputs),
    ethernet('ethernet1/1', 'yes', ROUTER, 'trust'),
    line('zones', ['trust', 'Layer3', '']),
    line('routers', [ROUTER, '']),
    line('traffic', ['gwlb', 'vpc', 'any', ROUTER, 'trust', 'ethernet1/1'], {
      extra: 'Packets come from the gateway load balancer in a tunnel; without this they are dropped.',
    }),
    ...cluster(inputs, ROUTER, 'ethernet1/1'),
    line('security', ['allow-inspected', 'trust', 'trust', 'any', 'any', 'any', 'allow']),
  ];
}
