/** The commit order, without clock and disk: each outcome in each state, and every way that it can end. */

import { ErrorCode, manifestFor, ProtocolError } from '@rulecast/protocol';
import { EMPTY_RULE_SET } from '@rulecast/rules';
import type { Prepared } from '@rulecast/table';
import { describe, expect, it } from 'vitest';
import {
  beginCommit,
  type Candidate,
  type Commit,
  type CommitEffect,
  type CommitEvent,
  type CommitStep,
  RefusedError,
  stepCommit,
} from '../src/apply/commit.ts';
import { StateError } from '../src/state/state.ts';
import { SignedFault } from '../src/verify/verify.ts';

const LINEAGE = new Uint8Array(16).fill(1);
const HASH = new Uint8Array(32).fill(2);
const CANDIDATE: Candidate = {
  offer: {
    hash: HASH,
    manifest: manifestFor(EMPTY_RULE_SET, {
      lineage: LINEAGE,
      epoch: 1,
      version: 9,
      previousVersion: 8,
      createdAtMs: 5,
    }),
    manifestBytes: new Uint8Array(3),
    signatures: new Uint8Array(64),
  },
  base: new Uint8Array(32).fill(3),
  stream: new Uint8Array(7),
};
const PREPARED: Prepared = {
  generation: 4,
  ruleSet: EMPTY_RULE_SET,
  environment: { now: 0, dns: [] },
  sizes: { classes4: 0, classes6: 0, bytes: 0 } as unknown as Prepared['sizes'], // nobody here looks at them
  isEdit: false,
};
const SNAPSHOT = new Uint8Array(99);

/** What comes of an effect that succeeds. */
const OUTCOMES: Readonly<Record<CommitEffect['kind'], CommitEvent>> = {
  verify: { kind: 'verified', ruleSet: EMPTY_RULE_SET, changes: new Map(), verifyMs: 10 },
  encode: { kind: 'encoded', stream: SNAPSHOT },
  prepare: { kind: 'prepared', prepared: PREPARED, compileMs: 20 },
  commit: { kind: 'committed' },
  flip: { kind: 'flipped', generation: 4, flipMs: 30 },
  mark: { kind: 'marked', persisted: true },
  undo: { kind: 'undone' },
};
/** The effect that each state waits for. */
const WAITS = {
  verifying: 'verify',
  encoding: 'encode',
  preparing: 'prepare',
  committing: 'commit',
  flipping: 'flip',
  marking: 'mark',
  undoing: 'undo',
} as const;
const MAY_FAIL = ['verify', 'encode', 'prepare', 'commit'] as const;

/** Runs to the end; `fails` says with what an effect fails, if it does. */
function run(
  keepsStream: boolean,
  fails: (effect: CommitEffect['kind']) => unknown = () => undefined,
): { readonly end: Commit; readonly effects: readonly CommitEffect[] } {
  const effects: CommitEffect[] = [];
  let step: CommitStep = beginCommit(CANDIDATE, keepsStream);
  while (step.effect !== undefined) {
    effects.push(step.effect);
    const cause = fails(step.effect.kind);
    const event = cause === undefined ? OUTCOMES[step.effect.kind] : ({ kind: 'failed', cause } as const);
    step = stepCommit(step.state, event);
  }
  return { end: step.state, effects };
}

function kindsOf(effects: readonly CommitEffect[]): readonly string[] {
  return effects.map(({ kind }) => kind);
}

describe('a release that comes into force', () => {
  const last = ['prepare', 'commit', 'flip', 'mark'];

  it.each([
    ['as it came', true, ['verify', ...last]],
    ['as a snapshot, where its base has no file', false, ['verify', 'encode', ...last]],
  ] as const)('is on disk %s, before it is enforced, before it is in force', (_, keepsStream, order) => {
    const { end, effects } = run(keepsStream);
    expect(kindsOf(effects)).toEqual(order);
    const figures = { verifyMs: 10, compileMs: 20, flipMs: 30, generation: 4 };
    expect(end).toEqual({ kind: 'done', figures, persisted: true });
    const { hash, manifestBytes, signatures } = CANDIDATE.offer;
    const { base, stream } = keepsStream ? CANDIDATE : { base: undefined, stream: SNAPSHOT };
    const stored = { hash, manifestBytes, signatures, base, stream };
    expect(effects[0]).toMatchObject({ kind: 'verify', draft: keepsStream ? stored : undefined });
    expect(effects).toContainEqual(expect.objectContaining({ kind: 'prepare', stored }));
    expect(effects.at(-1)).toEqual({ kind: 'mark', stored });
  });
});

