/** How a program ends badly: the codes that all of them share, and the error that carries one. */

/** What was asked for cannot be done here. */
export const EXIT_FAILED = 1;
/** EX_USAGE of sysexits.h. */
export const EXIT_USAGE = 64;
/** EX_SOFTWARE. */
export const EXIT_BUG = 70;
/** EX_IOERR. */
export const EXIT_OUTPUT_FAILED = 74;
/** What a shell reports for a program that SIGPIPE ended. */
export const EXIT_OUTPUT_CLOSED = 141;

/** The end of the program with a message for people: what was wrong, where, and what to do. */
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
