/** The exit codes of `rulectl`, in one table, and the error that carries one. */

import { EXIT_BUG, EXIT_OUTPUT_CLOSED, EXIT_OUTPUT_FAILED, EXIT_USAGE } from '@rulecast/program';
import { ErrorCode, type MessageOf } from '@rulecast/protocol';

export const ExitCode = {
  ok: 0,
  unmet: 1,
  refused: 2,
  unreachable: 3,
  moved: 4,
  timeout: 5,
  usage: EXIT_USAGE,
  bug: EXIT_BUG,
  outputFailed: EXIT_OUTPUT_FAILED,
  outputClosed: EXIT_OUTPUT_CLOSED,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** The meaning of each code, as in --help. */
export const EXIT_MEANINGS: Readonly<Record<ExitCode, string>> = {
  [ExitCode.ok]: 'all went as asked',
  [ExitCode.unmet]: 'an expectation is not met, a subscriber refused, or diff found differences',
  [ExitCode.refused]: 'the request is refused: rejects, guards, unreadable files, your role',
  [ExitCode.unreachable]:
    'the publisher is unreachable or failed, the connection was lost, or a verdict is missing',
  [ExitCode.moved]: 'the head has another version than --if-version says',
  [ExitCode.timeout]: 'not applied by every expected subscriber in time, or in force nowhere',
  [ExitCode.usage]: 'wrong usage',
  [ExitCode.bug]: 'a bug of rulectl',
  [ExitCode.outputFailed]: 'the output cannot be written: what was asked may have been done',
  [ExitCode.outputClosed]: 'the reader of the output went away',
};

/** The end of every --help. */
export function exitCodesHelp(): string {
  const rows = Object.entries(EXIT_MEANINGS).map(([code, meaning]) => `${code.padStart(5)}  ${meaning}`);
  return `Exit codes:\n${rows.join('\n')}`;
}

/** Ends the command with a message for people: the fault, its place, and a remedy. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exit: ExitCode;
  /** Stable, for programs. */
  readonly code: string;
  /** What else programs are told. */
  readonly details: object | undefined;

  constructor(
    exit: ExitCode,
    code: string,
    message: string,
    options?: ErrorOptions & { readonly details?: object },
  ) {
    super(message, options);
    this.exit = exit;
    this.code = code;
    this.details = options?.details;
  }
}

export function usageError(message: string): CliError {
  return new CliError(ExitCode.usage, 'usage', message);
}

/** A request that failed; `text` is for people. */
export function failedError(
  { kind: _kind, code, text: reason, ...details }: MessageOf<'fail'>,
  text = reason,
  exit = exitOfFailure(code),
): CliError {
  return new CliError(exit, code, text, { details });
}

/** The exit code for what a publisher answered with FAIL or BYE. */
export function exitOfFailure(code: string): ExitCode {
  switch (code) {
    case ErrorCode.versionMoved:
      return ExitCode.moved;
    case ErrorCode.timeout:
      return ExitCode.timeout;
    case ErrorCode.notPermitted:
    case ErrorCode.badInput:
    case ErrorCode.guardRefused:
    case ErrorCode.publisherBehind:
    case ErrorCode.epochNotGranted:
    case ErrorCode.overLimit:
    case ErrorCode.badRuleSet:
    case ErrorCode.noSuchSubscriber:
    case ErrorCode.stillConnected:
    case ErrorCode.noSuchPart:
    case ErrorCode.unknownRelease:
      return ExitCode.refused;
    default:
      return ExitCode.unreachable;
  }
}
