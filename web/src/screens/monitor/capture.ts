// Which packets does a firewall capture, and how is it told to?

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { ask, escaped, type Flow, protocolOf, textOf } from './explain';
import { timeOf } from './log';

/** What a filter can ask of a packet, as the firewall calls it. */
export const CONDITIONS = [
  { tag: 'ingress-interface', label: 'Ingress Interface', hint: 'ethernet1/1' },
  { tag: 'source', label: 'Source', hint: '10.1.0.10' },
  { tag: 'destination', label: 'Destination', hint: '198.51.100.0/24' },
  { tag: 'source-port', label: 'Source Port', hint: '49152' },
  { tag: 'destination-port', label: 'Destination Port', hint: '443' },
  { tag: 'protocol', label: 'Protocol', hint: 'tcp' },
] as const;

/** The conditions of a filter that are given. */
export type Filter = Partial<Record<(typeof CONDITIONS)[number]['tag'], string>>;

export const FILTERS_MAX = 4;

/** The stages, in the order of a packet's way. */
export const STAGES = [
  { name: 'receive', means: 'Packets as they come, before anything' },
  { name: 'firewall', means: 'Packets of sessions, as they come' },
  { name: 'transmit', means: 'Packets as they leave, after NAT' },
  { name: 'drop', means: 'Packets that are dropped, with the reason' },
];

export type Stage = {
  name: string;
  file: string;
  packets: number;
  packetsMax: number;
  bytes: number;
  bytesMax: number;
};

export type CaptureFile = { name: string; size: number; modified: string | undefined };

export type Capture = {
  on: boolean;
  /** When the last one began; nothing when there was none. */
  started: string | undefined;
  /** When it ends by itself at the latest. */
  ends: string | undefined;
  /** In words; empty while it is on, and when there was none. */
  endedBecause: string;
  /** Packets that should be in the files and are not. */
  lost: number;
  /** Bytes of each packet that are kept; 0 is all. */
  snaplen: number;
  /** Whether the filters count. */
  filtered: boolean;
  filters: Filter[];
  stages: Stage[];
  files: CaptureFile[];
};

/** What the form asks for. */
export type Wanted = {
  filters: Filter[];
  stages: string[];
  /** What the names of the files begin with. */
  name: string;
  /** Of each stage. */
  packets: string;
  /** Of each stage. */
  bytes: string;
  snaplen: string;
};

const leaf = (tag: string, text: string) => `<${tag}>${escaped(text)}</${tag}>`;
const packetDiag = (inner: string) => `<debug><dataplane><packet-diag>${inner}</packet-diag></dataplane></debug>`;
const set = (inner: string) => packetDiag(`<set>${inner}</set>`);

const SETTING = packetDiag('<show><setting/></show>');
const START = set('<capture><on/></capture>');
export const STOP = set('<capture><off/></capture>');

/** What is captured, of what is known about a capture. */
type Settings = Pick<Capture, 'filters' | 'filtered' | 'snaplen'> & {
  stages: Pick<Stage, 'name' | 'file' | 'packetsMax' | 'bytesMax'>[];
};

/** The commands that put settings in the place of all that was set before. */
function settle({ filters, filtered, stages, snaplen }: Settings): string[] {
  const matches = filters.map((filter) =>
    CONDITIONS.map(({ tag }) => (filter[tag] ? leaf(tag, filter[tag]) : '')).join(''),
  );
  return [
    packetDiag('<clear><all/></clear>'),
    ...matches.map((match) => set(`<filter><match/>${match}</filter>`)),
    set(`<filter><${filtered ? 'on' : 'off'}/></filter>`),
    ...stages.map(({ name, file, packetsMax, bytesMax }) => {
      const limits = leaf('packet-count', String(packetsMax)) + leaf('byte-count', String(bytesMax));
      return set(`<capture>${leaf('stage', name)}${leaf('file', file)}${limits}</capture>`);
    }),
    set(`<capture>${leaf('snaplen', String(snaplen))}</capture>`),
  ];
}

function settingsOf({ filters, stages, name, packets, bytes, snaplen }: Wanted): Settings {
  const [packetsMax, bytesMax] = [Number(packets), Number(bytes)];
  return {
    filters,
    filtered: filters.length > 0,
    stages: stages.map((stage) => ({ name: stage, file: fileOf(name, stage), packetsMax, bytesMax })),
    snaplen: Number(snaplen),
  };
}

