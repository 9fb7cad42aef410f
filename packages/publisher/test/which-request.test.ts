/** WHICH, in one process with real files as sources. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseConfig } from '@rulecast/formats';
import type { MessageOf } from '@rulecast/protocol';
import { type Endpoint, parseEndpoint } from '@rulecast/vchan';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { SourcesLink } from '../src/daemon/sources-link.ts';
import { serveControl } from '../src/requests/serve.ts';
import { AuditLog } from '../src/store/audit-log.ts';
import { freshPublisher, place, prefixes, release } from './fresh-publisher.ts';
import { type Answer, recordsOf, ScriptedRulectl } from './scripted-rulectl.ts';

const DOCUMENT = `lists:
  pushed: { entries: [192.0.2.7, 198.51.100.0/24] }
  idle: { entries: [192.0.2.0/28] }
  ads: { names: [.ads.example, track.example], exceptions: [.ok.ads.example], resolve: firewall }
  hosts: { names: [a.example, b.example], resolve: publisher }
first: { egress: [drop dst=@union] }
common: { egress: [accept proto=tcp dstports=853 dst4=192.0.2.0/24] }
policies:
  work:
    prefixes: [10.137.0.0/24]
    default: accept
    exceptions: { egress: [accept dst4=192.0.2.9] }
    egress: [drop dst=@ads, drop dst=@pushed, drop dst=@hosts, accept]
    ingress: [drop src=@pushed]
  home: { prefixes: [10.137.1.5], egress: [drop dst4=203.0.113.0/24] }
unmatched: accept
`;
const CONFIG = `lists:
  part: { file: part.txt, publish: false }
  union: { union: [part, other] }
  other: { entries: [203.0.113.1], publish: false }
`;

let houses = 0;

async function house(): Promise<Endpoint> {
  const directory = temporaryDirectory();
  place(join(directory, 'part.txt'), '192.0.2.7\n192.0.2.64/26\n');
  const stateDirectory = join(directory, 'state');
  const publisher = freshPublisher({ stateDirectory, resolve: async () => prefixes('203.0.113.9') });
  const configFile = join(directory, 'publisher.yaml');
  writeFileSync(configFile, CONFIG);
  const { config, rejects } = parseConfig(configFile, Buffer.from(CONFIG));
  if (config === undefined) throw new Error(JSON.stringify(rejects));
  const { logger, nowMs } = publisher;
  const audit = new AuditLog({ stateDirectory, logger, nowMs });
  const sources = new SourcesLink({ publisher, config, configFile, stateDirectory, audit });
  onTestFinished(() => sources.close());
  const released = new Promise((resolve) => publisher.once('release', resolve));
  await sources.start();
  await released;
  await release(publisher, { 'x.yaml': DOCUMENT });
  const control = parseEndpoint(`memory:which-${++houses}`);
  const nobody = (): Promise<never> => Promise.reject(new Error('nobody is asked'));
  const served = await serveControl(publisher, [control], nobody, { sources });
  onTestFinished(() => served.close());
  return control;
}

async function which(control: Endpoint, request: Omit<MessageOf<'which'>, 'kind'>): Promise<Answer> {
  const rulectl = await ScriptedRulectl.connect(control);
  await rulectl.send({ kind: 'which', ...request });
  return rulectl.answer();
}

/** What holds it, a line each. */
const holders = (answer: Answer): readonly string[] =>
  recordsOf(answer, 'holder')
    .map(({ name, how, entries, used, published, source, origin }) =>
      [name, how, entries.join('+'), source, used ? 'used' : 'idle', published, origin === ''].join(' '),
    )
    .sort();
const decisions = (answer: Answer): readonly string[] =>
  recordsOf(answer, 'decision').map(({ policy, direction, action, by, rules }) =>
    [policy ?? 'none', direction, action, by, rules].join(' '),
  );
const steps = (answer: Answer, policy: string): readonly string[] =>
  recordsOf(answer, 'step')
    .filter((step) => step.policy === policy)
    .map(({ rulePolicy, block, ruleIndex, how, entry, decides }) =>
      [rulePolicy, block, ruleIndex, how, entry ?? '', decides].join(' '),
    );

