// What happens to flows that no rule is for? The two default rules, and what of them is overridden, where.

import { IconArrowBackUp, IconEdit } from '@tabler/icons-react';
import { useQueries } from '@tanstack/react-query';
import { useState } from 'react';
import { pageOf } from '../../api/config';
import type { Node } from '../../api/types';
import { ancestors, groupPath, useAddress, useGroups } from '../../scope';
import { useColumns } from '../../table/Columns';
import { Grid } from '../../table/Grid';
import type { Row } from '../../table/rows';
import { EntryDialog, type Opened } from '../../tree/EntryDialog';
import { entryPath, leaf } from '../../tree/node';
import { Deletion, Tool } from '../lists/Tools';
import { Failure, Page } from '../Page';
import { defaultColumns } from './columns';
import { useHits } from './hits';
import { DEFAULT_LAYOUT } from './layouts';

const RULES = 'post-rulebase/default-security-rules/rules';

const predefined = (name: string, action: string, logged: string): Node => ({
  tag: 'entry',
  attributes: { name },
  children: [leaf('action', action), leaf('log-start', 'no'), leaf('log-end', logged)],
});

/** What the firewall does where nothing is overridden: refusals of the second are logged. */
const PREDEFINED = [predefined('intrazone-default', 'allow', 'no'), predefined('interzone-default', 'deny', 'yes')];

export function DefaultRulesScreen() {
  const [{ group }] = useAddress();
  const list = `${groupPath(group)}/${RULES}`;
  const { rows, error } = useDefaults();
  const hits = useHits('security', group);
  const { columns, menu } = useColumns('rules.default', defaultColumns(hits));
  const [selected, setSelected] = useState<ReadonlyMap<string, Row>>(new Map());
  const [opened, setOpened] = useState<Opened>();
  const [doomed, setDoomed] = useState<Row>();

  const chosen = selected.size === 1 ? rows.find((row) => selected.has(row.entry.name)) : undefined;
  const open = ({ source, entry }: Row) => {
    if (!entry.node) return;
    const was = { node: entry.node, digest: entry.digest };
    setOpened(source.own ? { list, was } : { list, start: entry.node });
  };

  if (error) return <Failure error={error} />;
  return (
    <Page
      title="Security Default Rules"
      tools={
        <>
          <Tool label="Override" icon={<IconEdit size={18} />} onClick={chosen && (() => open(chosen))} />
          <Tool
            label="Revert"
            icon={<IconArrowBackUp size={18} />}
            onClick={chosen?.source.own ? () => setDoomed(chosen) : undefined}
          />
          {menu}
        </>
      }
    >
      <Grid
        label="Security Default Rules"
        columns={columns}
        count={rows.length}
        at={(line) => rows[line]}
        keyOf={(row) => row.entry.name}
        selected={selected}
        onSelect={setSelected}
        onOpen={open}
        onKey={(event, row) => {
          if (event.key !== 'Delete' || !row.source.own) return false;
          setDoomed(row);
          return true;
        }}
        quiet={(row) => !row.source.own}
        none="Loading…"
      />
      {opened && (
        <EntryDialog
          key={opened.was?.digest ?? 'new'}
          opened={opened}
          title={opened.was ? 'Default rule' : 'Override default rule'}
          layout={DEFAULT_LAYOUT}
          named
          onClose={() => setOpened(undefined)}
        />
      )}
      {doomed && (
        <Deletion
          title="Take the override back?"
          names={[doomed.entry.name]}
          verb="Revert"
          edits={[{ action: 'delete', xpath: entryPath(list, doomed.entry.name) }]}
          onClose={() => setDoomed(undefined)}
          onDone={() => setDoomed(undefined)}
        />
      )}
    </Page>
  );
}

/** The two rules as they are in the group: of what is overridden, the nearest counts. */
function useDefaults(): { rows: Row[]; error: unknown } {
  const [{ group }] = useAddress();
  const groups = useGroups();
  const above = group ? [undefined, ...ancestors(groups.data?.groups ?? [], group)].reverse() : [];
  const places = [group, ...above].map((name, index) => ({
    xpath: `${groupPath(name)}/${RULES}`,
    location: name ?? 'Shared',
    own: index === 0,
  }));
  const pages = useQueries({ queries: places.map((place) => pageOf(place.xpath, {}, 0)) });
  if (pages.some((page) => page.isPending)) return { rows: [], error: pages.find((page) => page.error)?.error };
  const rows = PREDEFINED.map((node, position): Row => {
    const name = node.attributes?.['name'] ?? '';
    for (const [index, source] of places.entries()) {
      const entry = pages[index]?.data?.entries.find((one) => one.name === name);
      if (entry) return { source, entry: { ...entry, position } };
    }
    const source = { xpath: '', location: 'predefined', own: false };
    return { source, entry: { name, position, node, xpath: '', path: '', digest: '' } };
  });
  return { rows, error: pages.find((page) => page.error)?.error };
}
