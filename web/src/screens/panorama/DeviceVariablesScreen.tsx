// Which value has each variable of a stack on each of its firewalls, where does it come from, and which have none?

import { Badge, Button, Drawer, Group, Select, Stack, Text, TextInput } from '@mantine/core';
import { useQueries } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { keys, nodeAt, useEdit } from '../../api/config';
import { useDevices } from '../../api/devices';
import type { Asked, Node } from '../../api/types';
import { LISTS, useAddress, useTemplates } from '../../scope';
import { useColumns } from '../../table/Columns';
import { type Column, Grid } from '../../table/Grid';
import { at, elements, entryPath, nameOf } from '../../tree/node';
import { Failure, Nothing, Page } from '../Page';
import { Refusal } from '../Refusal';

/** What a template, a stack or a device says of a variable; `None` leaves it to somebody nearer to the device. */
type Definition = { name: string; kind: string; value: string | undefined };
/** A variable as a device without a value of its own has it. */
type Variable = Definition & { from: string | undefined };
type Line = { serial: string; hostname: string; own: Map<string, Definition> };

function definitions(list: Node | undefined): Definition[] {
  return elements(list).map((entry) => {
    const kind = elements(at(entry, 'type'))[0];
    const value = kind?.text && kind.text !== 'None' ? kind.text : undefined;
    return { name: nameOf(entry), kind: kind?.tag ?? '', value };
  });
}

/** The variables that a stack and its templates define, the nearest value of each. */
function inherited(holders: { name: string; node: Node | undefined }[]): Map<string, Variable> {
  const known = new Map<string, Variable>();
  for (const { name: from, node } of holders) {
    for (const definition of definitions(node)) {
      const before = known.get(definition.name);
      if (before?.value !== undefined) continue;
      known.set(definition.name, { ...definition, from: definition.value === undefined ? undefined : from });
    }
  }
  return known;
}

export function DeviceVariablesScreen() {
  const [address, setAddress] = useAddress();
  const stacks = useTemplates().data?.stacks ?? [];
  const stack = stacks.find((one) => one.name === address.stack) ?? stacks[0];
  const view = useVariables(stack);
  const [opened, setOpened] = useState<Line>();
  const { columns, menu } = useColumns(`variables.${stack?.name ?? ''}`, columnsOf(view.variables));
  const open = view.lines.flatMap((line) => view.variables.filter((one) => given(line, one) === undefined)).length;
  if (view.error) return <Failure error={view.error} />;
  return (
    <Page
      title="Device Variables"
      tools={
        <>
          <Select
            aria-label="Template stack"
            placeholder="No template stack"
            data={stacks.map(({ name }) => name)}
            value={stack?.name ?? null}
            onChange={(name) => setAddress({ stack: name ?? undefined })}
            allowDeselect={false}
            disabled={stacks.length === 0}
          />
          {menu}
        </>
      }
    >
      <Group gap="xs">
        <Text size="sm" c="dimmed">
          A value that is not the device's own is in italics. Enter opens a device.
        </Text>
        {open > 0 && (
          <Badge color="red" variant="light">
            {open} without a value
          </Badge>
        )}
      </Group>
      <Grid
        label="Device Variables"
        columns={columns}
        count={view.variables.length > 0 ? view.lines.length : 0}
        at={(line) => view.lines[line]}
        keyOf={(line) => line.serial}
        onOpen={setOpened}
        none={<Empty stack={stack?.name} variables={view.variables.length} />}
      />
      {opened && stack && (
        <Values
          key={opened.serial}
          stack={stack.name}
          line={opened}
          variables={view.variables}
          onClose={() => setOpened(undefined)}
        />
      )}
    </Page>
  );
}

function Empty({ stack, variables }: { stack: string | undefined; variables: number }) {
  if (!stack) return <Nothing>There is no template stack yet. Make one under Panorama &gt; Templates.</Nothing>;
  if (variables > 0) return <Nothing>The stack has no devices yet. Add some under Panorama &gt; Templates.</Nothing>;
  return (
    <Nothing
      next={
        <Button
          variant="light"
          renderRoot={(properties) => <Link to="/panorama/template-variables" search={{ stack }} {...properties} />}
        >
          Define a variable
        </Button>
      }
    >
      Neither the stack nor its templates define a variable. A variable, as $eth1, stands for a value that differs from
      firewall to firewall.
    </Nothing>
  );
}

