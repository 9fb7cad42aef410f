/**
 * Freshness on one connection: the nonces that await an answer, and the newest release that an answer named.
 * Pure. An answer counts for this connection alone, so that a thief of a freshness key cannot lock the
 * subscriber out for good. WIRE.md "Freshness".
 */

import {
  compareRelease,
  ErrorCode,
  FORK_HASH_CHARS,
  FRESH_EVERY_MS,
  FRESH_TRIES_MAX,
  hexOf,
  type MessageOf,
  NEVER,
  NONCES_MAX,
  ProtocolError,
  readStatement,
  type Statement,
} from '@rulecast/protocol';

/** A release by its number, and which of that number. */
export interface Named {
  readonly hash: Uint8Array;
  readonly epoch: number;
  readonly version: number;
}

/** Why an answer is no good. */
export interface Fault {
  readonly code: ErrorCode;
  readonly text: string;
}

/** A nonce that may still be answered. */
export interface Ask {
  readonly nonce: Uint8Array;
  /** By the clock of the machine. */
  readonly atMs: number;
  /** The newest that had been in force here by then. */
  readonly least: Named | undefined;
  /** The hash of the release in force at that time. */
  readonly had: Uint8Array | undefined;
  /** Answers with a bad signature so far. */
  readonly triedCount: number;
}

/** The publisher's newest release at some moment since `asOfMs`; version 0: there was none. */
export interface Newest extends Named {
  readonly asOfMs: number;
  /** The hash of the release in force at that time. */
  readonly had: Uint8Array | undefined;
}

export interface Known {
  /** The oldest first. */
  readonly asks: readonly Ask[];
  /** When the next nonce is due. */
  readonly askAtMs: number;
  readonly newest: Newest | undefined;
  /** Why the last answer was rejected, as already reported. */
  readonly doubt: string | undefined;
}

export const NOTHING_KNOWN: Known = { asks: [], askAtMs: NEVER, newest: undefined, doubt: undefined };

/** The verdict on a FRESH message: a valid answer, an invalid one, or no answer to a question of ours. */
export type FreshEvent = { readonly kind: 'fresh'; readonly ask: Ask | undefined } & (
  | { readonly newest: Newest; readonly fault?: undefined }
  | { readonly newest?: undefined; readonly fault: Fault | undefined }
);

/** The lineage and root a statement must belong to, and the oldest nonce that still counts. */
export interface Believed {
  readonly lineage: Uint8Array;
  /** Hash of the root in force. */
  readonly root: Uint8Array;
  /** Whether the keys of freshness of that root have signed. */
  isFreshness(signed: MessageOf<'fresh'>): boolean;
  /** The newest that ever was in force, if who released it still may. */
  readonly floor: Named | undefined;
  /** A nonce from before that is not answered any more. */
  readonly sinceMs: number;
}

/** A nonce is sent, and that is in force; the oldest that has no answer makes room. */
export function ask(
  known: Known,
  nonce: Uint8Array,
  held: Named | undefined,
  floor: Named | undefined,
  nowMs: number,
): Known {
  const least = newerOf(held, floor);
  const asked: Ask = { nonce, atMs: nowMs, least, had: held?.hash, triedCount: 0 };
  const asks = [...known.asks, asked].slice(-NONCES_MAX);
  return { ...known, asks, askAtMs: nowMs + FRESH_EVERY_MS };
}

/**
 * Each nonce is answered once, and earlier ones then expire. An answer with a bad signature does not use the
 * nonce up, as an attacker on the path could send it before the publisher answers.
 */
export function learn(known: Known, event: FreshEvent): Known {
  const { ask: asked, newest = known.newest, fault } = event;
  const at = asked === undefined ? -1 : known.asks.indexOf(asked);
  if (asked === undefined || at < 0) return known;
  if (fault?.code !== ErrorCode.badSignature)
    return { ...known, asks: known.asks.slice(at + 1), newest, doubt: fault?.text };
  const tried = { ...asked, triedCount: asked.triedCount + 1 };
  const left = known.asks.map((one) => (one === asked ? tried : one));
  return { ...known, asks: left.filter(({ triedCount }) => triedCount < FRESH_TRIES_MAX), doubt: fault.text };
}

