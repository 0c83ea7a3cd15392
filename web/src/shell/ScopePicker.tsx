// Whose policy, or whose network, is looked at?

import { Box, Select, Text } from '@mantine/core';
import { useAddress, useGroups, useTemplates } from '../scope';

const SHARED = 'Shared';

export function ScopePicker({ kind }: { kind: 'group' | 'template' }) {
  return (
    <Box role="group" aria-labelledby="configuration-scope">
      <Text id="configuration-scope" size="xs" fw={700} c="dimmed" tt="uppercase">
        Configuration Scope
      </Text>
      {kind === 'group' ? <GroupPicker /> : <TemplatePicker />}
    </Box>
  );
}

function GroupPicker() {
  const [address, setAddress] = useAddress();
  const groups = useGroups().data?.groups ?? [];
  const depth = (name: string | null | undefined): number => {
    const group = groups.find((one) => one.name === name);
    return group ? 1 + depth(group.parent) : 0;
  };
  const data = [
    { value: '', label: SHARED },
    ...groups.map((group) => ({ value: group.name, label: `${'  '.repeat(depth(group.parent))}${group.name}` })),
  ];
  return (
    <Select
      label="Device Group"
      data={data}
      value={address.group ?? ''}
      onChange={(group) => setAddress({ group: group || undefined, open: undefined })}
      allowDeselect={false}
      searchable={groups.length > 10}
      mb="xs"
    />
  );
}

function TemplatePicker() {
  const [address, setAddress] = useAddress();
  const { templates = [], stacks = [] } = useTemplates().data ?? {};
  const data = [
    { group: 'Templates', items: templates.map((name) => ({ value: `template ${name}`, label: name })) },
    { group: 'Template Stacks', items: stacks.map(({ name }) => ({ value: `stack ${name}`, label: name })) },
  ].filter((part) => part.items.length > 0);
  const template = address.template ?? templates[0];
  const choose = (value: string | null) => {
    const [, kind, name] = /^(template|stack) (.*)$/.exec(value ?? '') ?? [];
    setAddress({ template: undefined, stack: undefined, open: undefined, [kind ?? 'template']: name });
  };
  return (
    <Select
      label="Template"
      placeholder="none yet"
      data={data}
      value={address.stack ? `stack ${address.stack}` : template ? `template ${template}` : null}
      onChange={choose}
      allowDeselect={false}
      searchable={templates.length + stacks.length > 10}
      disabled={data.length === 0}
      mb="xs"
    />
  );
}
