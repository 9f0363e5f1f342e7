// A message as a tree of names and values, whatever its format.

import { texts_ } from './i18n.svelte';
import type { components } from './openapi';

type Shapes = components['schemas'];
export type Words = Shapes['Words'];
export type Component = Shapes['Component'];
export type Repetition = Shapes['Repetition'];
export type Field = Shapes['Field'];
export type Segment = Shapes['Segment'];
/** The word `format` says which. */
export type Tree = (Shapes['Hl7Tree'] & { format: 'hl7' }) | (Shapes['OtherTree'] & { format: 'fhir' | 'json' | 'text' });

/** One line of a tree. */
export interface Node {
  id: string;
  /** What it is called where channels are written. */
  path: string;
  title: string;
  type: string;
  value: string;
  /** What the value means, or what its absence says. */
  meaning: string;
  table: string;
  children: Node[];
  /** Whether it is shown open at first. */
  open: boolean;
}

/** What any part of a message has. */
type Part = Pick<Component, 'path' | 'title' | 'type' | 'value' | 'state' | 'meaning'>;
const said = (words: Words | null | undefined) => (words ? words[texts_.language] : '');
const SEGMENTS_OPEN = 60;

function part(one: Part, children: Node[], table = ''): Node {
  return { id: one.path, path: one.path, title: said(one.title), type: one.type, value: children.length > 0 ? '' : one.value, meaning: state(one.state) || said(one.meaning), table, children, open: true };
}

const state = (name: string | undefined) => (name === 'null' ? texts_.t('tree.null') : name === 'empty' ? texts_.t('tree.empty') : '');

function field(one: Field): Node {
  const repeated = one.repetitions.map((repetition) => {
    const below = repetition.components.map((component) => part(component, component.subcomponents.map((sub) => part(sub, []))));
    return part({ ...repetition, title: one.title, type: one.type }, below, repetition.table ?? '');
  });
  const [first] = repeated;
  if (repeated.length === 1 && first) return { ...first, id: one.path, path: one.path, open: false, value: first.children.length > 0 ? (one.repetitions[0]?.value ?? '') : first.value };
  const shown = repeated.map((node, index) => ({ ...node, id: `${one.path}[${index + 1}]`, open: false, value: one.repetitions[index]?.value ?? '' }));
  return { id: one.path, path: one.path, title: said(one.title), type: one.type, value: '', meaning: texts_.t('tree.repetitions', { count: repeated.length }), table: '', children: shown, open: true };
}

function json(name: string, value: unknown, path: string, depth: number): Node {
  const made = (meaning: string, children: Node[], text = ''): Node => ({ id: path, path: name, title: '', type: '', value: text, meaning, table: '', children, open: depth < 3 });
  if (Array.isArray(value)) return made(texts_.t('tree.items', { count: value.length }), value.map((one, index) => json(String(index), one, `${path}.${index}`, depth + 1)));
  if (value !== null && typeof value === 'object') {
    const resource = (value as { resourceType?: unknown }).resourceType;
    const entries = Object.entries(value).map(([key, one]) => json(key, one, `${path}.${key}`, depth + 1));
    return made(typeof resource === 'string' ? resource : '', entries);
  }
  return made('', [], typeof value === 'string' ? value : JSON.stringify(value));
}

/** The lines of a tree. */
export function nodes(tree: Tree): Node[] {
  if (tree.format !== 'hl7') {
    const top = json('', tree.value, tree.format, 0);
    return top.children.length > 0 ? top.children : [top];
  }
  const open = tree.segments.length <= SEGMENTS_OPEN;
  return tree.segments.map((segment) => ({
    id: `line ${segment.line}`,
    path: segment.index > 1 ? `${segment.name}[${segment.index}]` : segment.name,
    title: said(segment.title),
    type: '',
    value: '',
    meaning: '',
    table: '',
    children: segment.fields.map(field),
    open,
  }));
}
