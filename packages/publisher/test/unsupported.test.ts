/**
 * Releases that a firewall cannot take: a list of names that no rule uses stops nobody; one that a rule uses
 * is refused for firewalls that it has to reach, by whatever way it comes, and told of for others.
 */

import { nameListOf } from '@rulecast/rules';
import { Bindings } from '@rulecast/sessions';
import { parseEndpoint } from '@rulecast/vchan';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import type { Publisher } from '../src/release/publisher.ts';
import type { PushOptions } from '../src/release/request.ts';
import { serveSubscribers } from '../src/sessions/host.ts';
import { freshPublisher, pushOf, release } from './fresh-publisher.ts';
import { ScriptedSubscriber } from './scripted-subscriber.ts';

const KNOWN = ['names', 'exceptions', 'unmatched', 'private-rules'];
const WITH_DNS = [...KNOWN, 'firewall-names'];
const WITH_OPENINGS = [...WITH_DNS, 'opened-names', 'resolved'];
const LIST = 'lists: { ads: { names: [ads.example], resolve: firewall } }\n';
const PRIVATE = 'lists: { own: { names: [nas.example], resolve: firewall, private: true } }\n';
const rules = (egress: string, lists = LIST): Readonly<Record<string, string>> => ({
  'f.yaml': `${lists}policies: { work: { prefixes: [10.137.0.0/24], egress: [${egress}] } }\nunmatched: drop\n`,
});
const UNUSED = rules('accept dst4=192.0.2.1');
const USED = rules('drop dst=@ads, accept dst4=192.0.2.1');
const START = 'start it with --names auto; on Mirage, which has none, let it follow a publisher of its own';
const REFUSAL = `needs-names subscriber fw: fw has no rulecast-dns; ${START}; permitted, it keeps what it has`;

let houses = 0;

interface House {
  readonly publisher: Publisher;
  greet(name: string, capabilities: readonly string[]): Promise<ScriptedSubscriber>;
}

/** `fw` is bound, everybody else is not. */
async function house(publisher = freshPublisher()): Promise<House> {
  const path = `${temporaryDirectory()}/fw.sock`;
  const open = parseEndpoint(`memory:unsupported-${++houses}?buffer=64KiB`);
  const bindings = new Bindings([{ name: 'fw', socket: { path, mode: 0o600 } }]);
  const served = await serveSubscribers(publisher, [open], { bindings });
  onTestFinished(() => served.close());
  const greet: House['greet'] = (name, capabilities) =>
    ScriptedSubscriber.greet(name === 'fw' ? parseEndpoint(`unix:${path}`) : open, name, { capabilities });
  return { publisher, greet };
}

function told(outcome: Awaited<ReturnType<Publisher['push' | 'rollback']>>): readonly string[] {
  switch (outcome.kind) {
    case 'guarded':
      return outcome.refusals.map(({ guard, part, reason }) => `${guard} ${part}: ${reason}`);
    case 'planned':
    case 'released':
    case 'unchanged':
      return [outcome.kind, ...outcome.notes.map(({ code, part, reason }) => `${code} ${part}: ${reason}`)];
    default:
      return [outcome.kind];
  }
}

const push = async (publisher: Publisher, files = USED, options: PushOptions = {}) =>
  told(await publisher.push(pushOf(files, { replaceAll: true }), options));

