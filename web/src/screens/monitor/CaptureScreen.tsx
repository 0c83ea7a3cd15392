// Which packets does a firewall capture, and where are those that it captured?

import { Badge, Box, Button, Group, Stack, Table, Text, Title } from '@mantine/core';
import { IconDownload, IconPlayerRecord, IconPlayerStop, IconTrash } from '@tabler/icons-react';
import { type ReactNode, useState } from 'react';
import { refused } from '../../api/config';
import { useAddress } from '../../scope';
import { useDevice } from '../../shell/DevicePicker';
import { type Column, Grid, textColumn } from '../../table/Grid';
import { moment, zone } from '../../times';
import { amount, bytes } from '../../words';
import { Confirm } from '../Confirm';
import { Tool } from '../lists/Tools';
import { Failure, Nothing, Page, Remark } from '../Page';
import { CaptureDialog } from './CaptureDialog';
import { type Capture, type CaptureFile, CONDITIONS, removal, STAGES, STOP, useCapture, useCommands } from './capture';
import { downloadCapture } from './download';
import { protocolOf } from './explain';

const COLUMNS: Column<CaptureFile>[] = [
  textColumn('name', 'File', 420, (file) => file.name),
  textColumn('size', 'Size', 110, (file) => bytes(file.size)),
  textColumn('modified', 'Modified', 190, (file) => moment(file.modified)),
];

export function CaptureScreen() {
  const [address, setAddress] = useAddress();
  const { serial, picker } = useDevice(address.open);
  const setting = useCapture(serial);
  const stop = useCommands(serial ?? '');
  const capture = setting.data;
  return (
    <Page
      title="Packet Capture"
      tools={
        <>
          {picker}
          {capture?.on ? (
            <Button
              color="red"
              leftSection={<IconPlayerStop size={16} />}
              loading={stop.isPending}
              onClick={() => stop.mutate([STOP], { onError: refused })}
            >
              Stop
            </Button>
          ) : (
            <Button
              leftSection={<IconPlayerRecord size={16} />}
              disabled={!capture}
              onClick={() => setAddress({ open: serial })}
            >
              Start a capture
            </Button>
          )}
        </>
      }
    >
      {!serial ? (
        <Nothing>A firewall that is connected is asked. None is.</Nothing>
      ) : setting.error ? (
        <Failure error={setting.error} />
      ) : capture ? (
        <Shown key={serial} serial={serial} capture={capture} />
      ) : (
        <Text c="dimmed">Loading…</Text>
      )}
      {address.open && serial && capture && (
        <CaptureDialog
          key={serial}
          serial={serial}
          capture={capture}
          flow={address.flow}
          onClose={() => setAddress({ open: undefined, flow: undefined })}
        />
      )}
    </Page>
  );
}

function Shown({ serial, capture }: { serial: string; capture: Capture }) {
  const { on, lost, filters, stages } = capture;
  return (
    <>
      <Group gap="xs" role="status">
        <Badge variant="light" color={on ? 'green' : 'gray'}>
          {on ? 'capturing' : 'off'}
        </Badge>
        <Text size="sm">{stateOf(capture)}</Text>
      </Group>
      {lost > 0 && (
        <Box flex="none">
          <Remark>
            {amount(lost, 'packet')} came faster than they could be written, and {lost === 1 ? 'is' : 'are'} not in the
            files. A filter that takes less loses less.
          </Remark>
        </Box>
      )}
      {(filters.length > 0 || stages.length > 0) && <Filters capture={capture} />}
      {stages.length > 0 && <Stages capture={capture} />}
      <Files serial={serial} files={capture.files} />
      <Text size="xs" c="dimmed">
        Times are in {zone()}. Files are pcapng, as Wireshark reads it: each packet has a comment with its stage,
        session and rule, and why it was dropped. Enter downloads a file.
      </Text>
    </>
  );
}

/** How it is with the capture, in words. */
function stateOf({ on, started, ends, endedBecause }: Capture): string {
  if (on) return `Since ${moment(started)}, until ${moment(ends)} at the latest.`;
  if (!started) return 'Nothing is captured.';
  return `The last capture began ${moment(started)}${endedBecause ? ` and ended because ${endedBecause}` : ''}.`;
}

type Sectioned = { title: string; tools?: ReactNode; fills?: boolean; children: ReactNode };

