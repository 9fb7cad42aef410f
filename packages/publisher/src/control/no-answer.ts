/**
 * Why a subscriber gave no answer to a question, as an error and as a record. CONTROL.md "TEST" and "STATUS".
 */

import {
  boundText,
  type ControlRecordOf,
  ErrorCode,
  type MessageOf,
  ProtocolError,
} from '@rulecast/protocol';

/** The error of an ANSWER without the requested data: `rate-limited` or `not-ready`. */
export function noAnswer({ code, text }: MessageOf<'answer'>): ProtocolError {
  return new ProtocolError(
    code === ErrorCode.rateLimited ? code : ErrorCode.notReady,
    text ?? 'it has no answer',
  );
}

/** The record in place of an answer. Rethrows what is not the subscriber's doing. */
export function noAnswerRecord(subscriber: string, error: unknown): ControlRecordOf<'warning'> {
  if (!(error instanceof ProtocolError)) throw error;
  const part = `subscriber ${subscriber}`;
  return { record: 'warning', code: error.code, part, reason: boundText(error.message) };
}
