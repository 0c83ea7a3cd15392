// Which devices lack something that is committed, and which of them is it to be pushed to?

import { Checkbox, Fieldset, Group, Loader, Stack, Text } from '@mantine/core';
import { type UseQueryResult, useQuery } from '@tanstack/react-query';
import { api, told } from '../../api/client';
import type { PushPart } from '../../api/types';
import { Failure } from '../Page';

/** Names of device groups and template stacks. */
export type Chosen = { groups: string[]; stacks: string[] };

export function usePushScope(enabled: boolean) {
  return useQuery({ queryKey: ['config', 'push-scope'], enabled, queryFn: () => told(api.GET('/api/v1/push/scope')) });
}

type ScopeData = { device_groups: PushPart[]; template_stacks: PushPart[]; version: number };

type Properties = {
  scope: UseQueryResult<ScopeData>;
  chosen: Chosen | undefined;
  onChange: (chosen: Chosen) => void;
};

export function PushScope(properties: Properties) {
  return (
    <Fieldset legend="Push Scope Selection" p="sm">
      <Scope {...properties} />
    </Fieldset>
  );
}

function Scope({ scope, chosen, onChange }: Properties) {
  if (scope.error) return <Failure error={scope.error} />;
  if (!scope.data) return <Loader size="sm" aria-label="Loading" />;
  const { device_groups: groups, template_stacks: stacks, version } = scope.data;
  if (groups.length + stacks.length === 0) {
    return <Text>Every device has version {version}, which is what was committed last. There is nothing to push.</Text>;
  }
  const covered = new Set(groups.flatMap((group) => group.devices));
  const first: Chosen = {
    groups: groups.map((group) => group.name),
    stacks: stacks.filter((stack) => stack.devices.some((device) => !covered.has(device))).map((stack) => stack.name),
  };
  const now = chosen ?? first;
  return (
    <Stack gap="sm">
      <Parts
        label="Device Groups, with the templates of their devices"
        parts={groups}
        chosen={now.groups}
        onChange={(names) => onChange({ ...now, groups: names })}
      />
      <Parts
        label="Templates alone"
        parts={stacks}
        chosen={now.stacks}
        onChange={(names) => onChange({ ...now, stacks: names })}
      />
    </Stack>
  );
}

function Parts(properties: {
  label: string;
  parts: PushPart[];
  chosen: string[];
  onChange: (names: string[]) => void;
}) {
  const { label, parts, chosen, onChange } = properties;
  if (parts.length === 0) return null;
  return (
    <Checkbox.Group label={label} value={chosen} onChange={onChange}>
      <Stack gap="xs" mt={4}>
        {parts.map((part) => (
          <Group key={part.name} gap="xs">
            <Checkbox value={part.name} label={part.name} />
            <Text size="sm" c="dimmed">
              {part.devices.length} {part.devices.length === 1 ? 'device' : 'devices'}
              {part.new_devices.length > 0 && `, ${part.new_devices.length} for the first time`}
              {part.admins.length > 0 &&
                `; edits by ${part.admins.map((one) => `${one.admin} (${one.changes})`).join(', ')}`}
            </Text>
          </Group>
        ))}
      </Stack>
    </Checkbox.Group>
  );
}
