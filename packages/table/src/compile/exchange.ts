/**
 * What a table and its compile thread say to each other.
 *
 *   table ── parts … ───▶ thread        only those that the thread does not hold yet, some a message
 *         ── compile ─────▶             names all parts; those it does not name, and what was lent, are forgotten
 *         ◀─── measured, refused or failed
 *         ── write or drop ▶            where in the table's memory; nowhere, if it does not fit
 *         ◀─── compiled or failed
 *
 * Arrays are copied once, by the hand-over, and their copies are moved.
 */

import { type Environment, type List, NO_NAMES, type Prefixes, type RuleSet } from '@rulecast/rules';
import type { HandOver } from '@rulecast/threads';
import { allColumns, type PolicyColumns } from '../classes/rule-columns.ts';
import type { EditBase, ImageSizes } from '../image/image.ts';
import type { ImagePieces } from '../image/pieces.ts';
import type { TableLimitCode, TableLimits } from '../limits.ts';
import type { WasmMemory } from '../memory/memory.ts';

/** A list, a policy, or what all names stand for. */
export type CompilePart =
  | { readonly kind: 'list'; readonly list: List }
  | { readonly kind: 'policy'; readonly policy: PolicyColumns }
  | { readonly kind: 'resolutions'; readonly names: readonly string[]; readonly sets: PackedSets };

export interface SentPart {
  readonly id: number;
  readonly part: CompilePart;
  /** For the next compile alone. */
  readonly isLent: boolean;
}

export type ToCompileThread =
  | { readonly kind: 'parts'; readonly parts: readonly SentPart[] }
  | ({ readonly kind: 'compile' } & CompileRequest)
  | ({ readonly kind: 'write' } & WriteRequest)
  | { readonly kind: 'drop' };

export interface CompileRequest {
  /** The ids of all parts of the rule set, each policy's in the order of policies. */
  readonly lists: readonly (readonly [name: string, id: number])[];
  readonly policies: readonly number[];
  readonly resolutions: number;
  readonly unmatched: RuleSet['unmatched'];
  readonly environment: Environment;
  readonly limits: TableLimits;
}

export interface WriteRequest {
  readonly generation: number;
  readonly memory: WasmMemory;
  /** Bytes that the memory has. */
  readonly memoryBytes: number;
  /** Where the image goes: the thread's alone until it answers. */
  readonly places: ImagePieces;
}

export type FromCompileThread =
  /** Bytes that the image needs. */
  | { readonly kind: 'measured'; readonly pieces: ImagePieces }
  | { readonly kind: 'compiled'; readonly sizes: ImageSizes; readonly edit: EditBase }
  /** A TableLimitError. */
  | { readonly kind: 'refused'; readonly code: TableLimitCode; readonly limit: number; readonly what: string }
  | { readonly kind: 'failed'; readonly reason: string };

/** Many small sets in few arrays, set after set. */
interface PackedSets {
  readonly v4: PackedColumns;
  readonly v6: PackedColumns;
}

interface PackedColumns {
  /** By set: how many prefixes it has. */
  readonly counts: Uint32Array<ArrayBuffer>;
  readonly prefixes: Prefixes;
}

/** A list to be handed over. Of a list of names, only the names that rules may ask for. */
export async function listPart(list: List, handOver: HandOver): Promise<CompilePart> {
  if (list.kind === 'prefixes') return { kind: 'list', list: await handOver.list(list) };
  return { kind: 'list', list: list.resolve === true ? list : { ...list, names: NO_NAMES } };
}

/** A policy to be handed over; the columns of its runs may go away from the caller. */
export async function policyPart(policy: PolicyColumns, handOver: HandOver): Promise<CompilePart> {
  for (const { checks, ranges, expires, kinds, remotes, words, lengths } of allColumns(policy)) {
    for (const array of [checks, ranges, expires, kinds, remotes, words, lengths]) handOver.give(array);
  }
  return { kind: 'policy', policy: { ...policy, prefixes: await handOver.prefixSet(policy.prefixes) } };
}

export function resolutionsPart(resolutions: RuleSet['resolutions'], handOver: HandOver): CompilePart {
  const sets = [...resolutions.values()];
  const v4 = packed(
    4,
    sets.map((set) => set.v4),
    handOver,
  );
  const v6 = packed(
    6,
    sets.map((set) => set.v6),
    handOver,
  );
  return { kind: 'resolutions', names: [...resolutions.keys()], sets: { v4, v6 } };
}

/** The sets of a resolutions part, as views of its arrays. */
export function unpackedResolutions(
  names: readonly string[],
  { v4, v6 }: PackedSets,
): RuleSet['resolutions'] {
  const columns4 = unpacked(v4);
  const columns6 = unpacked(v6);
  const nothing: Prefixes = { family: 4, words: new Uint32Array(0), lengths: new Uint8Array(0) };
  return new Map(
    names.map((name, i) => [
      name,
      { v4: columns4[i] ?? nothing, v6: columns6[i] ?? { ...nothing, family: 6 } },
    ]),
  );
}

function packed(family: 4 | 6, columns: readonly Prefixes[], handOver: HandOver): PackedColumns {
  const counts = Uint32Array.from(columns, ({ lengths }) => lengths.length);
  const words = new Uint32Array(columns.reduce((sum, column) => sum + column.words.length, 0));
  const lengths = new Uint8Array(columns.reduce((sum, column) => sum + column.lengths.length, 0));
  let wordAt = 0;
  let entryAt = 0;
  for (const column of columns) {
    words.set(column.words, wordAt);
    lengths.set(column.lengths, entryAt);
    wordAt += column.words.length;
    entryAt += column.lengths.length;
  }
  for (const array of [counts, words, lengths]) handOver.give(array);
  return { counts, prefixes: { family, words, lengths } };
}

function unpacked({ counts, prefixes: { family, words, lengths } }: PackedColumns): readonly Prefixes[] {
  const stride = family === 4 ? 1 : 4;
  let at = 0;
  return Array.from(counts, (count) => {
    const from = at;
    at += count;
    return { family, words: words.subarray(from * stride, at * stride), lengths: lengths.subarray(from, at) };
  });
}
