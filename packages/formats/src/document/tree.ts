/**
 * The text of a rule set document, YAML 1.2 or JSON, as a tree. This is the only file that knows the YAML
 * library.
 *
 * The failsafe schema is used, so that every scalar is the text that somebody wrote: a policy called 2024 and
 * a list entry 1.2 stay what they are. The library nests by recursion and compiles regular expressions while
 * deep in it, which ends the process, so depth, key forms and token count are checked on its flat token
 * stream before anything is composed.
 */

import {
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Pair,
  Parser,
} from 'yaml';
import { printable, quote, textOf } from '../text/bytes.ts';
import type { FormatLimits } from '../text/limits.ts';
import { type Reject, RejectLog } from '../text/reject.ts';
import { jsonTree } from './json-tree.ts';
import {
  type MappingEntry,
  type MappingNode,
  NODE_DEPTH_MAX,
  type SequenceNode,
  type TextNode,
  type TreeNode,
} from './node.ts';

/** Longest message of the library that is passed on: some repeat the text. */
const MESSAGE_MAX_CHARS = 200;

export const TreeFault = {
  yaml: 'bad-yaml',
  depth: 'nested-too-deep',
  tokens: 'too-many-tokens',
  key: 'bad-key',
  duplicate: 'duplicate-key',
  alias: 'bad-alias',
  expansion: 'aliases-too-large',
  documents: 'second-document',
} as const;

export interface DocumentTree {
  /** Undefined for an empty document, and if there are rejects. */
  readonly root: TreeNode | undefined;
  readonly rejects: readonly Reject[];
  readonly rejectCount: number;
  readonly place: PlaceOf;
}

export interface Place {
  readonly line: number;
  readonly column: number;
}

/** The place of an index of the text. */
export type PlaceOf = (offset: number) => Place;

/** Reads a document. Never throws on account of the bytes. */
export function parseTree(bytes: Uint8Array, limits: FormatLimits): DocumentTree {
  const lines = new LineCounter();
  const place: PlaceOf = (offset) => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const rejects = new RejectLog(limits.rejectsKept);
  const text = textOf(bytes, limits.documentBytes);
  if (typeof text !== 'string') rejects.add(text);
  const root =
    typeof text === 'string'
      ? (readJson(text, limits, lines) ?? readRoot(text, limits, lines, place, rejects))
      : undefined;
  return {
    root: rejects.count === 0 ? root : undefined,
    rejects: rejects.kept,
    rejectCount: rejects.count,
    place,
  };
}

/** The root of a faultless JSON text. */
function readJson(text: string, limits: FormatLimits, lines: LineCounter): TreeNode | undefined {
  const root = jsonTree(Buffer.from(text), limits.documentTokens);
  if (root === undefined) return undefined;
  lines.addNewLine(0);
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines.addNewLine(at + 1);
  return root;
}

function readRoot(
  text: string,
  limits: FormatLimits,
  lines: LineCounter,
  place: PlaceOf,
  rejects: RejectLog,
): TreeNode | undefined {
  const reject = (offset: number, code: string, reason: string): void =>
    rejects.add({ ...place(offset), code, reason });
  const tokens = readTokens(text, limits.documentTokens, lines, reject);
  if (tokens === undefined || !checkShape(tokens, reject)) return undefined;
  const options = {
    schema: 'failsafe',
    resolveKnownTags: false,
    uniqueKeys: false, // the library compares every key with every other; TreeReader does it by a map
    prettyErrors: false,
    merge: false,
  } as const;
  const documents = [...new Composer(options).compose(tokens, false, text.length)];
  const [first, second] = documents;
  for (const document of documents) {
    for (const { message, pos } of [...document.errors, ...document.warnings])
      reject(pos[0], TreeFault.yaml, printable(message, MESSAGE_MAX_CHARS));
  }
  if (first === undefined || rejects.count > 0) return undefined;
  if (second !== undefined) {
    reject(second.range[0], TreeFault.documents, 'a second document: keep one document a file');
    return undefined;
  }
  return new TreeReader(text, limits, reject).read(first);
}

type RejectAt = (offset: number, code: string, reason: string) => void;

/** The token stream, or undefined if there are too many. */
function readTokens(
  text: string,
  maxTokens: number,
  lines: LineCounter,
  reject: RejectAt,
): readonly CST.Token[] | undefined {
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  const tokens: CST.Token[] = [];
  let count = 0;
  for (const lexeme of new Lexer().lex(text)) {
    if (++count > maxTokens) {
      const reason = `more than ${maxTokens} values and marks: move lists and rules into files and name them with file:`;
      reject(0, TreeFault.tokens, reason);
      return undefined;
    }
    tokens.push(...parser.next(lexeme));
  }
  tokens.push(...parser.end());
  return tokens;
}

/**
 * Whether the tokens nest within bounds and have plain keys, so that composing them is safe. Not recursive
 * itself.
 */
