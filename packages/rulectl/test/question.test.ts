/**
 * Questions before a release go to the terminal, whatever standard input is; without a terminal the answer is
 * no.
 */

import type { ControlRecord, MessageOf } from '@rulecast/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { Folder, rulectlAsked } from './cli.ts';
import { FakePublisher, receive, receivePush, sendRecords } from './fake-publisher.ts';
import { change, release } from './records.ts';

const folder = new Folder();
let publisher: FakePublisher | undefined;
afterEach(() => publisher?.stop());

const DONE: MessageOf<'done'> = { kind: 'done', code: 'released', text: '' };
const DROP_ALL: ControlRecord = {
  record: 'refusal',
  guard: 'drop-all',
  part: 'policy common',
  permit: 'drop-all',
  before: 2,
  after: 0,
  reason: 'nothing that qubes send would be accepted any more',
};

describe('rollback', () => {
  const DROP = change({ name: 'drop' });
  async function rollback(
    answer: string | undefined,
    more: readonly string[] = [],
    told: readonly ControlRecord[] = [DROP],
    changed = true,
  ) {
    const asked: MessageOf<'rollback'>[] = [];
    publisher = await FakePublisher.start(async (connection) => {
      const request = await receive(connection, 'rollback');
      asked.push(request);
      const { dryRun } = request;
      await sendRecords(connection, [...told, release({ version: dryRun ? 7 : 8, dryRun, changed })]);
      await connection.send(DONE);
    });
    const args = ['rollback', '3', '--no-wait', ...more, '--control', publisher.endpoint];
    return { ...(await rulectlAsked(args, answer)), asked };
  }

  it('shows what would change, asks, and goes on from what it saw', async () => {
    const { exit, stdout, stderr, asked } = await rollback('y');
    expect(stderr).toContain('asked: Release what version 3 said over version 7?');
    expect(stdout).toContain('list drop');
    expect(asked).toMatchObject([{ dryRun: true }, { dryRun: false, version: 3, ifVersion: 7 }]);
    expect(exit).toBe(0);
  });

  // It went out unasked, as "no change".
  it('asks before a new epoch that changes nothing here, and says what goes out of force', async () => {
    const reason = 'release 2/9 was made and is not here';
    const lost: ControlRecord = { record: 'warning', code: 'publisher-behind', part: '', reason };
    const { exit, stdout, asked } = await rollback('n', ['--as-new-epoch'], [lost]);
    expect(stdout).toContain(reason);
    expect(asked).toMatchObject([{ dryRun: true, asNewEpoch: true }]);
    expect(exit).toBe(2);
  });

  it('asks nobody where nothing would be released', async () => {
    const { exit, stdout, asked } = await rollback(undefined, [], [], false);
    expect(stdout).toContain('no change');
    expect(asked).toMatchObject([{ dryRun: true }, { dryRun: false }]);
    expect(exit).toBe(0);
  });

  it.each(['n', 'x'])('ends with 2 at the answer %j, and nothing is released', async (answer) => {
    const { exit, stderr, asked } = await rollback(answer);
    expect(stderr).toContain('rulectl: nothing was released: you said no');
    expect(asked).toMatchObject([{ dryRun: true }]);
    expect(exit).toBe(2);
  });

  it('ends with 2 where nobody can be asked', async () => {
    const { exit, stderr, asked } = await rollback(undefined);
    expect(stderr).toBe(
      'rulectl: nothing was released, and nobody can be asked here: look with --dry-run, then add --yes (rulectl help declined)\n',
    );
    expect(asked).toMatchObject([{ dryRun: true }]);
    expect(exit).toBe(2);
  });

  it('with --yes asks nobody', async () => {
    const { exit, asked } = await rollback(undefined, ['--yes']);
    expect(asked).toMatchObject([{ dryRun: false, version: 3 }]);
    expect(asked[0]?.ifVersion).toBeUndefined();
    expect(exit).toBe(0);
  });
});

describe('a push after which nothing is accepted any more', () => {
  async function push(answer: string | undefined, ...more: readonly string[]) {
    const pushes: MessageOf<'push'>[] = [];
    publisher = await FakePublisher.start(async (connection) => {
      const { push: request } = await receivePush(connection);
      pushes.push(request);
      if (request.allowDropAll === true) {
        await sendRecords(connection, [release({ version: 8 })]);
        await connection.send(DONE);
      } else {
        await sendRecords(connection, [DROP_ALL]);
        await connection.send({ kind: 'fail', code: 'guard-refused', text: 'no', guard: 'drop-all' });
      }
    });
    const args = ['push', '--policy', 'common', '--no-wait', ...more, '-', '--control', publisher.endpoint];
    return { ...(await rulectlAsked(args, answer, { stdin: 'drop\n' })), pushes };
  }

  it('is asked for on the terminal although standard input is what is pushed, and released at yes', async () => {
    const { exit, stderr, pushes } = await push('yes');
    expect(stderr).toContain('asked: Drop everything?');
    expect(pushes.map(({ allowDropAll }) => allowDropAll)).toEqual([undefined, true]);
    expect(exit).toBe(0);
  });

  it('ends with 2 at no, and where nobody can be asked', async () => {
    for (const answer of ['no', undefined]) {
      const { exit, stdout, pushes } = await push(answer);
      expect(stdout).toContain('refused: policy common: nothing that qubes send would be accepted');
      expect(pushes).toHaveLength(1);
      expect(exit).toBe(2);
      await publisher?.stop();
      publisher = undefined;
    }
  });

  it('goes out at once with --yes, from a script', async () => {
    const { exit, pushes } = await push(undefined, '--yes');
    expect(pushes.map(({ allowDropAll }) => allowDropAll)).toEqual([true]);
    expect(exit).toBe(0);
  });
});

it('what cannot be asked is no reason to remove parts', async () => {
  const pushes: MessageOf<'push'>[] = [];
  publisher = await FakePublisher.start(async (connection) => {
    const { push } = await receivePush(connection);
    pushes.push(push);
    await sendRecords(connection, [
      change({ op: 'remove', name: 'old' }),
      release({ version: 7, dryRun: true }),
    ]);
    await connection.send(DONE);
  });
  const file = folder.write('drop.txt', '192.0.2.1\n');
  const args = ['push', '--replace-all', file, '--control', publisher.endpoint];
  const { exit, stderr } = await rulectlAsked(args, undefined);
  expect(stderr).toContain('nobody can be asked here');
  expect(pushes).toMatchObject([{ dryRun: true }]);
  expect(exit).toBe(2);
});
