/**
 * What every program has. Begin with run.ts, which is how one ends.
 *
 *   words, environment ─command-line─▶ options ─▶ main ─output, log-stream─▶ what people and services read ─▶ exit
 *
 * One room: command-line, words, gone-options and trust (what is asked), directory, lock and small-file
 * (where things lie), output, now-or-never, log-stream and paced-log (what is said), listeners (who embeds
 * one is told), service (who started it is told), malloc (what large arrays cost), stop, exit, end-soon, run
 * (the end).
 */

export { DirectoryError, defaultEndpoints, stateHome } from './directory.ts';
export { endSoon } from './end-soon.ts';
export {
  EXIT_BUG,
  EXIT_FAILED,
  EXIT_OUTPUT_CLOSED,
  EXIT_OUTPUT_FAILED,
  EXIT_USAGE,
  ProgramError,
  usageError,
} from './exit.ts';
export { goneOptions } from './gone-options.ts';
export { openLog } from './log-stream.ts';
export { mapLargeBlocks } from './malloc.ts';
export { Output, OutputClosedError, OutputFailedError } from './output.ts';
export { type Logger, PacedLog } from './paced-log.ts';
export { passedSockets } from './passed-sockets.ts';
export { programOptions, runProgram } from './run.ts';
export { serviceManager } from './service.ts';
export { readSmallFile } from './small-file.ts';
export { stopSignal } from './stop.ts';
export { readAuthorities, readTrust } from './trust.ts';
export { checkSwitches, checkWords, type WordRules } from './words.ts';
