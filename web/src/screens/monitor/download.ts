// How does a log, or what a firewall captured, leave as a file?

import { send } from '../../api/client';
import { refused } from '../../api/config';
import { problemOf } from '../../api/problem';

export type Format = 'csv' | 'json';

/** Saves all lines that fit a query. */
export function download(log: string, query: string, format: Format): Promise<void> {
  return save(`/api/v1/logs/${log}/export?format=${format}&query=${encodeURIComponent(query)}`, `${log}.${format}`);
}

/** Saves a file of a firewall's packet capture. */
export function downloadCapture(serial: string, file: string): Promise<void> {
  return save(`/api/v1/devices/${encodeURIComponent(serial)}/packet-captures/${encodeURIComponent(file)}`, file);
}

async function save(path: string, name: string): Promise<void> {
  try {
    const response = await send(new Request(path));
    if (!response.ok) throw await problemOf(response);
    const url = URL.createObjectURL(await response.blob());
    const link = document.createElement('a');
    link.href = url;
    link.download = name;
    link.click();
    URL.revokeObjectURL(url);
  } catch (error) {
    refused(error);
  }
}
