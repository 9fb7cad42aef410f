/** Why a connection is turned away, as BYE says it. PROTOCOL.md "BYE". */

import { BUSY_RETRY_AFTER_MS, ErrorCode } from '@rulecast/protocol';

/** Why a peer is not served. */
export interface Refusal {
  readonly code: ErrorCode;
  readonly text: string;
  /** When it may come back. */
  readonly retryAfterMs?: number;
}

export const SILENT_TEXT = 'many others connect, and nothing came from here yet';

/** There is no place now. */
export function busy(text: string): Refusal {
  return { code: ErrorCode.tooManyConnections, text, retryAfterMs: BUSY_RETRY_AFTER_MS };
}
