/**
 * `rulectl status` and `rulectl test`, run as programs against a publisher that answers as each test says.
 */

import { parsePacketText } from '@rulecast/formats';
import { type Connection, type MessageOf, packetToWire } from '@rulecast/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { type AskOnce, askForVerdicts } from '../src/control/live.ts';
import { recordOf } from '../src/terminal/records.ts';
import { ndjson, rulectl } from './cli.ts';
import { FakePublisher, receive, type Script, sendRecords } from './fake-publisher.ts';
import { counters, head, part, subscriber, verdict } from './records.ts';

let publisher: FakePublisher | undefined;
afterEach(async () => {
  await publisher?.stop();
  publisher = undefined;
});

async function run(args: readonly string[], script: Script) {
  publisher = await FakePublisher.start(script);
  return rulectl([...args, '--control', publisher.endpoint]);
}

const end = { record: 'end' } as const;
const done = (connection: Connection): Promise<void> =>
  connection.send({ kind: 'done', code: 'ok', text: '' });

describe('__complete', () => {
  // What a shell completes is on its way to a command line.
  it('prints names alone, whatever a publisher calls them', async () => {
    const names = ['drop', '$(reboot)', 'a;b', '-x', 'two words'];
    publisher = await FakePublisher.start(async (connection) => {
      await receive(connection, 'status');
      await sendRecords(connection, [...names.map((name) => part({ name })), end]);
      await done(connection);
    });
    const printed = async (): Promise<string> =>
      (await rulectl(['__complete', 'list', '--control', publisher?.endpoint ?? ''], { ownProcess: true }))
        .stdout;
    await expect.poll(printed, { timeout: 30_000 }).not.toBe(''); // a busy machine may miss the deadline
    expect(await printed()).toMatch(/^(drop\n)?$/);
  });
});

