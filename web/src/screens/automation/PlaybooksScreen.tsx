// Which way do changes of policies go, and who wrote that?

import { Badge, Text } from '@mantine/core';
import { usePlaybooks } from '../../api/automation';
import type { Playbook } from '../../api/types';
import { useAddress } from '../../scope';
import { Clip, type Column, Grid } from '../../table/Grid';
import { moment } from '../../times';
import { Failure, Nothing, Page } from '../Page';
import { PlaybookDialog } from './PlaybookDialog';

const COLUMNS: Column<Playbook>[] = [
  { id: 'name', header: 'Playbook', width: 140, cell: (one) => one.name },
  { id: 'version', header: 'Version', width: 80, cell: (one) => String(one.version) },
  {
    id: 'author',
    header: 'Author',
    width: 140,
    cell: (one) =>
      one.author ? (
        <Clip>{one.author}</Clip>
      ) : (
        <Badge variant="light" color="gray">
          the program's own
        </Badge>
      ),
  },
  { id: 'time', header: 'Since', width: 170, cell: (one) => moment(one.time) },
  { id: 'tasks', header: 'Tasks', width: 80, cell: (one) => String(one.tasks.length) },
  { id: 'description', header: 'Description', width: 560, cell: (one) => one.description },
];

export function PlaybooksScreen() {
  const [address, setAddress] = useAddress();
  const playbooks = usePlaybooks();
  const list = playbooks.data?.playbooks ?? [];
  if (playbooks.error) return <Failure error={playbooks.error} />;
  return (
    <Page title="Playbooks">
      <Text size="sm" c="dimmed">
        A run keeps the version that it began with. Whoever writes another version has it used from the next run on.
      </Text>
      <Grid
        label="Playbooks"
        columns={COLUMNS}
        count={list.length}
        at={(line) => list[line]}
        keyOf={(one) => one.name}
        onOpen={(one) => setAddress({ open: one.name })}
        none={<Nothing>There is none.</Nothing>}
      />
      {address.open && (
        <PlaybookDialog key={address.open} name={address.open} onClose={() => setAddress({ open: undefined })} />
      )}
    </Page>
  );
}
