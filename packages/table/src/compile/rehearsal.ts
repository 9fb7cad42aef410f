/**
 * What the compile thread does before there is anything to compile: the same small image again and again.
 * Most of what the first large one would take is an engine that interprets, and compiles meanwhile.
 */

import { EMPTY_PREFIX_SET, EMPTY_RULE_SET, emptyPolicy, plainRule, RunBuilder } from '@rulecast/rules';
import { type RuleColumns, ruleColumns } from '../classes/rule-columns.ts';
import { compileImage, writeImage } from '../image/image.ts';
import { type ImagePieces, NO_PIECES } from '../image/pieces.ts';
import { DEFAULT_TABLE_LIMITS } from '../limits.ts';
import { LINE_BYTES } from '../memory/control.ts';
import { viewsOf } from '../memory/memory.ts';

/** Our choice: enough for all loops to be compiled, in a tenth of a second. */
const HOSTS = 2000;
const IMAGES = 10;
/** Odd, so that no two products are the same, and far from regular: 2^32 by the golden ratio. */
const FACTOR = 0x9e3779b1;

export function rehearse(): void {
  const rules = sampleRules();
  let memory: SharedArrayBuffer | undefined;
  for (let i = 0; i < IMAGES; i++) {
    const compiled = compileImage(rules, { now: 0, dns: [] }, DEFAULT_TABLE_LIMITS);
    const places: Record<keyof ImagePieces, number> = { ...NO_PIECES };
    let end = LINE_BYTES; // no piece is at 0
    for (const name of Object.keys(NO_PIECES) as (keyof ImagePieces)[]) {
      places[name] = end;
      end += Math.ceil(compiled.pieces[name] / LINE_BYTES) * LINE_BYTES;
    }
    memory ??= new SharedArrayBuffer(end); // all images are alike
    writeImage(compiled, 0, viewsOf(memory), places);
  }
}

/** A policy that drops what is in a list of random hosts. */
function sampleRules(): RuleColumns {
  const words = Uint32Array.from({ length: HOSTS }, (_, i) => Math.imul(i + 1, FACTOR)).sort();
  const v4 = { family: 4, words, lengths: new Uint8Array(HOSTS).fill(32) } as const;
  const runs = new RunBuilder();
  runs.push({ ...plainRule('drop'), remote: { kind: 'list', list: 'hosts' } });
  runs.push(plainRule('accept'));
  return ruleColumns({
    ...EMPTY_RULE_SET,
    lists: new Map([['hosts', { kind: 'prefixes', v4, v6: EMPTY_PREFIX_SET.v6 }]]),
    policies: new Map([['default', { ...emptyPolicy('default'), egress: runs.build() }]]),
  });
}
