/** `rulectl log`, run as a program against a publisher that answers as each test says. */

import type { Connection, ControlRecord, MessageOf } from '@rulecast/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { recordOf } from '../src/terminal/records.ts';
import { type CliResult, ndjson, rulectl } from './cli.ts';
import { FakePublisher, receive, type Script, sendRecords } from './fake-publisher.ts';
import { NOW_MS, refused, verdict } from './records.ts';

let publisher: FakePublisher | undefined;
afterEach(async () => {
  await publisher?.stop();
  publisher = undefined;
});

async function run(args: readonly string[], script: Script): Promise<CliResult> {
  publisher = await FakePublisher.start(script);
  return rulectl(['log', ...args, '--control', publisher.endpoint]);
}

const done = (connection: Connection): Promise<void> =>
  connection.send({ kind: 'done', code: 'ok', text: '' });

/** A publisher that tells these records. */
function telling(...records: readonly ControlRecord[]): Script {
  return async (connection) => {
    await receive(connection, 'log');
    await sendRecords(connection, records);
    await done(connection);
  };
}

const NAME = refused({
  id: 2,
  what: 'name',
  remote: undefined,
  proto: undefined,
  port: undefined,
  interface: undefined,
  name: 'www.ads.example',
  reason: 'name',
  lastS: NOW_MS / 1000 + 5,
  count: 1,
  allow: undefined,
});
const {
  record: _record,
  subscriber: _subscriber,
  hash: _hash,
  version: _version,
  generation: _,
  ...DEFAULTS
} = verdict({
  rulePolicy: undefined,
  rule: undefined,
  ruleIndex: undefined,
  list: undefined,
  prefix: undefined,
});

const WHY = 'work rule 2 (action=drop dst=@ads): list ads has 192.0.2.0/24';
const QUBES =
  "# Qubes' own rules of a qube (qvm-firewall) are asked as well: what they refuse stays refused.";

