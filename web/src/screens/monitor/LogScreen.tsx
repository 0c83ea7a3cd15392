// A log: what happened, found by a query, live if wanted, each line explained.

import { Autocomplete, Button, Group, Switch, Text } from '@mantine/core';
import { IconDownload, IconSearch } from '@tabler/icons-react';
import { useEffect, useState } from 'react';
import { send } from '../../api/client';
import { refused } from '../../api/config';
import { problemOf } from '../../api/problem';
import type { LogLine } from '../../api/types';
import { useAddress } from '../../scope';
import { useColumns } from '../../table/Columns';
import { Grid } from '../../table/Grid';
import { zone } from '../../times';
import { Failure, Nothing, Page } from '../Page';
import { Counts } from './Counts';
import { COLUMNS, HIDDEN_AT_FIRST } from './columns';
import { LineDetail } from './LineDetail';
import { useLogFields, useLogPages, useTail } from './log';
import { narrowed, suggest } from './query';

export function LogScreen({ log, title }: { log: string; title: string }) {
  const [address, setAddress] = useAddress();
  const query = address.q ?? '';
  const fields = useLogFields(log);
  const [text, setText] = useState(query);
  const [live, setLive] = useState(false);
  const [opened, setOpened] = useState<LogLine>();
  const pages = useLogPages(log, query, !live);
  const tail = useTail(log, query, live);
  const { columns, menu } = useColumns(`log.${log}`, COLUMNS[log] ?? [], HIDDEN_AT_FIRST);
  const lines = live ? tail : (pages.data?.pages.flatMap((page) => page.lines) ?? []);
  useEffect(() => setText(query), [query]);

  const search = (next: string) => {
    setAddress({ q: next.trim() || undefined });
    if (next.trim() === query && !live) void pages.refetch();
  };
  const look = (_: number, to: number) => {
    if (!live && to > lines.length - 50 && pages.hasNextPage && !pages.isFetching) void pages.fetchNextPage();
  };
  return (
    <Page
      title={title}
      tools={
        <>
          <Switch label="Live" checked={live} onChange={(event) => setLive(event.currentTarget.checked)} />
          <Button variant="default" leftSection={<IconDownload size={16} />} onClick={() => void download(log, query)}>
            CSV
          </Button>
          {menu}
        </>
      }
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          search(text);
        }}
      >
        <Group gap="xs" align="end">
          <Autocomplete
            flex={1}
            aria-label="Query"
            placeholder="( addr.src in 10.0.0.0/8 ) and ( action neq allow )"
            leftSection={<IconSearch size={16} />}
            data={suggest(text, fields)}
            filter={({ options }) => options}
            limit={50}
            value={text}
            onChange={setText}
            styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
          />
          <Button type="submit" size="sm">
            Search
          </Button>
          <Button variant="default" size="sm" onClick={() => search('')} disabled={query === ''}>
            Clear
          </Button>
        </Group>
      </form>
      <Counts log={log} query={query} />
      {pages.error && !live ? (
        <Failure error={pages.error} />
      ) : (
        <Grid
          label={title}
          columns={columns}
          count={lines.length}
          at={(line) => lines[line]}
          keyOf={(line) => String(line.id)}
          look={look}
          onOpen={setOpened}
          none={<Empty live={live} loading={pages.isPending} query={query} />}
        />
      )}
      <Text size="xs" c="dimmed">
        {lines.length} lines{!live && pages.hasNextPage ? ', and more' : ''}. Times are in {zone}. Enter opens a line.
      </Text>
      {opened && (
        <LineDetail
          log={log}
          line={opened}
          fields={fields}
          onClose={() => setOpened(undefined)}
          onNarrow={(field, operator, value) => {
            setOpened(undefined);
            search(narrowed(query, field, operator, value));
          }}
        />
      )}
    </Page>
  );
}

function Empty({ live, loading, query }: { live: boolean; loading: boolean; query: string }) {
  if (live) return <Nothing>Lines appear here as they come.</Nothing>;
  if (loading) return <Text c="dimmed">Loading…</Text>;
  if (query) return <Nothing>No line fits the query.</Nothing>;
  return <Nothing>This log is empty. Firewalls send their logs as soon as they are connected.</Nothing>;
}

/** All lines that fit, as a file. */
async function download(log: string, query: string): Promise<void> {
  try {
    const response = await send(
      new Request(`/api/v1/logs/${log}/export?format=csv&query=${encodeURIComponent(query)}`),
    );
    if (!response.ok) throw await problemOf(response);
    const url = URL.createObjectURL(await response.blob());
    const link = document.createElement('a');
    link.href = url;
    link.download = `${log}.csv`;
    link.click();
    URL.revokeObjectURL(url);
  } catch (error) {
    refused(error);
  }
}
