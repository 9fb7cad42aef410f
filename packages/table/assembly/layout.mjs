/**
 * Writes layout.ts: what the engine must know of the bytes that TypeScript writes, from the one place where
 * each number stands. A part of the build, between the two compilers.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { ASKS_DETAIL } from '../dist/classes/match-checks.js';
import { HeaderField } from '../dist/image/header.js';
import { COLUMNS_BYTE, SHARE_BYTE } from '../dist/lookup/engine.js';
import { LookupDirection } from '../dist/lookup/verdict.js';
import { ValueWidth } from '../dist/map/node.js';
import { ControlField } from '../dist/memory/control.js';
import { OWNER_WORDS, OwnerField } from '../dist/program/owner.js';
import {
  CODE_ACTION_BITS,
  CODE_ACTION_MASK,
  CodeAction,
  NO_MATCH,
  NO_VERDICT_CODE,
  NODE_KIND_MASK,
  NODE_OFFSET_SHIFT,
  NodeKind,
  PAGE_PORTS,
  PORT_PAGES,
  PROGRAM_HEADER_WORDS,
  PROGRAM_WORDS,
  ProgramField,
  ProgramHeader,
  ROW_PAGE,
  TABLE_EMPTY,
  TABLE_WORDS,
  TableKind,
} from '../dist/program/program.js';

const HEADER = {
  OWNER4: HeaderField.owner4 * 4,
  OWNER4_MASK: HeaderField.owner4Mask * 4,
  OWNER6: HeaderField.owner6 * 4,
  OWNER6_MASK: HeaderField.owner6Mask * 4,
  OWNERS: HeaderField.owners * 4,
  PROGRAMS: HeaderField.programs * 4,
  HITS: HeaderField.hits * 4,
  SHARES: HeaderField.shares * 4,
  SHARE_COUNT: HeaderField.shareCount * 4,
  SHARE_BYTES: HeaderField.shareBytes * 4,
  MAP4: HeaderField.map4 * 4,
  MAP4_MASK: HeaderField.map4Mask * 4,
  MAP6: HeaderField.map6 * 4,
  MAP6_MASK: HeaderField.map6Mask * 4,
};
const OWNER = { EGRESS_FIELD: OwnerField.egress * 4, INGRESS_FIELD: OwnerField.ingress * 4 };
const SHARED = { IN_FORCE: ControlField.header * 4, SHARE_INDEX: SHARE_BYTE, COLUMNS: COLUMNS_BYTE };
const RECORD = {
  PROGRAM_HEADER: PROGRAM_HEADER_WORDS * 4,
  CLASS_MASK: ProgramField.classMask * 4,
  BASE: ProgramField.base * 4,
  NO_MATCH_FIELD: ProgramField.noMatch * 4,
  WILDCARDS: ProgramField.wildcards * 4,
  IS_PLAIN: ProgramField.isPlain * 4,
  RECORD_COUNT: ProgramHeader.recordCount * 4,
  PORTS: ProgramHeader.ports * 4,
  SHAPELESS: ProgramHeader.shapeless * 4,
  SHARED_PAGES: ProgramHeader.sharedPages * 4,
  FIRST: ProgramHeader.first * 4,
  ROW_PAGE_SHIFT: shiftOf(ROW_PAGE),
  PROTOCOL_BYTES: PORT_PAGES * 4,
  PAGE_SHIFT: shiftOf(PAGE_PORTS),
  TABLE_BYTES: TABLE_WORDS * 4,
};
const SHIFTS = {
  OWNER_SHIFT: shiftOf(OWNER_WORDS * 4),
  RECORD_SHIFT: shiftOf(PROGRAM_WORDS * 4),
};
const WIDTHS = { BYTE: ValueWidth.byte, HALF: ValueWidth.half, WORD: ValueWidth.word, NONE: ValueWidth.none };
const WORDS = {
  EGRESS: LookupDirection.egress,
  INGRESS: LookupDirection.ingress,
  NO_VERDICT: NO_VERDICT_CODE,
  ACTION_BITS: CODE_ACTION_BITS,
  ACTION_MASK: CODE_ACTION_MASK,
  DROP: CodeAction.drop,
  LIST: NodeKind.list,
  MAP: NodeKind.map,
  TABLE: NodeKind.table,
  KIND_MASK: NODE_KIND_MASK,
  OFFSET_SHIFT: NODE_OFFSET_SHIFT,
  TABLE_OF_MEMBERS: TableKind.members,
  TABLE_EMPTY,
  NO_MATCH,
  ASKS_DETAIL,
};

if (ProgramField.rows !== 0) throw new Error('the engine loads the rows of a record from its first word');

const text = `/**
 * What the engine knows of the bytes that TypeScript writes. Written by layout.mjs at each build: change it
 * there, or where it says.
 */

${section('Of a header, in bytes.', 'usize', HEADER)}
${section('Of the record of an owner, in bytes.', 'usize', OWNER)}
${section('Of all memory, where the header in force is; of scratch memory, its reader’s share and columns. In bytes.', 'usize', SHARED)}
${section('Of programs, in bytes.', 'usize', RECORD)}
${section('Sizes in bytes, as powers of two.', 'usize', SHIFTS)}
${section('Widths of values of maps.', 'u32', WIDTHS)}
${section('Numbers in words.', 'i32', WORDS)}`;

const file = new URL('layout.ts', import.meta.url);
if (textOf(file) !== text) writeFileSync(file, text);

/** @param {string} title @param {string} type @param {Readonly<Record<string, number>>} numbers */
function section(title, type, numbers) {
  const lines = Object.entries(numbers).map(([name, value]) => {
    if (!Number.isInteger(value)) throw new Error(`${name} is ${value}`);
    return `export const ${name}: ${type} = ${value};\n`;
  });
  return `// ${title}\n${lines.join('')}`;
}

/** @param {number} bytes */
function shiftOf(bytes) {
  const shift = Math.log2(bytes);
  if (!Number.isInteger(shift)) throw new Error(`${bytes} bytes are no power of two, and the engine shifts`);
  return shift;
}

/** @param {URL} from */
function textOf(from) {
  try {
    return readFileSync(from, 'utf8');
  } catch {
    return undefined;
  }
}
