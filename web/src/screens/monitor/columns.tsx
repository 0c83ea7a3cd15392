// What does a line of each log tell?

import type { LogLine } from '../../api/types';
import { Chip } from '../../table/Chip';
import type { Column } from '../../table/Grid';
import { moment } from '../../times';
import { timeOf } from './log';

const COLOURS: Record<string, string> = { allow: 'green', deny: 'red', drop: 'red', critical: 'red', high: 'orange' };

function told(field: string, header: string, width: number): Column<LogLine> {
  return { id: field, header, width, cell: (line) => line.fields[field] ?? '' };
}

function marked(field: string, header: string, width: number): Column<LogLine> {
  const cell = (line: LogLine) => {
    const word = line.fields[field];
    return word ? <Chip color={COLOURS[word] ?? 'gray'}>{word}</Chip> : null;
  };
  return { id: field, header, width, cell };
}

const time: Column<LogLine> = {
  id: 'receive_time',
  header: 'Receive Time',
  width: 170,
  cell: (line) => moment(timeOf(line.fields['receive_time']) ?? line.fields['receive_time']),
};

export const COLUMNS: Record<string, Column<LogLine>[]> = {
  traffic: [
    time,
    told('subtype', 'Type', 70),
    told('from', 'From Zone', 90),
    told('to', 'To Zone', 90),
    told('src', 'Source', 130),
    told('sport', 'From Port', 85),
    told('dst', 'Destination', 130),
    told('dport', 'To Port', 75),
    told('proto', 'Protocol', 80),
    told('app', 'Application', 100),
    marked('action', 'Action', 110),
    told('rule', 'Rule', 160),
    told('session_end_reason', 'Session End Reason', 150),
    told('bytes', 'Bytes', 80),
    told('packets', 'Packets', 80),
    told('natsrc', 'NAT Source', 120),
    told('natdst', 'NAT Destination', 120),
    told('src_tags', 'Source Tags', 200),
    told('dst_tags', 'Destination Tags', 200),
    told('k8s_cluster_id', 'Cluster ID', 90),
    told('sessionid', 'Session ID', 90),
    told('serial', 'Device', 150),
  ],
  threat: [
    time,
    told('subtype', 'Type', 90),
    told('threatid', 'Name', 200),
    marked('severity', 'Severity', 120),
    told('from', 'From Zone', 100),
    told('src', 'Source', 130),
    told('dst', 'Destination', 130),
    told('repeatcnt', 'Count', 80),
    marked('action', 'Action', 110),
    told('serial', 'Device', 150),
  ],
  system: [
    time,
    marked('severity', 'Severity', 130),
    told('subtype', 'Type', 110),
    told('eventid', 'Event', 180),
    told('object', 'Object', 140),
    told('opaque', 'Description', 520),
    told('serial', 'Device', 150),
  ],
  config: [
    time,
    told('admin', 'Administrator', 120),
    told('host', 'Host', 130),
    told('client', 'Client', 90),
    told('cmd', 'Command', 110),
    told('result', 'Result', 110),
    told('path', 'Configuration Path', 460),
    told('comment', 'Comment', 200),
  ],
  iptag: [
    time,
    told('ip', 'IP Address', 150),
    told('tag_name', 'Tag', 260),
    told('event_id', 'Event', 120),
    told('timeout', 'Timeout', 90),
    told('datasource_type', 'Source Type', 130),
    told('serial', 'Device', 150),
  ],
};

/** Columns that few look at first. */
export const HIDDEN_AT_FIRST = ['sport', 'natdst', 'packets', 'src_tags', 'dst_tags', 'k8s_cluster_id', 'serial'];
