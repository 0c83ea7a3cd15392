// Why did a flow fare as it did? The firewall follows it by the code that decides, and tells step by step.

import { useQuery } from '@tanstack/react-query';
import { api, told } from '../../api/client';
import { Problem } from '../../api/problem';

export type Flow = {
  ingress: string;
  source: string;
  destination: string;
  /** A number, or `tcp`, `udp`, `icmp`. */
  protocol: string;
  sourcePort: string;
  destinationPort: string;
};

export type Step = { stage: string; text: string; origin: string };
export type Explained = { outcome: string; rule: string; steps: Step[] };

const NUMBERS: Record<string, string> = { icmp: '1', tcp: '6', udp: '17', icmp6: '58' };
/** Protocols that have a word. */
export const PROTOCOLS = Object.keys(NUMBERS);

/** The word of a protocol's number, where it has one. */
export const protocolOf = (number: string): string => PROTOCOLS.find((word) => NUMBERS[word] === number) ?? number;

/** Text as it stands in a command. */
export const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/** The text of an element's child; empty when it has none of that name. */
export function textOf(element: Element, tag: string): string {
  return element.querySelector(`:scope > ${tag}`)?.textContent ?? '';
}

/** Asks a connected firewall an operational command, as XML; its answer's result. */
export async function ask(serial: string, command: string): Promise<Element> {
  const path = { serial };
  const { xml } = await told(api.POST('/api/v1/devices/{serial}/command', { params: { path }, body: { command } }));
  const answer = new DOMParser().parseFromString(xml, 'text/xml').documentElement;
  const result = answer.querySelector('result');
  if (answer.getAttribute('status') !== 'success' || !result) {
    throw new Problem(422, 'invalid-command', answer.textContent?.trim() || 'the firewall gave no answer', []);
  }
  return result;
}

function commandOf(flow: Flow): string {
  const parts: [string, string][] = [
    ['ingress', flow.ingress],
    ['source', flow.source],
    ['destination', flow.destination],
    ['protocol', NUMBERS[flow.protocol] ?? flow.protocol],
    ['source-port', flow.sourcePort],
    ['destination-port', flow.destinationPort],
  ];
  const root = document.implementation.createDocument(null, 'explain');
  for (const [tag, value] of parts) {
    if (!value || value === '0') continue;
    const element = root.createElement(tag);
    element.textContent = value;
    root.documentElement.append(element);
  }
  return new XMLSerializer().serializeToString(root.documentElement);
}

export function useExplained(serial: string, flow: Flow, enabled = true) {
  return useQuery({
    queryKey: ['explain', serial, flow],
    enabled,
    queryFn: async (): Promise<Explained> => {
      const result = await ask(serial, commandOf(flow));
      const steps = [...result.querySelectorAll('steps > entry')].map((entry) => ({
        stage: textOf(entry, 'stage'),
        text: textOf(entry, 'text'),
        origin: textOf(entry, 'origin'),
      }));
      return { outcome: textOf(result, 'outcome'), rule: textOf(result, 'rule'), steps };
    },
  });
}
