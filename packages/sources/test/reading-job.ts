/** What a reading job is where a test says nothing else. */

import { SOURCE_LIMITS } from '@rulecast/formats';
import type { Input } from '../src/read/inputs.ts';
import type { ReadingJob } from '../src/read/reading.ts';

export const WHOLE: ReadingJob['reading'] = {
  format: undefined,
  hostBits: 'reject',
  column: undefined,
  lengthColumn: undefined,
  delimiter: undefined,
  json: undefined,
  pattern: undefined,
  allAddresses: false,
  strict: false,
  take: undefined,
  minScore: undefined,
  country: [],
  asn: [],
  region: [],
  service: [],
  tag: [],
  set: [],
  members: [],
  subdomains: false,
  allowPublicSuffixes: false,
};

/** To read some files, which end where they should unless `end` says otherwise. */
export function jobOf(
  files: Readonly<Record<string, string | Uint8Array>>,
  some: Partial<ReadingJob> = {},
  end: Input['end'] = 'proven',
): ReadingJob {
  const inputs: readonly Input[] = Object.entries(files).map(([name, content]) => ({
    name,
    bytes: typeof content === 'string' ? Buffer.from(content) : content,
    end,
  }));
  return {
    inputs,
    reading: WHOLE,
    resolve: false,
    asNames: false,
    aggregate: false,
    rejectsShare: 0.1,
    leastEntries: 1,
    ignoreDeclared: false,
    limits: SOURCE_LIMITS,
    neverBlock: undefined,
    ...some,
  };
}
