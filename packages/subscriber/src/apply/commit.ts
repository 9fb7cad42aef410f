/**
 * The commit order as a pure machine: one thing is done at a time, its outcome makes the next.
 *
 *   verifying ─▶ resting ─▶ preparing ─▶ encoding? ─▶ writing ─▶ committing ─▶ flipping ─▶ marking ─▶ done
 *       │                       │            │           │           │
 *       │                       └────────────┴───────────┴───────────┴─ failed ─▶ undoing ─▶ refused
 *       └─ failed ─▶ refused
 *
 * What is prepared are table and sink, beside each other: each takes what a large release takes longest.
 * Nothing is in force before the flip, which cannot fail; nothing is refused after it. What goes to disk is
 * there before the sink commits, so that a restart never finds less than what was enforced. It has no clock
 * and no disk: activator.ts has them.
 */

import { ErrorCode, ProtocolError } from '@rulecast/protocol';
import type { ListChanges, RuleSet } from '@rulecast/rules';
import type { Prepared } from '@rulecast/table';
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
  readonly verifyMs: number;
  readonly compileMs: number;
  readonly flipMs: number;
  /** Of the table in force. */
  readonly generation: number;
}

/** What is to be known from the beginning to the end. */
interface Plan {
  readonly candidate: Candidate;
  /** Whether the stream may go to disk as it came: its base has a file there, and the chain has room. */
  readonly keepsStream: boolean;
}

/** Verified. */
interface Sound extends Plan {
  readonly ruleSet: RuleSet;
  readonly changes: ListChanges;
  readonly verifyMs: number;
}

/** With a table that is compiled, and a sink that is ready. */
interface Ready extends Sound {
  readonly prepared: Prepared;
  readonly compileMs: number;
}

/** With what is to be on disk. */
interface Storable extends Ready {
  readonly stored: StoredRelease;
}

export type Commit =
  | (Plan & { readonly kind: 'verifying'; readonly sinceMs: number })
  | (Sound & { readonly kind: 'resting' | 'preparing'; readonly sinceMs: number })
  | (Ready & { readonly kind: 'encoding' })
  | (Storable & { readonly kind: 'writing' | 'committing' })
  | (Storable & { readonly kind: 'flipping'; readonly sinceMs: number })
  | { readonly kind: 'undoing'; readonly error: unknown }
  | { readonly kind: 'marking'; readonly figures: CommitFigures }
  | { readonly kind: 'done'; readonly figures: CommitFigures; readonly persisted: boolean }
  /** A RefusedError, or what was thrown where nobody is known to be at fault. */
  | { readonly kind: 'refused'; readonly error: unknown };

/** The outcome of what was to be done last. */
export type CommitEvent =
  | { readonly kind: 'verified'; readonly ruleSet: RuleSet; readonly changes: ListChanges }
  | { readonly kind: 'rested' }
  | { readonly kind: 'prepared'; readonly prepared: Prepared }
  | { readonly kind: 'encoded'; readonly stream: Uint8Array }
  | { readonly kind: 'written' }
  | { readonly kind: 'committed' }
  | { readonly kind: 'flipped'; readonly generation: number }
  | { readonly kind: 'marked'; readonly persisted: boolean }
  | { readonly kind: 'undone' }
  | { readonly kind: 'failed'; readonly cause: unknown };

/** The one thing that is to be done. */
export type CommitEffect =
  | { readonly kind: 'verify'; readonly candidate: Candidate }
  /** Lets the event loop go on: what is verified and compiled in place are two stretches, not one. */
  | { readonly kind: 'rest' }
  /** The table is compiled, and the sink makes ready. */
  | {
      readonly kind: 'prepare';
      readonly offer: VerifiedOffer;
      readonly ruleSet: RuleSet;
      readonly changes: ListChanges;
    }
  /** Makes a snapshot for the disk. */
  | { readonly kind: 'encode'; readonly ruleSet: RuleSet }
  | { readonly kind: 'write'; readonly stored: StoredRelease }
  /** The sink enforces. */
  | { readonly kind: 'commit' }
  /** Forgets what the sink made ready, and what was written. */
  | { readonly kind: 'undo'; readonly hash: Uint8Array }
  | {
      readonly kind: 'flip';
      readonly offer: VerifiedOffer;
      readonly ruleSet: RuleSet;
      readonly prepared: Prepared;
    }
  /** Says on disk that it is in force. That this fails does not make it less so. */
  | { readonly kind: 'mark'; readonly stored: StoredRelease };

/** Where nothing is to be done any more, there is no effect. */
export interface CommitStep {
  readonly state: Commit;
  readonly effect: CommitEffect | undefined;
}

