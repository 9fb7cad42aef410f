/** Which rule sets are sound: the vectors of MEANING.md "Sound rule sets". */

import { readFileSync } from 'node:fs';
import { checkRuleSet } from '@rulecast/rules';
import { expect, it } from 'vitest';
import { ruleSetOf } from './part-spec.ts';
import type { PartSpec } from './slow-encoder.ts';

interface Case {
  readonly name: string;
  readonly parts: readonly PartSpec[];
}

const { sound, unsound }: { readonly sound: readonly Case[]; readonly unsound: readonly Case[] } = JSON.parse(
  readFileSync(new URL('../vectors/soundness.json', import.meta.url), 'utf8'),
);

const faultsOf = (parts: Case['parts']): readonly string[] =>
  checkRuleSet(ruleSetOf(parts)).flatMap(({ severity, code }) => (severity === 'fault' ? [code] : []));

it.each(sound)('is sound: $name', ({ parts }) => expect(faultsOf(parts)).toEqual([]));

//
it.each(unsound)('is not sound: $name', ({ parts }) => expect(faultsOf(parts)).toHaveLength(1));
