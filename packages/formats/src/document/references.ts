/**
 * The files that a rule set document names, for the client that must send them: found without loading the
 * parser of documents.
 */

import { posix } from 'node:path';
import { type FormatLimits, withLimits } from '../text/limits.ts';
import { childOf, type MappingNode, type TreeNode } from './node.ts';
import { parseTree } from './tree.ts';

/**
 * The `file:` values of a document, normalised, each once: relative to the document's folder, or absolute as
 * given. Empty if the document cannot be read; `parseDocument` then says why.
 */
export function documentReferences(
  _fileName: string,
  bytes: Uint8Array,
  limits?: Partial<FormatLimits>,
): readonly string[] {
  const { root } = parseTree(bytes, withLimits(limits));
  const parts = [
    ...mappingsUnder(childOf(root, 'lists')),
    ...mappingsUnder(childOf(root, 'first')),
    ...mappingsUnder(childOf(root, 'common')),
    ...mappingsUnder(childOf(root, 'policies')).flatMap(mappingsUnder),
    ...mappingsUnder(childOf(root, 'policies')).flatMap((policy) =>
      mappingsUnder(childOf(policy, 'exceptions')),
    ),
  ];
  const names = parts
    .map((part) => childOf(part, 'file'))
    .flatMap((node) => (node?.kind === 'text' && node.value !== '' ? [posix.normalize(node.value)] : []));
  return [...new Set(names)];
}

function mappingsUnder(node: TreeNode | undefined): readonly MappingNode[] {
  if (node?.kind !== 'mapping') return [];
  return [...node.entries.values()].flatMap(({ value }) => (value.kind === 'mapping' ? [value] : []));
}