describe('a log', () => {
  it('is a line for each refusal, the newest last, and below it what could allow it', async () => {
    const { exit, stdout, stderr } = await run([], telling(NAME, refused()));
    expect(stdout.split('\n')).toEqual([
      `2026-07-01 00:00:00Z  10.137.0.5 > 192.0.2.7 tcp/443 (ads.example), 3 times: ${WHY}`,
      '  rulectl allow ads.example --qube 10.137.0.5 --for 1h',
      `2026-07-01 00:00:05Z  10.137.0.5 asks for www.ads.example: ${WHY}`,
      QUBES,
      '',
    ]);
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
  });

  it.each<[string, Parameters<typeof refused>[0], string]>([
    [
      'a release that accepts it by now',
      { judgedBy: 42, verdict: { ...DEFAULTS, action: 'accept' } },
      'refused by version 41, accepted since 42',
    ],
    [
      'the same release, which accepts it by now',
      { verdict: { ...DEFAULTS, action: 'accept' } },
      'refused by version 41, accepted by now',
    ],
    [
      'a later release, which refuses it, too',
      { judgedBy: 42, verdict: DEFAULTS },
      'refused by version 41, and by 42: work: no rule matches, the default drops',
    ],
    [
      'a rule about names of a release before the head',
      { reason: 'name', verdict: { ...DEFAULTS, block: 'own', run: 1, list: 'ads' } },
      'work rule: list ads',
    ],
    ['a default', { verdict: DEFAULTS }, 'work: no rule matches, the default drops'],
    ['unmatched', { verdict: { ...DEFAULTS, policy: undefined } }, 'no policy names this qube: unmatched'],
    [
      'an exception of another policy',
      {
        verdict: {
          ...DEFAULTS,
          rulePolicy: 'common',
          block: 'exceptions',
          rule: 'action=drop',
          ruleIndex: 0,
        },
      },
      'common exception 1 (action=drop)',
    ],
    ['nobody yet', { verdict: undefined }, 'not judged yet'],
    ['the rest of TCP', { verdict: undefined, reason: 'tcp-rest' }, 'the rest of a TCP connection of before'],
    ['no flow', { verdict: undefined, reason: 'flowless' }, 'it begins no flow'],
    ['nothing in force', { verdict: undefined, reason: 'closed' }, 'all is closed: nothing is in force'],
    ['DNS', { verdict: undefined, reason: 'dns' }, 'DNS that rulecast-dns takes over, or too much of it'],
  ])('says of what was refused by %s why', async (_, fields, why) => {
    const { stdout } = await run([], telling(refused({ allow: undefined, ...fields })));
    expect(stdout).toBe(
      `2026-07-01 00:00:00Z  10.137.0.5 > 192.0.2.7 tcp/443 (ads.example), 3 times: ${why}\n`,
    );
  });

  it.each<[string, Parameters<typeof refused>[0], string]>([
    ['that came to a qube', { direction: 'ingress' }, '192.0.2.7 > 10.137.0.5 tcp/443'],
    ['without ports', { proto: 58, port: undefined, icmpType: 128 }, '10.137.0.5 > 192.0.2.7 icmpv6/128'],
    ['of another protocol', { proto: 47, port: undefined }, '10.137.0.5 > 192.0.2.7 47'],
  ])('shows a packet %s as rulectl test takes it', async (_, fields, text) => {
    const { stdout } = await run([], telling(refused(fields)));
    expect(stdout).toContain(`Z  ${text} (ads`);
  });

  it('asks for a qube and a time, and shows of a list or a name alone what is of it', async () => {
    let asked: MessageOf<'log'> | undefined;
    const since = ['--since', '2026-07-01 00:00', '--qube', '10.137.0.5', '--json'];
    const { stdout } = await run(
      [...since, '--list', 'ads', '--name', 'ads.Example.'],
      async (connection) => {
        asked = await receive(connection, 'log');
        await sendRecords(connection, [
          refused(),
          NAME,
          refused({ id: 3, name: 'bads.example' }),
          refused({ id: 4, verdict: DEFAULTS }),
        ]);
        await done(connection);
      },
    );
    expect(asked).toEqual({
      kind: 'log',
      qube: Uint8Array.of(10, 137, 0, 5),
      sinceS: NOW_MS / 1000,
      follow: false,
    });
    expect(ndjson(stdout).map(({ id }) => id)).toEqual([1, 2, undefined]);
  });

  it('--json of a sum prints each of it', async () => {
    const { stdout } = await run(['--top', 'qubes', '--json'], telling(refused(), NAME));
    expect(ndjson(stdout)[0]).toEqual({ kind: 'top', of: 'qubes', key: '10.137.0.5', times: 4, refusals: 2 });
  });

  it('--json prints the records, what is lost and who says nothing, and the end with the exit code', async () => {
    const warning = {
      record: 'warning',
      code: 'timeout',
      part: 'subscriber b',
      reason: 'it is silent',
    } as const;
    const lost = { record: 'lost', subscriber: 'fw-a', count: 7 } as const;
    const { stdout, stderr, exit } = await run(['--json'], telling(refused(), lost, warning));
    expect(ndjson(stdout)).toEqual([
      ...[refused(), lost, warning].map(recordOf),
      { kind: 'end', exit: 0, code: 'ok' },
    ]);
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
  });

  it('takes the last of what changed while it was read', async () => {
    const { stdout } = await run([], telling(refused(), NAME, refused({ id: 9, count: 4 })));
    expect(stdout.match(/\d times/g)).toEqual(['4 times']);
  });

  it('says who keeps no log and what to write there, who is silent, and what is missing', async () => {
    const warnings = ['a', 'b'].map((name) => ({
      record: 'warning' as const,
      code: 'unsupported',
      part: `subscriber ${name}`,
      reason: 'it keeps none',
    }));
    const silent = {
      ...warnings[0],
      record: 'warning',
      code: 'timeout',
      part: 'subscriber c',
      reason: 'no',
    } as const;
    const lost = { record: 'lost', subscriber: 'd', count: 7 } as const;
    const { stdout, stderr } = await run([], telling(...warnings, silent, lost));
    expect(stdout).toBe('nothing was refused, as far as firewalls remember\n');
    expect(stderr.split('\n')).toEqual([
      'rulectl: nothing of subscriber c: no (timeout)',
      'rulectl: d refused more than it could keep: 7 are missing since its log began',
      'rulectl: not logged by a, b: write RULECAST_LOG=true into /etc/rulecast/subscriber.env there, and restart rulecast-subscriber',
      '',
    ]);
  });

  it.each([
    ['unsupported', 3, 'write RULECAST_LOG=true'],
    ['not-permitted', 2, 'rulectl log --top lists'],
    ['no-such-subscriber', 2, 'nobody'],
    ['rate-limited', 3, 'nobody'],
  ])('that is refused with %s ends with %d, and says what to do', async (code, expected, hint) => {
    const { exit, stderr } = await run([], async (connection) => {
      await receive(connection, 'log');
      await connection.send({ kind: 'fail', code, text: 'nobody' });
    });
    expect(stderr).toContain(hint);
    expect(exit).toBe(expected);
  });

  it.each([
    [['--qube', 'work'], '--qube work: write the address of a qube'],
    [['--name', '.example'], '--name .example: write a host name'],
    [['--since', 'soon'], '--since soon is no time'],
    [['--top', 'qubes', '--follow'], 'leave out --follow'],
    [['--top', 'lists', '--qube', '10.137.0.5'], 'leave out --qube'],
    [['--qube', '10.137.0.5', '--qube', '10.137.0.6'], '--qube'],
  ])('refuses %j', async (args, text) => {
    const { exit, stderr } = await rulectl(['log', ...args]);
    expect({ exit, stderr }).toEqual({ exit: 64, stderr: expect.stringContaining(text) });
  });
});