describe('status', () => {
  it('asks once and shows the tables', async () => {
    const asked: MessageOf<'status'>[] = [];
    const { exit, stdout, stderr } = await run(['status'], async (connection) => {
      asked.push(await receive(connection, 'status'));
      await sendRecords(connection, [
        head(),
        part(),
        subscriber(),
        subscriber({ name: 'fw-b', state: 'refused' }),
      ]);
      await done(connection);
    });
    expect(asked).toEqual([
      { kind: 'status', watch: false },
      { kind: 'status', watch: false, counters: true }, // for what is wrong with DNS
    ]);
    expect(stdout).not.toContain('counters of');
    expect(stdout).toMatch(/^fw-b has refused version 13 .*\nRun: .*\n\nversion 13, released /);
    expect(stdout).not.toContain('list drop');
    expect(stdout).toMatch(/^fw-b +- +refused +13 /m);
    expect(stderr).toBe('');
    expect(exit).toBe(0);
  });

  it('--verbose shows digests, lineage, epoch and parts, too', async () => {
    const { stdout } = await run(['status', '--verbose'], async (connection) => {
      await receive(connection, 'status');
      await sendRecords(connection, [head(), part(), subscriber()]);
      await done(connection);
    });
    expect(stdout).toMatch(
      /^fw-a enforces version 13, .*\n\nversion 13 \(epoch 1\), 0123456789ab, released /,
    );
    expect(stdout).toMatch(/^list drop +1,000,000 +13 +0123456789ab$/m);
  });

  it('while the publisher starts says what firewalls do', async () => {
    const { exit, stderr } = await run(['status'], async (connection) => {
      await receive(connection, 'status');
      await connection.send({ kind: 'fail', code: 'not-ready', text: 'the publisher is starting' });
    });
    expect(stderr).toBe(
      'rulectl: the publisher is starting; firewalls go on with what they enforce. Ask again in a few seconds (rulectl help not-ready)\n',
    );
    expect(exit).toBe(3);
  });

  it('says what is wrong with the DNS of a firewall, and waits for no other that is silent', async () => {
    const { exit, stdout, stderr } = await run(['status'], async (connection) => {
      const { counters: isAsked } = await receive(connection, 'status');
      const down = counters({ counters: { dnsQuestions: 9, dnsCrowded: 1, 'dnsDown.1': 1 } });
      await sendRecords(connection, [head(), subscriber(), ...(isAsked === true ? [down] : [])]);
      if (isAsked !== true) await done(connection);
    });
    expect(stdout).toMatch(/^fw-a: some answers of DNS go without addresses[\s\S]*\n1 more: /);
    expect(stdout).not.toContain('counters of');
    expect([stderr, exit]).toEqual(['', 0]);
  });

  it('before any release says so', async () => {
    const { exit, stdout } = await run(['status'], async (connection) => {
      await receive(connection, 'status');
      await sendRecords(connection, [subscriber({ state: 'synced', version: undefined, hash: undefined })]);
      await done(connection);
    });
    expect(stdout).toMatch(/^Nothing is released yet\.\nRun: rulectl push FILE\n\nsubscriber /);
    expect(exit).toBe(0);
  });

  const failed = subscriber({ lastError: { code: 'sink-failed', text: 'no', atMs: 5 } });
  const silent = { record: 'warning', code: 'timeout', part: 'subscriber fw-b', reason: 'no' } as const;
  it.each([
    { options: ['--json'], records: [head(), part(), failed] },
    { options: ['--counters', '--json'], records: [head(), subscriber(), counters(), silent] },
  ])('$options prints the records', async ({ options, records }) => {
    const { exit, stdout } = await run(['status', ...options], async (connection) => {
      await receive(connection, 'status');
      await sendRecords(connection, records);
      await done(connection);
    });
    expect(ndjson(stdout)).toEqual([
      ...records.map(recordOf),
      { kind: 'end-of-snapshot' },
      { kind: 'end', exit: 0, code: 'ok' },
    ]);
    expect(exit).toBe(0);
  });

  it('prints the pages of one subscriber as one record', async () => {
    const page = (of: Readonly<Record<string, number>>, name = 'fw-a') =>
      counters({ subscriber: name, counters: of });
    const { stdout } = await run(['status', '--counters', '--json'], async (connection) => {
      await receive(connection, 'status');
      await sendRecords(connection, [head(), page({ a: 1 }), page({ 'list.b': 2 }), page({ c: 3 }, 'fw-b')]);
      await done(connection);
    });
    expect(ndjson(stdout).slice(1, 3)).toEqual(
      [page({ a: 1, 'list.b': 2 }), page({ c: 3 }, 'fw-b')].map(recordOf),
    );
  });

  it('--counters asks for them, and shows them below the tables', async () => {
    let asked: MessageOf<'status'> | undefined;
    const { exit, stdout, stderr } = await run(['status', '--counters'], async (connection) => {
      asked = await receive(connection, 'status');
      await sendRecords(connection, [
        head(),
        subscriber(),
        subscriber({ name: 'fw-b' }),
        counters(),
        { record: 'warning', code: 'timeout', part: 'subscriber fw-b', reason: 'it is silent' },
      ]);
      await done(connection);
    });
    expect(asked).toEqual({ kind: 'status', watch: false, counters: true });
    const [, below] = stdout.split('\n\ncounters of ');
    expect(below).toBe(
      [
        'subscriber fw-a',
        '  judged      3 packets',
        '  dropped     2 packets',
        '  list drop   2 packets',
        '  generation  13',
        '',
        'no counters of subscriber fw-b: timeout: it is silent',
        '',
      ].join('\n'),
    );
    expect(stderr).toBe('');
    expect(exit).toBe(0);
  });

  it.each([
    ['no-common-version', 'this rulectl speaks protocol 2: upgrade the older'],
    ['unknown-type', 'it is older than this rulectl: upgrade it'],
    ['bad-message', 'if it is older than this rulectl, upgrade it'],
  ])('says what to do about a publisher of another version, which ends with %s', async (code, advice) => {
    const { exit, stderr } = await run(['status'], async (connection) => connection.bye(code, 'why'));
    expect(stderr).toContain(`why; ${advice}`);
    expect(exit).toBe(3);
  });

  // Silence of 50 ms was once taken for the end of a batch: a busy publisher had half of its status shown as
  // all of it.
  it('--watch --json ends a batch where the publisher does, and none that it has not told to its end', async () => {
    const second = head({ version: 14 });
    const { exit, stdout } = await run(['status', '--watch', '--json'], async (connection) => {
      expect(await receive(connection, 'status')).toEqual({ kind: 'status', watch: true });
      await sendRecords(connection, [head(), part(), subscriber(), end, second, part(), subscriber()]);
      connection.bye('shutting-down', 'the publisher stops');
    });
    expect(ndjson(stdout)).toEqual([
      ...[head(), part(), subscriber(), end, second, part(), subscriber()].map(recordOf),
      expect.objectContaining({ kind: 'error', code: 'shutting-down' }),
      { kind: 'end', exit: 3, code: 'shutting-down' },
    ]);
    expect(exit).toBe(3);
  });

  it('--watch shows each batch as soon as it is told, in blocks where nobody watches', async () => {
    let shown: (() => void) | undefined;
    const first = new Promise<void>((resolve) => {
      shown = resolve;
    });
    publisher = await FakePublisher.start(async (connection) => {
      await receive(connection, 'status');
      await sendRecords(connection, [head(), subscriber(), end]);
      await first;
      await sendRecords(connection, [head({ version: 14 }), subscriber({ version: 14 }), end]);
      await done(connection);
    });
    const { exit, stdout } = await rulectl(['status', '--watch', '--control', publisher.endpoint], {
      onOutput: (text) => {
        if (text.includes('fw-a')) shown?.();
      },
    });
    const blocks = stdout.split(/^(?=fw-a [eh])/m);
    expect(blocks.map((block) => /version \d+, rel/.exec(block)?.[0])).toEqual([
      'version 13, rel',
      'version 14, rel',
    ]);
    expect(blocks[0]?.endsWith('\n\n')).toBe(true);
    expect(stdout).not.toContain('\u001b');
    expect(exit).toBe(0);
  });

  it('--watch shows nothing of a batch that is not told to its end', async () => {
    const { exit, stdout, stderr } = await run(['status', '--watch'], async (connection) => {
      await receive(connection, 'status');
      await sendRecords(connection, [head(), subscriber()]);
    });
    expect(stdout).toBe('');
    expect(stderr).toContain('was lost');
    expect(exit).toBe(3);
  });

  it('--watch before any release, with no subscriber, says so', async () => {
    const { exit, stdout, stderr } = await run(['status', '--watch'], async (connection) => {
      await receive(connection, 'status');
      await sendRecords(connection, [head({ version: 0 }), end]);
    });
    expect(stdout).toMatch(/^Nothing is released yet/);
    expect(stderr).toContain('was lost');
    expect(exit).toBe(3);
  });
});

