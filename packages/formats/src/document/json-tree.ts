/**
 * The tree of a faultless JSON document. rulectl sends such documents, and one with ten thousand policies
 * takes the YAML library seconds. Any other text is left to that library, which also reports its faults.
 */

import { JsonTape } from '../json/tape.ts';
import { OPEN_BRACE } from '../text/ascii.ts';
import { ColumnCounter } from '../text/bytes.ts';
import { contentStart } from '../text/sample.ts';
import { type MappingEntry, NODE_DEPTH_MAX, type TreeNode } from './node.ts';

/** The tree of a text in UTF-8, with its places in characters; undefined where the library is to read it. */
export function jsonTree(bytes: Uint8Array, maxTokens: number): TreeNode | undefined {
  if (bytes[contentStart(bytes)] !== OPEN_BRACE) return undefined;
  const tape = new JsonTape(bytes, 0);
  // Each value is a token, and the mark behind it another.
  if (tape.fault !== undefined || tape.next(0) < tape.count || tape.count * 2 > maxTokens) return undefined;
  return nodeOf(tape, 0, new ColumnCounter(bytes), 0);
}

/** The node of a value; undefined if it has a fault. */
function nodeOf(tape: JsonTape, value: number, chars: ColumnCounter, depth: number): TreeNode | undefined {
  /** Which character of the text a value begins. */
  const charOf = (of: number): number => chars.columnAt(0, tape.startOf(of)) - 1;
  if (depth > NODE_DEPTH_MAX) return undefined;
  const offset = charOf(value);
  let isSound = true;
  switch (tape.kind(value)) {
    case 'array': {
      const items: TreeNode[] = [];
      tape.items(value, (item) => {
        const node = isSound ? nodeOf(tape, item, chars, depth + 1) : undefined;
        if (node === undefined) isSound = false;
        else items.push(node);
      });
      return isSound ? { kind: 'sequence', items, offset } : undefined;
    }
    case 'object': {
      const entries = new Map<string, MappingEntry>();
      tape.members(value, (key, member) => {
        const keyOffset = charOf(member - 1);
        const node = isSound ? nodeOf(tape, member, chars, depth + 1) : undefined;
        if (node === undefined || key === '' || entries.has(key))
          isSound = false; // too long, or given twice
        else entries.set(key, { keyOffset, value: node });
      });
      return isSound ? { kind: 'mapping', entries, offset } : undefined;
    }
    case 'string': {
      const text = tape.string(value);
      const isExact = tape.text(value).text === tape.bytes;
      return {
        kind: 'text',
        value: text,
        offset: isExact && text !== '' ? offset + 1 : offset,
        exact: isExact,
      };
    }
    case 'word':
      return { kind: 'text', value: tape.string(value), offset, exact: true };
  }
}