/**
 * Judges a FRESH message. If its nonce is unknown or too old, the signature is not even checked: it may
 * belong to another connection.
 */
export function judgeFresh(fresh: MessageOf<'fresh'>, { asks }: Known, believed: Believed): FreshEvent {
  const statement = readStatement(fresh.content);
  const ask = statement && asks.find(({ nonce }) => Buffer.compare(nonce, statement.nonce) === 0);
  if (statement === undefined || ask === undefined || ask.atMs < believed.sinceMs)
    return { kind: 'fresh', ask: undefined, fault: undefined };
  const fault = faultOf(fresh, statement, ask, believed);
  if (fault !== undefined) return { kind: 'fresh', ask, fault };
  const { epoch, version, hash } = statement;
  return { kind: 'fresh', ask, newest: { epoch, version, hash, asOfMs: ask.atMs, had: ask.had } };
}

function faultOf(
  fresh: MessageOf<'fresh'>,
  statement: Statement,
  { least }: Ask,
  { lineage, root, isFreshness, floor }: Believed,
): Fault | undefined {
  const isOurs =
    Buffer.compare(statement.lineage, lineage) === 0 && Buffer.compare(statement.root, root) === 0;
  if (!isOurs || !isFreshness(fresh)) {
    const text = 'the confirmation of the newest is not signed by freshness keys of the root in force';
    return { code: ErrorCode.badSignature, text };
  }
  if (floor === undefined || least === undefined) return undefined;
  // a release that came since the question is no fault of the publisher
  const bound = compareRelease(least, floor) < 0 ? least : floor;
  const order = compareRelease(statement, bound);
  if (order === 0 && Buffer.compare(statement.hash, bound.hash) !== 0) {
    const text = `the publisher says that ${forkText(bound, statement)}`;
    return { code: ErrorCode.forked, text };
  }
  if (order >= 0) return undefined;
  const text = `the newest release of the publisher is ${numberText(statement)}, and ${numberText(bound)} was in force here: its state is older than what it released`;
  return { code: ErrorCode.notNewer, text };
}

/**
 * Throws ProtocolError for a release that is neither the newest known nor above it. Without a floor, it also
 * throws if no newest release is known since `sinceMs`: the offer could be a year old.
 */
export function checkNewest(offer: Named, { newest }: Known, hasFloor: boolean, sinceMs: number): void {
  if (newest === undefined || (!hasFloor && newest.asOfMs < sinceMs)) {
    if (hasFloor) return;
    const text =
      'no release was in force here to compare with, and the publisher has not confirmed yet which is newest';
    throw new ProtocolError(ErrorCode.notFresh, text);
  }
  const order = compareRelease(offer, newest);
  if (order > 0 || (order === 0 && Buffer.compare(offer.hash, newest.hash) === 0)) return;
  if (order === 0) throw new ProtocolError(ErrorCode.forked, forkText(newest, offer));
  const text = `release ${numberText(offer)} is not the newest, which is ${numberText(newest)}`;
  throw new ProtocolError(ErrorCode.notFresh, text);
}

/** Whether the release in force was the newest when that was asked, or came later. */
export function isNewest(held: Named | undefined, { newest }: Known): boolean {
  if (newest === undefined) return false;
  if (held === undefined) return newest.version === 0;
  if (Buffer.compare(held.hash, newest.hash) === 0) return true;
  // A higher number alone proves nothing: a thief may have signed it, whose key was revoked since.
  const cameSince = newest.had === undefined || Buffer.compare(held.hash, newest.had) !== 0;
  return cameSince && compareRelease(held, newest) > 0;
}

function newerOf(one: Named | undefined, other: Named | undefined): Named | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return compareRelease(one, other) < 0 ? other : one;
}

function forkText(one: Named, other: Named): string {
  const [own, strange] = [one, other].map(({ hash }) => hexOf(hash).slice(0, FORK_HASH_CHARS));
  return `release ${numberText(one)} is ${own} and ${strange}: two publishers use one key`;
}

function numberText({ epoch, version }: Omit<Named, 'hash'>): string {
  return version === 0 ? 'none' : `${epoch}/${version}`;
}
