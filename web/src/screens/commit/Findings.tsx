// Would the candidate be committed, and what is to be thought about?

import { Alert, Badge, Group, Loader, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { api, told } from '../../api/client';
import { useCandidate } from '../../api/config';
import type { Finding } from '../../api/types';
import { Failure } from '../Page';
import { wordsOf } from './Changes';

const COLOURS = { error: 'red', warning: 'yellow', info: 'gray' } as const;

/** What the checks say of the candidate, once for each state of it. */
export function useFindings(enabled = true) {
  const candidate = useCandidate();
  const revision = candidate.data?.revision;
  return useQuery({
    queryKey: ['findings', revision],
    enabled: enabled && revision !== undefined,
    queryFn: () => told(api.POST('/api/v1/validate', { body: {} })),
    staleTime: Number.POSITIVE_INFINITY,
  });
}

export function Findings() {
  const checked = useFindings();
  if (checked.error) return <Failure error={checked.error} />;
  if (!checked.data) return <Loader size="sm" aria-label="Validating" />;
  const { findings, valid } = checked.data;
  return (
    <Stack gap="xs">
      <Alert color={valid ? 'green' : 'red'} title={valid ? 'It can be committed' : 'A commit would be refused'}>
        {findings.length === 0
          ? 'Nothing was found.'
          : `${findings.length} ${findings.length === 1 ? 'finding' : 'findings'}`}
      </Alert>
      <Stack gap="xs" mah={280} style={{ overflowY: 'auto' }} tabIndex={0} role="region" aria-label="Findings">
        {findings.map((finding) => (
          <Line key={`${finding.code} ${finding.xpath} ${finding.message} ${finding.help}`} finding={finding} />
        ))}
      </Stack>
    </Stack>
  );
}

function Line({ finding }: { finding: Finding }) {
  return (
    <div>
      <Group gap="xs">
        <Badge variant="light" color={COLOURS[finding.severity]}>
          {finding.severity}
        </Badge>
        <Text size="xs" ff="monospace">
          {finding.code}
        </Text>
      </Group>
      <Text size="sm">{finding.message}</Text>
      <Text size="xs" c="dimmed">
        {wordsOf(finding.xpath)}
        {finding.owner && ` (${finding.owner})`}
      </Text>
      {finding.help && <Text size="sm">{finding.help}</Text>}
    </div>
  );
}