export function removal(file: string): string {
  return packetDiag(`<clear>${leaf('file', file)}</clear>`);
}

/** The file of a stage. */
export function fileOf(name: string, stage: string): string {
  return `${name}-${stage}.pcapng`;
}

/** Whether a name has files already. */
export function isTaken(name: string, files: CaptureFile[]): boolean {
  return STAGES.some((stage) => files.some((file) => file.name === fileOf(name, stage.name)));
}

/** A name that has no files yet. */
export function freeName(files: CaptureFile[]): string {
  const names = files.map((_, index) => `capture-${index + 2}`);
  return ['capture', ...names].find((name) => !isTaken(name, files)) ?? '';
}

/**
 * The filter that takes a flow when it comes again, as words in the address of the page. The source port is left out: it is
 * another one then.
 */
export function wordsOf({ source, destination, protocol, destinationPort }: Flow): string {
  const word = protocolOf(protocol);
  const port =
    ['tcp', 'udp'].includes(word) && Number(destinationPort) > 0 ? `destination-port ${destinationPort}` : '';
  return [`source ${source}`, `destination ${destination}`, word && `protocol ${word}`, port].filter(Boolean).join(' ');
}

/** The filter of such words; what is none of its conditions is left out. */
export function filterOf(words: string): Filter {
  const parts = words.split(' ');
  return Object.fromEntries(
    CONDITIONS.map(({ tag }) => [tag, parts.indexOf(tag)] as const)
      .filter(([, place]) => place >= 0)
      .map(([tag, place]) => [tag, parts[place + 1] ?? '']),
  );
}

function read(setting: Element): Capture {
  const number = (element: Element, tag: string) => Number(textOf(element, tag));
  const entries = (list: string) => [...setting.querySelectorAll(`:scope > ${list} > entry`)];
  const nameOf = (entry: Element) => entry.getAttribute('name') ?? '';
  return {
    on: textOf(setting, 'capture') === 'on',
    started: timeOf(textOf(setting, 'started')),
    ends: timeOf(textOf(setting, 'ends')),
    endedBecause: textOf(setting, 'ended-because'),
    lost: number(setting, 'lost'),
    snaplen: number(setting, 'snaplen'),
    filtered: textOf(setting, 'filter') === 'on',
    filters: entries('filters').map((entry) =>
      Object.fromEntries(CONDITIONS.map(({ tag }) => [tag, textOf(entry, tag)])),
    ),
    stages: entries('stages').map((entry) => ({
      name: nameOf(entry),
      file: textOf(entry, 'file'),
      packets: number(entry, 'packets'),
      packetsMax: number(entry, 'packet-count'),
      bytes: number(entry, 'bytes'),
      bytesMax: number(entry, 'byte-count'),
    })),
    files: entries('files').map((entry) => ({
      name: nameOf(entry),
      size: number(entry, 'size'),
      modified: timeOf(textOf(entry, 'modified')),
    })),
  };
}

const captureOf = async (serial: string) => read(await ask(serial, SETTING));

export function useCapture(serial: string | undefined) {
  return useQuery({
    queryKey: ['capture', serial],
    enabled: serial !== undefined,
    refetchInterval: (query) => (query.state.data?.on ? 2000 : 10_000),
    queryFn: () => captureOf(serial ?? ''),
  });
}

/** Has commands done, one after the other, until one is refused. */
async function inTurn(serial: string, commands: string[]): Promise<void> {
  for (const command of commands) await ask(serial, command);
}

function useCaptureChange<T>(serial: string, mutationFn: (change: T) => Promise<void>) {
  const queries = useQueryClient();
  return useMutation({ mutationFn, onSettled: () => queries.invalidateQueries({ queryKey: ['capture', serial] }) });
}

export function useCommands(serial: string) {
  return useCaptureChange(serial, (commands: string[]) => inTurn(serial, commands));
}

/** Begins a capture; where the firewall refuses it, what was set before is set again. */
export function useStart(serial: string) {
  return useCaptureChange(serial, async (wanted: Wanted) => {
    const before = await captureOf(serial);
    if (before.on) await ask(serial, STOP);
    try {
      await inTurn(serial, [...settle(settingsOf(wanted)), START]);
    } catch (refusal) {
      // What matters is why the first one was refused; how it stands now is read anew.
      await inTurn(serial, settle(before)).catch(() => undefined);
      throw refusal;
    }
  });
}
