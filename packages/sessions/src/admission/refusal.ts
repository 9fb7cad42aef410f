/** The reasons to turn a connection away, as sent in BYE. WIRE.md "BYE". */

import { BUSY_RETRY_AFTER_MS, ErrorCode, PROTOCOL_VERSION, RETRY_AFTER_MS } from '@rulecast/protocol';

/** Why a peer is not served. */
export interface Refusal {
  readonly code: ErrorCode;
  readonly text: string;
  /** When the peer may try again. */
  readonly retryAfterMs?: number;
}

/**
 * The pause for a silent peer. Our choice: a member of a fleet that came all at once, on a busy machine,
 * finds room by then; attackers do not ask.
 */
const SILENT_RETRY_AFTER_MS = 1000;

/** The refusal of a silent peer when others need its place. */
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

/** The refusal if there is no place. */
export function busy(text: string): Refusal {
  return { code: ErrorCode.tooManyConnections, text, retryAfterMs: BUSY_RETRY_AFTER_MS };
}
