/** How requests end by who applied what they released. */

import type { ControlRecord, MessageOf } from '@rulecast/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { exitOfApplied } from '../src/render/standing.ts';
import { rulectl } from './cli.ts';
import { FakePublisher, receive, receivePush, sendRecords } from './fake-publisher.ts';
import { applied, fleet, release } from './records.ts';

let publisher: FakePublisher | undefined;
afterEach(async () => {
  await publisher?.stop();
  publisher = undefined;
});

const WAITING = { wait: 'applied', isNobodyRequired: false } as const;
const absent = (name: string, expected = true) => applied({ subscriber: name, state: 'absent', expected });

describe('a release', () => {
  it.each([
    ['applied by all', [applied(), applied({ subscriber: 'b' })], 0],
    ['superseded', [applied({ state: 'superseded' })], 0],
    ['one is absent', [applied(), absent('b')], 5],
    ['one did not answer', [applied(), applied({ subscriber: 'b', state: 'timeout' })], 5],
    ['one went away', [applied(), applied({ subscriber: 'b', state: 'disconnected' })], 5],
    ['one refused', [applied(), applied({ subscriber: 'b', state: 'refused' })], 1],
    [
      'one that nobody expects did not answer',
      [applied(), applied({ subscriber: 'b', state: 'timeout', expected: false })],
      0,
    ],
    ['only one that nobody expects has it', [applied({ expected: false })], 0],
    ['nobody has it, and nobody is expected', [], 5], // it once ended with 0
    ['nobody has it of those that nobody expects', [applied({ state: 'timeout', expected: false })], 5],
  ] as const)('%s: %#', (_what, records, exit) => {
    expect(exitOfApplied(release(), records, WAITING)).toBe(exit);
    expect(exitOfApplied(release({ changed: false }), records, WAITING)).toBe(exit);
    expect(exitOfApplied(release({ dryRun: true }), records, WAITING)).toBe(0);
    expect(exitOfApplied(release(), records, { ...WAITING, wait: 'released' })).toBe(0);
    expect(exitOfApplied(release(), records, { ...WAITING, isNobodyRequired: true })).toBe(
      exit === 1 ? 1 : 0,
    );
  });
});

describe('a release, where names report', () => {
  const SHARE = { ...WAITING, share: 99 };
  it.each([
    ['enough have it', [], fleet(), SHARE, 0],
    ['enough have it, and all subscribers', [applied()], fleet(), SHARE, 0],
    ['enough have it, and a subscriber has not', [absent('b')], fleet(), SHARE, 5],
    ['too few have it', [], fleet({ synced: 98, behind: 2, silent: 0 }), SHARE, 1],
    ['as many have it as are to', [], fleet({ synced: 99, behind: 1, silent: 0 }), SHARE, 0],
    ['none was heard', [], fleet({ synced: 0, behind: 0, silent: 0 }), SHARE, 1],
    [
      'too few have it, and nobody else must',
      [],
      fleet({ synced: 0 }),
      { ...SHARE, isNobodyRequired: true },
      1,
    ],
    ['nothing was said of them', [applied()], undefined, SHARE, 1],
    ['nobody waits for them', [], fleet({ synced: 0 }), WAITING, 0],
    ['nobody waits for them, but for one who is absent', [absent('b')], fleet(), WAITING, 5],
  ] as const)('%s', (_what, records, counts, scope, exit) => {
    expect(exitOfApplied(release(), records, scope, counts)).toBe(exit);
  });
});

