// Which sessions does a firewall have, and how are they ended?

import { useQuery } from '@tanstack/react-query';
import { ask, escaped, type Flow } from './explain';

/** A session by the elements of the firewall's answer: `idx`, `source`, `security-rule`, …. */
export type Session = Record<string, string>;

export type Filter = { source: string; destination: string; 'destination-port': string; rule: string };

export function useSessions(serial: string | undefined, filter: Filter) {
  const options = Object.entries(filter).filter(([, value]) => value !== '');
  const inner = options.map(([tag, value]) => `<${tag}>${escaped(value)}</${tag}>`).join('');
  const command = `<show><session><all>${inner ? `<filter>${inner}</filter>` : ''}</all></session></show>`;
  return useQuery({
    queryKey: ['sessions', serial, command],
    enabled: serial !== undefined,
    refetchInterval: 3000,
    queryFn: async () => {
      const result = await ask(serial ?? '', command);
      return [...result.querySelectorAll(':scope > entry')].map(
        (entry): Session => Object.fromEntries([...entry.children].map((one) => [one.tagName, one.textContent ?? ''])),
      );
    },
  });
}

export function end(serial: string, id: string): Promise<Element> {
  return ask(serial, `<clear><session><id>${escaped(id)}</id></session></clear>`);
}

/** The flow of a session, as its first packet came. */
export function flowOf(session: Session): Flow {
  return {
    ingress: session['ingress'] ?? '',
    source: session['source'] ?? '',
    destination: session['dst'] ?? '',
    protocol: session['proto'] ?? '',
    sourcePort: session['sport'] ?? '',
    destinationPort: session['dport'] ?? '',
  };
}
