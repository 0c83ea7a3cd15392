// How does a log leave as a file?

import { send } from '../../api/client';
import { refused } from '../../api/config';
import { problemOf } from '../../api/problem';

export type Format = 'csv' | 'json';

/** Saves all lines that fit a query. */
export async function download(log: string, query: string, format: Format): Promise<void> {
  try {
    const response = await send(
      new Request(`/api/v1/logs/${log}/export?format=${format}&query=${encodeURIComponent(query)}`),
    );
    if (!response.ok) throw await problemOf(response);
    const url = URL.createObjectURL(await response.blob());
    const link = document.createElement('a');
    link.href = url;
    link.download = `${log}.${format}`;
    link.click();
    URL.revokeObjectURL(url);
  } catch (error) {
    refused(error);
  }
}