export function beginCommit(candidate: Candidate, keepsStream: boolean, nowMs: number): CommitStep {
  return {
    state: { kind: 'verifying', candidate, keepsStream, sinceMs: nowMs },
    effect: { kind: 'verify', candidate },
  };
}

/** Throws Error for an event that is no outcome of what the state waits for. */
export function stepCommit(state: Commit, event: CommitEvent, nowMs: number): CommitStep {
  const next = event.kind === 'failed' ? failedCommit(state, event.cause) : advance(state, event, nowMs);
  if (next === undefined) throw new Error(`commit: ${event.kind} while ${state.kind}`);
  return next;
}

function advance(
  state: Commit,
  event: Exclude<CommitEvent, { readonly kind: 'failed' }>,
  nowMs: number,
): CommitStep | undefined {
  switch (event.kind) {
    case 'verified': {
      if (state.kind !== 'verifying') return undefined;
      const { candidate, keepsStream, sinceMs } = state;
      const { ruleSet, changes } = event;
      const sound = { candidate, keepsStream, ruleSet, changes, verifyMs: nowMs - sinceMs };
      return { state: { kind: 'resting', ...sound, sinceMs: nowMs }, effect: { kind: 'rest' } };
    }
    case 'rested': {
      if (state.kind !== 'resting') return undefined;
      const { candidate, ruleSet, changes } = state;
      const effect: CommitEffect = { kind: 'prepare', offer: candidate.offer, ruleSet, changes };
      return { state: { ...state, kind: 'preparing' }, effect };
    }
    case 'prepared':
      return state.kind === 'preparing' ? prepared(state, event.prepared, nowMs) : undefined;
    case 'encoded': {
      if (state.kind !== 'encoding') return undefined;
      return write(state, { base: undefined, stream: event.stream });
    }
    case 'written': {
      if (state.kind !== 'writing') return undefined;
      return { state: { ...state, kind: 'committing' }, effect: { kind: 'commit' } };
    }
    case 'committed': {
      if (state.kind !== 'committing') return undefined;
      const { candidate, ruleSet, prepared } = state;
      const effect: CommitEffect = { kind: 'flip', offer: candidate.offer, ruleSet, prepared };
      return { state: { ...state, kind: 'flipping', sinceMs: nowMs }, effect };
    }
    case 'flipped': {
      if (state.kind !== 'flipping') return undefined;
      const { verifyMs, compileMs, sinceMs, stored } = state;
      const { generation } = event;
      const figures = { verifyMs, compileMs, flipMs: nowMs - sinceMs, generation };
      return { state: { kind: 'marking', figures }, effect: { kind: 'mark', stored } };
    }
    case 'marked': {
      if (state.kind !== 'marking') return undefined;
      const { figures } = state;
      return { state: { kind: 'done', figures, persisted: event.persisted }, effect: undefined };
    }
    case 'undone':
      if (state.kind !== 'undoing') return undefined;
      return { state: { kind: 'refused', error: state.error }, effect: undefined };
  }
}

function prepared(
  { candidate, keepsStream, ruleSet, changes, verifyMs, sinceMs }: Sound & { readonly sinceMs: number },
  made: Prepared,
  nowMs: number,
): CommitStep {
  const compileMs = nowMs - sinceMs;
  const ready: Ready = { candidate, keepsStream, ruleSet, changes, verifyMs, prepared: made, compileMs };
  if (keepsStream) return write(ready, candidate);
  return { state: { ...ready, kind: 'encoding' }, effect: { kind: 'encode', ruleSet } };
}

function write(ready: Ready, { base, stream }: Pick<Candidate, 'base' | 'stream'>): CommitStep {
  const { hash, manifestBytes, signatures } = ready.candidate.offer;
  const stored = { hash, manifestBytes, signatures, base, stream };
  return { state: { ...ready, kind: 'writing', stored }, effect: { kind: 'write', stored } };
}

/** Undefined where nothing may fail. */
function failedCommit(state: Commit, cause: unknown): CommitStep | undefined {
  switch (state.kind) {
    case 'verifying':
      return refused(verifyFault(cause));
    case 'encoding':
      return undo(state, cause);
    case 'preparing':
    case 'writing':
    case 'committing':
      return undo(state, cause instanceof RefusedError ? cause : hostFault(cause));
    default:
      return undefined;
  }
}

function undo({ candidate }: Plan, error: unknown): CommitStep {
  return { state: { kind: 'undoing', error }, effect: { kind: 'undo', hash: candidate.offer.hash } };
}

function refused(error: unknown): CommitStep {
  return { state: { kind: 'refused', error }, effect: undefined };
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
