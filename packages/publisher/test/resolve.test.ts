import { EMPTY_PREFIX_SET } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { type ResolveName, resolveNames, withFixedNames } from '../src/resolve.ts';
import { prefixes } from './fresh-publisher.ts';

const OLD = prefixes('192.0.2.1');
const NEW = prefixes('192.0.2.2', '2001:db8::2');

/** Answers from a table; other names fail. */
function answering(answers: Readonly<Record<string, typeof NEW>>): ResolveName {
  return (name) => {
    const answer = answers[name];
    return answer === undefined ? Promise.reject(new Error(`SERVFAIL ${name}`)) : Promise.resolve(answer);
  };
}

describe('resolving names', () => {
  it('takes what the resolver says, also that a name has no addresses', async () => {
    const before = new Map([
      ['a.example', OLD],
      ['b.example', OLD],
    ]);
    const resolve = answering({ 'a.example': NEW, 'b.example': EMPTY_PREFIX_SET });
    const { resolutions, failed } = await resolveNames(['a.example', 'b.example'], before, resolve);
    expect(resolutions).toEqual(
      new Map([
        ['a.example', NEW],
        ['b.example', EMPTY_PREFIX_SET],
      ]),
    );
    expect(failed).toEqual([]);
  });

  it('keeps the old addresses of a name that fails, and says so in the order of names', async () => {
    const before = new Map([['b.example', OLD]]);
    const names = ['c.example', 'b.example', 'a.example'];
    const { resolutions, failed } = await resolveNames(names, before, answering({ 'a.example': NEW }));
    expect(resolutions).toEqual(
      new Map([
        ['a.example', NEW],
        ['b.example', OLD],
      ]),
    );
    expect(failed).toEqual([
      { name: 'b.example', reason: 'SERVFAIL b.example' },
      { name: 'c.example', reason: 'SERVFAIL c.example' },
    ]);
  });

  it('forgets names that no rule uses any more', async () => {
    const before = new Map([['gone.example', OLD]]);
    const { resolutions } = await resolveNames(['a.example'], before, answering({ 'a.example': NEW }));
    expect([...resolutions.keys()]).toEqual(['a.example']);
  });

  it('asks each of 4,096 names once, at most 32 at a time', async () => {
    const names = Array.from({ length: 4096 }, (_, i) => `host-${i}.example`);
    const asked: string[] = [];
    let underWay = 0;
    let most = 0;
    const { resolutions } = await resolveNames(names, new Map(), async (name) => {
      asked.push(name);
      most = Math.max(most, ++underWay);
      await Promise.resolve();
      underWay--;
      return NEW;
    });
    expect(asked.toSorted()).toEqual(names.toSorted());
    expect(most).toBe(32);
    expect(resolutions.size).toBe(4096);
  });

  it('goes on past a name that hangs', async () => {
    let release: (() => void) | undefined;
    const hanging = new Promise<typeof NEW>((resolve) => {
      release = () => resolve(NEW);
    });
    const asked: string[] = [];
    const names = ['slow.example', ...Array.from({ length: 100 }, (_, i) => `host-${i}.example`)];
    const all = resolveNames(names, new Map(), (name) => {
      asked.push(name);
      if (asked.length === names.length) release?.();
      return name === 'slow.example' ? hanging : Promise.resolve(OLD);
    });
    expect((await all).resolutions.get('slow.example')).toBe(NEW);
  });
});

describe('fixed names', () => {
  it('answer without asking, and leave other names to the resolver', async () => {
    const asked: string[] = [];
    const resolve = withFixedNames(
      new Map([
        ['fixed.example', OLD],
        ['none.example', EMPTY_PREFIX_SET],
      ]),
      (name) => {
        asked.push(name);
        return Promise.resolve(NEW);
      },
    );
    expect(await resolve('fixed.example')).toBe(OLD);
    expect(await resolve('none.example')).toBe(EMPTY_PREFIX_SET);
    expect(await resolve('other.example')).toBe(NEW);
    expect(asked).toEqual(['other.example']);
  });
});
