/** `rulectl which`, run as a program against a publisher that answers as each test says. */

import type { ControlRecord, ControlRecordOf, MessageOf } from '@rulecast/protocol';
import { afterEach, expect, it } from 'vitest';
import { recordOf } from '../src/terminal/records.ts';
import { ndjson, rulectl } from './cli.ts';
import { FakePublisher, receive, sendRecords } from './fake-publisher.ts';

let publisher: FakePublisher | undefined;
afterEach(async () => {
  await publisher?.stop();
  publisher = undefined;
});

async function which(words: readonly string[], records: readonly ControlRecord[]) {
  const asked: MessageOf<'which'>[] = [];
  publisher = await FakePublisher.start(async (connection) => {
    asked.push(await receive(connection, 'which'));
    await sendRecords(connection, records);
    await connection.send({ kind: 'done', code: 'ok', text: 'of version 41' });
  });
  return { ...(await rulectl(['which', ...words, '--control', publisher.endpoint])), asked };
}

const holder = (some: Partial<ControlRecordOf<'holder'>> = {}): ControlRecordOf<'holder'> => ({
  record: 'holder',
  name: 'drop',
  how: 'all',
  entries: ['192.0.2.0/24'],
  more: false,
  used: true,
  published: true,
  source: 'url',
  origin: 'https://feeds.example/drop',
  ...some,
});
const decision = (some: Partial<ControlRecordOf<'decision'>> = {}): ControlRecordOf<'decision'> => ({
  record: 'decision',
  policy: 'work',
  direction: 'egress',
  action: 'drop',
  by: 'rule',
  rules: 3,
  ...some,
});
const step = (some: Partial<ControlRecordOf<'step'>> = {}): ControlRecordOf<'step'> => ({
  record: 'step',
  policy: 'work',
  direction: 'egress',
  rulePolicy: 'work',
  block: 'own',
  rule: 'action=drop dst=@drop',
  ruleIndex: 2,
  how: 'all',
  entry: '192.0.2.0/24',
  decides: 'rest',
  ...some,
});

it('is what holds it, a line each, then for whom what decides, rule by rule', async () => {
  const some = {
    how: 'part',
    more: true,
    entries: ['192.0.2.1/32', '192.0.2.64/26'],
  } as const;
  const { exit, stdout, stderr, asked } = await which(
    ['192.0.2.0/24'],
    [
      holder(),
      holder({ name: 'feed', ...some, published: false, used: false }),
      holder({ name: 'mine', source: 'push', origin: '', used: false }),
      decision(),
      step({ block: 'exceptions', ruleIndex: 0, rule: 'action=accept', entry: undefined, decides: 'some' }),
      step(),
      step({ rulePolicy: 'common', block: 'common', how: 'part', entry: '192.0.2.7/32', decides: 'nothing' }),
      decision({ policy: undefined, action: 'none', by: 'unmatched', rules: 0 }),
      { record: 'warning', code: 'more-policies', part: '', reason: 'it is decided for 3 more policies' },
    ],
  );
  expect(asked).toEqual([{ kind: 'which', what: '192.0.2.0/24' }]);
  expect(stdout.split('\n')).toEqual([
    'list drop (url https://feeds.example/drop): 192.0.2.0/24',
    'list feed (url https://feeds.example/drop, an operand of other lists): a part, 192.0.2.1/32, 192.0.2.64/26 and more',
    'list mine (pushed, no rule uses it): 192.0.2.0/24',
    'qubes of policy work, egress: drop, 3 rules have it',
    '  work exception 1: action=accept: decides some of it',
    '  work rule 3: action=drop dst=@drop (192.0.2.0/24): decides',
    '  common rule 3: action=drop dst=@drop (part: 192.0.2.7/32): decides nothing',
    'qubes that no policy names, egress: none, unmatched',
    'it is decided for 3 more policies',
    'of version 41',
    '',
  ]);
  expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
});

it('of a name says what is below it and what is excepted', async () => {
  const below = { entries: ['a.ads.example', '.b.ads.example'] };
  const { stdout } = await which(
    ['Ads.Example.'],
    [
      holder({ entries: ['.ads.example'] }),
      holder({ name: 'ok', how: 'excepted', entries: ['*.example'] }),
      holder({ name: 'low', how: 'below', ...below }),
    ],
  );
  expect(stdout.split('\n')).toEqual([
    'list drop (url https://feeds.example/drop): .ads.example',
    'list ok (url https://feeds.example/drop): not, for it excepts *.example',
    'list low (url https://feeds.example/drop): only below it, a.ads.example, .b.ads.example',
    'of version 41',
    '',
  ]);
  await publisher?.stop();
  const decided = await which(['ads.example'], [decision({ action: 'accept', by: 'unlisted', rules: 0 })]);
  expect(decided.stdout).toBe(
    'qubes of policy work, egress: accept, unlisted: no rule names it\nof version 41\n',
  );
  await publisher?.stop();
  expect((await which(['ads.example'], [])).stdout).toBe('nothing holds it, of version 41\n');
});

it('takes an address, a prefix or a name, and whose packets; --json prints the records', async () => {
  const { stdout, asked } = await which(
    ['192.0.2.7', '--qube', '10.137.0.5', '--json'],
    [holder(), decision()],
  );
  expect(ndjson(stdout)).toEqual([
    recordOf(holder()),
    recordOf(decision()),
    { kind: 'end', exit: 0, code: 'ok', text: 'of version 41' },
  ]);
  const at = ['--control', publisher?.endpoint ?? ''];
  await rulectl(['which', '2001:DB8::/32', '--qube', 'work', ...at]);
  await rulectl(['which', 'Ads.Example.', ...at]);
  expect(asked).toEqual([
    { kind: 'which', what: '192.0.2.7', qube: '10.137.0.5' },
    { kind: 'which', what: '2001:DB8::/32', qube: 'work' },
    { kind: 'which', what: 'Ads.Example.' },
  ]);
});

it.each([
  [['x'.repeat(256)], 'what to look for: at most 255 bytes'],
  [['192.0.2.7', '--qube', 'a', '--qube', 'b'], '--qube is given twice'],
  [['192.0.2.7', '--qube', '-x'], '--qube'],
  [['192.0.2.7', 'b.example'], 'b.example'],
  [[], 'name an address, a prefix or a name'],
])('%j is refused before anybody is asked', async (words, reason) => {
  const { exit, stderr } = await rulectl(['which', ...words]);
  expect(stderr).toContain(reason);
  expect(exit).toBe(64);
});
