/**
 * The one error of this package, and the codes it carries. A code is what a peer, a program or a test may
 * branch on; the message is for people. The same codes travel in NACK, ABORT, BYE, DONE and FAIL (WIRE.md
 * "Errors").
 */

/**
 * Stable wire error codes. Adding one is compatible: a peer that does not know a code treats it by the
 * message it came in.
 */
export const ErrorCode = {
  // Frames: the connection closes, without resynchronising.
  badMagic: 'bad-magic',
  badFrameVersion: 'bad-frame-version',
  badFlags: 'bad-flags',
  badLength: 'bad-length',
  badChecksum: 'bad-checksum',
  badSequence: 'bad-sequence',
  truncated: 'truncated',
  sequenceExhausted: 'sequence-exhausted',
  // Messages: the connection closes.
  unknownType: 'unknown-type',
  bodyTooLong: 'body-too-long',
  badBody: 'bad-body',
  badMessage: 'bad-message',
  // Sessions: the connection closes.
  unexpectedMessage: 'unexpected-message',
  noCommonVersion: 'no-common-version',
  wrongLineage: 'wrong-lineage',
  unknownRoot: 'unknown-root',
  moreRoots: 'more-roots',
  badRoot: 'bad-root',
  nameInUse: 'name-in-use',
  nameBound: 'name-bound',
  tooManyConnections: 'too-many-connections',
  timeout: 'timeout',
  notReading: 'not-reading',
  disconnected: 'disconnected',
  shuttingDown: 'shutting-down',
  // Transfers: the transfer is given up, the session goes on.
  unsupported: 'unsupported',
  superseded: 'superseded',
  unknownRelease: 'unknown-release',
  badTransfer: 'bad-transfer',
  overLimit: 'over-limit',
  overBudget: 'over-budget',
  // Content: refused with `never` if the signed release itself is at fault, else with `later`.
  badManifest: 'bad-manifest',
  badSignature: 'bad-signature',
  epochNotGranted: 'epoch-not-granted',
  notNewer: 'not-newer',
  forked: 'forked',
  notFresh: 'not-fresh',
  badCanonical: 'bad-canonical',
  badDelta: 'bad-delta',
  badBase: 'bad-base',
  badCount: 'bad-count',
  badDigest: 'bad-digest',
  badRuleSet: 'bad-rule-set',
  // Depots and reports: the data is ignored, and another source is tried.
  badDepot: 'bad-depot',
  badReport: 'bad-report',
  // The subscriber's own trouble: refused with `later`.
  storageFailed: 'storage-failed',
  sinkFailed: 'sink-failed',
  compileFailed: 'compile-failed',
  outOfMemory: 'out-of-memory',
  // Requests of rulectl and queries.
  notPermitted: 'not-permitted',
  badInput: 'bad-input',
  guardRefused: 'guard-refused',
  versionMoved: 'version-moved',
  publisherBehind: 'publisher-behind',
  signerFailed: 'signer-failed',
  noSuchSubscriber: 'no-such-subscriber',
  stillConnected: 'still-connected',
  noSuchPart: 'no-such-part',
  notReady: 'not-ready',
  rateLimited: 'rate-limited',
  internal: 'internal',
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** The place of an error in a release, and its cause. */
export interface ErrorDetails {
  /** The part, as `partText` prints it: the kind's word, a space, the name. */
  readonly part?: string | undefined;
  /** Index of the entry or rule within the part, from 0. */
  readonly entry?: number | undefined;
  readonly cause?: unknown;
}

/** An error in a peer's bytes or behaviour. Never thrown for our own bugs. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
  readonly code: ErrorCode;
  readonly part: string | undefined;
  readonly entry: number | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.part = details.part;
    this.entry = details.entry;
  }
}