describe('test', () => {
  const TEXT = '10.137.0.5 > 192.0.2.7 tcp/443';

  it('asks for the packet, of all subscribers, and shows what each answers', async () => {
    let asked: MessageOf<'test'> | undefined;
    const { exit, stdout } = await run(['test', TEXT], async (connection) => {
      asked = await receive(connection, 'test');
      await sendRecords(connection, [verdict(), verdict({ subscriber: 'fw-b', version: 12 })]);
      await done(connection);
    });
    const parsed = parsePacketText(TEXT);
    if (parsed.kind === 'fault' || asked === undefined) throw new Error('no packet');
    const { src, dst } = packetToWire(parsed.packet);
    expect(asked.subscriber).toBeUndefined();
    expect(asked.packet).toMatchObject({ direction: 'egress', proto: 6, port: 443 });
    expect([asked.packet?.src, asked.packet?.dst].map((address) => Buffer.from(address ?? []))).toEqual(
      [src, dst].map((address) => Buffer.from(address ?? [])),
    );
    expect(stdout.split('\n').slice(0, 6)).toEqual([
      `${TEXT}: drop`,
      '  subscriber fw-a, version 13',
      '  policy     work, egress',
      '  rule       action=drop dst=@drop (number 3 of common)',
      '  list       drop',
      '  prefix     192.0.2.0/24',
    ]);
    expect(stdout).toContain('  subscriber fw-b, version 12\n');
    expect(exit).toBe(0);
  });

  it('asks for a policy in place of a sender, and shows the address that was taken', async () => {
    const asked: MessageOf<'test'>[] = [];
    const said = async (record: Parameters<typeof verdict>[0]) =>
      run(['test', 'work > 192.0.2.7 tcp/443'], async (connection) => {
        asked.push(await receive(connection, 'test'));
        await sendRecords(connection, [verdict(record)]);
        await done(connection);
      });
    const { exit, stdout } = await said({ source: '10.137.0.5' });
    expect(asked[0]).toMatchObject({ policy: 'work', packet: { proto: 6, port: 443 } });
    expect(asked[0]?.packet?.src).toBeUndefined();
    expect(stdout.split('\n').slice(0, 3)).toEqual([
      'work > 192.0.2.7 tcp/443: drop',
      '  subscriber fw-a, version 13',
      '  source     10.137.0.5',
    ]);
    expect(exit).toBe(0);
    const older = await said({}); // of a publisher that reads no policy here
    expect([older.exit, older.stdout]).toEqual([3, '']);
    expect(older.stderr).toContain('takes no policy as the source');
  });

  it('asks for a name as well, and shows how it is answered', async () => {
    const asked: MessageOf<'test'>[] = [];
    const text = 'work ? www.news.example > ads.example';
    const { exit, stdout } = await run(['test', text, '--expect', 'drop'], async (connection) => {
      asked.push(await receive(connection, 'test'));
      const said = { answer: 'nxdomain', name: 'ads.example', prefix: undefined } as const;
      await sendRecords(connection, [verdict(said)]);
      await done(connection);
    });
    expect(asked).toMatchObject([
      { question: { policy: 'work', name: 'www.news.example', aliases: ['ads.example'] } },
    ]);
    expect(stdout.split('\n').slice(0, 7)).toEqual([
      `${text}: drop`,
      '  answer     nxdomain',
      '  subscriber fw-a, version 13',
      '  policy     work, egress',
      '  rule       action=drop dst=@drop (number 3 of common)',
      '  list       drop',
      '  name       ads.example',
    ]);
    expect(exit).toBe(0);
  });

  it('--json prints each verdict with its packet; one connection a packet', async () => {
    const asked: (string | undefined)[] = [];
    const { exit, stdout } = await run(
      ['test', '192.0.2.7', '2001:db8::1 icmp/128', '--json', '--subscriber', 'fw-a', '--direction', 'both'],
      async (connection) => {
        const { packet, subscriber } = await receive(connection, 'test');
        asked.push(`${subscriber} ${packet?.direction} ${packet?.proto}`);
        await sendRecords(connection, [verdict()]);
        await done(connection);
      },
    );
    expect(asked).toEqual(['fw-a both 6', 'fw-a both 58']);
    expect(ndjson(stdout)).toEqual([
      { ...recordOf(verdict()), packet: '192.0.2.7' },
      { ...recordOf(verdict()), packet: '2001:db8::1 icmp/128' },
      { kind: 'end', exit: 0, code: 'ok' },
    ]);
    expect(exit).toBe(0);
  });

  it.each([
    ['no-such-subscriber', 2],
    ['not-ready', 3],
    ['rate-limited', 3],
  ])('FAIL %s ends with %d', async (code, expected) => {
    const { exit, stdout, stderr } = await run(['test', '192.0.2.7', '--json'], async (connection) => {
      await receive(connection, 'test');
      await connection.send({ kind: 'fail', code, text: 'no answer' });
    });
    expect(stderr).toBe(`rulectl: no answer (rulectl help ${code})\n`);
    expect(ndjson(stdout)).toEqual([
      { kind: 'error', code, message: 'no answer' },
      { kind: 'end', exit: expected, code },
    ]);
    expect(exit).toBe(expected);
  });

  const limited = (name: string) =>
    ({ record: 'warning', code: 'rate-limited', part: `subscriber ${name}`, reason: 'slower' }) as const;

  // Verdicts beyond twenty a second were left out, and the end was well.
  it('waits for a subscriber that answered enough, and asks it again', async () => {
    const asked: (string | undefined)[] = [];
    const { exit, stdout } = await run(['test', '192.0.2.7', '--json'], async (connection) => {
      const { subscriber } = await receive(connection, 'test');
      const times = asked.push(subscriber);
      if (times === 1) await sendRecords(connection, [verdict(), limited('fw-b')]);
      else if (times === 2) return connection.send({ kind: 'fail', code: 'rate-limited', text: 'slower' });
      else await sendRecords(connection, [verdict({ subscriber: 'fw-b' })]);
      await done(connection);
    });
    expect(asked).toEqual([undefined, 'fw-b', 'fw-b']);
    expect(ndjson(stdout)).toEqual([
      { ...recordOf(verdict()), packet: '192.0.2.7' },
      { ...recordOf(verdict({ subscriber: 'fw-b' })), packet: '192.0.2.7' },
      { kind: 'end', exit: 0, code: 'ok' },
    ]);
    expect(exit).toBe(0);
  });

  it('tells each verdict that is missing, goes on, and ends with 3', async () => {
    const silent = { record: 'warning', code: 'timeout', part: 'subscriber fw-b', reason: 'slow' } as const;
    let packets = 0;
    const args = ['test', '192.0.2.7', '192.0.2.8', '192.0.2.9', '--json'];
    const { exit, stdout, stderr } = await run(args, async (connection) => {
      await receive(connection, 'test');
      packets++;
      if (packets === 1) await sendRecords(connection, [verdict(), silent]);
      if (packets === 2) await sendRecords(connection, [verdict({ subscriber: 'fw-b' })]); // fw-a is gone
      await done(connection);
    });
    const missing = (code: string, name: string, packet: string) =>
      expect.objectContaining({ kind: 'warning', code, part: `subscriber ${name}`, packet });
    expect(ndjson(stdout)).toEqual([
      { ...recordOf(verdict()), packet: '192.0.2.7' },
      missing('timeout', 'fw-b', '192.0.2.7'),
      { ...recordOf(verdict({ subscriber: 'fw-b' })), packet: '192.0.2.8' },
      missing('disconnected', 'fw-a', '192.0.2.8'),
      expect.objectContaining({ kind: 'warning', code: 'no-verdict', packet: '192.0.2.9' }),
      missing('disconnected', 'fw-a', '192.0.2.9'),
      missing('disconnected', 'fw-b', '192.0.2.9'),
      expect.objectContaining({ kind: 'error', code: 'verdicts-missing' }),
      { kind: 'end', exit: 3, code: 'verdicts-missing' },
    ]);
    expect(stderr).toContain('no verdict of subscriber fw-b on 192.0.2.7: slow (timeout)');
    expect(stderr).toContain('5 of 7 verdicts are missing');
    expect(exit).toBe(3);
  });

  it('gives up on a subscriber that answers only others', async () => {
    let nowMs = 0;
    let asked = 0;
    const patience = {
      nowMs: () => nowMs,
      waitMs: async (ms: number) => {
        nowMs += ms;
      },
    };
    const ask: AskOnce = async (_subscriber, onRecord) => {
      asked++;
      onRecord(limited('fw-b'));
      return { kind: 'done', code: 'ok', text: '' };
    };
    expect(await askForVerdicts(ask, undefined, patience)).toEqual({
      verdicts: [],
      missing: [{ subscriber: 'fw-b', code: 'rate-limited', text: 'slower' }],
    });
    expect(nowMs).toBe(30_000);
    expect(asked).toBe(1 + 30_000 / 250);
  });

  it.each([
    ['drop', 0],
    ['accept', 1],
  ])('--expect %s ends with %d', async (expect_, expected) => {
    const { exit, stdout } = await run(
      ['test', '192.0.2.7', '--json', '--expect', expect_],
      async (connection) => {
        await receive(connection, 'test');
        await sendRecords(connection, [verdict()]);
        await done(connection);
      },
    );
    expect(ndjson(stdout)[0]).toMatchObject({ action: 'drop', expect: expect_, ok: expected === 0 });
    expect(exit).toBe(expected);
  });

  // It ended as a bug of rulectl.
  it('refuses what is no name of a subscriber', async () => {
    const { exit, stderr } = await rulectl(['test', '192.0.2.7', '--subscriber', 'fw a']);
    expect([exit, stderr]).toEqual([64, expect.stringContaining('--subscriber "fw a": no name')]);
  });

  it('refuses what is no packet before it asks', async () => {
    const { exit, stderr } = await rulectl(['test', '192.0.2.300', '--control', 'unix:/nowhere/x.sock']);
    expect(stderr).toContain('packet "192.0.2.300", column 1: ');
    expect(exit).toBe(2);
  });
});
