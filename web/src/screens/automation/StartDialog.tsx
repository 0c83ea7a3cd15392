// Which playbook is to be run by hand, for which cluster, and with what?

import { Button, Group, Modal, Select, Stack, TextInput } from '@mantine/core';
import { useState } from 'react';
import { usePlaybooks, useStart } from '../../api/automation';
import { Refusal } from '../Refusal';

type Properties = { clusters: string[]; onClose: () => void; onStarted: (run: number) => void };

export function StartDialog({ clusters, onClose, onStarted }: Properties) {
  const playbooks = usePlaybooks().data?.playbooks ?? [];
  const [name, setName] = useState('rollback');
  const [cluster, setCluster] = useState(clusters[0] ?? '');
  const [version, setVersion] = useState('');
  const start = useStart();
  const wantsVersion = name === 'rollback';
  return (
    <Modal opened onClose={onClose} title="Run a playbook">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const inputs: Record<string, string> = wantsVersion ? { version } : {};
          start.mutate({ playbook: name, cluster, inputs }, { onSuccess: ({ run }) => onStarted(run) });
        }}
      >
        <Stack gap="sm">
          <Select
            label="Playbook"
            description={playbooks.find((one) => one.name === name)?.description}
            data={playbooks.map((one) => one.name)}
            value={name}
            onChange={(value) => setName(value ?? name)}
            allowDeselect={false}
            data-autofocus
          />
          <Select
            label="Cluster"
            data={clusters}
            value={cluster || null}
            onChange={(value) => setCluster(value ?? '')}
            clearable
            clearButtonProps={{ 'aria-label': 'No cluster' }}
          />
          {wantsVersion && (
            <TextInput
              label="Version of the configuration"
              description="Its rules come back"
              required
              inputMode="numeric"
              pattern="[0-9]+"
              value={version}
              onChange={(event) => setVersion(event.currentTarget.value)}
            />
          )}
          {start.error && <Refusal error={start.error} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={start.isPending}>
              Run
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