describe('a firewall without a DNS that follows lists', () => {
  it.each([
    ['a list of names', UNUSED],
    ['a list of names that may be private', rules('accept dst4=192.0.2.1', PRIVATE)],
  ])('takes %s that no rule uses', async (_, files) => {
    const { publisher, greet } = await house();
    const firewall = await greet('fw', KNOWN);
    expect(await push(publisher, files)).toEqual(['released']);
    expect((await firewall.take()).offer.decoded.version).toBe(1);
    await release(publisher, { 'a.txt': '192.0.2.1\n' });
    expect((await firewall.take()).offer.decoded.version).toBe(2);
  });

  it.each([
    ['a rule that drops by one', USED],
    ['what a policy answers', rules('accept dst4=192.0.2.1], unlisted: nxdomain, ingress: [')],
  ])(
    'that is bound has a push of %s refused, a dry run too, and permitted by its own permit alone',
    async (_, files) => {
      const { publisher, greet } = await house();
      const firewall = await greet('fw', KNOWN);
      await release(publisher, UNUSED);
      await firewall.take();
      expect(await push(publisher, files)).toEqual([REFUSAL]);
      expect(await push(publisher, files, { dryRun: true })).toEqual([REFUSAL]);
      const permits = new Set(['unreachable', 'unresolved', 'wider']);
      expect(await push(publisher, files, { permits })).toEqual([REFUSAL]);
      expect(publisher.head?.manifest.version).toBe(1);
      expect(await push(publisher, files, { permits: new Set(['needs-names']) })).toEqual(['released']);
      const { text } = await firewall.next('unsupported');
      expect(text).toBe(`fw has no rulecast-dns; ${START}`);
      // It was permitted: what needs no more is not asked for again.
      expect(await push(publisher, { ...files, 'b.txt': '192.0.2.9\n' })).toEqual(['released']);
    },
  );

  it('that is away is remembered, over a restart too; one that has it by now is not asked for', async () => {
    const stateDirectory = temporaryDirectory();
    const first = freshPublisher({ stateDirectory });
    const before = await house(first);
    const firewall = await before.greet('fw', KNOWN);
    await release(first, UNUSED);
    firewall.channel.close();
    await expect.poll(() => first.subscribers.connected()).toEqual([]);
    expect(await push(first)).toEqual([REFUSAL]);
    await first.close();
    const { publisher, greet } = await house(freshPublisher({ stateDirectory }));
    expect(await push(publisher)).toEqual([REFUSAL]);
    await greet('fw', WITH_DNS);
    expect(await push(publisher)).toEqual(['released']);
  });

  it('that never came stops nothing', async () => {
    const { publisher } = await house();
    expect(await push(publisher)).toEqual(['released']);
  });

  it('that is bound to nothing is warned of, and refused where the push requires it', async () => {
    const { publisher, greet } = await house();
    await greet('other', KNOWN);
    const refusal = REFUSAL.replaceAll('fw', 'other');
    expect(await push(publisher, USED, { require: ['other'] })).toEqual([refusal]);
    const warning = `needs-names subscriber other: other has no rulecast-dns; ${START}, or it keeps what it has`;
    expect(await push(publisher, USED, { dryRun: true })).toEqual(['planned', warning]);
    expect(await push(publisher, USED, { require: [] })).toEqual(['released', warning]);
  });

  it('has a rollback refused likewise', async () => {
    const { publisher, greet } = await house();
    await release(publisher, USED);
    await release(publisher, UNUSED);
    await greet('fw', KNOWN);
    await greet('other', KNOWN);
    expect(told(await publisher.rollback(1, {}))).toEqual([REFUSAL]);
    expect(told(await publisher.rollback(1, { policy: 'work' }))).toEqual([REFUSAL]);
    const outcome = told(await publisher.rollback(1, {}, { permits: new Set(['needs-names']) }));
    expect(outcome).toEqual(['released', expect.stringContaining('needs-names subscriber other')]);
  });

  it('has the first push after --start-over refused likewise, with the lists that wait for it', async () => {
    const stateDirectory = temporaryDirectory();
    await freshPublisher({ stateDirectory }).close();
    const { publisher, greet } = await house(freshPublisher({ stateDirectory, startOver: true }));
    await greet('fw', KNOWN);
    await publisher.updateLists(new Map([['ads', nameListOf(['ads.example'], 'firewall')]]));
    const files = { 'f.yaml': 'policies: { default: { egress: [drop dst=@ads] } }\n' };
    expect(told(await publisher.push(pushOf(files)))).toEqual([REFUSAL]);
  });
});

describe('a list of a source', () => {
  const names = nameListOf(['ads.example'], 'firewall');

  it('that a rule uses is held back alone, said to be, and released once the firewall has a DNS', async () => {
    const { publisher, greet } = await house();
    await release(publisher, { ...rules('drop dst=@ads', ''), 'ads.txt': '192.0.2.1\n' });
    await greet('fw', KNOWN);
    const batch = new Map([
      ['ads', names],
      ['unused', names],
    ]);
    const { refused } = await publisher.updateLists(batch);
    const reason = `held back: fw has no rulecast-dns; ${START}`;
    expect([...refused]).toEqual([['ads', { code: 'needs-names', reason, isTemporary: true }]]);
    expect(publisher.head?.ruleSet.lists.get('unused')).toEqual(names);
    expect(publisher.head?.ruleSet.lists.get('ads')?.kind).toBe('prefixes');
    await greet('fw', WITH_DNS);
    expect((await publisher.updateLists(new Map([['ads', names]]))).refused.size).toBe(0);
    expect(publisher.head?.ruleSet.lists.get('ads')).toEqual(names);
  });

  it('that only firewalls of no bound name cannot take is released', async () => {
    const { publisher, greet } = await house();
    await release(publisher, { ...rules('drop dst=@ads', ''), 'ads.txt': '192.0.2.1\n' });
    await greet('other', KNOWN);
    expect((await publisher.updateLists(new Map([['ads', names]]))).refused.size).toBe(0);
  });
});

describe('what else a release needs', () => {
  it.each([
    [
      'accept dst=@ads',
      WITH_DNS,
      'needs-openings',
      'fw opens nothing by name; start it with --enforce and --names auto',
    ],
    ['accept dst=@resolved', WITH_DNS, 'needs-openings', 'fw opens nothing by name; start it with --enforce'],
    ['accept dst=@resolved', KNOWN, 'needs-names', 'fw has no rulecast-dns'],
    ['accept dsthost=a.example private=true', ['names'], 'needs-upgrade', 'fw does not know '],
  ])('%s is refused for a bound firewall that has %s', async (egress, capabilities, code, text) => {
    const { publisher, greet } = await house();
    await greet('fw', capabilities);
    expect(await push(publisher, rules(egress))).toEqual([
      expect.stringMatching(`^${code} subscriber fw: ${text}`),
    ]);
    await greet('fw', WITH_OPENINGS);
    expect(await push(publisher, rules(egress))).toEqual(['released']);
  });

  it('first is refused for a bound firewall that would drop nothing by it', async () => {
    const { publisher, greet } = await house();
    const files = { 'f.yaml': 'first: { egress: [drop dst4=192.0.2.1] }\nunmatched: drop\n' };
    await greet('fw', WITH_OPENINGS);
    expect(await push(publisher, files)).toEqual([
      expect.stringMatching('^needs-upgrade subscriber fw: fw does not know first; upgrade it'),
    ]);
    await greet('fw', [...WITH_OPENINGS, 'first']);
    expect(await push(publisher, files)).toEqual(['released']);
  });
});
