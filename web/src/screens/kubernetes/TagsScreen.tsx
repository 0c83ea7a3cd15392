// Which addresses have which tags at this moment, and so which dynamic address groups are they in?

import { Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconSearch } from '@tabler/icons-react';
import { useTagged } from '../../api/clusters';
import type { Tagged } from '../../api/types';
import { useAddress } from '../../scope';
import { Clip, type Column, Grid } from '../../table/Grid';
import { amount } from '../../words';
import { Failure, Nothing, Page } from '../Page';

/** Addresses that are read at once; a search finds the others. */
const SHOWN = 5000;
const ADDRESS = /^[0-9.]+$|:/;

const COLUMNS: Column<Tagged>[] = [
  { id: 'address', header: 'Address', width: 200, cell: (one) => <Clip mono>{one.address}</Clip> },
  { id: 'count', header: 'Tags', width: 70, cell: (one) => String(one.tags.length) },
  { id: 'tags', header: 'Names', width: 760, cell: (one) => one.tags.map((tag) => tag.tag).join(', ') },
  {
    id: 'persistent',
    header: 'Outlives a Restart',
    width: 150,
    cell: (one) => (one.persistent ? 'yes' : 'no'),
  },
];

export function TagsScreen() {
  const [address, setAddress] = useAddress();
  const [search] = useDebouncedValue((address.q ?? '').trim(), 200);
  const query = search === '' ? {} : ADDRESS.test(search) ? { address: search } : { tag: search };
  const tagged = useTagged(query, SHOWN);
  const list = tagged.data?.addresses ?? [];
  const total = tagged.data?.total ?? 0;
  if (tagged.error) return <Failure error={tagged.error} />;
  return (
    <Page
      title="Registered Addresses"
      tools={
        <TextInput
          aria-label="Address or tag"
          placeholder="An address, or a whole tag"
          w={280}
          leftSection={<IconSearch size={16} />}
          value={address.q ?? ''}
          onChange={(event) => setAddress({ q: event.currentTarget.value || undefined })}
        />
      }
    >
      <Text size="sm" c="dimmed" aria-live="polite">
        {amount(total, 'address', 'addresses')}
        {total > list.length && `, the first ${list.length.toLocaleString()} are shown`}
      </Text>
      <Grid
        label="Registered Addresses"
        columns={COLUMNS}
        count={list.length}
        at={(line) => list[line]}
        keyOf={(one) => one.address}
        none={
          <Nothing>
            {search
              ? 'No address is that, or has that tag.'
              : 'No address has a tag. Controllers of clusters and API clients register them.'}
          </Nothing>
        }
      />
    </Page>
  );
}
