// Which columns does somebody want to see? Their choice stays in the browser, for each table.

import { ActionIcon, Checkbox, Menu, Stack, Tooltip } from '@mantine/core';
import { useLocalStorage } from '@mantine/hooks';
import { IconColumns3 } from '@tabler/icons-react';
import { useMemo } from 'react';
import type { Column } from './Grid';

/** The columns that are shown, and the menu to choose them by. */
export function useColumns<T>(table: string, all: Column<T>[], hiddenAtFirst: string[] = []) {
  const [hidden, setHidden] = useLocalStorage<string[]>({ key: `columns.${table}`, defaultValue: hiddenAtFirst });
  const toggle = (id: string) =>
    setHidden((now) => (now.includes(id) ? now.filter((one) => one !== id) : [...now, id]));
  const menu = (
    <Menu closeOnItemClick={false} position="bottom-end">
      <Menu.Target>
        <Tooltip label="Columns">
          <ActionIcon aria-label="Choose columns" size="lg">
            <IconColumns3 size={18} />
          </ActionIcon>
        </Tooltip>
      </Menu.Target>
      <Menu.Dropdown p="sm">
        <Stack gap="xs">
          {all.slice(1).map((column) => (
            <Checkbox
              key={column.id}
              label={column.header}
              checked={!hidden.includes(column.id)}
              onChange={() => toggle(column.id)}
            />
          ))}
        </Stack>
      </Menu.Dropdown>
    </Menu>
  );
  // The same columns are the same value: a line is not drawn again for them.
  const columns = useMemo(() => all.filter((column) => !hidden.includes(column.id)), [all, hidden]);
  return { columns, menu };
}