/** A part of the screen; one that `fills` has the height that the others leave. */
function Section({ title, tools, fills, children }: Sectioned) {
  return (
    <Stack component="section" aria-label={title} gap={4} {...(fills ? { flex: 1, mih: 220 } : {})}>
      <Group justify="space-between" gap="xs">
        <Title order={2} size="h5">
          {title}
        </Title>
        <Group gap={4}>{tools}</Group>
      </Group>
      {children}
    </Stack>
  );
}

function Filters({ capture: { filters, filtered } }: { capture: Capture }) {
  return (
    <Section title="Filters">
      {filters.length > 0 && (
        <Table aria-label="Filters" verticalSpacing={4} withTableBorder>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Filter</Table.Th>
              {CONDITIONS.map(({ tag, label }) => (
                <Table.Th key={tag}>{label}</Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {filters.map((filter, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: a filter is what stands at its place
              <Table.Tr key={index}>
                <Table.Th scope="row">{index + 1}</Table.Th>
                {CONDITIONS.map(({ tag }) => (
                  <Table.Td key={tag}>
                    {(tag === 'protocol' ? protocolOf(filter[tag] ?? '') : filter[tag]) || 'any'}
                  </Table.Td>
                ))}
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      )}
      {!filtered && (
        <Text size="sm" c="dimmed">
          {filters.length > 0 ? 'They are off: packets' : 'There is none: packets'} of all flows are captured.
        </Text>
      )}
    </Section>
  );
}

function Stages({ capture: { stages, snaplen } }: { capture: Capture }) {
  return (
    <Section title="Stages">
      <Table aria-label="Stages" verticalSpacing={4} withTableBorder>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Stage</Table.Th>
            <Table.Th>Captures</Table.Th>
            <Table.Th>File</Table.Th>
            <Table.Th ta="right">Packets</Table.Th>
            <Table.Th ta="right">Bytes</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {stages.map((stage) => (
            <Table.Tr key={stage.name}>
              <Table.Th scope="row">{stage.name}</Table.Th>
              <Table.Td>{STAGES.find((one) => one.name === stage.name)?.means}</Table.Td>
              <Table.Td style={{ wordBreak: 'break-word' }}>{stage.file}</Table.Td>
              <Table.Td ta="right">
                {stage.packets.toLocaleString()} of {stage.packetsMax.toLocaleString()}
              </Table.Td>
              <Table.Td ta="right">
                {bytes(stage.bytes)} of {bytes(stage.bytesMax)}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {snaplen > 0 && (
        <Text size="sm" c="dimmed">
          The first {amount(snaplen, 'byte')} of each packet are kept.
        </Text>
      )}
    </Section>
  );
}

function Files({ serial, files }: { serial: string; files: CaptureFile[] }) {
  const [selected, setSelected] = useState<ReadonlyMap<string, CaptureFile>>(new Map());
  const [deleting, setDeleting] = useState(false);
  const remove = useCommands(serial);
  const chosen = files.filter((file) => selected.has(file.name));
  const save = async () => {
    for (const file of chosen) await downloadCapture(serial, file.name);
  };
  return (
    <>
      <Section
        title="Captured Files"
        fills
        tools={
          <>
            <Tool
              label="Download"
              icon={<IconDownload size={18} />}
              onClick={() => void save()}
              disabled={chosen.length === 0}
            />
            <Tool
              label="Delete"
              icon={<IconTrash size={18} />}
              onClick={() => setDeleting(true)}
              disabled={chosen.length === 0}
            />
          </>
        }
      >
        <Grid
          label="Captured Files"
          columns={COLUMNS}
          count={files.length}
          at={(line) => files[line]}
          keyOf={(file) => file.name}
          selected={selected}
          onSelect={setSelected}
          onOpen={(file) => void downloadCapture(serial, file.name)}
          none={<Nothing>There is no file. A capture writes one for each of its stages.</Nothing>}
        />
      </Section>
      {deleting && (
        <Confirm
          title="Delete these files?"
          lines={chosen.map((file) => file.name)}
          verb="Delete"
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() =>
            remove.mutate(
              chosen.map((file) => removal(file.name)),
              { onSuccess: () => setDeleting(false) },
            )
          }
          onClose={() => {
            setDeleting(false);
            remove.reset();
          }}
        />
      )}
    </>
  );
}
