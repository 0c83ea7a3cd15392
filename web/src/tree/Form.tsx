// How is any element of the configuration edited? By a form that the schema makes: a field for each element it knows.
//
// What a form does not know it does not lose: elements without a field stay in the node.

import { Alert, Box, Button, Fieldset, Loader, Select, Stack, Tabs, Text } from '@mantine/core';
import { IconChevronRight } from '@tabler/icons-react';
import { createContext, useContext, useState } from 'react';
import type { Facts, Field, Node } from '../api/types';
import { useFacts } from './facts';
import { FieldInput } from './inputs';
import { choiceLabel, labelOf } from './labels';
import { elements, ownerOf, withChild, without } from './node';

/** Which fields stand together; what is not named stands in a last tab. */
export type Layout = { label: string; tags: string[] }[];

/** Who wrote what is around a field, in the view of a stack; a field of somebody else says whose it is. */
export const Owner = createContext<string | undefined>(undefined);

export type FormProperties = {
  xpath: string;
  value: Node;
  onChange: (value: Node) => void;
  readOnly?: boolean;
};

/** The form of an entry: tabs when there is a layout. */
export function EntryForm({ layout, ...form }: FormProperties & { layout?: Layout }) {
  const facts = useFacts(form.xpath);
  if (facts.isPending) return <Loader size="sm" aria-label="Loading the form" />;
  if (facts.error) return <Alert color="red">{facts.error.message}</Alert>;
  const { fields } = facts.data;
  if (!layout) return <Fields fields={fields} {...form} />;
  const named = layout.flatMap((tab) => tab.tags);
  const others = fields.filter((field) => !named.includes(field.tag));
  const tabs = layout.map((tab) => ({
    label: tab.label,
    fields: tab.tags.flatMap((tag) => fields.filter((field) => field.tag === tag)),
  }));
  if (others.length > 0) tabs.push({ label: 'Other', fields: others });
  return (
    <Tabs defaultValue="0" keepMounted={false}>
      <Tabs.List mb="md">
        {tabs.map((tab, place) => (
          <Tabs.Tab key={tab.label} value={String(place)}>
            {tab.label}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      {tabs.map((tab, place) => (
        <Tabs.Panel key={tab.label} value={String(place)}>
          <Fields fields={tab.fields} open={tab.fields.length === 1} {...form} />
        </Tabs.Panel>
      ))}
    </Tabs>
  );
}

/** `open`: what stands below them is shown from the start. */
function Fields({ fields, open, ...form }: FormProperties & { fields: Field[]; open?: boolean }) {
  const plain = fields.filter((field) => !field.branch);
  const branches = fields.filter((field) => field.branch);
  return (
    <Stack gap="sm">
      {branches.length > 0 && <Choice branches={branches} {...form} />}
      {plain.map((field) => (
        <OneField key={field.tag} field={field} open={open ?? false} {...form} />
      ))}
    </Stack>
  );
}

/** Of several elements only one can be there. */
function Choice({ branches, ...form }: FormProperties & { branches: Field[] }) {
  const present = elements(form.value).find((child) => branches.some((branch) => branch.tag === child.tag));
  const chosen = branches.find((branch) => branch.tag === present?.tag);
  const choose = (tag: string | null) => {
    const bare = without(
      form.value,
      branches.map((branch) => branch.tag),
    );
    const branch = branches.find((one) => one.tag === tag);
    // A text that was written for one branch is likely meant for the other.
    const text = branch && isText(branch) ? (present?.text ?? '') : undefined;
    form.onChange(
      branch ? withChild(bare, branch.tag, { tag: branch.tag, ...(text === undefined ? {} : { text }) }) : bare,
    );
  };
  return (
    <>
      <Select
        label={choiceLabel(form.xpath)}
        placeholder="none"
        data={branches.map((branch) => ({ value: branch.tag, label: labelOf(branch.tag) }))}
        value={chosen?.tag ?? null}
        onChange={choose}
        clearable
        readOnly={form.readOnly}
      />
      {chosen && <OneField key={chosen.tag} field={chosen} chosen {...form} />}
    </>
  );
}

const isText = (field: Field) => ['text', 'integer', 'number', 'words', 'flag'].includes(field.holds.kind);

type OneFieldProperties = FormProperties & { field: Field; chosen?: boolean; open?: boolean };

function OneField(properties: OneFieldProperties) {
  const around = useContext(Owner);
  const owner = ownerOf(elements(properties.value).find((one) => one.tag === properties.field.tag));
  if (!owner || owner === around) return <PlainField {...properties} />;
  return (
    <Owner value={owner}>
      <Box>
        <PlainField {...properties} />
        <Text size="xs" c="dimmed">
          {labelOf(properties.field.tag)} is from {owner}
        </Text>
      </Box>
    </Owner>
  );
}

function PlainField({ field, chosen, open, ...form }: OneFieldProperties) {
  const child = elements(form.value).find((one) => one.tag === field.tag);
  const change = (next: Node | undefined) => form.onChange(withChild(form.value, field.tag, next));
  const place = `${form.xpath}/${field.tag}`;
  if (field.holds.kind === 'node') {
    return (
      <Nested
        tag={field.tag}
        xpath={place}
        value={child}
        onChange={change}
        readOnly={form.readOnly}
        chosen={chosen ?? false}
        shown={open ?? false}
      />
    );
  }
  return <FieldInput field={field} xpath={place} value={child} onChange={change} readOnly={form.readOnly} />;
}

/**
 * Elements below an element, shown when there are any, when it was chosen, or when somebody wants to see them. Those
 * that are empty go, unless the choice says something by itself.
 */
function Nested(properties: {
  tag: string;
  xpath: string;
  value: Node | undefined;
  onChange: (value: Node | undefined) => void;
  readOnly: boolean | undefined;
  chosen: boolean;
  shown: boolean;
}) {
  const { tag, xpath, value, onChange, readOnly, chosen, shown } = properties;
  const [open, setOpen] = useState(chosen || shown || value !== undefined);
  const facts = useFacts(open ? xpath : undefined);
  const fields = facts.data?.fields ?? [];
  const change = (next: Node) => onChange(elements(next).length > 0 || next.text || chosen ? next : undefined);
  if (!open) {
    return (
      <Button
        variant="subtle"
        w="fit-content"
        leftSection={<IconChevronRight size={14} />}
        aria-expanded={false}
        onClick={() => setOpen(true)}
      >
        {labelOf(tag)}
      </Button>
    );
  }
  return (
    <Fieldset legend={labelOf(tag)} p="sm">
      {facts.isPending ? (
        <Loader size="xs" aria-label="Loading" />
      ) : fields.length > 0 ? (
        <Fields fields={fields} xpath={xpath} value={value ?? { tag }} onChange={change} readOnly={readOnly} />
      ) : (
        <Unknown facts={facts.data} value={value} />
      )}
    </Fieldset>
  );
}

function Unknown({ facts, value }: { facts: Facts | undefined; value: Node | undefined }) {
  const there = value ? 'is there and is kept as it is' : 'is not there';
  return (
    <Text size="sm" c="dimmed">
      {facts?.known
        ? `This element has no fields; it ${there}.`
        : `The schema does not know what stands here; it ${there}.`}
    </Text>
  );
}
