// How is one value written: a word, a number, a reference, several of them, a list of entries?

import {
  Accordion,
  ActionIcon,
  Autocomplete,
  Box,
  Button,
  Fieldset,
  Group,
  NumberInput,
  Select,
  Stack,
  TagsInput,
  Text,
  Textarea,
  TextInput,
} from '@mantine/core';
import { IconPlus, IconTrash } from '@tabler/icons-react';
import { useState } from 'react';
import type { Field, Node } from '../api/types';
import { EntryForm } from './Form';
import { useNames } from './facts';
import { labelOf } from './labels';
import { elements, entryPath, leaf, memberList, nameOf } from './node';
import { PasswordHash } from './PasswordHash';

type Properties = {
  field: Field;
  xpath: string;
  value: Node | undefined;
  onChange: (value: Node | undefined) => void;
  readOnly: boolean | undefined;
};

const LONG = ['description', 'comment', 'comments'];

export function FieldInput(properties: Properties) {
  const { field, value, onChange, readOnly } = properties;
  const label = labelOf(field.tag);
  const put = (text: string | null | undefined) => onChange(text ? leaf(field.tag, text) : undefined);
  const common = { label, readOnly };
  switch (field.holds.kind) {
    case 'flag':
      return <Words {...common} words={['yes', 'no']} value={value?.text} put={put} />;
    case 'words':
      return <Words {...common} words={field.holds.words} value={value?.text} put={put} />;
    case 'integer':
    case 'number': {
      const { least, most } = field.holds;
      const bounds = least != null || most != null ? `${least ?? ''} to ${most ?? ''}` : undefined;
      return (
        <NumberInput
          {...common}
          description={bounds}
          value={value?.text ?? ''}
          onChange={(number) => put(String(number))}
          min={least ?? undefined}
          max={most ?? undefined}
          clampBehavior="none"
          allowDecimal={field.holds.kind === 'number'}
          error={outOf(value?.text, least, most)}
        />
      );
    }
    case 'members':
      return <Members {...properties} />;
    case 'list':
      return <Entries {...properties} />;
    default:
      if (value && elements(value).length > 0) return <Kept tag={field.tag} count={elements(value).length} />;
      if (field.tag === 'phash') return <PasswordHash value={value} onChange={onChange} readOnly={readOnly} />;
      if (LONG.includes(field.tag)) {
        return (
          <Textarea
            {...common}
            autosize
            minRows={1}
            value={value?.text ?? ''}
            onChange={(event) => put(event.currentTarget.value)}
          />
        );
      }
      return <Word {...properties} />;
  }
}

function outOf(text: string | null | undefined, least?: number | null, most?: number | null): string | undefined {
  if (!text) return undefined;
  const number = Number(text);
  if (Number.isNaN(number)) return undefined; // a variable, perhaps
  if ((least != null && number < least) || (most != null && number > most)) return `${least ?? ''} to ${most ?? ''}`;
  return undefined;
}

function Words(properties: {
  label: string;
  words: string[];
  value: string | null | undefined;
  put: (text: string | null) => void;
  readOnly: boolean | undefined;
}) {
  const { label, words, value, put, readOnly } = properties;
  return (
    <Select
      label={label}
      placeholder="default"
      data={words}
      searchable={words.length > 20}
      value={value ?? null}
      onChange={put}
      clearable
      readOnly={readOnly}
    />
  );
}

/** A text, with the names that it may be where it refers to something. */
function Word({ field, xpath, value, onChange, readOnly }: Properties) {
  const [near, setNear] = useState(false);
  const names = useNames(xpath, near);
  const most = field.holds.kind === 'text' ? (field.holds.most ?? undefined) : undefined;
  const properties = {
    label: labelOf(field.tag),
    value: value?.text ?? '',
    readOnly,
    maxLength: most,
    onFocus: () => setNear(true),
  };
  const put = (text: string) => onChange(text ? leaf(field.tag, text) : undefined);
  if (names.length === 0) return <TextInput {...properties} onChange={(event) => put(event.currentTarget.value)} />;
  return <Autocomplete {...properties} data={names} limit={100} onChange={put} />;
}

function Members({ field, xpath, value, onChange, readOnly }: Properties) {
  const [near, setNear] = useState(false);
  const names = useNames(xpath, near);
  return (
    <TagsInput
      label={labelOf(field.tag)}
      data={[...new Set(names)]}
      limit={200}
      value={elements(value).map((member) => member.text ?? '')}
      onChange={(values) => onChange(values.length > 0 ? memberList(field.tag, values) : undefined)}
      onFocus={() => setNear(true)}
      readOnly={readOnly}
      acceptValueOnBlur
      clearable
    />
  );
}

function Kept({ tag, count }: { tag: string; count: number }) {
  return (
    <Text size="sm" c="dimmed">
      {labelOf(tag)}: {count} {count === 1 ? 'element' : 'elements'}, kept as they are.
    </Text>
  );
}

/** A list of entries within an entry: each opens below its name. */
function Entries({ field, xpath, value, onChange, readOnly }: Properties) {
  const [name, setName] = useState('');
  const [opened, setOpened] = useState<string | null>(null);
  const list = elements(value);
  const put = (entries: Node[]) => onChange(entries.length > 0 ? { tag: field.tag, children: entries } : undefined);
  const taken = list.some((entry) => nameOf(entry) === name);
  const add = () => {
    put([...list, { tag: 'entry', attributes: { name } }]);
    setOpened(name);
    setName('');
  };
  return (
    <Fieldset legend={labelOf(field.tag)} p="sm">
      <Stack gap="xs">
        {list.length > 0 && (
          <Accordion variant="contained" value={opened} onChange={setOpened} keepMounted={false} order={3}>
            {list.map((entry, index) => (
              <Accordion.Item key={nameOf(entry)} value={nameOf(entry)}>
                <Group gap={0} wrap="nowrap">
                  <Accordion.Control>{nameOf(entry)}</Accordion.Control>
                  {!readOnly && (
                    <ActionIcon
                      mr="sm"
                      aria-label={`Remove ${nameOf(entry)}`}
                      onClick={() => put(list.filter((_, place) => place !== index))}
                    >
                      <IconTrash size={16} />
                    </ActionIcon>
                  )}
                </Group>
                <Accordion.Panel>
                  <EntryForm
                    xpath={entryPath(xpath, nameOf(entry))}
                    value={entry}
                    onChange={(next) => put(list.map((one, place) => (place === index ? next : one)))}
                    readOnly={readOnly}
                  />
                </Accordion.Panel>
              </Accordion.Item>
            ))}
          </Accordion>
        )}
        {!readOnly && (
          <Group align="end" gap="xs">
            <Box flex={1}>
              <TextInput
                label={`Add to ${labelOf(field.tag)}`}
                placeholder="Name"
                value={name}
                onChange={(event) => setName(event.currentTarget.value)}
                onKeyDown={(event) => {
                  if (event.key !== 'Enter' || !name || taken) return;
                  event.preventDefault();
                  add();
                }}
                error={taken ? 'there is an entry of that name' : undefined}
              />
            </Box>
            <Button variant="light" leftSection={<IconPlus size={16} />} onClick={add} disabled={!name || taken}>
              Add
            </Button>
          </Group>
        )}
      </Stack>
    </Fieldset>
  );
}