describe('push', () => {
  async function push(records: readonly ControlRecord[], ...more: readonly string[]) {
    let asked: MessageOf<'push'> | undefined;
    publisher = await FakePublisher.start(async (connection) => {
      asked = (await receivePush(connection)).push;
      await sendRecords(connection, [release(), ...records]);
      await connection.send({ kind: 'done', code: 'released', text: '' });
    });
    const args = ['push', '--list', 'x', '-', ...more, '--control', publisher.endpoint];
    return { ...(await rulectl(args, { stdin: '192.0.2.1\n' })), asked };
  }

  it('with nobody connected ends with 5, and says where it is in force', async () => {
    const { exit, stdout } = await push([]);
    expect(stdout).toContain('in force nowhere');
    expect(exit).toBe(5);
  });

  it('names who is absent', async () => {
    const { exit, stdout } = await push([applied(), absent('fw-b')]);
    expect(stdout).toContain('absent: fw-b is expected and not connected');
    expect(stdout).toContain('in force at 1 of 2 subscribers');
    expect(exit).toBe(5);
  });

  it('--require names who must apply it, and none requires nobody', async () => {
    const some = await push([applied()], '--require', 'fw-a', '--require', 'fw-b', '--require', 'fw-a');
    expect(some.asked?.require).toEqual(['fw-a', 'fw-b']);
    await publisher?.stop();
    const none = await push([], '--require', 'none');
    expect(none.asked?.require).toEqual([]);
    expect(none.exit).toBe(0);
    expect((await rulectl(['push', 'x', '--require', 'none', '--require', 'a'])).exit).toBe(64);
    expect((await rulectl(['push', 'x', '--require', 'a/b'])).exit).toBe(64);
  });

  it('--wait 99% asks for that share, prints all counts, and ends with 1 below it', async () => {
    const { exit, stdout, asked } = await push(
      [
        fleet({
          synced: 98,
          behind: 1,
          refused: 1,
          silent: 0,
          refusedBy: [{ code: 'over-limit', count: 1 }],
        }),
      ],
      ...['--wait', '99%'],
    );
    expect([asked?.wait, asked?.share]).toEqual(['applied', 99]);
    expect(stdout.trimEnd().split('\n').at(-1)).toBe(
      'of 100 names that report: 98 synced, 1 behind, 1 refused (1 over-limit), 0 silent, 0 unknown: less than 99% have it',
    );
    expect(exit).toBe(1);
    await publisher?.stop();
    expect((await push([fleet()], '--wait', '99%', '--json')).exit).toBe(0);
  });

  it('says of names that report that it does not wait for them', async () => {
    const { exit, stdout, asked } = await push([fleet({ synced: 0, behind: 5, silent: 0 })]);
    expect(asked?.share).toBeUndefined();
    expect(stdout).not.toContain('in force nowhere');
    expect(stdout).toContain('5 behind, 0 refused, 0 silent, 0 unknown; --wait 99% waits for them');
    expect(exit).toBe(0);
  });

  it.each(['0%', '101%', '99.5%', '98%', '99', 'all', ''])('--wait %j is refused', async (wait) => {
    const { exit, stderr } = await rulectl(['push', 'x', `--wait=${wait}`]);
    expect({ exit, stderr }).toMatchObject({ exit: 64, stderr: expect.stringContaining('--wait') });
  });

  it('--wait twice, or with --no-wait, is refused', async () => {
    for (const more of [['--wait', '50%'], ['--no-wait']])
      expect((await rulectl(['push', 'x', '--wait', '99%', ...more])).exit).toBe(64);
  });

  it('counts the warnings that are not about what it touches', async () => {
    const { stdout } = await push([release({ otherWarnings: 4 }), applied()]);
    expect(stdout).toContain('4 warnings about other parts: rulectl status shows them');
  });
});

describe('forget', () => {
  async function forget(end: MessageOf<'done'> | MessageOf<'fail'>) {
    let asked: MessageOf<'forget'> | undefined;
    publisher = await FakePublisher.start(async (connection) => {
      asked = await receive(connection, 'forget');
      await connection.send(end);
    });
    return { ...(await rulectl(['forget', 'fw-old', '--control', publisher.endpoint])), asked };
  }

  it('names one, and says what came of it', async () => {
    const { exit, stdout, asked } = await forget({
      kind: 'done',
      code: 'forgotten',
      text: 'fw-old is forgotten',
    });
    expect(asked).toEqual({ kind: 'forget', name: 'fw-old' });
    expect({ exit, stdout }).toEqual({ exit: 0, stdout: 'fw-old is forgotten\n' });
  });

  it.each(['no-such-subscriber', 'still-connected', 'bad-input'])('%s ends with 2', async (code) => {
    const { exit, stderr } = await forget({ kind: 'fail', code, text: 'stop it first' });
    expect({ exit, stderr }).toEqual({ exit: 2, stderr: `rulectl: stop it first (rulectl help ${code})\n` });
  });
});
