/**
 * The order in which a release comes into force.
 *
 *   verify ║ draft ─▶ encode? ─▶ prepare ║ write ─▶ commit ─▶ flip ─▶ mark ─▶ in force
 *       │               │            │               │
 *       │               │            └───────────────┴─ fails ─▶ undo ─▶ refused
 *       └───────────────┴─ fails ─▶ refused
 *
 * What is verified is drafted meanwhile: its bytes are on disk beside the place that they get if they are
 * what was signed. What is prepared are table, sink and disk, beside each other: each takes what a large
 * release takes longest, and what a small one takes is to wait for the disk. Nothing is in force before the
 * flip, which cannot fail; nothing is refused after it. What goes to disk is there before the sink commits,
 * so that a restart never finds less than what was enforced. activator.ts has the steps.
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
 * Whose fault it is that a release is not in force: what the key signed cannot be taken, which is so for
 * good; the stream that came does not make it; or this host cannot.
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

/** How long the steps took, in milliseconds, and what they made. */
export interface CommitFigures {
  /** Without what drafting took beyond it. */
  readonly verifyMs: number;
  /** Of table and sink. */
  readonly compileMs: number;
  readonly flipMs: number;
  /** Of the table in force. */
  readonly generation: number;
}

/** What a commit consists of. Those that return a promise may reject, but for `undo` and `mark`. */
export interface CommitSteps {
  /** `draft` is written meanwhile, beside its place; it is gone again where this rejects. */
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
  /** Forgets what the sink made ready, and what was written. */
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
 * What was signed fits: a stream that takes more is at fault, and so is one that ends the verifier in
 * whatever other way.
 */
function verifyFault(cause: unknown): RefusedError {
  if (cause instanceof SignedFault) return new RefusedError(cause.code, 'signed', cause);
  if (cause instanceof ProtocolError) return new RefusedError(cause.code, 'stream', cause);
  const code = cause instanceof RangeError ? ErrorCode.outOfMemory : ErrorCode.internal;
  return new RefusedError(code, 'stream', cause);
}
