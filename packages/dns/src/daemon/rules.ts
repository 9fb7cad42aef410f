/** Reads the rule set document to judge by from the disk. */

import { randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseDocument } from '@rulecast/formats/document'; // without the configuration of publishers
import { FORMAT_LIMITS } from '@rulecast/formats/limits';
import { checkRuleSet } from '@rulecast/rules';
import { NameJudge } from '../judge/judge.ts';
import { TABLE_KEY_BYTES } from '../match/table.ts';

/** A document that cannot be judged by: what is wrong with it, a line each. */
export class RulesError extends Error {}

/** Most keys tried when names collide; even a second is hardly ever needed. */
const KEYS_MAX = 3;
/** Lines of faults printed. */
const LINES_MAX = 20;

/**
 * Reads a document, and makes its judge; yields about each millisecond. Throws RulesError, and the system's
 * errors about a file.
 */
export function* judgeOfFile(file: string, nowS: number): Generator<undefined, NameJudge> {
  const read = (name: string): Uint8Array => {
    const stat = statSync(name);
    if (!stat.isFile())
      throw new RulesError(`${name} is no file: write the path of one, not of a folder, a pipe or a device`);
    if (stat.size > FORMAT_LIMITS.inputBytes)
      throw new RulesError(`${name} has ${stat.size} bytes; at most ${FORMAT_LIMITS.inputBytes} are read`);
    return readFileSync(name);
  };
  const readReferenced = (name: string): Uint8Array | undefined => {
    try {
      return read(resolve(dirname(file), name));
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    }
  };
  const document = parseDocument(file, read(file), nowS, readReferenced);
  const { lists, policies, unmatched, rejects, rejectCount } = document;
  const ruleSet = { lists, policies, unmatched, resolutions: new Map() };
  const faults = rejectCount > 0 ? [] : checkRuleSet(ruleSet, 'explain');
  const lines = [
    ...rejects.map(
      ({ file: of, line, column, code, reason }) => `${of}:${line}:${column}: ${code}: ${reason}`,
    ),
    ...faults
      .filter(({ severity }) => severity === 'fault')
      .map(({ code, reason }) => `${file}: ${code}: ${reason}`),
  ];
  if (lines.length > 0) throw new RulesError(lines.slice(0, LINES_MAX).join('\n'));
  for (let keys = 0; ; keys++) {
    const judge = yield* NameJudge.of(ruleSet, randomBytes(TABLE_KEY_BYTES));
    if (judge instanceof NameJudge) return judge;
    if (judge !== 'flooded' || keys === KEYS_MAX)
      throw new RulesError(`${file}: its names are in too many combinations of lists: join some lists`);
  }
}
