// How is one value written: a word, a number, a reference, several of them, a list of entries?

import {
  Accordion,
  ActionIcon,
  Box,
  Button,
  Combobox,
  Fieldset,
  Group,
  NumberInput,
  Select,
  Stack,
  TagsInput,
  Text,
  Textarea,
  TextInput,
  useCombobox,
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

/** Names that a reference shows at once; what is written narrows them. */
const NAMES_SHOWN = 100;
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

/**
 * A text, with the names that it may be where it refers to something. They come while somebody is writing already: the
 * input stays the same one.
 */
function Word({ field, xpath, value, onChange, readOnly }: Properties) {
  const [near, setNear] = useState(false);
  const names = useNames(xpath, near);
  const combobox = useCombobox({ onDropdownClose: () => combobox.resetSelectedOption() });
  const most = field.holds.kind === 'text' ? (field.holds.most ?? undefined) : undefined;
  const text = value?.text ?? '';
  const put = (text: string) => onChange(text ? leaf(field.tag, text) : undefined);
  const isOne = names.includes(text);
  const fitting = names
    .filter((name) => isOne || name.toLowerCase().includes(text.toLowerCase()))
    .slice(0, NAMES_SHOWN);
  const hasNames = names.length > 0;
  return (
    <Combobox
      store={combobox}
      readOnly={readOnly ?? false}
      onOptionSubmit={(name) => {
        put(name);
        combobox.closeDropdown();
      }}
    >
      <Combobox.Target withAriaAttributes={hasNames} withKeyboardNavigation={hasNames}>
        <TextInput
          label={labelOf(field.tag)}
          value={text}
          readOnly={readOnly}
          maxLength={most}
          onChange={(event) => {
            put(event.currentTarget.value);
            combobox.openDropdown();
          }}
          onClick={() => combobox.openDropdown()}
          onFocus={() => {
            setNear(true);
            combobox.openDropdown();
          }}
          onBlur={() => combobox.closeDropdown()}
        />
      </Combobox.Target>
      <Combobox.Dropdown hidden={readOnly || fitting.length === 0}>
        <Combobox.Options mah={220} style={{ overflowY: 'auto' }}>
          {fitting.map((name) => (
            <Combobox.Option key={name} value={name}>
              {name}
            </Combobox.Option>
          ))}
        </Combobox.Options>
      </Combobox.Dropdown>
    </Combobox>
  );
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
