/** A document or a configuration as a tree of texts, sequences and mappings with their places. */

/** Deepest nesting: lists, policies and rules need five. */
export const NODE_DEPTH_MAX = 16;

export interface TextNode {
  readonly kind: 'text';
  readonly value: string;
  /** Index of the value in the text. */
  readonly offset: number;
  /** Whether the value is in the text unchanged, so that its indices are those of the text. */
  readonly exact: boolean;
}

export interface SequenceNode {
  readonly kind: 'sequence';
  readonly items: readonly TreeNode[];
  readonly offset: number;
}

export interface MappingNode {
  readonly kind: 'mapping';
  readonly entries: ReadonlyMap<string, MappingEntry>;
  readonly offset: number;
}

export interface MappingEntry {
  /** Index of the key in the text. */
  readonly keyOffset: number;
  readonly value: TreeNode;
}

export type TreeNode = TextNode | SequenceNode | MappingNode;

/** The value under a key; undefined if there is none. */
export function childOf(node: TreeNode | undefined, key: string): TreeNode | undefined {
  return node?.kind === 'mapping' ? node.entries.get(key)?.value : undefined;
}
