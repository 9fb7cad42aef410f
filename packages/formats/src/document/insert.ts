/**
 * Inserts lines into a document, for `rulectl lists add`: every other byte stays as it was written, unlike
 * with merge.ts. Pure.
 */

import { FORMAT_LIMITS } from '../text/limits.ts';
import type { TreeNode } from './node.ts';
import { parseTree } from './tree.ts';

const INDENT = '  ';
const BYTE_ORDER_MARK = '\uFEFF';

/**
 * The text with `lines`, indented, at the end of the mapping `key` of the root, which is made where it is not
 * there. Undefined where it is written in braces, and for what cannot be read.
 */
export function insertLines(text: string, key: string, lines: readonly string[]): string | undefined {
  if (text.startsWith(BYTE_ORDER_MARK)) {
    const rest = insertLines(text.slice(1), key, lines); // offsets begin behind it
    return rest && BYTE_ORDER_MARK + rest;
  }
  const { root, rejectCount } = parseTree(Buffer.from(text), FORMAT_LIMITS);
  const newline = text.includes('\r\n') ? '\r\n' : '\n';
  const indented = (indent: string): string =>
    lines.map((line) => (line === '' ? newline : `${indent}${line}${newline}`)).join('');
  const whole = text === '' || text.endsWith('\n') ? text : `${text}${newline}`;
  if (rejectCount > 0) return undefined;
  if (root === undefined) return `${whole}${key}:${newline}${indented(INDENT)}`;
  if (root.kind !== 'mapping' || text[root.offset] === '{') return undefined;
  const entry = root.entries.get(key);
  if (entry === undefined) return `${whole}${newline}${key}:${newline}${indented(INDENT)}`;
  const later = [...root.entries.values()].filter(({ keyOffset }) => keyOffset > entry.keyOffset);
  const region = whole.slice(entry.keyOffset, Math.min(whole.length, ...later.map((each) => each.keyOffset)));
  const open = region.replace(/^([^#\n]*?:)[ \t]*\{\s*\}/, '$1'); // of an empty one
  const indent = open === region ? indentOf(text, entry.value) : INDENT;
  if (indent === undefined) return undefined;
  const at = lengthOf(open);
  const end = entry.keyOffset + region.length;
  return [
    whole.slice(0, entry.keyOffset),
    open.slice(0, at),
    indented(indent),
    open.slice(at),
    whole.slice(end),
  ].join('');
}

/** The indentation of a mapping's entries; undefined if it is none, or not written line by line. */
function indentOf(text: string, value: TreeNode): string | undefined {
  if (value.kind === 'text')
    return value.value === '' && !/^["']/.test(text.slice(value.offset)) ? INDENT : undefined;
  const [first] = value.kind === 'mapping' ? value.entries.values() : [];
  if (first === undefined || text[value.offset] === '{') return undefined;
  const indent = text.slice(text.lastIndexOf('\n', first.keyOffset) + 1, first.keyOffset);
  return /^ +$/.test(indent) ? indent : undefined;
}

/** The length of an entry of the root, without blank lines and comments that belong to the next one. */
function lengthOf(region: string): number {
  let [length, at] = [0, 0];
  for (const line of region.split(/(?<=\n)/)) {
    at += line.length;
    if (length === 0 || /^[ \t]+\S/.test(line)) length = at;
  }
  return length;
}
