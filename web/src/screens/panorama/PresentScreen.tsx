// Who uses the manager at this time, and from where?

import { Text } from '@mantine/core';
import { usePresent } from '../../api/administration';
import { useSession } from '../../api/session';
import type { Present } from '../../api/types';
import { type Column, Grid, textColumn } from '../../table/Grid';
import { ago, moment } from '../../times';
import { Failure, Nothing, Page } from '../Page';

const CLIENTS: Record<string, string> = { JSONAPI: 'the page, or the JSON API', XMLAPI: 'the XML API' };

const COLUMNS: Column<Present>[] = [
  textColumn('name', 'Admin', 180, (one) => one.name),
  textColumn('host', 'From', 220, (one) => one.host),
  textColumn('client', 'Client', 220, (one) => CLIENTS[one.client] ?? one.client),
  textColumn('since', 'Session Start', 180, (one) => moment(one.since)),
  textColumn('last', 'Last Request', 180, (one) => ago(one.last)),
];

export function PresentScreen() {
  const present = usePresent();
  const session = useSession();
  const own = session.kind === 'in' ? session.session.who.user : undefined;
  const list = present.data?.present ?? [];
  const others = new Set(list.map((one) => one.name).filter((name) => name !== own));
  if (present.error) return <Failure error={present.error} />;
  return (
    <Page title="Logged In Admins">
      <Text size="sm" c="dimmed" aria-live="polite">
        {others.size === 0 ? 'Nobody but you' : `You, and ${[...others].join(', ')}`}. Whoever asked nothing for 15
        minutes is not shown.
      </Text>
      <Grid
        label="Logged In Admins"
        columns={COLUMNS}
        count={list.length}
        at={(line) => list[line]}
        keyOf={(one) => `${one.name} ${one.host} ${one.client}`}
        none={<Nothing>Nobody asked anything in the last 15 minutes.</Nothing>}
      />
    </Page>
  );
}
