/**
 * bzip2, undone by its program: Node has none, and the libraries that do without native code are kept by
 * nobody, or gather a block before anybody can count it.
 */

import { UnpackError, UnpackErrorCode } from './error.ts';
import { type Ended, type Program, type ProgramOptions, throughProgram } from './program.ts';

const PROGRAM: Program = {
  name: 'bzip2',
  args: ['-dc'], // not -q: it would pass over what follows the data in silence
  memoryBytes: 128 * 1024 * 1024,
  explain,
};

/** What comes out. Throws UnpackError. */
export function bunzip2(bytes: Uint8Array, options: ProgramOptions): AsyncGenerator<Uint8Array> {
  return throughProgram(PROGRAM, bytes, options);
}

/** By the words of bzip2 1.0.8. */
function explain({ words }: Ended): UnpackError {
  if (words.includes('ends unexpectedly'))
    return new UnpackError(UnpackErrorCode.truncated, 'the bzip2 data has no end');
  const why = words.includes('trailing garbage') ? 'something else follows it' : words;
  return new UnpackError(UnpackErrorCode.damaged, `the bzip2 data is damaged: ${why}`);
}
