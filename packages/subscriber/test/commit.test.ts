/** The commit order, without clock and disk: what is done in which order, and every way that it can end. */

import { ErrorCode, manifestFor, ProtocolError } from '@rulecast/protocol';
import { EMPTY_RULE_SET } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { type Candidate, type CommitSteps, commitRelease, RefusedError } from '../src/apply/commit.ts';
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
const FACTS = { needsDns: false, opensNames: false, ends: { accept: [], drop: [] } };
const COMPILED = { generation: 4, header: 64, memoryBytes: 128 };
const SNAPSHOT = new Uint8Array(99);
const MAY_FAIL = ['verify', 'encode', 'prepare', 'commit'] as const;

interface Course {
  /** What was done, in order, with what was handed to it. */
  readonly done: readonly (readonly [step: keyof CommitSteps, ...given: unknown[]])[];
  readonly outcome: PromiseSettledResult<unknown>;
}

/** Runs to the end; `fails` says with what a step fails, if it does. */
async function run(
  keepsStream: boolean,
  fails: (step: keyof CommitSteps) => unknown = () => undefined,
): Promise<Course> {
  const done: [keyof CommitSteps, ...unknown[]][] = [];
  const step = <T>(name: keyof CommitSteps, outcome: T): ((...given: unknown[]) => Promise<T>) => {
    return async (...given) => {
      done.push([name, ...given]);
      const cause = fails(name);
      if (cause !== undefined) throw cause;
      return outcome;
    };
  };
  const steps: CommitSteps = {
    verify: step('verify', { facts: FACTS, verifyMs: 10 }),
    encode: step('encode', SNAPSHOT),
    prepare: step('prepare', { compiled: COMPILED, compileMs: 20 }),
    commit: step('commit', undefined),
    undo: step('undo', undefined),
    flip: (...given) => {
      done.push(['flip', ...given]);
      return { generation: 4, flipMs: 30 };
    },
    mark: step('mark', true),
  };
  const [outcome] = await Promise.allSettled([commitRelease(CANDIDATE, keepsStream, steps)]);
  return { done, outcome };
}

function namesOf({ done }: Course): readonly string[] {
  return done.map(([name]) => name);
}

describe('a release that comes into force', () => {
  const last = ['prepare', 'commit', 'flip', 'mark'];

  it.each([
    ['as it came', true, ['verify', ...last]],
    ['as a snapshot, where its base has no file', false, ['verify', 'encode', ...last]],
  ] as const)(
    'is on disk %s, before it is enforced, before it is in force',
    async (_, keepsStream, order) => {
      const course = await run(keepsStream);
      expect(namesOf(course)).toEqual(order);
      const figures = { verifyMs: 10, compileMs: 20, flipMs: 30, generation: 4 };
      expect(course.outcome).toEqual({ status: 'fulfilled', value: { ...figures, isPersisted: true } });
      const { hash, manifestBytes, signatures } = CANDIDATE.offer;
      const { base, stream } = keepsStream ? CANDIDATE : { base: undefined, stream: SNAPSHOT };
      const stored = { hash, manifestBytes, signatures, base, stream };
      expect(course.done[0]).toEqual(['verify', CANDIDATE, keepsStream ? stored : undefined]);
      expect(course.done.find(([name]) => name === 'prepare')?.at(-1)).toEqual(stored);
      expect(course.done.at(-1)).toEqual(['mark', stored]);
    },
  );
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
  ] as const)('%s, by %s: %s, of the %s', async (at, cause, code, blame, isUndone) => {
    const course = await run(true, (step) => (step === at ? cause : undefined));
    if (course.outcome.status === 'fulfilled') throw new Error('it is in force');
    const { reason } = course.outcome;
    expect(reason).toBeInstanceOf(RefusedError);
    expect(reason).toMatchObject({ code, blame, cause: cause instanceof RefusedError ? other : cause });
    expect(namesOf(course).includes('undo')).toBe(isUndone);
  });

  it('encode: refused by what was thrown', async () => {
    const course = await run(false, (step) => (step === 'encode' ? other : undefined));
    expect(course.outcome).toEqual({ status: 'rejected', reason: other });
    expect(namesOf(course)).toEqual(['verify', 'encode']);
  });
});

describe('whichever steps fail', () => {
  const ways = Array.from({ length: 2 ** MAY_FAIL.length }, (_, bits) =>
    MAY_FAIL.filter((_, i) => ((bits >> i) & 1) === 1),
  );

  //
  it.each([true, false])('it is in force wholly or not at all (stream kept: %s)', async (keepsStream) => {
    for (const failing of ways) {
      const course = await run(keepsStream, (step) =>
        failing.some((one) => one === step) ? new Error(step) : undefined,
      );
      const done = namesOf(course);
      const isInForce = done.includes('flip');
      expect(course.outcome.status).toBe(isInForce ? 'fulfilled' : 'rejected');
      expect(done.includes('mark')).toBe(isInForce);
      if (isInForce) expect(done.slice(-4)).toEqual(['prepare', 'commit', 'flip', 'mark']);
      // What the sink made ready is committed or forgotten, once.
      const isMade = done.includes('prepare');
      expect(done.filter((name) => name === 'undo' || name === 'flip')).toHaveLength(isMade ? 1 : 0);
    }
  });
});
