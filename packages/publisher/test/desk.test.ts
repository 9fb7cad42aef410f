/** What becomes of requests and proofs, whatever guards say and whatever fails. No store, no clock. */

import { EMPTY_RULE_SET } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import type { GuardRefusal } from '../src/guards/refusal.ts';
import type { ReleaseDraft } from '../src/release/commit.ts';
import {
  type Asked,
  beginProof,
  beginRelease,
  type Desk,
  type DeskEffect,
  type DeskEvent,
  type DeskStep,
  type Standing,
  stepDesk,
} from '../src/release/desk.ts';
import { PUSHED } from './churn.ts';
import { releaseOf } from './machine-world.ts';

const HEAD = { epoch: 1, version: 7 };
const PROVED = { epoch: 1, version: 9 };
const WELL: Standing = { head: HEAD, behind: undefined, isAuto: false, isDisowned: false };
const BEHIND: Standing = { ...WELL, behind: PROVED };
const ASKED: Asked = { origin: PUSHED, permits: {}, isDryRun: false, asNewEpoch: false };
const RELEASE = releaseOf(1, 8);
const REFUSAL: GuardRefusal = {
  guard: 'shrink',
  part: 'list a',
  permit: 'shrink',
  before: 9,
  after: 1,
  reason: 'it shrinks',
};

function draftOf(changed: boolean): ReleaseDraft {
  return { ruleSet: EMPTY_RULE_SET, changes: [], warnings: [], deltaBytes: new Uint8Array(0), changed };
}

/** What comes of each effect. */
interface World {
  readonly isChanged: boolean;
  readonly against: readonly GuardRefusal[];
  /** How it stands after a proof, and whether that is news. */
  readonly standing: Standing;
  readonly isNews: boolean;
  /** What fails. */
  readonly failing: DeskEffect['kind'] | undefined;
}
const FINE: World = { isChanged: true, against: [], standing: BEHIND, isNews: true, failing: undefined };
const FAULT = new Error('it failed');

function eventOf({ kind }: DeskEffect, world: World): DeskEvent {
  if (world.failing === kind) return { kind: 'failed', cause: FAULT };
  switch (kind) {
    case 'note':
      return { kind: 'noted', isNews: world.isNews, standing: world.standing };
    case 'draft':
      return { kind: 'drafted', draft: draftOf(world.isChanged) };
    case 'judge':
      return { kind: 'judged', against: world.against };
    case 'store':
      return { kind: 'stored', release: RELEASE };
  }
}

/** To its end, with what was done. */
function run(first: DeskStep, more: Partial<World> = {}): { end: Desk; effects: readonly DeskEffect[] } {
  const effects: DeskEffect[] = [];
  let step = first;
  while (step.effect !== undefined) {
    effects.push(step.effect);
    step = stepDesk(step.state, eventOf(step.effect, { ...FINE, ...more }));
  }
  return { end: step.state, effects };
}

function outcomeOf(first: DeskStep, more: Partial<World> = {}): string {
  const { end } = run(first, more);
  return end.kind === 'done' ? end.outcome.kind : end.kind;
}

const kindsOf = (effects: readonly DeskEffect[]): readonly string[] => effects.map(({ kind }) => kind);

