// How is an element of the configuration read and changed? Without changing what others hold: every change is a copy.

import type { Node } from '../api/types';

/** An element, or none; the API writes `null` for none. */
type Maybe = Node | null | undefined;

type Content = NonNullable<Node['children']>[number];

const isElement = (content: Content): content is Node => typeof content === 'object' && 'tag' in content;

/** The elements of a node, or of the one at the end of a path of tags. */
export function elements(node: Maybe, ...path: string[]): Node[] {
  const here = path.length > 0 ? at(node, ...path) : node;
  return here?.children?.filter(isElement) ?? [];
}

/** The element at the end of a path of tags. */
export function at(node: Maybe, ...path: string[]): Node | undefined {
  return path.reduce<Node | undefined>(
    (here, tag) => elements(here).find((child) => child.tag === tag),
    node ?? undefined,
  );
}

/** The text at the end of a path; empty where there is nothing. */
export function text(node: Maybe, ...path: string[]): string {
  return at(node, ...path)?.text ?? '';
}

export function members(node: Maybe, ...path: string[]): string[] {
  return elements(at(node, ...path))
    .filter((child) => child.tag === 'member')
    .map((child) => child.text ?? '');
}

export function entries(node: Maybe, ...path: string[]): Node[] {
  return elements(at(node, ...path)).filter((child) => child.tag === 'entry');
}

export function nameOf(node: Node): string {
  return node.attributes?.['name'] ?? '';
}

/** Who wrote an element of a stack's view; nobody where it is the owner of what is around it, or the view is of one place. */
export function ownerOf(node: Maybe): string | undefined {
  const owner = node?.attributes?.['ptpl'];
  return owner && (isOfStack(node) ? `template stack ${owner}` : `template ${owner}`);
}

/** Whether an element of a stack's view is the stack's own. */
export function isOfStack(node: Maybe): boolean {
  return node?.attributes?.['src'] === 'stack';
}

/** A leaf with text. */
export function leaf(tag: string, value: string): Node {
  return { tag, text: value };
}

/** A list of members. */
export function memberList(tag: string, values: string[]): Node {
  return { tag, children: values.map((value) => leaf('member', value)) };
}

/** The node with another child of that tag, at the place of the one before; without one when there is no child. */
export function withChild(node: Node, tag: string, child: Node | undefined): Node {
  const children = node.children ?? [];
  const place = children.findIndex((content) => isElement(content) && content.tag === tag);
  const next = [...children];
  if (place >= 0) next.splice(place, 1, ...(child ? [child] : []));
  else if (child) next.push(child);
  const { text: _, ...rest } = node;
  return { ...rest, children: next };
}

/** The node without the children of those tags. */
export function without(node: Node, tags: string[]): Node {
  const children = (node.children ?? []).filter((content) => !(isElement(content) && tags.includes(content.tag)));
  return { ...node, children };
}

/** Whether two nodes say the same; the order of unlike children does not matter. */
export function same(one: Node | undefined, other: Node | undefined): boolean {
  return canonical(one) === canonical(other);
}

function canonical(node: Node | undefined): string {
  if (!node) return '';
  const children = elements(node).map(canonical);
  const ordered = node.children?.some((child) => isElement(child) && (child.tag === 'member' || child.tag === 'entry'));
  return JSON.stringify([node.tag, node.attributes ?? {}, node.text ?? '', ordered ? children : children.sort()]);
}

/** An XPath literal; the manager's names have no double quotes when they have single ones. */
export function quoted(name: string): string {
  return name.includes("'") ? `"${name}"` : `'${name}'`;
}

/** The XPath of an entry of a list. */
export function entryPath(list: string, name: string): string {
  return `${list}/entry[@name=${quoted(name)}]`;
}

/** The name of the innermost entry of an XPath, for people; the XPath where there is none. */
export function lastName(xpath: string): string {
  const names = [...xpath.matchAll(/\/entry\[@name=(?:'([^']*)'|"([^"]*)")\]/g)];
  const last = names.at(-1);
  return last?.[1] ?? last?.[2] ?? xpath;
}
