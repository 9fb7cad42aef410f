/**
 * The order in which a release comes into force.
 *
 *   verify ║ draft ─▶ encode? ─▶ prepare ║ write ─▶ commit ─▶ flip ─▶ mark ─▶ in force
 *       │               │            │               │
 *       │               │            └───────────────┴─ fails ─▶ undo ─▶ refused
 *       └───────────────┴─ fails ─▶ refused
 *
 * While a release is verified, its bytes are drafted: written beside their final place, which they get if the
 * signature holds. Then table, sink and disk are prepared in parallel: each is slow for a large release, and
 * a small one only waits for the disk. Nothing is in force before the flip, which cannot fail; nothing is
 * refused after it. A release is on disk before the sink commits, so that a restart never finds less than was
 * enforced. activator.ts has the steps.
 */

import { ErrorCode, ProtocolError } from '@rulecast/protocol';
import type { Compiled, ReleaseFacts } from '../content/messages.ts';
import { StateError, type StoredRelease } from '../state/state.ts';
import { SignedFault } from '../verify/verify.ts';
import type { VerifiedOffer } from './offer.ts';

/** A release whose signature holds, with the stream that makes it. */
export interface Candidate {
  readonly offer: VerifiedOffer;
  readonly base: Uint8Array | undefined;
  readonly stream: Uint8Array;
}

/**
 * Who is at fault: `signed`, the release itself, which can never be applied; `stream`, the transfer, which
 * does not make the release; `host`, this machine.
 */
export type Blame = 'signed' | 'stream' | 'host';

/** Why a release was refused; what was in force still is. */
export class RefusedError extends Error {
  readonly code: ErrorCode;
  readonly blame: Blame;
  readonly part: string | undefined;
  readonly entry: number | undefined;

  constructor(code: ErrorCode, blame: Blame, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.code = code;
    this.blame = blame;
    this.part = cause instanceof ProtocolError ? cause.part : undefined;
    this.entry = cause instanceof ProtocolError ? cause.entry : undefined;
  }
}

/** The time of each step in milliseconds, and its results. */
export interface CommitFigures {
  /** Not counting the time that drafting took longer. */
  readonly verifyMs: number;
  /** Compiling the table and planning the sink. */
  readonly compileMs: number;
  readonly flipMs: number;
  /** Generation of the table in force. */
  readonly generation: number;
}

/** The steps of a commit. Those that return a promise may reject, except `undo` and `mark`. */
export interface CommitSteps {
  /** `draft` is written meanwhile, beside its place; it is removed if this rejects. */
  verify(
    candidate: Candidate,
    draft: StoredRelease | undefined,
  ): Promise<{ readonly facts: ReleaseFacts } & Pick<CommitFigures, 'verifyMs'>>;
  /** A snapshot for the disk. */
  encode(): Promise<Uint8Array>;
  /** The table is compiled, the sink makes ready, and what was drafted gets its name. */
  prepare(
    offer: VerifiedOffer,
    stored: StoredRelease,
  ): Promise<{ readonly compiled: Compiled } & Pick<CommitFigures, 'compileMs'>>;
  /** The sink enforces. */
  commit(): Promise<void>;
  /** Discards the prepared sink and the written files. */
  undo(offer: VerifiedOffer): Promise<void>;
  flip(
    offer: VerifiedOffer,
    facts: ReleaseFacts,
    compiled: Compiled,
  ): Pick<CommitFigures, 'generation' | 'flipMs'>;
  /** Says on disk that it is in force; resolves to whether a restart will find it. */
  mark(stored: StoredRelease): Promise<boolean>;
}

/**
 * Puts a candidate in force. `keepsStream`: the stream may go to disk as it came: its base has a file there,
 * and the chain has room. Rejects with RefusedError, or with what was thrown where nobody is known to be at
 * fault.
 */
export async function commitRelease(
  candidate: Candidate,
  keepsStream: boolean,
  steps: CommitSteps,
): Promise<CommitFigures & { readonly isPersisted: boolean }> {
  const { offer } = candidate;
  const draft = keepsStream ? storedOf(offer, candidate) : undefined;
  const { facts, verifyMs } = await steps.verify(candidate, draft).catch((cause: unknown) => {
    throw cause instanceof StateError ? hostFault(cause) : verifyFault(cause);
  });
  const stored = draft ?? storedOf(offer, { base: undefined, stream: await steps.encode() });
  let ready: Awaited<ReturnType<CommitSteps['prepare']>>;
  try {
    ready = await steps.prepare(offer, stored);
    await steps.commit();
  } catch (cause) {
    await steps.undo(offer);
    throw cause instanceof RefusedError ? cause : hostFault(cause);
  }
  const flipped = steps.flip(offer, facts, ready.compiled);
  const isPersisted = await steps.mark(stored);
  return { verifyMs, compileMs: ready.compileMs, ...flipped, isPersisted };
}

function storedOf(
  { hash, manifestBytes, signatures }: VerifiedOffer,
  { base, stream }: Pick<Candidate, 'base' | 'stream'>,
): StoredRelease {
  return { hash, manifestBytes, signatures, base, stream };
}

function hostFault(cause: unknown): RefusedError {
  const code = cause instanceof StateError ? ErrorCode.storageFailed : ErrorCode.sinkFailed;
  return new RefusedError(code, 'host', cause);
}

/**
 * The fault of a failed verification. A signed release fits in memory, so a stream that needs more is at
 * fault, as is one that crashes the verifier.
 */
function verifyFault(cause: unknown): RefusedError {
  if (cause instanceof SignedFault) return new RefusedError(cause.code, 'signed', cause);
  if (cause instanceof ProtocolError) return new RefusedError(cause.code, 'stream', cause);
  const code = cause instanceof RangeError ? ErrorCode.outOfMemory : ErrorCode.internal;
  return new RefusedError(code, 'stream', cause);
}
