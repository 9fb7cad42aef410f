/** The suites that are named for a mutant, on sources that have it: RULECAST_MUTANT is its name. */

import { mergeConfig } from 'vitest/config';
import base from '../../vitest.config.ts';
import { MUTANTS, mutated } from './list.mjs';

const mutant = MUTANTS.find(({ name }) => name === process.env['RULECAST_MUTANT']);
if (mutant === undefined) throw new Error(`no mutant is called ${process.env['RULECAST_MUTANT']}`);

export default mergeConfig(base, {
  plugins: [
    {
      name: 'mutant',
      enforce: 'pre',
      transform: (code: string, id: string) => mutated(mutant, id.split('?')[0] ?? id, code),
    },
  ],
});
