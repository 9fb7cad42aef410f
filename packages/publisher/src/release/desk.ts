/**
 * The release desk as a pure machine: what is asked for becomes a release or leaves everything as it was, and
 * what was proved is noted first. One thing is done at a time, its outcome makes the next.
 *
 *   asked ───────────▶ drafting ─▶ guarding ─▶ storing ─▶ done: released
 *     │ behind             │           └─▶ done: guarded, planned, unchanged
 *     ▼                    ├─ failed, and so from guarding and storing ─▶ refused
 *   refused                │
 *   proved ─▶ noting ──────┴─▶ done: behind, known
 *
 * A guard goes before a dry run: what is planned could be released. While the publisher is behind, nothing
 * is drafted but for a new epoch. It has no clock, no store and no names: publisher.ts has them.
 */

import { type GuardRefusal, isPermitted, type PushPermits } from '../guards/refusal.ts';
import type { Release } from '../store/store.ts';
import { behindError, type Origin, type ReleaseDraft } from './commit.ts';
import type { ProvedRelease, ReleaseNumber } from './numbers.ts';

/** How the publisher stands. Nobody else changes that while a turn lasts. */
export interface Standing {
  readonly head: ReleaseNumber | undefined;
  /** What was proved and is not here. */
  readonly behind: ReleaseNumber | undefined;
  /** It was told to open an epoch by itself while it is behind. */
  readonly isAuto: boolean;
  /** The head was signed by keys that may not release any more. */
  readonly isDisowned: boolean;
}

export interface Asked {
  readonly origin: Origin;
  readonly permits: Partial<PushPermits>;
  readonly isDryRun: boolean;
  /** Somebody says that it is to be in a new epoch, also where the head says the same. */
  readonly asNewEpoch: boolean;
}

/** What is being made. */
interface Order extends Asked {
  readonly opensEpoch: boolean;
  /** It is released also where the head says the same. */
  readonly isAnew: boolean;
}

export type DeskOutcome =
  /** At least one refusal. */
  | { readonly kind: 'guarded'; readonly draft: ReleaseDraft; readonly refusals: readonly GuardRefusal[] }
  | { readonly kind: 'planned' | 'unchanged'; readonly draft: ReleaseDraft }
  /** Against what guards say, so far as somebody permitted it. */
  | {
      readonly kind: 'released';
      readonly draft: ReleaseDraft;
      readonly release: Release;
      readonly against: readonly GuardRefusal[];
    }
  /** A proof leaves the publisher behind, until somebody does something. */
  | { readonly kind: 'behind'; readonly isNews: boolean }
  /** A proof changes nothing. */
  | { readonly kind: 'known' };

export type Desk =
  | { readonly kind: 'noting'; readonly proved: ProvedRelease }
  | { readonly kind: 'drafting'; readonly order: Order }
  | { readonly kind: 'guarding'; readonly order: Order; readonly draft: ReleaseDraft }
  | {
      readonly kind: 'storing';
      readonly draft: ReleaseDraft;
      readonly against: readonly GuardRefusal[];
    }
  | { readonly kind: 'done'; readonly outcome: DeskOutcome }
  /** With what is thrown; nothing changed. */
  | { readonly kind: 'refused'; readonly error: unknown };

/** The outcome of what was to be done last. */
export type DeskEvent =
  /** A proof is known from now on; `standing` with it. */
  | { readonly kind: 'noted'; readonly isNews: boolean; readonly standing: Standing }
  | { readonly kind: 'drafted'; readonly draft: ReleaseDraft }
  | { readonly kind: 'judged'; readonly against: readonly GuardRefusal[] }
  | { readonly kind: 'stored'; readonly release: Release }
  | { readonly kind: 'failed'; readonly cause: unknown };

