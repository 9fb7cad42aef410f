/**
 * The commit order as a pure machine: one thing is done at a time, its outcome makes the next.
 *
 *   verifying ─▶ encoding? ─▶ preparing ─▶ committing ─▶ flipping ─▶ marking ─▶ done
 *       │            │            │            │
 *       │            │            └────────────┴─ failed ─▶ undoing ─▶ refused
 *       └────────────┴─ failed ─▶ refused
 *
 * What is verified is drafted meanwhile: its bytes are on disk beside the place that they get if they are
 * what was signed. What is prepared are table, sink and disk, beside each other: each takes what a large
 * release takes longest, and what a small one takes is to wait for the disk. Nothing is in force before the
 * flip, which cannot fail; nothing is refused after it. What goes to disk is there before the sink commits,
 * so that a restart never finds less than what was enforced. It has no clock and no disk: activator.ts has
 * them.
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

/** Verified. */
interface Sound {
  readonly candidate: Candidate;
  readonly ruleSet: RuleSet;
  readonly changes: ListChanges;
  readonly verifyMs: number;
}

/** With what is to be on disk. */
interface Storable extends Sound {
  readonly stored: StoredRelease;
}

/** With a table that is compiled, a sink that is ready, and a file that is written. */
interface Ready extends Storable {
  readonly prepared: Prepared;
  readonly compileMs: number;
}

export type Commit =
  | { readonly kind: 'verifying'; readonly candidate: Candidate; readonly draft: StoredRelease | undefined }
  | (Sound & { readonly kind: 'encoding' })
  | (Storable & { readonly kind: 'preparing' })
  | (Ready & { readonly kind: 'committing' })
  | (Ready & { readonly kind: 'flipping' })
  | { readonly kind: 'undoing'; readonly error: unknown }
  | { readonly kind: 'marking'; readonly figures: CommitFigures }
  | { readonly kind: 'done'; readonly figures: CommitFigures; readonly persisted: boolean }
  /** A RefusedError, or what was thrown where nobody is known to be at fault. */
  | { readonly kind: 'refused'; readonly error: unknown };

/** The outcome of what was to be done last, and how long that took. */
export type CommitEvent =
  | {
      readonly kind: 'verified';
      readonly ruleSet: RuleSet;
      readonly changes: ListChanges;
      /** Without what drafting took beyond it. */
      readonly verifyMs: number;
    }
  | { readonly kind: 'encoded'; readonly stream: Uint8Array }
  | {
      readonly kind: 'prepared';
      readonly prepared: Prepared;
      /** Of table and sink. */
      readonly compileMs: number;
    }
  | { readonly kind: 'committed' }
  | { readonly kind: 'flipped'; readonly generation: number; readonly flipMs: number }
  | { readonly kind: 'marked'; readonly persisted: boolean }
  | { readonly kind: 'undone' }
  | { readonly kind: 'failed'; readonly cause: unknown };

/** The one thing that is to be done. */
export type CommitEffect =
  | {
      readonly kind: 'verify';
      readonly candidate: Candidate;
      /** Is written meanwhile, beside its place; gone again where the effect fails. */
      readonly draft: StoredRelease | undefined;
    }
  /** Makes a snapshot for the disk. */
  | { readonly kind: 'encode'; readonly ruleSet: RuleSet }
  /** The table is compiled, the sink makes ready, and what was drafted gets its name. */
  | {
      readonly kind: 'prepare';
      readonly offer: VerifiedOffer;
      readonly ruleSet: RuleSet;
      readonly changes: ListChanges;
      readonly stored: StoredRelease;
    }
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

/** `keepsStream`: the stream may go to disk as it came: its base has a file there, and the chain has room. */
export function beginCommit(candidate: Candidate, keepsStream: boolean): CommitStep {
  const draft = keepsStream ? storedOf(candidate.offer, candidate) : undefined;
  return {
    state: { kind: 'verifying', candidate, draft },
    effect: { kind: 'verify', candidate, draft },
  };
}

/** Throws Error for an event that is no outcome of what the state waits for. */
export function stepCommit(state: Commit, event: CommitEvent): CommitStep {
  const next = event.kind === 'failed' ? failedCommit(state, event.cause) : advance(state, event);
  if (next === undefined) throw new Error(`commit: ${event.kind} while ${state.kind}`);
  return next;
}

function advance(
  state: Commit,
  event: Exclude<CommitEvent, { readonly kind: 'failed' }>,
): CommitStep | undefined {
  switch (event.kind) {
    case 'verified': {
      if (state.kind !== 'verifying') return undefined;
      const { candidate, draft } = state;
      const { ruleSet, changes, verifyMs } = event;
      const sound = { candidate, ruleSet, changes, verifyMs };
      if (draft !== undefined) return prepare(sound, draft);
      return { state: { ...sound, kind: 'encoding' }, effect: { kind: 'encode', ruleSet } };
    }
    case 'encoded': {
      if (state.kind !== 'encoding') return undefined;
      const { stream } = event;
      return prepare(state, storedOf(state.candidate.offer, { base: undefined, stream }));
    }
    case 'prepared': {
      if (state.kind !== 'preparing') return undefined;
      const { prepared, compileMs } = event;
      return { state: { ...state, kind: 'committing', prepared, compileMs }, effect: { kind: 'commit' } };
    }
    case 'committed': {
      if (state.kind !== 'committing') return undefined;
      const { candidate, ruleSet, prepared } = state;
      const effect: CommitEffect = { kind: 'flip', offer: candidate.offer, ruleSet, prepared };
      return { state: { ...state, kind: 'flipping' }, effect };
    }
    case 'flipped': {
      if (state.kind !== 'flipping') return undefined;
      const { verifyMs, compileMs, stored } = state;
      const { generation, flipMs } = event;
      const figures = { verifyMs, compileMs, flipMs, generation };
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

function prepare(sound: Sound, stored: StoredRelease): CommitStep {
  const { candidate, ruleSet, changes } = sound;
  const effect: CommitEffect = { kind: 'prepare', offer: candidate.offer, ruleSet, changes, stored };
  return { state: { ...sound, kind: 'preparing', stored }, effect };
}

function storedOf(
  { hash, manifestBytes, signatures }: VerifiedOffer,
  { base, stream }: Pick<Candidate, 'base' | 'stream'>,
): StoredRelease {
  return { hash, manifestBytes, signatures, base, stream };
}

/** Undefined where nothing may fail. */
function failedCommit(state: Commit, cause: unknown): CommitStep | undefined {
  switch (state.kind) {
    case 'verifying':
      return refused(cause instanceof StateError ? hostFault(cause) : verifyFault(cause));
    case 'encoding':
      return refused(cause);
    case 'preparing':
    case 'committing':
      return undo(state, cause instanceof RefusedError ? cause : hostFault(cause));
    default:
      return undefined;
  }
}

function undo({ candidate }: Sound, error: unknown): CommitStep {
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
