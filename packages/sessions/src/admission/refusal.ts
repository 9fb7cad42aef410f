/** The reasons to turn a connection away, as sent in BYE. WIRE.md "BYE". */

import { BUSY_RETRY_AFTER_MS, ErrorCode, PROTOCOL_VERSION, RETRY_AFTER_MS } from '@rulecast/protocol';

/** Why a peer is not served. */
export interface Refusal {
  readonly code: ErrorCode;
  readonly text: string;
  /** When it may come back. */
  readonly retryAfterMs?: number;
}

/**
 * Our choice: one of a fleet that came all at once, and whose processor let it wait, has room then; a crowd
 * that means harm does not ask.
 */
const SILENT_RETRY_AFTER_MS = 1000;

/** Others came meanwhile, and it has said nothing. */
export const SILENT: Refusal = {
  code: ErrorCode.tooManyConnections,
  text: 'many others connect, and nothing came from here yet',
  retryAfterMs: SILENT_RETRY_AFTER_MS,
};

/** The refusal of a peer that speaks these versions; undefined if ours is among them. */
export function versionRefusal(
  { protocolMin, protocolMax }: { readonly protocolMin: number; readonly protocolMax: number },
  peer: 'subscriber' | 'relay' | 'rulectl',
): Refusal | undefined {
  if (protocolMin <= PROTOCOL_VERSION && protocolMax >= PROTOCOL_VERSION) return undefined;
  const [theirs, older] =
    protocolMax < PROTOCOL_VERSION ? [protocolMax, `the ${peer}`] : [protocolMin, 'this publisher'];
  const kept = peer === 'subscriber' ? '; what it has in force stays so meanwhile' : '';
  const text = `this publisher speaks protocol ${PROTOCOL_VERSION}, and the ${peer} ${theirs}: upgrade ${older}${kept}`;
  return { code: ErrorCode.noCommonVersion, text, retryAfterMs: RETRY_AFTER_MS };
}

/** There is no place now. */
export function busy(text: string): Refusal {
  return { code: ErrorCode.tooManyConnections, text, retryAfterMs: BUSY_RETRY_AFTER_MS };
}
