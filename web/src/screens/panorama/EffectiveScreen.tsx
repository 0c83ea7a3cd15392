// What would a firewall have, value by value, who wrote each, and what does it hide? Before anything is committed.

import { SegmentedControl, Select, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useQueries } from '@tanstack/react-query';
import { useState } from 'react';
import { api, told } from '../../api/client';
import { useDevices } from '../../api/devices';
import type { Value } from '../../api/types';
import { useAddress } from '../../scope';
import { useColumns } from '../../table/Columns';
import { type Column, Grid, textColumn } from '../../table/Grid';
import { Failure, Nothing, Page } from '../Page';

/** Values that one request brings. */
const PAGE = 500;

/** Where the parts of a device's configuration begin. */
const PARTS = {
  '': 'Everything',
  "/config/devices/entry[@name='localhost.localdomain']/network": 'Network',
  "/config/devices/entry[@name='localhost.localdomain']/vsys": 'Zones and virtual systems',
  "/config/devices/entry[@name='localhost.localdomain']/deviceconfig": 'Device setup',
  '/config/shared': 'Shared settings of templates',
  '/config/panorama': 'Policies and objects',
};

/** The path of a value without what is the same in all. */
const short = (xpath: string): string =>
  xpath
    .replace(/\/member\[text\(\)=.*\]$/, '/member')
    .replace(/^\/config\/(devices\/entry\[@name='localhost\.localdomain'\]\/)?/, '')
    .replaceAll(/entry\[@name=(['"])(.*?)\1\]/g, '$2');

const hidden = (value: Value): string =>
  value.overrides.map((one) => `${one.owner}: ${one.value ?? 'another one of that name'}`).join('; ');

const COLUMNS: Column<Value>[] = [
  textColumn('path', 'Element', 600, (value) => short(value.xpath)),
  textColumn('value', 'Value', 200, (value) => value.value),
  textColumn('owner', 'Origin', 220, (value) => (value.owner ?? '').replaceAll('`', '')),
  textColumn('variable', 'Variable', 120, (value) => value.variable?.name ?? ''),
  textColumn('overrides', 'Overrides', 300, (value) => hidden(value).replaceAll('`', '')),
];

export function EffectiveScreen() {
  const [address, setAddress] = useAddress();
  const devices = useDevices();
  const list = devices.data?.devices ?? [];
  const serial = address.open ?? list[0]?.serial;
  const [source, setSource] = useState('candidate');
  const [below] = useDebouncedValue(address.q ?? '', 250);
  const { columns, menu } = useColumns('effective', COLUMNS);
  const values = useValues(serial, source === 'candidate', below);
  return (
    <Page
      title="Effective Configuration"
      tools={
        <>
          <Select
            aria-label="Firewall"
            placeholder="No firewall"
            data={list.map((device) => ({ value: device.serial, label: device.hostname || device.serial }))}
            value={serial ?? null}
            onChange={(chosen) => setAddress({ open: chosen ?? undefined })}
            allowDeselect={false}
            disabled={list.length === 0}
          />
          <SegmentedControl
            aria-label="Configuration"
            data={[
              { value: 'candidate', label: 'Candidate' },
              { value: 'running', label: 'Running' },
            ]}
            value={source}
            onChange={setSource}
          />
          <Select
            aria-label="Part"
            data={Object.entries(PARTS).map(([value, label]) => ({ value, label }))}
            value={address.q ?? ''}
            onChange={(part) => setAddress({ q: part || undefined })}
            allowDeselect={false}
          />
          {menu}
        </>
      }
    >
      <TextInput
        label="Below"
        description="Only what stands below this place of the firewall's configuration"
        placeholder="/config/…"
        value={address.q ?? ''}
        onChange={(event) => setAddress({ q: event.currentTarget.value || undefined })}
      />
      <Text size="sm" c="dimmed" aria-live="polite">
        {values.total} {values.total === 1 ? 'value' : 'values'}
      </Text>
      {values.error ? (
        <Failure error={values.error} />
      ) : (
        <Grid
          label="Effective Configuration"
          columns={columns}
          count={values.total}
          at={values.at}
          keyOf={(value) => value.xpath}
          look={values.look}
          none={
            <Nothing>
              {serial
                ? values.loading
                  ? 'Reading…'
                  : 'Nothing stands there: no device group, and no template of a stack, gives it to this firewall.'
                : 'There is no firewall yet. Add one under Panorama > Managed Devices.'}
            </Nothing>
          }
        />
      )}
    </Page>
  );
}

/** The values of a device, page by page as they are looked at. */
function useValues(serial: string | undefined, candidate: boolean, below: string) {
  const [range, setRange] = useState({ from: 0, to: 0 });
  const wanted = new Set([0]);
  for (let page = Math.floor(range.from / PAGE); page * PAGE <= range.to; page++) wanted.add(page);
  const numbers = [...wanted];
  const pages = useQueries({
    queries: numbers.map((page) => ({
      queryKey: ['config', 'effective', serial, candidate, below, page],
      enabled: serial !== undefined,
      placeholderData: keepPreviousData,
      queryFn: () =>
        told(
          api.GET('/api/v1/devices/{serial}/effective', {
            params: {
              path: { serial: serial ?? '' },
              query: { candidate, below: below || null, offset: page * PAGE, limit: PAGE },
            },
          }),
        ),
    })),
  });
  return {
    total: pages[0]?.data?.total ?? 0,
    loading: pages.some((page) => page.isLoading),
    error: pages.find((page) => page.error)?.error,
    at: (line: number) => pages[numbers.indexOf(Math.floor(line / PAGE))]?.data?.values[line % PAGE],
    look: (from: number, to: number) => {
      if (from < range.from || to > range.to) setRange({ from, to });
    },
  };
}