function checkShape(tokens: readonly CST.Token[], reject: RejectAt): boolean {
  const open: { readonly token: CST.Token; readonly depth: number }[] = tokens.map((token) => ({
    token,
    depth: 0,
  }));
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { token, depth } = next;
    if (token.type === 'document') {
      if (token.value !== undefined) open.push({ token: token.value, depth });
      continue;
    }
    if (!('items' in token)) continue;
    if (depth === NODE_DEPTH_MAX) {
      const reason = `nested deeper than ${NODE_DEPTH_MAX}: this is no document of Rulecast`;
      reject(token.offset, TreeFault.depth, reason);
      return false;
    }
    for (const item of token.items) {
      const { key, value } = item;
      if (key != null && !isScalarToken(key)) {
        reject(key.offset, TreeFault.key, 'a key that is not plain text: this is no document of Rulecast');
        return false;
      }
      if (value !== undefined) open.push({ token: value, depth: depth + 1 });
    }
  }
  return true;
}

function isScalarToken(token: CST.Token): boolean {
  return (
    token.type === 'scalar' || token.type === 'single-quoted-scalar' || token.type === 'double-quoted-scalar'
  );
}

/** Advice for a key that is the end of a number: `{n: 10,000}` has the keys n and 000. */
export function commaAdvice(key: string): string | undefined {
  return /^\d{3}$/.test(key) ? 'a comma inside braces separates entries: write 10000 for 10,000' : undefined;
}

/**
 * Turns the library's nodes into ours. Nodes that aliases name are shared, so that nothing is expanded here.
 */
class TreeReader {
  readonly #text: string;
  readonly #limits: FormatLimits;
  readonly #reject: RejectAt;
  readonly #anchors = new Map<string, TreeNode>();
  readonly #sizes = new Map<TreeNode, number>(); // values in a node after its aliases are followed; texts are 1

  constructor(text: string, limits: FormatLimits, reject: RejectAt) {
    this.#text = text;
    this.#limits = limits;
    this.#reject = reject;
  }

  read(document: Document.Parsed): TreeNode | undefined {
    const { contents } = document;
    if (contents === null || (isScalar(contents) && contents.source === '' && contents.type === 'PLAIN'))
      return undefined;
    const root = this.#node(contents);
    if (this.#sizeOf(root) > this.#limits.documentTokens) {
      const reason = `more than ${this.#limits.documentTokens} values once its aliases are followed: write a list instead`;
      this.#reject(0, TreeFault.expansion, reason);
    }
    return root;
  }

  #sizeOf(node: TreeNode): number {
    return this.#sizes.get(node) ?? 1;
  }

  #node(node: unknown): TreeNode {
    const result = this.#bareNode(node);
    if ((isScalar(node) || isSeq(node) || isMap(node)) && node.anchor !== undefined)
      this.#anchors.set(node.anchor, result);
    return result;
  }

  #bareNode(node: unknown): TreeNode {
    if (isAlias(node)) return this.#alias(node.source, node.range?.[0] ?? 0);
    if (isSeq(node)) {
      const items = node.items.map((item) => this.#node(item));
      const sequence: SequenceNode = { kind: 'sequence', items, offset: node.range?.[0] ?? 0 };
      this.#sizes.set(
        sequence,
        items.reduce((size, item) => size + this.#sizeOf(item), 1),
      );
      return sequence;
    }
    if (isMap(node)) return this.#mapping(node.items, node.range?.[0] ?? 0);
    if (isScalar(node)) return this.#scalar(String(node.value ?? ''), node.range?.[0] ?? 0);
    return { kind: 'text', value: '', offset: 0, exact: false }; // a key without a value
  }

  #alias(anchor: string, offset: number): TreeNode {
    const target = this.#anchors.get(anchor);
    if (target !== undefined) return target;
    this.#reject(offset, TreeFault.alias, `no anchor ${quote(anchor)} stands before this alias`);
    return { kind: 'text', value: '', offset, exact: false };
  }

  #mapping(pairs: readonly Pair[], offset: number): MappingNode {
    const entries = new Map<string, MappingEntry>();
    let size = 1;
    for (const pair of pairs) {
      const key = isScalar(pair.key) ? String(pair.key.value ?? '') : '';
      const keyOffset = (isScalar(pair.key) ? pair.key.range?.[0] : undefined) ?? offset;
      if (entries.has(key)) {
        const reason = `${quote(key)} is given twice: ${commaAdvice(key) ?? 'remove or merge one'}`;
        this.#reject(keyOffset, TreeFault.duplicate, reason);
      }
      const value = pair.value === null ? emptyAt(keyOffset) : this.#node(pair.value);
      entries.set(key, { keyOffset, value });
      size += this.#sizeOf(value);
    }
    const mapping: MappingNode = { kind: 'mapping', entries, offset };
    this.#sizes.set(mapping, size);
    return mapping;
  }

  #scalar(value: string, offset: number): TextNode {
    if (this.#text.startsWith(value, offset)) return { kind: 'text', value, offset, exact: true };
    if (this.#text.startsWith(value, offset + 1))
      return { kind: 'text', value, offset: offset + 1, exact: true };
    return { kind: 'text', value, offset, exact: false }; // escapes, or more than one line
  }
}

function emptyAt(offset: number): TextNode {
  return { kind: 'text', value: '', offset, exact: false };
}
