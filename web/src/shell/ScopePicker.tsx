// Whose policy, or whose network, is looked at?

import { Select } from '@mantine/core';
import { useAddress, useGroups, useTemplates } from '../scope';

const SHARED = 'Shared';

export function ScopePicker({ kind }: { kind: 'group' | 'template' }) {
  return kind === 'group' ? <GroupPicker /> : <TemplatePicker />;
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
  const templates = useTemplates().data?.templates ?? [];
  return (
    <Select
      label="Template"
      placeholder="none yet"
      data={templates}
      value={address.template ?? templates[0] ?? null}
      onChange={(template) => setAddress({ template: template ?? undefined, open: undefined })}
      allowDeselect={false}
      searchable={templates.length > 10}
      disabled={templates.length === 0}
      mb="xs"
    />
  );
}
