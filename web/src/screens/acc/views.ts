// What does each tab of the ACC show? Lists of what is most, each by a field of the log.

/** What is most, by a field: its name in reports, and the field and operator by which a query asks for a value of it. */
export type Widget = { title: string; by: string; field: string; operator?: 'in' };

export type View = {
  title: string;
  log: 'traffic' | 'threat';
  /** What is asked in any case. */
  query: string;
  widgets: Widget[];
  /** What is to be known where there is nothing. */
  none: string;
};

const applications: Widget = { title: 'Applications', by: 'app', field: 'app' };
const rules: Widget = { title: 'Rules', by: 'rule', field: 'rule' };
const sources: Widget = { title: 'Source Addresses', by: 'src', field: 'addr.src', operator: 'in' };
const destinations: Widget = { title: 'Destination Addresses', by: 'dst', field: 'addr.dst', operator: 'in' };
const from: Widget = { title: 'Source Zones', by: 'from', field: 'zone.src' };
const to: Widget = { title: 'Destination Zones', by: 'to', field: 'zone.dst' };
const ports: Widget = { title: 'Destination Ports', by: 'dport', field: 'port.dst' };
const actions: Widget = { title: 'Actions', by: 'action', field: 'action' };
const reasons: Widget = { title: 'Session End Reasons', by: 'session_end_reason', field: 'session_end_reason' };
const firewalls: Widget = { title: 'Firewalls', by: 'serial', field: 'serial' };

/** A session that is logged at its start, too, counts once. */
const SESSIONS = '( subtype neq start )';

export const VIEWS: Record<'network' | 'threat' | 'blocked', View> = {
  network: {
    title: 'Network Activity',
    log: 'traffic',
    query: SESSIONS,
    widgets: [applications, rules, sources, destinations, from, to, ports, actions, firewalls],
    none: 'No session was logged in this time. Rules log when their Log at Session End is on; firewalls send what they log as soon as they are connected.',
  },
  threat: {
    title: 'Threat Activity',
    log: 'threat',
    query: '',
    widgets: [
      { title: 'Threats', by: 'threatid', field: 'name-of-threatid' },
      { title: 'Severities', by: 'severity', field: 'severity' },
      sources,
      destinations,
      from,
      actions,
      firewalls,
    ],
    none: 'No threat was logged in this time. Firewalls log floods and scans as the zone protection profile of a zone says.',
  },
  blocked: {
    title: 'Blocked Activity',
    log: 'traffic',
    query: `${SESSIONS} and ( action neq allow )`,
    widgets: [rules, reasons, applications, sources, destinations, ports, from, to, firewalls],
    none: 'Nothing was refused in this time, or no rule that refuses logs it.',
  },
};