/** The one thing that is to be done. */
export type DeskEffect =
  | { readonly kind: 'note'; readonly proved: ProvedRelease }
  | { readonly kind: 'draft' }
  /** Ask what there is against it. */
  | { readonly kind: 'judge'; readonly draft: ReleaseDraft }
  | {
      readonly kind: 'store';
      readonly draft: ReleaseDraft;
      readonly origin: Origin;
      readonly opensEpoch: boolean;
    };

/** Where nothing is to be done any more, there is no effect. */
export interface DeskStep {
  readonly state: Desk;
  readonly effect: DeskEffect | undefined;
}

/** Somebody, or a source, asks for a release. */
export function beginRelease(asked: Asked, { behind, head, isAuto, isDisowned }: Standing): DeskStep {
  const opensEpoch = asked.asNewEpoch || (isAuto && behind !== undefined);
  if (behind !== undefined && !opensEpoch) return refused(behindError(behind, head));
  const order = { ...asked, opensEpoch, isAnew: opensEpoch || isDisowned };
  return { state: { kind: 'drafting', order }, effect: { kind: 'draft' } };
}

/** A subscriber proved a release that is not here. */
export function beginProof(proved: ProvedRelease): DeskStep {
  return { state: { kind: 'noting', proved }, effect: { kind: 'note', proved } };
}

/** Throws Error for an event that is no outcome of what the state waits for. */
export function stepDesk(state: Desk, event: DeskEvent): DeskStep {
  const next = advance(state, event);
  if (next === undefined) throw new Error(`release desk: ${event.kind} while ${state.kind}`);
  return next;
}

function advance(state: Desk, event: DeskEvent): DeskStep | undefined {
  switch (event.kind) {
    case 'noted':
      return state.kind === 'noting' ? noted(state.proved, event) : undefined;
    case 'drafted': {
      if (state.kind !== 'drafting') return undefined;
      const { order } = state;
      const { draft } = event;
      // Of what changes nothing nobody is asked.
      if (!draft.changed) return decided(order, draft, []);
      return { state: { kind: 'guarding', order, draft }, effect: { kind: 'judge', draft } };
    }
    case 'judged':
      return state.kind === 'guarding' ? decided(state.order, state.draft, event.against) : undefined;
    case 'stored': {
      if (state.kind !== 'storing') return undefined;
      const { draft, against } = state;
      return done({ kind: 'released', draft, against, release: event.release });
    }
    case 'failed':
      return state.kind === 'done' || state.kind === 'refused' ? undefined : refused(event.cause);
  }
}

function noted(
  { epoch, version }: ReleaseNumber,
  { isNews, standing }: Extract<DeskEvent, { readonly kind: 'noted' }>,
): DeskStep {
  const { behind, head, isAuto } = standing;
  if (behind === undefined) return done({ kind: 'known' });
  if (!isAuto || head === undefined) return done({ kind: 'behind', isNews });
  // The head's content again: guards have nothing to say, for nothing changes.
  const origin: Origin = { cause: 'epoch', detail: `a subscriber proved release ${epoch}/${version}` };
  return beginRelease({ origin, permits: {}, isDryRun: false, asNewEpoch: true }, standing);
}

function decided(
  { origin, permits, isDryRun, opensEpoch, isAnew }: Order,
  draft: ReleaseDraft,
  against: readonly GuardRefusal[],
): DeskStep {
  const refusals = against.filter((refusal) => !isPermitted(refusal, permits));
  if (refusals.length > 0) return done({ kind: 'guarded', draft, refusals });
  if (isDryRun) return done({ kind: 'planned', draft });
  if (!draft.changed && !isAnew) return done({ kind: 'unchanged', draft });
  return { state: { kind: 'storing', draft, against }, effect: { kind: 'store', draft, origin, opensEpoch } };
}

function done(outcome: DeskOutcome): DeskStep {
  return { state: { kind: 'done', outcome }, effect: undefined };
}

function refused(error: unknown): DeskStep {
  return { state: { kind: 'refused', error }, effect: undefined };
}