describe('a step that fails', () => {
  const other = new Error('nft');
  it.each([
    ['verify', new SignedFault(ErrorCode.badRuleSet, 'a rule'), 'bad-rule-set', 'signed', false],
    ['verify', new ProtocolError(ErrorCode.badDigest, 'a part'), 'bad-digest', 'stream', false],
    ['verify', new RangeError('memory'), 'out-of-memory', 'stream', false],
    ['verify', other, 'internal', 'stream', false],
    ['verify', new StateError('full'), 'storage-failed', 'host', false],
    ['prepare', new RefusedError(ErrorCode.compileFailed, 'host', other), 'compile-failed', 'host', true],
    ['prepare', other, 'sink-failed', 'host', true],
    ['prepare', new StateError('full'), 'storage-failed', 'host', true],
    ['commit', other, 'sink-failed', 'host', true],
  ] as const)('%s, by %s: %s, of the %s', (at, cause, code, blame, isUndone) => {
    const { end, effects } = run(true, (effect) => (effect === at ? cause : undefined));
    if (end.kind !== 'refused') throw new Error(`it ended ${end.kind}`);
    expect(end.error).toBeInstanceOf(RefusedError);
    expect(end.error).toMatchObject({ code, blame, cause: cause instanceof RefusedError ? other : cause });
    expect(kindsOf(effects).includes('undo')).toBe(isUndone);
  });

  it('encode: refused by what was thrown', () => {
    const { end, effects } = run(false, (effect) => (effect === 'encode' ? other : undefined));
    expect(end).toEqual({ kind: 'refused', error: other });
    expect(kindsOf(effects)).toEqual(['verify', 'encode']);
  });
});

describe('whichever steps fail', () => {
  const ways = Array.from({ length: 2 ** MAY_FAIL.length }, (_, bits) =>
    MAY_FAIL.filter((_, i) => ((bits >> i) & 1) === 1),
  );

  it.each([true, false])('it is in force wholly or not at all (stream kept: %s)', (keepsStream) => {
    for (const failing of ways) {
      const { end, effects } = run(keepsStream, (effect) =>
        failing.some((one) => one === effect) ? new Error(effect) : undefined,
      );
      const done = kindsOf(effects);
      const isInForce = done.includes('flip');
      expect(end.kind).toBe(isInForce ? 'done' : 'refused');
      expect(done.includes('mark')).toBe(isInForce);
      if (isInForce) expect(done.slice(-4)).toEqual(['prepare', 'commit', 'flip', 'mark']);
      // What the sink made ready is committed or forgotten, once.
      const isMade = done.includes('prepare');
      expect(done.filter((kind) => kind === 'undo' || kind === 'flip')).toHaveLength(isMade ? 1 : 0);
    }
  });
});

describe('each outcome in each state', () => {
  /** The state that waits for an effect. */
  function waitingFor(effect: CommitEffect['kind']): Commit {
    let step = beginCommit(CANDIDATE, effect !== 'encode');
    while (step.effect !== undefined && step.effect.kind !== effect) {
      const isToFail = effect === 'undo' && step.effect.kind === 'commit';
      step = stepCommit(step.state, isToFail ? { kind: 'failed', cause: 'x' } : OUTCOMES[step.effect.kind]);
    }
    return step.state;
  }

  const states = Object.entries(WAITS).map(([kind, effect]) => [kind, waitingFor(effect), effect] as const);
  const events = [...Object.values(OUTCOMES), { kind: 'failed', cause: new Error('x') } as const];

  it.each(states)('%s', (kind, state, effect) => {
    expect(state.kind).toBe(kind);
    for (const event of events) {
      const isDue = event === OUTCOMES[effect];
      const isFailure = event.kind === 'failed' && MAY_FAIL.some((one) => one === effect);
      if (isDue || isFailure) expect(stepCommit(state, event).state.kind).not.toBe(kind);
      else expect(() => stepCommit(state, event)).toThrow(`commit: ${event.kind} while ${kind}`);
    }
  });

  it.each([run(true).end, run(true, () => new Error('x')).end])('the end: %o', (end) => {
    for (const event of events) expect(() => stepCommit(end, event)).toThrow('commit: ');
  });
});
