// Which flow does a line of a log mean, which address has a name of Kubernetes, and how is a flow written as a test?

import { api, told } from '../../api/client';
import type { Flow } from '../monitor/explain';

/** Places of fields in a line of the traffic log as PAN-OS and this product send it by syslog. */
const SENT: Record<string, number> = { serial: 2, src: 7, dst: 8, inbound_if: 18, sport: 24, dport: 25, proto: 29 };

export type Pasted = { flow: Flow; serial: string };

/** The flow of a line as CSV with its head, as JSON, or as it is sent by syslog; nothing when it is none of them. */
export function pasted(text: string): Pasted | undefined {
  const fields = fieldsOf(text.trim());
  const of = (name: string) => fields?.[name] ?? '';
  if (!of('src') || !of('dst')) return undefined;
  const flow: Flow = {
    ingress: of('inbound_if'),
    source: of('src'),
    destination: of('dst'),
    protocol: of('proto'),
    sourcePort: of('sport'),
    destinationPort: of('dport'),
  };
  return { flow, serial: of('serial') };
}

function fieldsOf(text: string): Record<string, string> | undefined {
  if (text.startsWith('{')) return jsonOf(text);
  const lines = text.split(/\r?\n/).filter(Boolean);
  const head = cells(lines[0] ?? '');
  if (head.includes('src') && lines[1]) {
    const row = cells(lines[1]);
    return Object.fromEntries(head.map((name, place) => [name, row[place] ?? '']));
  }
  const sent = cells((lines[0] ?? '').replace(/^<\d+>.*?(?=\d+,\d{4}\/)/, ''));
  if (sent[3] !== 'TRAFFIC') return undefined;
  return Object.fromEntries(Object.entries(SENT).map(([name, place]) => [name, sent[place] ?? '']));
}

function jsonOf(text: string): Record<string, string> | undefined {
  try {
    const line = JSON.parse(text) as Record<string, unknown>;
    const fields = (typeof line['fields'] === 'object' && line['fields'] ? line['fields'] : line) as Record<
      string,
      unknown
    >;
    return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, String(value ?? '')]));
  } catch {
    return undefined;
  }
}

/** The cells of a line of CSV. */
function cells(line: string): string[] {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
  );
}

/** Addresses that are read to find a name among their tags. */
const ADDRESSES_MAX = 5000;
const WORKLOAD = /^([a-z0-9-]+)\/([a-z0-9.-]+)$/;

/** What stands for an end: itself, or an address of the workload, service or tag that it names. */
export async function addressOf(end: string): Promise<string> {
  const [, namespace, name] = WORKLOAD.exec(end) ?? [];
  const query = namespace ? { limit: ADDRESSES_MAX } : { tag: end, limit: 1 };
  if (!namespace && !end.startsWith('k8s.')) return end;
  const { addresses } = await told(api.GET('/api/v1/registered-addresses', { params: { query } }));
  const means = (tag: string): boolean => {
    const at = tag.indexOf(`.ns_${namespace}.`);
    const own = /^(?:svc|ss|rs|ds)_(.*)$/.exec(tag.slice(at + `.ns_${namespace}.`.length))?.[1];
    // A Deployment's pods are of a ReplicaSet, which has a hash behind the name.
    return at > 0 && (own === name || (own?.startsWith(`${name}-`) ?? false));
  };
  const found = namespace ? addresses.find((one) => one.tags.some(({ tag }) => means(tag))) : addresses[0];
  if (!found) {
    throw new Error(
      `no registered address is of “${end}”; name an address, or a workload or service of a cluster as namespace/name`,
    );
  }
  return found.address;
}

/** A test for `bartizan policy test`, as an item of the list `tests`. */
export function asTest(name: string, asked: Flow, outcome: string): string {
  const lines = [`- name: ${JSON.stringify(name)}`, `  from: ${asked.source}`, `  to: ${asked.destination}`];
  const port = portOf(asked);
  if (port) lines.push(`  port: ${port}`);
  lines.push(`  expect: ${outcome === 'allow' ? 'allow' : 'deny'}`);
  return lines.join('\n');
}

function portOf({ protocol, destinationPort }: Flow): string {
  if (!destinationPort || destinationPort === '0') return '';
  const udp = protocol === 'udp' || protocol === '17';
  const sctp = protocol === 'sctp' || protocol === '132';
  return udp ? `UDP/${destinationPort}` : sctp ? `SCTP/${destinationPort}` : destinationPort;
}