describe('a log that is followed', () => {
  it('shows turn by turn what happened, and what is not judged yet when it is', async () => {
    const { stdout, exit } = await run(['--follow'], async (connection) => {
      expect(await receive(connection, 'log')).toEqual({ kind: 'log', follow: true });
      const end = { record: 'end' } as const;
      await sendRecords(connection, [refused(), NAME, end]);
      await sendRecords(connection, [refused({ port: 81, verdict: undefined }), { ...NAME, count: 2 }, end]);
      await sendRecords(connection, [refused({ id: 7, port: 81, count: 1 }), end]);
      await done(connection);
    });
    expect(stdout.split('\n')).toEqual([
      `2026-07-01 00:00:00Z  10.137.0.5 > 192.0.2.7 tcp/443 (ads.example), 3 times: ${WHY}`,
      '  rulectl allow ads.example --qube 10.137.0.5 --for 1h',
      `2026-07-01 00:00:05Z  10.137.0.5 asks for www.ads.example: ${WHY}`,
      QUBES,
      `2026-07-01 00:00:05Z  10.137.0.5 asks for www.ads.example, 2 times: ${WHY}`,
      `2026-07-01 00:00:00Z  10.137.0.5 > 192.0.2.7 tcp/81 (ads.example): ${WHY}`,
      '  rulectl allow ads.example --qube 10.137.0.5 --for 1h',
      '',
    ]);
    expect(exit).toBe(0);
  });

  it('--json prints every record, and where a turn ends', async () => {
    const { stdout } = await run(['--follow', '--json'], async (connection) => {
      await receive(connection, 'log');
      await sendRecords(connection, [refused(), { record: 'end' }]);
      await done(connection);
    });
    expect(ndjson(stdout).slice(0, 2)).toEqual([recordOf(refused()), { kind: 'end-of-snapshot' }]);
  });
});

describe('a sum', () => {
  it.each([
    [
      'qubes',
      ['qube        times  different', '10.137.0.5      4          2', '10.137.0.6      3          1'],
    ],
    [
      'destinations',
      ['destination  times  different', 'ads.example      6          2', '192.0.2.9        1          1'],
    ],
  ])('of %s is of what is in the log', async (top, lines) => {
    const other = refused({ id: 3, qube: '10.137.0.6' });
    const third = refused({ id: 4, remote: '192.0.2.9', name: undefined, count: 1 });
    const { stdout } = await run(['--top', top], telling(refused(), other, third));
    expect(stdout.trimEnd().split('\n')).toEqual(lines);
  });

  it('of lists is of what firewalls count, for whoever may see the status', async () => {
    let asked: MessageOf<'top'> | undefined;
    const { stdout } = await run(['--top', 'lists'], async (connection) => {
      asked = await receive(connection, 'top');
      await sendRecords(connection, [
        { record: 'dropped', list: 'ads', packets: 1200, fromMs: NOW_MS },
        { record: 'dropped', list: 'drop', packets: 3, fromMs: NOW_MS },
      ]);
      await done(connection);
    });
    expect(asked).toEqual({ kind: 'top', of: 'lists' });
    expect(stdout.trimEnd().split('\n')).toEqual([
      'list  dropped since 2026-07-01 00:00:00Z',
      'ads                                1,200',
      'drop                                   3',
    ]);
  });

  it('of rules says where each stands', async () => {
    const rule = {
      record: 'dropped',
      policy: 'work',
      direction: 'egress',
      fromMs: NOW_MS,
      packets: 7,
    } as const;
    const { stdout } = await run(['--top', 'rules', '--since', '1d'], async (connection) => {
      expect((await receive(connection, 'top')).sinceMs).toBeCloseTo(86_400_000, -4);
      await sendRecords(connection, [
        { ...rule, block: 'own', rule: 'action=drop dst=@ads', ruleIndex: 1 },
        { ...rule, block: 'exceptions', rule: 'action=drop', ruleIndex: 0 },
        { ...rule, block: 'own', rule: 'default' },
        { ...rule, block: 'own', rule: 'drop' },
      ]);
      await done(connection);
    });
    expect(stdout.split('\n').map((line) => line.replace(/ {2,}.*/, ''))).toEqual([
      'rule',
      'work egress rule 2 (action=drop dst=@ads)',
      'work egress exception 1 (action=drop)',
      'work egress default',
      'work egress rules that are counted together (drop)',
      '',
    ]);
  });
});
