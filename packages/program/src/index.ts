/**
 * The common parts of all programs: reading a command line, files and their places, logging, and the end of a
 * process. Begin with run.ts, which runs a program and ends it with an exit code, then command-line.ts.
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
export { checkSwitches, checkWords, type WordRules } from './words.ts';
