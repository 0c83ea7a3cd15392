// What does a playbook do, in which version, and is it to do something else?

import { Button, Group, Loader, Modal, Select, Stack, Tabs, Text, Textarea } from '@mantine/core';
import { useState } from 'react';
import { usePlaybook, useWrite } from '../../api/automation';
import type { Playbook } from '../../api/types';
import { moment } from '../../times';
import { Failure } from '../Page';
import { Refusal } from '../Refusal';
import { Graph } from './Graph';
import { stops } from './graph';

export function PlaybookDialog({ name, onClose }: { name: string; onClose: () => void }) {
  const playbook = usePlaybook(name);
  const [version, setVersion] = useState<number>();
  const versions = playbook.data?.playbooks ?? [];
  const newest = versions[0];
  const shown = versions.find((one) => one.version === version) ?? newest;
  return (
    <Modal opened onClose={onClose} title={`Playbook: ${name}`} size="xl">
      {playbook.error && <Failure error={playbook.error} />}
      {playbook.isPending && <Loader size="sm" aria-label="Loading" />}
      {shown && (
        <Stack gap="sm">
          <Text size="sm">{shown.description}</Text>
          {versions.length > 1 && (
            <Select
              label="Version"
              data={versions.map((one) => ({
                value: String(one.version),
                label: `${one.version}, ${one.author ?? "the program's own"}, ${moment(one.time)}`,
              }))}
              value={String(shown.version)}
              onChange={(value) => setVersion(Number(value))}
              allowDeselect={false}
            />
          )}
          <Tabs defaultValue="graph" keepMounted={false}>
            <Tabs.List mb="sm">
              <Tabs.Tab value="graph">Tasks</Tabs.Tab>
              <Tabs.Tab value="text">Text</Tabs.Tab>
            </Tabs.List>
            <Tabs.Panel value="graph">
              <Graph name={shown.name} stops={stops(shown.tasks, [])} />
            </Tabs.Panel>
            <Tabs.Panel value="text">
              <Writing key={shown.version} shown={shown} isNewest={shown === newest} />
            </Tabs.Panel>
          </Tabs>
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Close
            </Button>
          </Group>
        </Stack>
      )}
    </Modal>
  );
}

function Writing({ shown, isNewest }: { shown: Playbook; isNewest: boolean }) {
  const [text, setText] = useState(shown.text);
  const write = useWrite(shown.name);
  return (
    <Stack gap="sm">
      <Textarea
        label="YAML"
        autosize
        minRows={12}
        maxRows={24}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
      />
      {write.error && <Refusal error={write.error} />}
      <Group justify="flex-end" gap="xs">
        {shown.author && isNewest && (
          <Button variant="light" loading={write.isPending} onClick={() => write.mutate(undefined)}>
            Use the program's own again
          </Button>
        )}
        <Button loading={write.isPending} disabled={isNewest && text === shown.text} onClick={() => write.mutate(text)}>
          Save as a new version
        </Button>
      </Group>
    </Stack>
  );
}
