/**
 * The tree of a document that is JSON and has nothing wrong with it: rulectl sends such, and those of ten
 * thousand policies take the YAML library seconds. Whatever else a text is, that library reads it and says
 * what is wrong.
 */

import { JsonCursor, JsonError } from '../json/cursor.ts';
import { OPEN_BRACE } from '../text/ascii.ts';
import { asBuffer, ColumnCounter } from '../text/bytes.ts';
import { contentStart } from '../text/sample.ts';
import { type MappingEntry, NODE_DEPTH_MAX, type TreeNode } from './node.ts';

/** The tree of a text in UTF-8, with its places in characters; undefined where the library is to read it. */
export function jsonTree(bytes: Uint8Array, maxTokens: number): TreeNode | undefined {
  if (bytes[contentStart(bytes)] !== OPEN_BRACE) return undefined;
  try {
    return new JsonTreeReader(bytes, maxTokens).read();
  } catch (error) {
    if (error instanceof JsonError) return undefined;
    throw error;
  }
}

class JsonTreeReader {
  readonly #json: JsonCursor;
  readonly #chars: ColumnCounter;
  readonly #maxTokens: number;
  #tokens = 0;

  constructor(bytes: Uint8Array, maxTokens: number) {
    this.#json = new JsonCursor(bytes, 0);
    this.#chars = new ColumnCounter(bytes);
    this.#maxTokens = maxTokens;
  }

  /** Throws JsonError where there is something to be said of the text. */
  read(): TreeNode {
    const root = this.#node(0);
    if (this.#json.peek() !== 'end') throw this.#json.error('more follows');
    return root;
  }

  #node(depth: number): TreeNode {
    const json = this.#json;
    const kind = json.peek();
    const from = json.at;
    const offset = this.#charAt(from);
    this.#tokens += 2; // itself, and the mark behind it
    if (this.#tokens > this.#maxTokens || depth > NODE_DEPTH_MAX) throw json.error('too much');
    switch (kind) {
      case 'array': {
        const items: TreeNode[] = [];
        json.array(() => items.push(this.#node(depth + 1)));
        return { kind: 'sequence', items, offset };
      }
      case 'object': {
        const entries = new Map<string, MappingEntry>();
        json.object((key) => {
          const keyOffset = this.#charAt(json.keyAt);
          if (key === '' || entries.has(key)) throw json.error('too long a key, or given twice');
          entries.set(key, { keyOffset, value: this.#node(depth + 1) });
        });
        return { kind: 'mapping', entries, offset };
      }
      case 'string': {
        const { text, start, end } = json.string();
        const value = asBuffer(text).toString('utf8', start, end);
        if (value === '') return { kind: 'text', value, offset, exact: true };
        const exact = text === json.bytes;
        return { kind: 'text', value, offset: exact ? offset + 1 : offset, exact };
      }
      default: {
        json.skip();
        const value = json.bytes.toString('utf8', from, json.at);
        return { kind: 'text', value, offset, exact: true };
      }
    }
  }

  /** Which character of the text a byte begins. */
  #charAt(at: number): number {
    return this.#chars.columnAt(0, at) - 1;
  }
}
