/**
 * Checks the shape of a document by its JSON schema: unknown and missing keys, wrong types, wrong words, each
 * with its place and a remedy. Every scalar is text here; see tree.ts.
 */

import { closest } from '@rulecast/rules';
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import { quote } from '../text/bytes.ts';
import type { MappingNode, TreeNode } from './node.ts';
import { commaAdvice } from './tree.ts';

export const SchemaFault = {
  unknown: 'unknown-key',
  missing: 'missing-key',
  type: 'wrong-type',
  value: 'bad-value',
} as const;

export interface ShapeFault {
  /** Index in the text of the document. */
  readonly offset: number;
  readonly code: string;
  readonly reason: string;
}

/** By schema, made on first use: commands that read no document need not wait for it. */
const validators = new WeakMap<object, ValidateFunction>();

/** The faults in the shape of a document: the first `maxFaults`, and their full number. */
export function checkShape(
  root: MappingNode,
  schema: object,
  maxFaults: number,
): { readonly faults: readonly ShapeFault[]; readonly count: number } {
  const validator = validators.get(schema) ?? validatorOf(schema);
  if (validator(plainOf(root))) return { faults: [], count: 0 };
  const errors = validator.errors ?? [];
  return { faults: errors.slice(0, maxFaults).map((error) => faultOf(root, error)), count: errors.length };
}

function validatorOf(schema: object): ValidateFunction {
  const ajv = new Ajv({
    allErrors: true,
    verbose: true,
    strict: true,
    allowUnionTypes: true,
    strictTypes: false,
  });
  const validator = ajv.compile(schema);
  validators.set(schema, validator);
  return validator;
}

/** The tree as the plain value that the validator takes. */
function plainOf(node: TreeNode): unknown {
  switch (node.kind) {
    case 'text':
      return node.value;
    case 'sequence':
      return node.items.map(plainOf);
    case 'mapping': {
      const plain: Record<string, unknown> = Object.create(null); // so that a key "__proto__" is a key
      for (const [key, { value }] of node.entries) plain[key] = plainOf(value);
      return plain;
    }
  }
}

function faultOf(root: MappingNode, error: ErrorObject): ShapeFault {
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'));
  const { node, keyOffset } = nodeAt(root, path);
  switch (error.keyword) {
    case 'additionalProperties': {
      const { additionalProperty } = error.params;
      const key = String(additionalProperty);
      const entry = node.kind === 'mapping' ? node.entries.get(key) : undefined;
      const reason = unknownKeyReason(key, knownKeys(error));
      return { offset: entry?.keyOffset ?? node.offset, code: SchemaFault.unknown, reason };
    }
    case 'required': {
      const { missingProperty } = error.params;
      const reason = `${quote(String(missingProperty))} is missing here${adviceOf(error)}`;
      return { offset: node.offset, code: SchemaFault.missing, reason };
    }
    case 'enum': {
      return { offset: node.offset, code: SchemaFault.value, reason: wordReason(node, error.schema) };
    }
    case 'not': // a key that is known, and has no place here
      return {
        offset: keyOffset,
        code: SchemaFault.unknown,
        reason: descriptionOf(error) ?? 'leave this out',
      };
    default: {
      const offset = isEmpty(node) ? keyOffset : node.offset;
      const reason = typeReason(node, error.schema, descriptionOf(error));
      return { offset, code: SchemaFault.type, reason };
    }
  }
}

/** The advice for a missing key, from the `description` of its schema. */
function adviceOf(error: ErrorObject): string {
  const description = descriptionOf(error);
  return description === undefined ? '' : `: ${description}`;
}

function descriptionOf(error: ErrorObject): string | undefined {
  const description = new Map<string, unknown>(Object.entries(error.parentSchema ?? {})).get('description');
  return typeof description === 'string' ? description : undefined;
}

/** With more words than this, only the nearest one is suggested, if there is one. */
const WORDS_TOLD_MAX = 4;

function wordReason(node: TreeNode, schema: unknown): string {
  const words = Array.isArray(schema) ? schema.map(String) : [];
  const near = node.kind === 'text' && words.length > WORDS_TOLD_MAX ? closest(node.value, words) : undefined;
  if (near !== undefined) return `did you mean ${near}?`;
  return words.length > WORDS_TOLD_MAX ? `write one of ${words.join(', ')}` : `write ${words.join(' or ')}`;
}

function knownKeys(error: ErrorObject): readonly string[] {
  const properties = new Map<string, unknown>(Object.entries(error.parentSchema ?? {})).get('properties');
  if (typeof properties !== 'object' || properties === null) return [];
  return Object.entries(properties).flatMap(([key, schema]) => ('not' in schema ? [] : [key]));
}

function unknownKeyReason(key: string, known: readonly string[]): string {
  const near = closest(key, known);
  const advice = near === undefined ? `keys are ${known.join(', ')}` : `did you mean ${quote(near)}?`;
  return `${quote(key)} is no key here: ${commaAdvice(key) ?? advice}`;
}

const TYPE_WORDS: Readonly<Record<string, string>> = {
  array: 'a sequence',
  object: 'a mapping',
  string: 'text',
};

function typeReason(node: TreeNode, wanted: unknown, advice: string | undefined): string {
  const types = (Array.isArray(wanted) ? wanted : [wanted]).map(
    (type) => TYPE_WORDS[String(type)] ?? String(type),
  );
  const expected = advice ?? `write ${types.join(' or ')}`;
  if (isEmpty(node)) return `nothing is given: ${expected}, or [] for none`;
  const found = node.kind === 'text' ? 'text' : `a ${node.kind}`;
  const hint =
    wanted === 'string' && node.kind === 'mapping'
      ? ', and put it in quotes if it has a colon at its end or before a space'
      : '';
  return `this is ${found}: ${expected}${hint}`;
}

function isEmpty(node: TreeNode): boolean {
  return node.kind === 'text' && node.value === '';
}

/** The node at a path that exists, and the key that leads to it. */
function nodeAt(
  root: MappingNode,
  path: readonly string[],
): { readonly node: TreeNode; readonly keyOffset: number } {
  let node: TreeNode = root;
  let keyOffset = root.offset;
  for (const segment of path) {
    if (node.kind === 'mapping') {
      const entry: { readonly keyOffset: number; readonly value: TreeNode } | undefined =
        node.entries.get(segment);
      if (entry === undefined) break;
      keyOffset = entry.keyOffset;
      node = entry.value;
    } else if (node.kind === 'sequence') {
      const item: TreeNode | undefined = node.items[Number(segment)];
      if (item === undefined) break;
      keyOffset = item.offset;
      node = item;
    }
  }
  return { node, keyOffset };
}