describe('a request', () => {
  it.each<[string, Partial<Asked>, Partial<World>, string]>([
    ['what changes', {}, {}, 'released'],
    ['what says the same', {}, { isChanged: false }, 'unchanged'],
    ['what says the same in a new epoch', { asNewEpoch: true }, { isChanged: false }, 'released'],
    ['a dry run', { isDryRun: true }, {}, 'planned'],
    ['a dry run of what says the same', { isDryRun: true }, { isChanged: false }, 'planned'],
    ['what a guard refuses', {}, { against: [REFUSAL] }, 'guarded'],
    ['what a guard refuses, in a dry run', { isDryRun: true }, { against: [REFUSAL] }, 'guarded'],
    ['what a guard refuses, in a new epoch', { asNewEpoch: true }, { against: [REFUSAL] }, 'guarded'],
    ['what is permitted', { permits: { allowShrink: true } }, { against: [REFUSAL] }, 'released'],
    [
      'what is permitted, in a dry run',
      { permits: { allowShrink: true }, isDryRun: true },
      { against: [REFUSAL] },
      'planned',
    ],
    [
      'what something else is permitted',
      { permits: { allowGrowth: true } },
      { against: [REFUSAL] },
      'guarded',
    ],
    [
      'what nothing permits',
      { permits: { allowShrink: true } },
      { against: [{ ...REFUSAL, permit: undefined }] },
      'guarded',
    ],
  ])('about %s', (_, asked, world, outcome) => {
    const { end, effects } = run(beginRelease({ ...ASKED, ...asked }, WELL), world);
    expect(end).toMatchObject({ kind: 'done', outcome: { kind: outcome } });
    expect(kindsOf(effects).includes('store')).toBe(outcome === 'released'); // and nothing else is written
    expect(kindsOf(effects).includes('judge')).toBe(world.isChanged !== false);
    if (outcome === 'released' && world.against !== undefined)
      expect(end).toMatchObject({ outcome: { against: [REFUSAL], release: RELEASE } });
  });

  it('is drafted, judged and stored, one after the other', () => {
    expect(kindsOf(run(beginRelease(ASKED, WELL)).effects)).toEqual(['draft', 'judge', 'store']);
  });

  it.each(['draft', 'judge', 'store'] as const)(
    'of which %s fails says so, and does nothing more',
    (kind) => {
      const { end, effects } = run(beginRelease(ASKED, WELL), { failing: kind });
      expect(end).toEqual({ kind: 'refused', error: FAULT });
      expect(effects.at(-1)?.kind).toBe(kind);
    },
  );

  it('opens an epoch where somebody says so, or by itself while behind, if it was told to', () => {
    for (const isAuto of [true, false]) {
      for (const behind of [PROVED, undefined]) {
        for (const asNewEpoch of [true, false]) {
          const { end, effects } = run(
            beginRelease({ ...ASKED, asNewEpoch }, { head: HEAD, behind, isAuto, isDisowned: false }),
          );
          const opensEpoch = asNewEpoch || (isAuto && behind !== undefined);
          if (behind !== undefined && !opensEpoch) {
            expect(effects).toEqual([]);
            expect(end).toMatchObject({ kind: 'refused', error: { code: 'publisher-behind' } });
          } else expect(effects.at(-1)).toMatchObject({ kind: 'store', opensEpoch });
        }
      }
    }
  });
});

describe('a proof', () => {
  it.each<[string, Partial<World>, string]>([
    ['of an epoch that is over changes nothing', { standing: WELL }, 'known'],
    ['of more than there is leaves it behind', {}, 'behind'],
    [
      'where nothing was released leaves it behind',
      { standing: { ...BEHIND, head: undefined, isAuto: true } },
      'behind',
    ],
    [
      'has the head released in a new epoch, where it was told to',
      { standing: { ...BEHIND, isAuto: true }, isChanged: false },
      'released',
    ],
  ])('%s', (_, world, outcome) => {
    expect(outcomeOf(beginProof(PROVED), world)).toBe(outcome);
  });

  it('is noted before anything else, and a new epoch is opened by what it says', () => {
    const { effects } = run(beginProof(PROVED), { standing: { ...BEHIND, isAuto: true }, isChanged: false });
    expect(kindsOf(effects)).toEqual(['note', 'draft', 'store']);
    expect(effects.at(-1)).toMatchObject({ opensEpoch: true, origin: { cause: 'epoch' } });
  });

  it('says whether it is news', () => {
    for (const isNews of [true, false])
      expect(run(beginProof(PROVED), { isNews }).end).toEqual({
        kind: 'done',
        outcome: { kind: 'behind', isNews },
      });
  });
});

describe('a state', () => {
  it('takes the outcome of what it waits for, and no other', () => {
    const steps: DeskStep[] = [beginProof(PROVED), beginRelease(ASKED, WELL)];
    for (let step = steps[1]; step?.effect !== undefined; ) {
      step = stepDesk(step.state, eventOf(step.effect, FINE));
      steps.push(step);
    }
    const events = (['note', 'draft', 'judge', 'store'] as const).map((kind) =>
      eventOf({ kind } as DeskEffect, FINE),
    );
    const taken = steps.map(({ state }) =>
      events
        .filter((event) => {
          try {
            return stepDesk(state, event) !== undefined;
          } catch {
            return false;
          }
        })
        .map(({ kind }) => kind),
    );
    expect(taken).toEqual([['noted'], ['drafted'], ['judged'], ['stored'], []]);
    expect(() => stepDesk({ kind: 'refused', error: FAULT }, { kind: 'failed', cause: FAULT })).toThrow(
      /while refused/,
    );
  });
});