const given = (line: Line, variable: Variable) => line.own.get(variable.name)?.value ?? variable.value;

function columnsOf(variables: Variable[]): Column<Line>[] {
  return [
    { id: 'device', header: 'Device', width: 200, cell: (line) => line.hostname || line.serial },
    ...variables.map((variable) => ({
      id: variable.name,
      header: variable.name,
      width: 190,
      cell: (line: Line) => {
        const value = given(line, variable);
        if (value === undefined) return <Badge color="red">no value</Badge>;
        const own = line.own.get(variable.name)?.value !== undefined;
        return own ? value : <i title={`from ${variable.from}`}>{value}</i>;
      },
    })),
  ];
}

type StackOf = { name: string; templates: string[]; devices: string[] };

/** The variables of a stack and the values that its devices have of their own. */
function useVariables(stack: StackOf | undefined) {
  const place = stack && entryPath(LISTS.stack, stack.name);
  const holders = stack
    ? [
        { name: `template stack ${stack.name}`, xpath: `${place}/variable` },
        ...stack.templates.map((name) => ({
          name: `template ${name}`,
          xpath: `${entryPath(LISTS.template, name)}/variable`,
        })),
      ]
    : [];
  const wanted = [...holders.map(({ xpath }) => xpath), ...(place ? [`${place}/devices`] : [])];
  const found = useQueries({
    queries: wanted.map((xpath) => ({
      queryKey: keys.node(xpath),
      queryFn: async () => (await nodeAt(xpath)) ?? null,
    })),
  });
  const devices = useDevices().data?.devices ?? [];
  const entries = elements(found.at(-1)?.data?.node);
  const lines = (stack?.devices ?? []).map((serial): Line => {
    const own = definitions(
      at(
        entries.find((entry) => nameOf(entry) === serial),
        'variable',
      ),
    );
    const hostname = devices.find((device) => device.serial === serial)?.hostname ?? '';
    return { serial, hostname, own: new Map(own.map((one) => [one.name, one])) };
  });
  const known = inherited(holders.map(({ name }, index) => ({ name, node: found[index]?.data?.node ?? undefined })));
  for (const definition of lines.flatMap((line) => [...line.own.values()])) {
    if (!known.has(definition.name)) known.set(definition.name, { ...definition, value: undefined, from: undefined });
  }
  const variables = [...known.values()].sort((one, other) => one.name.localeCompare(other.name));
  return { variables, lines, error: found.find((one) => one.error)?.error };
}

type Opened = { stack: string; line: Line; variables: Variable[]; onClose: () => void };

/** The values of one device; an empty field takes what the stack or a template says. */
function Values({ stack, line, variables, onClose }: Opened) {
  const was = (name: string) => line.own.get(name)?.value ?? '';
  const [values, setValues] = useState(() => new Map(variables.map(({ name }) => [name, was(name)])));
  const edit = useEdit(true);
  const place = `${entryPath(`${entryPath(LISTS.stack, stack)}/devices`, line.serial)}/variable`;
  const edits = variables.flatMap(({ name, kind }): Asked[] => {
    const value = values.get(name) ?? '';
    const xpath = entryPath(place, name);
    if (value === was(name)) return [];
    if (value === '') return [{ action: 'delete', xpath }];
    const type = { tag: 'type', children: [{ tag: kind, text: value }] };
    return [{ action: 'edit', xpath, node: { tag: 'entry', attributes: { name }, children: [type] } }];
  });
  return (
    <Drawer
      opened
      onClose={onClose}
      position="right"
      size="md"
      title={`Variables of ${line.hostname || line.serial}`}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          edit.mutate(edits, { onSuccess: onClose });
        }}
      >
        <Stack gap="sm">
          {variables.map(({ name, kind, value, from }) => (
            <TextInput
              key={name}
              label={name}
              description={`${kind}; ${from ? `empty: as ${from} says` : 'nobody else gives it a value'}`}
              placeholder={value ?? 'no value'}
              error={!values.get(name) && value === undefined ? 'a commit is refused without a value' : undefined}
              value={values.get(name) ?? ''}
              onChange={(event) => setValues(new Map(values).set(name, event.currentTarget.value))}
            />
          ))}
          {edit.error && <Refusal error={edit.error} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={edit.isPending} disabled={edits.length === 0}>
              Save
            </Button>
          </Group>
        </Stack>
      </form>
    </Drawer>
  );
}
