// A log: what happened, found by a query, live if wanted, each line explained.

import { ActionIcon, Autocomplete, Button, Group, Menu, Switch, Text, Tooltip } from '@mantine/core';
import { useClipboard } from '@mantine/hooks';
import { IconCheck, IconDownload, IconLink, IconSearch } from '@tabler/icons-react';
import { useEffect, useMemo, useState } from 'react';
import type { LogLine } from '../../api/types';
import { useAddress } from '../../scope';
import { useColumns } from '../../table/Columns';
import { Grid } from '../../table/Grid';
import { moment, zone } from '../../times';
import { amount } from '../../words';
import { Failure, Nothing, Page } from '../Page';
import { Counts } from './Counts';
import { COLUMNS, HIDDEN_AT_FIRST } from './columns';
import { fitting, together, within } from './conditions';
import { download } from './download';
import { GlobalFilters, RangePicker } from './Filters';
import { LineDetail } from './LineDetail';
import { useLogFields, useLogPages, useTail } from './log';
import { narrowed, suggest } from './query';
import { pinned, useRange } from './range';
import { SavedFilters } from './Saved';

/** So many lines fill a screen. */
const SCREEN = 50;

export function LogScreen({ log, title }: { log: string; title: string }) {
  const [address, setAddress] = useAddress();
  const query = address.q ?? '';
  const fields = useLogFields(log);
  const [text, setText] = useState(query);
  const [live, setLive] = useState(false);
  const [opened, setOpened] = useState<LogLine>();
  const { range } = useRange();
  const [again, setAgain] = useState(0);
  const [fit, left] = fitting(address.filter, fields);
  const asked = together(query, fit);
  // biome-ignore lint/correctness/useExhaustiveDependencies: whoever searches again means the time as it is then
  const found = useMemo(() => together(asked, within(range)), [asked, range, again]);
  const pages = useLogPages(log, found, !live && fields.length > 0);
  const tail = useTail(log, asked, live);
  const { columns, menu } = useColumns(`log.${log}`, COLUMNS[log] ?? [], HIDDEN_AT_FIRST);
  const lines = live ? tail : (pages.data?.pages.flatMap((page) => page.lines) ?? []);
  // A page comes when it has taken long enough, also without a line: reading goes on until the screen is full.
  const readUntil = live || lines.length >= SCREEN ? undefined : (pages.data?.pages.at(-1)?.read_until ?? undefined);
  const { fetchNextPage, isFetching, isError } = pages;
  useEffect(() => {
    if (readUntil && !isFetching && !isError) void fetchNextPage();
  }, [readUntil, isFetching, isError, fetchNextPage]);
  useEffect(() => setText(query), [query]);

  const search = (next: string) => {
    setAddress({ q: next.trim() || undefined });
    if (next.trim() !== query || live) return;
    setAgain(again + 1);
    if (!range) void pages.refetch();
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
          <RangePicker />
          <Export log={log} query={found} />
          <Permalink />
          <SavedFilters log={log} query={query} onChoose={search} />
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
      <GlobalFilters left={[...new Set(left.map((one) => one.field))]} />
      <Counts log={log} query={asked} />
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
          none={<Empty live={live} loading={pages.isPending} readUntil={readUntil} query={found} />}
        />
      )}
      <Text size="xs" c="dimmed">
        {amount(lines.length, 'line')}
        {readUntil
          ? `; looking further back than ${moment(readUntil)}`
          : !live && pages.hasNextPage
            ? ', and more'
            : ''}
        . Times are in {zone()}. Enter opens a line.
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

/** All lines that are found, as a file. */
function Export({ log, query }: { log: string; query: string }) {
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button variant="default" leftSection={<IconDownload size={16} />}>
          Export
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item onClick={() => void download(log, query, 'csv')}>CSV</Menu.Item>
        <Menu.Item onClick={() => void download(log, query, 'json')}>JSON, an object on each line</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

/** The address of what is looked at; of a time that moves as it is now. */
function Permalink() {
  const clipboard = useClipboard({ timeout: 2000 });
  const { range } = useRange();
  const copy = () => {
    const address = new URL(window.location.href);
    const fixed = pinned(range);
    if (fixed) address.searchParams.set('range', fixed);
    clipboard.copy(address.href);
  };
  return (
    <Tooltip label={clipboard.copied ? 'Copied' : 'Copy a link to this'}>
      <ActionIcon aria-label="Copy a link to this" size="lg" onClick={copy}>
        {clipboard.copied ? <IconCheck size={18} /> : <IconLink size={18} />}
      </ActionIcon>
    </Tooltip>
  );
}

function Empty(properties: { live: boolean; loading: boolean; readUntil: string | undefined; query: string }) {
  const { live, loading, readUntil, query } = properties;
  if (live) return <Nothing>Lines appear here as they come.</Nothing>;
  if (loading) return <Text c="dimmed">Loading…</Text>;
  if (readUntil) return <Nothing>{`No line since ${moment(readUntil)} fits. Older ones are being read.`}</Nothing>;
  if (query) return <Nothing>No line fits the query.</Nothing>;
  return <Nothing>This log is empty. Firewalls send their logs as soon as they are connected.</Nothing>;
}
