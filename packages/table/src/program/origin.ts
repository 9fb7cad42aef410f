/** The origin of a code: the program, the block and the run of its outcome, read from the programs' words. */

import { type Direction, RULE_BLOCKS, type RuleBlock } from '@rulecast/rules';
import {
  BLOCK_WORDS,
  BlockField,
  CODE_ACTION_BITS,
  DIRECTIONS,
  NO_VERDICT_CODE,
  PROGRAM_HEADER_WORDS,
  PROGRAM_WORDS,
  ProgramField,
  ProgramHeader,
} from './program.ts';

/** The origin of a code, in numbers. */
interface CodeOrigin {
  readonly program: number;
  /** The place of the judging policy's name among all policies'; -1: no policy judges. */
  readonly policy: number;
  readonly direction: Direction;
  /** The block and run that decided; undefined where the default action did. */
  readonly block: number | undefined;
  /** The role of that block for the judging policy. */
  readonly kind: RuleBlock | undefined;
  readonly label: number;
  readonly run: number;
}

/** The fields of a program's record that hold its blocks, in the order in which they are judged. */
export const BLOCK_FIELDS = {
  exceptions: 'exceptionsBlock',
  common: 'commonBlock',
  own: 'ownBlock',
} as const satisfies Record<RuleBlock, keyof typeof ProgramField>;

export function programCount(blob: Int32Array): number {
  return blob[ProgramHeader.programCount]!; // every block of words has a header
}

/** A field of a program's record; `program` < programCount. */
export function programField(blob: Int32Array, program: number, field: keyof typeof ProgramField): number {
  return blob[PROGRAM_HEADER_WORDS + program * PROGRAM_WORDS + ProgramField[field]]!; // the record exists
}

/** The place of the name of the policy whose runs a block has. */
export function blockPolicy(blob: Int32Array, block: number): number {
  return blockField(blob, block, 'policy');
}

/** The number of labels of a block; 0 for block -1. */
export function blockRoom(blob: Int32Array, block: number): number {
  return block < 0 ? 0 : blockField(blob, block, 'room');
}

/** The run that has a label of a block, or -1. */
export function runOf(blob: Int32Array, block: number, label: number): number {
  return blob[blockField(blob, block, 'runs') + label]!; // within the block's room
}

/** By run of a block its label. */
export function labelsOf(blob: Int32Array, block: number): Int32Array {
  const labels = new Int32Array(blockField(blob, block, 'runCount'));
  const runs = blob.subarray(blockField(blob, block, 'runs'));
  const room = blockRoom(blob, block);
  for (let label = 0; label < room; label++) if (runs[label]! >= 0) labels[runs[label]!] = label; // below the room
  return labels;
}

/** The place of the list of a label's run among the names of lists, or -1. */
export function listOf(blob: Int32Array, block: number, label: number): number {
  const first = blockField(blob, block, 'lists');
  return first < 0 ? -1 : blob[first + label]!; // within the block's room
}

export function blockField(blob: Int32Array, block: number, field: keyof typeof BlockField): number {
  return blob[blob[ProgramHeader.blocks]! + block * BLOCK_WORDS + BlockField[field]]!; // the caller's block exists
}

/**
 * The origin of a code; undefined for the verdict none. Throws RangeError for a code of no outcome,
 * `outcomeCount` being one more than the last.
 */
export function originOf(blob: Int32Array, outcomeCount: number, code: number): CodeOrigin | undefined {
  if (code === NO_VERDICT_CODE) return undefined;
  const outcome = code >> CODE_ACTION_BITS;
  let program = 0;
  let high = programCount(blob);
  if (code < 0 || outcome >= outcomeCount || high === 0)
    throw new RangeError(`no verdict has the code ${code}`);
  while (high - program > 1) {
    const middle = (program + high) >>> 1;
    if (programField(blob, middle, 'firstOutcome') <= outcome) program = middle;
    else high = middle;
  }
  const direction = DIRECTIONS[programField(blob, program, 'direction')] ?? 'egress';
  const origin = { program, policy: programField(blob, program, 'policy'), direction };
  let label = outcome - programField(blob, program, 'firstOutcome') - 1;
  if (label < 0) return { ...origin, block: undefined, kind: undefined, label, run: -1 };
  for (const kind of RULE_BLOCKS) {
    const block = programField(blob, program, BLOCK_FIELDS[kind]);
    const room = blockRoom(blob, block);
    if (label >= room) {
      label -= room;
      continue;
    }
    const run = runOf(blob, block, label);
    if (run >= 0) return { ...origin, block, kind, label, run };
    break;
  }
  throw new RangeError(`no verdict has the code ${code}`);
}
