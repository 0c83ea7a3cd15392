// What do two configurations differ in?

import { Loader, SegmentedControl, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api, told } from '../../api/client';
import { Failure } from '../Page';
import classes from './Diff.module.css';

export function Diff({ from, to }: { from: string; to: string }) {
  const [form, setForm] = useState<'xml' | 'set'>('xml');
  const diff = useQuery({
    queryKey: ['config', 'diff', from, to, form],
    queryFn: () => told(api.GET('/api/v1/config/diff', { params: { query: { from, to, form } } })),
  });
  return (
    <Stack gap="xs">
      <SegmentedControl
        size="xs"
        w="fit-content"
        aria-label="Form of the difference"
        value={form}
        onChange={(value) => setForm(value === 'set' ? 'set' : 'xml')}
        data={[
          { value: 'xml', label: 'XML' },
          { value: 'set', label: 'set lines' },
        ]}
      />
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and the keyboard must be able to do that */}
      <section className={classes.diff} aria-label="Difference" tabIndex={0}>
        {diff.isPending && <Loader size="sm" aria-label="Loading" />}
        {diff.error && <Failure error={diff.error} />}
        {diff.data?.total === 0 && <Text size="sm">They do not differ.</Text>}
        {diff.data?.changes.map((change) => (
          <div key={`${change.kind} ${change.xpath}`}>
            <Text size="xs" fw={600}>
              {change.kind}: {change.path}
            </Text>
            <pre className={classes.text}>
              {(change.text ?? '').split('\n').map((line, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: lines have nothing else to be told apart by
                <span key={index} className={classOf(line, form)}>
                  {`${line}\n`}
                </span>
              ))}
            </pre>
          </div>
        ))}
        {diff.data && diff.data.total > diff.data.changes.length && (
          <Text size="sm">and {diff.data.total - diff.data.changes.length} more changes</Text>
        )}
      </section>
    </Stack>
  );
}

function classOf(line: string, form: 'xml' | 'set'): string | undefined {
  if (form === 'set') return line.startsWith('delete') ? classes.gone : line ? classes.come : undefined;
  if (line.startsWith('+')) return classes.come;
  return line.startsWith('-') ? classes.gone : undefined;
}
