/** Exit codes that all programs share, and the error that carries one. */

/** The request cannot be carried out here. */
export const EXIT_FAILED = 1;
/** EX_USAGE of sysexits.h. */
export const EXIT_USAGE = 64;
/** EX_SOFTWARE. */
export const EXIT_BUG = 70;
/** EX_IOERR. */
export const EXIT_OUTPUT_FAILED = 74;
/** The code that a shell reports for a program ended by SIGPIPE. */
export const EXIT_OUTPUT_CLOSED = 141;

/** Ends the program with a message for people: the fault, its place, and a remedy. */
export class ProgramError extends Error {
  override readonly name = 'ProgramError';
  readonly exit: number;

  constructor(exit: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exit = exit;
  }
}

export function usageError(message: string, options?: ErrorOptions): ProgramError {
  return new ProgramError(EXIT_USAGE, message, options);
}
