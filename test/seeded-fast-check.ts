/**
 * fast-check whose properties look at the same values each time, so that a change that did not break them is
 * not blamed; a thorough run looks at others.
 */

import fc from 'fast-check';
import { isThorough } from './thorough.ts';

if (!isThorough) fc.configureGlobal({ seed: 20_261_126 });

export default fc;
