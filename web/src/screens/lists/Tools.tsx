// What can be done with a list? The line of tools above it, the same for objects and rules, and the question before
// something goes.

import { ActionIcon, Button, TextInput, Tooltip } from '@mantine/core';
import { IconCopy, IconPlus, IconSearch, IconTrash } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { useEdit } from '../../api/config';
import type { Asked } from '../../api/types';
import { useAddress } from '../../scope';
import { Confirm } from '../Confirm';

type Properties = {
  title: string;
  /** Nothing where nothing can be added, as without a template. */
  onAdd: (() => void) | undefined;
  /** Nothing while nothing is selected that it could be done with; so are those below. */
  onClone: (() => void) | undefined;
  onDelete: (() => void) | undefined;
  /** What only some lists have. */
  children?: ReactNode;
  /** The menu of columns. */
  menu: ReactNode;
};

export function Tools({ title, onAdd, onClone, onDelete, children, menu }: Properties) {
  const [address, setAddress] = useAddress();
  return (
    <>
      <TextInput
        aria-label={`Search ${title}`}
        placeholder="Search"
        leftSection={<IconSearch size={16} />}
        value={address.q ?? ''}
        onChange={(event) => setAddress({ q: event.currentTarget.value || undefined })}
      />
      <Button leftSection={<IconPlus size={16} />} onClick={onAdd} disabled={!onAdd}>
        Add
      </Button>
      <Tool label="Clone" icon={<IconCopy size={18} />} onClick={onClone} />
      {children}
      <Tool label="Delete" icon={<IconTrash size={18} />} onClick={onDelete} />
      {menu}
    </>
  );
}

type Tooled = { label: string; icon: ReactNode; onClick: (() => void) | undefined; disabled?: boolean };

export function Tool({ label, icon, onClick, disabled }: Tooled) {
  return (
    <Tooltip label={label}>
      <ActionIcon aria-label={label} size="lg" onClick={onClick} disabled={disabled ?? !onClick}>
        {icon}
      </ActionIcon>
    </Tooltip>
  );
}

type Doomed = {
  title: string;
  names: string[];
  verb?: string;
  edits: Asked[];
  onDone: () => void;
  onClose: () => void;
};

/** Asks before entries go; what the manager has against it is told there. */
export function Deletion({ title, names, verb, edits, onDone, onClose }: Doomed) {
  const remove = useEdit(true);
  return (
    <Confirm
      title={title}
      lines={names}
      verb={verb ?? 'Delete'}
      busy={remove.isPending}
      error={remove.error}
      onClose={onClose}
      onConfirm={() => remove.mutate(edits, { onSuccess: onDone })}
    />
  );
}
