/** The suites named for a mutant, on sources that have it: RULECAST_MUTANT is its name, or '' for none. */

import { mergeConfig } from 'vitest/config';
import base from '../../vitest.config.ts';
import { MUTANTS, mutated } from './list.mjs';

const asked = process.env['RULECAST_MUTANT'];
const mutant = MUTANTS.find(({ name }) => name === asked);
if (mutant === undefined && asked !== '') throw new Error(`no mutant is called ${asked}`);

export default mergeConfig(base, {
  plugins: [
    {
      name: 'mutant',
      enforce: 'pre',
      transform: (code: string, id: string) =>
        mutant === undefined ? code : mutated(mutant, id.split('?')[0] ?? id, code),
    },
  ],
});
