// What was done and said about an incident, and what is to be said?

import { Button, Group, Loader, Modal, Select, Stack, Table, Text, Textarea, TextInput } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { useIncident, useRemark } from '../../api/automation';
import type { Incident } from '../../api/types';
import { moment } from '../../times';
import { Failure } from '../Page';
import { Refusal } from '../Refusal';
import { State } from './states';

export function IncidentDialog({ id, onClose }: { id: number; onClose: () => void }) {
  const incident = useIncident(id);
  return (
    <Modal opened onClose={onClose} title={`Incident ${id}`} size="xl">
      {incident.error && <Failure error={incident.error} />}
      {incident.isPending && <Loader size="sm" aria-label="Loading" />}
      {incident.data && (
        <Stack gap="sm">
          <Group gap="xs">
            <State>{incident.data.incident.status}</State>
            <Text size="sm">
              {incident.data.incident.type} of {incident.data.incident.subject} in cluster{' '}
              {incident.data.incident.cluster}
            </Text>
          </Group>
          {incident.data.incident.message && (
            <Text size="sm" style={{ wordBreak: 'break-word' }}>
              {incident.data.incident.message}
            </Text>
          )}
          <Table.ScrollContainer minWidth={500} mah={320}>
            <Table aria-label="Timeline">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>When</Table.Th>
                  <Table.Th>Who</Table.Th>
                  <Table.Th>What</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {incident.data.timeline.map((line) => (
                  <Table.Tr key={`${line.time} ${line.kind} ${line.text}`}>
                    <Table.Td>{moment(line.time)}</Table.Td>
                    <Table.Td>{line.who}</Table.Td>
                    <Table.Td style={{ wordBreak: 'break-word' }}>
                      {line.kind === 'task' || line.kind === 'comment' ? line.text : `${line.kind}: ${line.text}`}
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
          <Remarks key={JSON.stringify(incident.data.incident)} incident={incident.data.incident} onClose={onClose} />
        </Stack>
      )}
    </Modal>
  );
}

function Remarks({ incident, onClose }: { incident: Incident; onClose: () => void }) {
  const [comment, setComment] = useState('');
  const [owner, setOwner] = useState(incident.owner);
  const [severity, setSeverity] = useState(incident.severity);
  const remark = useRemark(incident.id);
  const changed = {
    ...(comment ? { comment } : {}),
    ...(owner === incident.owner ? {} : { owner }),
    ...(severity === incident.severity ? {} : { severity }),
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        remark.mutate(changed, { onSuccess: () => setComment('') });
      }}
    >
      <Stack gap="sm">
        <Group grow>
          <TextInput
            label="Owner"
            placeholder="nobody"
            value={owner}
            onChange={(event) => setOwner(event.currentTarget.value)}
          />
          <Select
            label="Severity"
            data={['info', 'warning', 'error']}
            value={severity}
            onChange={(value) => setSeverity(value ?? severity)}
            allowDeselect={false}
          />
        </Group>
        <Textarea
          label="Comment"
          autosize
          maxLength={2000}
          value={comment}
          onChange={(event) => setComment(event.currentTarget.value)}
        />
        {remark.error && <Refusal error={remark.error} />}
        <Group justify="flex-end" gap="xs">
          {incident.run && (
            <Button
              variant="subtle"
              mr="auto"
              renderRoot={(properties) => (
                <Link to="/automation/runs" search={{ open: String(incident.run) }} {...properties} />
              )}
            >
              Run {incident.run}
            </Button>
          )}
          <Button
            variant="light"
            loading={remark.isPending}
            onClick={() => remark.mutate({ status: incident.status === 'closed' ? 'open' : 'closed' })}
          >
            {incident.status === 'closed' ? 'Open again' : 'Close the incident'}
          </Button>
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" loading={remark.isPending} disabled={Object.keys(changed).length === 0}>
            Save
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
