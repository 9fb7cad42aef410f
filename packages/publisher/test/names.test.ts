import {
  checkRuleSet,
  formatPrefix,
  type NameList,
  NO_RULES,
  nameListOf,
  type PrefixSet,
  parseRule,
  prefixAt,
  RESOLVED_NAMES_MAX,
  type RuleSet,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { runsFrom } from '../../../test/kit/rules.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import { changedNames, failedNameText, NAME_LIMITS, Names, type NamesOptions } from '../src/names/names.ts';
import type { NameAnswer } from '../src/names/resolve.ts';
import { prefixes } from './fresh-publisher.ts';

const HOUR_MS = 3_600_000;

/** A rule set of one policy; names stand for what `before` says. */
function rulesOf(
  lines: readonly string[],
  before: Readonly<Record<string, PrefixSet>> = {},
  lists: Readonly<Record<string, NameList>> = {},
  exceptions: readonly string[] = [],
): RuleSet {
  const policy = {
    name: 'default',
    prefixes: prefixes(),
    defaultAction: 'drop' as const,
    exceptions: { egress: runsFrom('egress', exceptions), ingress: NO_RULES },
    egress: runsFrom('egress', lines),
    ingress: NO_RULES,
  };
  return {
    lists: new Map(Object.entries(lists)),
    policies: new Map([['default', policy]]),
    resolutions: new Map(Object.entries(before)),
    unmatched: undefined,
  };
}

function shown(resolutions: ReadonlyMap<string, PrefixSet>): Record<string, string> {
  const texts = [...resolutions].map(([name, set]) => {
    const columns = [set.v4, set.v6].flatMap((column) => {
      return Array.from(column.lengths, (_, i) => formatPrefix(prefixAt(column, i)).replace(/\/\d+$/, ''));
    });
    return [name, columns.join(' ')] as const;
  });
  return Object.fromEntries(texts);
}

/** A resolver under a test's hand. */
class Script {
  readonly clock = new FakeClock();
  readonly asked: string[] = [];
  readonly answers = new Map<string, NameAnswer | Error>();
  readonly names: Names;

  constructor(options: Partial<NamesOptions> = {}) {
    this.names = new Names({
      clock: this.clock,
      random: () => 0,
      resolve: (name) => {
        this.asked.push(name);
        const answer = this.answers.get(name) ?? new Error('no such name');
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
      ...options,
    });
  }

  says(name: string, texts: readonly string[] | Error, ttlS = 60): void {
    this.answers.set(name, texts instanceof Error ? texts : { ...prefixes(...texts), ttlMs: ttlS * 1000 });
  }

  /** What the head says next. */
  async settled(
    ruleSet: RuleSet,
  ): Promise<{ readonly ruleSet: RuleSet; readonly shown: Record<string, string> }> {
    const { resolutions } = await this.names.settle(ruleSet);
    return { ruleSet: { ...ruleSet, resolutions }, shown: shown(resolutions) };
  }
}

/** Answers at once, but for names with `silent` in them, which fail after both tries. */
function silence(clock: () => FakeClock): NamesOptions['resolve'] {
  return (name) =>
    name.includes('silent')
      ? new Promise((_, reject) => clock().after(6000, () => reject(new Error('silence'))))
      : Promise.resolve({ ...prefixes('192.0.2.1'), ttlMs: 60_000 });
}

/** Lets time pass, and what waits for it be done. */
async function passed(clock: FakeClock, ms: number): Promise<void> {
  for (let i = 0; i <= 10; i++) {
    clock.advance(i === 0 ? 0 : ms / 10);
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
  }
}

const SERVFAIL = new Error('SERVFAIL');

describe('a name', () => {
  it('is asked for once in its time to live, and then again', async () => {
    const script = new Script();
    script.says('a.example', ['192.0.2.1', '2001:db8::1'], 120);
    let { ruleSet, shown: now } = await script.settled(rulesOf(['accept dsthost=a.example']));
    expect(now).toEqual({ 'a.example': '192.0.2.1 2001:db8::1' });
    script.says('a.example', ['192.0.2.2'], 120);
    script.clock.advance(119_000);
    ({ ruleSet, shown: now } = await script.settled(ruleSet));
    expect(now).toEqual({ 'a.example': '192.0.2.1 2001:db8::1' });
    expect(script.names.dueInMs(ruleSet)).toBe(1000);
    script.clock.advance(1000);
    expect((await script.settled(ruleSet)).shown).toEqual({ 'a.example': '192.0.2.2' });
    expect(script.asked).toHaveLength(2);
  });

  it('may stand for private addresses while a rule says so, and is asked for anew when that changes', async () => {
    const asked: unknown[] = [];
    const script = new Script({
      resolve: (name, mayBePrivate) => {
        asked.push(mayBePrivate);
        const answer = { ...prefixes('192.168.1.1'), ttlMs: 60_000 };
        return mayBePrivate === true
          ? Promise.resolve(answer)
          : Promise.reject(new Error(`${name} is private`));
      },
    });
    const [said, unsaid] = [' private=true', ''].map((more) => rulesOf([`accept dsthost=a.example${more}`]));
    if (said === undefined || unsaid === undefined) throw new TypeError();
    expect((await script.settled(unsaid)).shown).toEqual({});
    expect((await script.settled(said)).shown).toEqual({ 'a.example': '192.168.1.1' });
    expect((await script.settled(said)).shown).toEqual({ 'a.example': '192.168.1.1' });
    expect((await script.settled(unsaid)).shown).toEqual({});
    expect(asked).toEqual([false, true, false]);
  });

  it.each([
    [0, 0, 30_000],
    [29, 0, 30_000],
    [30, 0, 30_000],
    [31, 0, 31_000],
    [3600, 0, HOUR_MS],
    [3601, 0, HOUR_MS],
    [2 ** 31 - 1, 0, HOUR_MS],
    [100, 1, 110_000],
    [100, 0.5, 105_000],
  ])('with a time to live of %i s and chance %d is due in %i ms', async (ttlS, chance, dueMs) => {
    const script = new Script({ random: () => chance });
    script.says('a.example', ['192.0.2.1'], ttlS);
    const { ruleSet } = await script.settled(rulesOf(['accept dsthost=a.example']));
    expect(script.names.dueInMs(ruleSet)).toBeCloseTo(dueMs, 5);
  });

  it('without a time to live is asked for with each release, and never due', async () => {
    const script = new Script();
    script.answers.set('a.example', prefixes('192.0.2.1'));
    const { ruleSet } = await script.settled(rulesOf(['accept dsthost=a.example']));
    expect(script.names.dueInMs(ruleSet)).toBeUndefined();
    script.answers.set('a.example', prefixes('192.0.2.2'));
    expect((await script.settled(ruleSet)).shown).toEqual({ 'a.example': '192.0.2.2' });
  });

  it('may stand for nothing, by an answer', async () => {
    const script = new Script();
    script.answers.set('a.example', prefixes());
    const { resolutions, failed } = await script.names.settle(
      rulesOf(['accept dsthost=a.example'], { 'a.example': prefixes('192.0.2.1') }),
    );
    expect(shown(resolutions)).toEqual({ 'a.example': '' });
    expect(failed).toEqual([]);
  });

  it('that no rule uses is forgotten', async () => {
    const script = new Script();
    script.says('a.example', ['192.0.2.1']);
    const { ruleSet } = await script.settled(rulesOf(['accept dsthost=a.example']));
    const next = rulesOf(['accept'], { 'a.example': prefixes('192.0.2.1') });
    expect((await script.settled(next)).shown).toEqual({});
    script.names.keepOnly(next);
    await script.settled(ruleSet);
    expect(script.asked).toHaveLength(2);
  });

  it('is asked for once by two at a time', async () => {
    const script = new Script();
    script.says('a.example', ['192.0.2.1']);
    const ruleSet = rulesOf(['accept dsthost=a.example']);
    await Promise.all([
      script.names.settle(ruleSet),
      script.names.refresh(ruleSet),
      script.names.settle(ruleSet),
    ]);
    expect(script.asked).toEqual(['a.example']);
  });
});

describe('nothing new', () => {
  it('is the same map, so that nothing is hashed or released for it', async () => {
    const script = new Script();
    script.says('a.example', ['192.0.2.1'], 60);
    const ruleSet = rulesOf(['accept dsthost=a.example'], { 'a.example': prefixes('192.0.2.1') });
    expect((await script.names.settle(ruleSet)).resolutions).toBe(ruleSet.resolutions);
    script.clock.advance(HOUR_MS);
    expect((await script.names.settle(ruleSet)).resolutions).toBe(ruleSet.resolutions);
    expect(script.asked).toHaveLength(2);
  });

  it('is told apart from what is new, by name', async () => {
    const script = new Script();
    script.says('a.example', ['192.0.2.1']);
    script.says('b.example', ['192.0.2.9']);
    const before = {
      'a.example': prefixes('192.0.2.1'),
      'b.example': prefixes('192.0.2.2'),
      'c.example': prefixes(),
    };
    const ruleSet = rulesOf(['accept dsthost=a.example', 'accept dsthost=b.example'], before);
    const { resolutions } = await script.names.settle(ruleSet);
    expect(resolutions.get('a.example')).toBe(before['a.example']);
    expect(changedNames(ruleSet.resolutions, resolutions)).toEqual(['b.example', 'c.example']);
  });
});

describe('a name that fails', () => {
  // P-21
  it('keeps what it had, is asked for again after longer and longer, and recovers', async () => {
    const script = new Script({ random: () => 1 });
    script.says('a.example', ['192.0.2.1'], 60);
    let { ruleSet } = await script.settled(rulesOf(['accept dsthost=a.example']));
    script.says('a.example', SERVFAIL);
    const waits: number[] = [];
    script.clock.advance(66_000);
    for (let i = 0; i < 9; i++) {
      const settled = await script.settled(ruleSet);
      expect(settled.shown).toEqual({ 'a.example': '192.0.2.1' });
      ({ ruleSet } = settled);
      waits.push(script.names.dueInMs(ruleSet) ?? -1);
      script.clock.advance((waits.at(-1) ?? 0) - 1);
      await script.names.refresh(rulesOf([])); // not due, and not used
      script.clock.advance(1);
    }
    expect(waits).toEqual([5000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000]);
    expect(script.asked).toHaveLength(10);
    script.says('a.example', ['192.0.2.3'], 60);
    const { resolutions, failed } = await script.names.settle(ruleSet);
    expect(shown(resolutions)).toEqual({ 'a.example': '192.0.2.3' });
    expect(failed).toEqual([]);
  });

  it('stands for nothing where it never had addresses, and is not asked for with each release', async () => {
    const script = new Script();
    const ruleSet = rulesOf(['drop dsthost=a.example', 'accept']);
    for (let i = 0; i < 5; i++) {
      const { resolutions, failed } = await script.names.settle(ruleSet);
      expect(resolutions).toBe(ruleSet.resolutions);
      expect(failed).toMatchObject([
        { name: 'a.example', reason: 'no such name', meaning: 'its rules match nothing' },
      ]);
    }
    expect(script.asked).toHaveLength(1);
  });

  it('leaves other names alone', async () => {
    const script = new Script();
    script.says('b.example', ['192.0.2.2']);
    const { shown: now } = await script.settled(
      rulesOf(['accept dsthost=a.example', 'accept dsthost=b.example']),
    );
    expect(now).toEqual({ 'b.example': '192.0.2.2' });
  });

  it('in one family keeps that one, and takes the other', async () => {
    const script = new Script();
    script.says('a.example', ['192.0.2.1', '2001:db8::1']);
    let { ruleSet } = await script.settled(rulesOf(['accept dsthost=a.example']));
    script.answers.set('a.example', {
      ...prefixes('192.0.2.2'),
      ttlMs: 60_000,
      failed: { family: 'v6', reason: 'SERVFAIL' },
    });
    script.clock.advance(60_000);
    ({ ruleSet } = await script.settled(ruleSet));
    expect(shown(ruleSet.resolutions)).toEqual({ 'a.example': '192.0.2.2 2001:db8::1' });
    const { failed } = await script.names.settle(ruleSet);
    expect(failed).toMatchObject([
      { reason: 'SERVFAIL', meaning: 'its rules keep the IPv6 addresses they had' },
    ]);
    // The family that answers is good each time; the other one ages out on its own.
    for (let waitedMs = 0; waitedMs < 25 * HOUR_MS; waitedMs += 300_000) {
      script.clock.advance(300_000);
      ({ ruleSet } = await script.settled(ruleSet));
    }
    expect(shown(ruleSet.resolutions)).toEqual({ 'a.example': '192.0.2.2' });
  });

  it('at the start stands for what the head says, and ages from there', async () => {
    const script = new Script({ acceptAgeMs: HOUR_MS });
    const head = rulesOf(['accept dsthost=a.example'], { 'a.example': prefixes('192.0.2.1') });
    expect(script.names.dueInMs(head)).toBe(0);
    expect((await script.settled(head)).shown).toEqual({ 'a.example': '192.0.2.1' });
    script.clock.advance(HOUR_MS);
    expect((await script.settled(head)).shown).toEqual({});
  });
});

// P-21
describe('the age limit', () => {
  /** What is left of a name that fails for so long. */
  async function after(
    ageMs: number,
    lines: readonly string[],
    lists: Readonly<Record<string, NameList>> = {},
    exceptions: readonly string[] = [],
  ) {
    const script = new Script();
    script.says('a.example', ['192.0.2.1', '2001:db8::1'], 60);
    let { ruleSet } = await script.settled(rulesOf(lines, {}, lists, exceptions));
    script.says('a.example', SERVFAIL);
    script.clock.advance(60_000);
    ({ ruleSet } = await script.settled(ruleSet));
    script.clock.advance(ageMs - 60_000);
    return {
      script,
      ...(await script.settled(ruleSet)),
      failed: (await script.names.settle(ruleSet)).failed,
    };
  }
  const BOTH = { 'a.example': '192.0.2.1 2001:db8::1' };
  const LIMIT_MS = NAME_LIMITS.acceptAgeMs;

  it('ends the addresses of an accept rule, and not a millisecond before', async () => {
    const lines = ['accept dsthost=a.example'];
    expect((await after(LIMIT_MS - 1, lines)).shown).toEqual(BOTH);
    const { shown: now, failed } = await after(LIMIT_MS, lines);
    expect(now).toEqual({});
    expect(failed[0]?.meaning).toBe('its accept rules match nothing any more');
  });

  it('does not touch a drop rule, nor a name that a drop rule uses too', async () => {
    for (const lines of [
      ['drop dsthost=a.example', 'accept'],
      ['accept dsthost=a.example proto=tcp dstports=443', 'drop dsthost=a.example', 'accept'],
    ]) {
      const { shown: now, failed } = await after(100 * LIMIT_MS, lines);
      expect(now).toEqual(BOTH);
      expect(failed[0]?.meaning).toBe('its rules keep the addresses they had');
    }
  });

  it('is the same for exceptions: an accept rule among them is no drop rule', async () => {
    expect((await after(LIMIT_MS, [], {}, ['accept dsthost=a.example'])).shown).toEqual({});
    expect((await after(LIMIT_MS, [], {}, ['drop dsthost=a.example'])).shown).toEqual(BOTH);
    const both = await after(LIMIT_MS, ['accept dsthost=a.example'], {}, ['drop dsthost=a.example']);
    expect(both.shown).toEqual(BOTH);
  });

  it('is the same for names in lists', async () => {
    const list = { hosts: nameListOf(['a.example'], true) };
    expect((await after(LIMIT_MS, ['accept dst=@hosts'], list)).shown).toEqual({});
    expect((await after(LIMIT_MS, ['drop dst=@hosts'], list)).shown).toEqual(BOTH);
    expect((await after(LIMIT_MS, ['accept dst=@hosts', 'drop dsthost=a.example'], list)).shown).toEqual(
      BOTH,
    );
  });

  it('is none for a name that answers', async () => {
    const script = new Script();
    script.says('a.example', ['192.0.2.1'], 3600);
    let { ruleSet } = await script.settled(rulesOf(['accept dsthost=a.example']));
    for (let i = 0; i < 30; i++) {
      script.clock.advance(HOUR_MS);
      ({ ruleSet } = await script.settled(ruleSet));
    }
    expect(shown(ruleSet.resolutions)).toEqual({ 'a.example': '192.0.2.1' });
  });

  it('is over when the name answers again', async () => {
    const { script, ruleSet } = await after(LIMIT_MS, ['accept dsthost=a.example']);
    script.says('a.example', ['192.0.2.7']);
    script.clock.advance(300_000);
    expect((await script.settled(ruleSet)).shown).toEqual({ 'a.example': '192.0.2.7' });
  });

  it('is not moved by setting the wall clock, nor is any time to live', async () => {
    const script = new Script();
    script.says('a.example', ['192.0.2.1'], 600);
    const { ruleSet } = await script.settled(rulesOf(['accept dsthost=a.example']));
    script.says('a.example', SERVFAIL);
    for (const jumpMs of [10 * 365 * 24 * HOUR_MS, -20 * 365 * 24 * HOUR_MS]) {
      script.clock.jumpWall(jumpMs);
      expect((await script.settled(ruleSet)).shown).toEqual({ 'a.example': '192.0.2.1' });
    }
    expect(script.asked).toHaveLength(1);
    expect(script.names.dueInMs(ruleSet)).toBe(600_000);
  });
});

describe('many names', () => {
  const many = Array.from({ length: RESOLVED_NAMES_MAX }, (_, i) => `host-${i}.example`);

  it('are asked for once each, at most 32 at a time', async () => {
    let underWay = 0;
    let most = 0;
    const asked: string[] = [];
    const script = new Script({
      resolve: async (name) => {
        asked.push(name);
        most = Math.max(most, ++underWay);
        await new Promise(setImmediate);
        underWay--;
        return { ...prefixes('192.0.2.1'), ttlMs: 60_000 };
      },
    });
    const [hosts, others] = [nameListOf(many.slice(0, -40), true), nameListOf(many.slice(-40), true)];
    const ruleSet = rulesOf(['drop dst=@hosts', 'drop dst=@others'], {}, { hosts, others });
    const { resolutions } = await script.names.settle(ruleSet);
    expect(asked.toSorted()).toEqual(many.toSorted());
    expect(most).toBe(NAME_LIMITS.queries);
    expect(resolutions.size).toBe(RESOLVED_NAMES_MAX);
  });

  it('of a list that answers are not kept waiting by 900 of another that nobody answers for', async () => {
    const silent = Array.from({ length: 900 }, (_, i) => `${i}.a-silent.example`);
    const good = Array.from({ length: 100 }, (_, i) => `${i}.good.example`);
    const script: Script = new Script({ resolve: silence(() => script.clock) });
    const lists = { silent: nameListOf(silent, true), good: nameListOf(good, true) };
    const ruleSet = rulesOf(['drop dst=@silent', 'drop dst=@good', 'drop dsthost=z.rule.example'], {}, lists);
    const settled = script.names.settle(ruleSet);
    await passed(script.clock, NAME_LIMITS.bringMs);
    const { resolutions } = await settled;
    expect([...resolutions.keys()].toSorted()).toEqual([...good, 'z.rule.example'].toSorted());
  });

  it('of a second push are not kept waiting by a first one whose names nobody answers for', async () => {
    const silent = Array.from({ length: 900 }, (_, i) => `${i}.a-silent.example`);
    const script: Script = new Script({ resolve: silence(() => script.clock) });
    const lists = { silent: nameListOf(silent, true) };
    void script.names.settle(rulesOf(['drop dst=@silent'], {}, lists));
    await passed(script.clock, 1000);
    const second = script.names.settle(rulesOf(['drop dsthost=z.rule.example']));
    await passed(script.clock, NAME_LIMITS.bringMs);
    expect([...(await second).resolutions.keys()]).toEqual(['z.rule.example']);
  });

  it('that failed are asked for after those that did not', async () => {
    const names = Array.from({ length: 200 }, (_, i) =>
      i < 100 ? `a${i}.bad.example` : `z${i}.good.example`,
    );
    const script = new Script();
    for (const name of names.slice(100)) script.says(name, ['192.0.2.1'], 1);
    const { ruleSet } = await script.settled(
      rulesOf(['drop dst=@all'], {}, { all: nameListOf(names, true) }),
    );
    script.clock.advance(NAME_LIMITS.ttlMaxMs);
    script.asked.length = 0;
    await script.names.refresh(ruleSet);
    expect(script.asked.toSorted()).toEqual(names.toSorted());
    expect(script.asked.slice(0, 100).filter((name) => name.endsWith('.bad.example'))).toEqual([]);
  });

  it('beyond 4,096 in a list are refused in rules', () => {
    const list = { hosts: nameListOf([...many, 'one-more.example'], true) };
    const [fault] = checkRuleSet(rulesOf(['drop dst=@hosts'], {}, list));
    expect(fault).toMatchObject({
      severity: 'fault',
      reason: 'list hosts has 4097 names; rules can use a list of at most 4096 by resolution',
    });
  });

  it('go on past one that hangs', async () => {
    let release: (() => void) | undefined;
    const hanging = new Promise<NameAnswer>((resolve) => {
      release = () => resolve(prefixes('192.0.2.9'));
    });
    let count = 0;
    const script = new Script({
      resolve: (name) => {
        if (++count === 100) release?.();
        return name === 'host-0.example' ? hanging : Promise.resolve(prefixes('192.0.2.1'));
      },
    });
    const lines = many.slice(0, 100).map((name) => `drop dsthost=${name}`);
    const { resolutions } = await script.names.settle(rulesOf(lines));
    expect(shown(resolutions)['host-0.example']).toBe('192.0.2.9');
  });

  it('that are due within five seconds are asked for together', async () => {
    const script = new Script();
    for (const [i, ttlS] of [60, 64, 65, 66].entries()) script.says(`host-${i}.example`, ['192.0.2.1'], ttlS);
    const { ruleSet } = await script.settled(rulesOf(many.slice(0, 4).map((name) => `drop dsthost=${name}`)));
    script.clock.advance(script.names.dueInMs(ruleSet) ?? 0);
    script.asked.length = 0;
    await script.names.refresh(ruleSet);
    expect(script.asked).toEqual(['host-0.example', 'host-1.example', 'host-2.example']);
  });

  it('are not asked for any more once it is closed', async () => {
    const script = new Script();
    script.names.close();
    await script.names.settle(rulesOf(['drop dsthost=a.example']));
    expect(script.asked).toEqual([]);
  });
});

describe('what people read of a failed name', () => {
  it.each([
    [0, ''],
    [59_999, ''],
    [60_000, ' for 1 min'],
    [119 * 60_000, ' for 119 min'],
    [2 * HOUR_MS, ' for 2 h'],
    [47 * HOUR_MS, ' for 47 h'],
    [48 * HOUR_MS, ' for 2 d'],
  ])('says its age of %i ms', (ageMs, text) => {
    const failed = {
      name: 'a.example',
      reason: 'SERVFAIL',
      sinceMs: 1000,
      meaning: 'its rules match nothing',
    };
    expect(failedNameText(failed, 1000 + ageMs)).toBe(
      `a.example does not resolve${text} (SERVFAIL): its rules match nothing`,
    );
  });
});

describe('a wildcard', () => {
  it('in a rule is refused with its place and what to do', () => {
    expect(parseRule('drop dsthost=*.a.example', 'egress', 0)).toEqual({
      kind: 'fault',
      code: 'unsupported',
      column: 14,
      reason:
        '"*.a.example" is a wildcard, which is not supported yet: write the names that are meant, one rule each, or a list',
    });
  });
});