describe('WHICH', () => {
  it('of an address has every list that has it, in use or not, with its source', async () => {
    const control = await house();
    expect(holders(await which(control, { what: '192.0.2.7/32' }))).toEqual([
      'idle all 192.0.2.0/28 push idle true true',
      'part all 192.0.2.7/32 file idle false false',
      'pushed all 192.0.2.7/32 push used true true',
      'union all 192.0.2.7/32 expression used true false',
    ]);
    expect(holders(await which(control, { what: '203.0.113.9/32' }))).toEqual([
      'hosts all a.example (203.0.113.9/32) push used true true',
    ]);
    expect(holders(await which(control, { what: '192.0.2.0/24' }))).toEqual([
      'idle part 192.0.2.0/28 push idle true true',
      'part part 192.0.2.7/32+192.0.2.64/26 file idle false false',
      'pushed part 192.0.2.7/32 push used true true',
      'union part 192.0.2.7/32+192.0.2.64/26 expression used true false',
    ]);
  });

  it('says for each policy that has a rule for it, or all where all qubes have one, what decides', async () => {
    const control = await house();
    const answer = await which(control, { what: '192.0.2.7/32' });
    expect(decisions(answer)).toEqual([
      'none egress drop rule 2',
      'work egress drop rule 4',
      'work ingress drop rule 1',
      'home egress drop rule 2',
    ]);
    expect(steps(answer, 'work')).toEqual([
      'first own 0 all 192.0.2.7/32 rest',
      'common common 0 all 192.0.2.0/24 nothing',
      'work own 1 all 192.0.2.7/32 nothing',
      'work own 3 all  nothing',
      'work own 0 all 192.0.2.7/32 rest',
    ]);
    const other = await which(control, { what: '203.0.113.9/32' });
    expect(decisions(other)).toEqual(['work egress drop rule 2', 'home egress drop rule 1']);
    expect(steps(other, 'work')).toEqual([
      'work own 2 all a.example (203.0.113.9/32) rest',
      'work own 3 all  nothing',
    ]);
  });

  it('says what drops packets from it that go to qubes of which no policy judges those', async () => {
    const publisher = freshPublisher();
    const text =
      'first: { ingress: [drop src4=192.0.2.7] }\npolicies: { work: { prefixes: [10.137.0.5] } }\n';
    await release(publisher, { 'x.yaml': `${text}unmatched: drop\n` });
    const control = parseEndpoint(`memory:which-${++houses}`);
    const served = await serveControl(publisher, [control], () => Promise.reject(new Error('nobody')));
    onTestFinished(() => served.close());
    const found = await which(control, { what: '192.0.2.7/32' });
    expect(decisions(found)).toEqual(['none ingress drop rule 1', 'work ingress drop rule 1']);
    const other = await which(control, { what: '192.0.2.8/32', qube: 'work' });
    expect(decisions(other)).toEqual(['work egress drop default 0']);
  });

  it('for one qube, or those of one policy, says that alone', async () => {
    const control = await house();
    const what = '203.0.113.7/32';
    expect(decisions(await which(control, { what, qube: '10.137.1.5' }))).toEqual([
      'home egress drop rule 1',
    ]);
    expect(decisions(await which(control, { what, qube: 'work' }))).toEqual([
      'work egress accept rule 1',
      'work ingress accept default 0',
    ]);
    expect(decisions(await which(control, { what, qube: '10.9.9.9' }))).toEqual([
      'none egress none unmatched 0',
    ]);
    expect((await which(control, { what, qube: 'wokr' })).end).toMatchObject({
      kind: 'fail',
      code: 'no-such-part',
    });
  });

  it('of a name has what stands for it, what excepts it, and what is below it', async () => {
    const control = await house();
    expect(holders(await which(control, { what: 'x.ads.example' }))).toEqual([
      'ads all .ads.example push used true true',
    ]);
    expect(holders(await which(control, { what: 'ok.ads.example' }))).toEqual([
      'ads excepted .ok.ads.example push used true true',
    ]);
    const below = await which(control, { what: 'example' });
    expect(holders(below)).toEqual([
      'ads below .ads.example+track.example push used true true',
      'hosts below a.example+b.example push used true true',
    ]);
    expect(decisions(below)).toEqual(['work egress accept unlisted 2']);
    expect(decisions(await which(control, { what: 'track.example' }))).toEqual(['work egress drop rule 1']);
    expect(decisions(await which(control, { what: 'ok.ads.example' }))).toEqual([]);
    expect(decisions(await which(control, { what: 'ok.ads.example', qube: 'work' }))).toEqual([
      'work egress accept unlisted 0',
    ]);
  });

  it('of what nothing holds, and before anything is released, is nothing', async () => {
    const control = await house();
    const answer = await which(control, { what: '2001:db8::1/128' });
    expect(answer).toMatchObject({ records: [], end: { kind: 'done', code: 'ok', text: 'of version 2' } });
    const empty = parseEndpoint(`memory:which-${++houses}`);
    const served = await serveControl(freshPublisher(), [empty], () => Promise.reject(new Error('nobody')));
    onTestFinished(() => served.close());
    expect(await which(empty, { what: 'a.example' })).toMatchObject({
      records: [],
      end: { code: 'ok', text: 'nothing is released' },
    });
  });

  it('of what is none is refused', async () => {
    const control = await house();
    for (const what of ['', 'a b', '192.0.2.7/33', 'x'.repeat(255)])
      expect((await which(control, { what })).end).toMatchObject({ kind: 'fail', code: 'bad-input' });
  });

  it('of 30 policies and 40 rules of one tells the first 20 and 32, and how many more there are', async () => {
    const publisher = freshPublisher();
    const rules = Array.from({ length: 40 }, (_, i) => `drop proto=tcp dstports=${i + 1} dst4=192.0.2.7`);
    const policies = Array.from(
      { length: 30 },
      (_, i) =>
        `  p${i}: { prefixes: [10.137.0.${i}], egress: [${[...rules, 'drop dst4=192.0.2.0/24'].join(', ')}] }`,
    );
    await release(publisher, { 'x.yaml': `unmatched: drop\npolicies:\n${policies.join('\n')}\n` });
    const control = parseEndpoint(`memory:which-${++houses}`);
    const served = await serveControl(publisher, [control], () => Promise.reject(new Error('nobody')));
    onTestFinished(() => served.close());
    const answer = await which(control, { what: '192.0.2.7/32' });
    expect(decisions(answer)).toHaveLength(20);
    expect(recordsOf(answer, 'decision')[0]).toMatchObject({ action: 'drop', by: 'rule', rules: 41 });
    const told = recordsOf(answer, 'step').filter(({ policy }) => policy === 'p0');
    expect(told.map(({ ruleIndex }) => ruleIndex)).toEqual([...Array(32).keys(), 40]);
    expect(recordsOf(answer, 'warning')).toMatchObject([
      { code: 'more-policies', reason: expect.stringContaining('10 more policies') },
    ]);
  });
});
