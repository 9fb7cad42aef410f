/** Addresses that are opened by name, with an applier, a kernel and packets; and who may have them opened. */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseRuleLines } from '@rulecast/formats';
import type { NftRelease, NftSink } from '@rulecast/nftables';
import {
  AnswerReader,
  listKeys,
  type Opening,
  type OpeningOutcome,
  Outcome,
  openingFrame,
} from '@rulecast/nftables/openings';
import {
  EMPTY_RULE_SET,
  emptyPolicy,
  FIRST_POLICY,
  IpProtocol,
  type List,
  nameListOf,
  type Policy,
  prefixListOf,
} from '@rulecast/rules';
import { afterEach, describe, expect, it } from 'vitest';
import { frameOf, segment } from '../enforce/frames.mjs';
import { address, antispoofTables, Network } from '../enforce/network.mjs';
import { appliers, sinkIn } from '../enforce/sink.mjs';
import { temporaryDirectory } from '../kit/directory.ts';
import { prefixSetFrom } from '../kit/rules.ts';
import { enforcementGap } from './namespaces.ts';

const ELEMENTS = fileURLToPath(new URL('../enforce/name-elements.mjs', import.meta.url));
const RULECTL = fileURLToPath(new URL('../../packages/rulectl/dist/main.js', import.meta.url));
const NAMES = ['.deb.example'];
const RULES = ['accept dst=@updates proto=tcp dstports=443'];
/** The qubes a and b, and two addresses of the Internet. */
const QUBES = {
  a: ['10.137.0.5', 'fd09:24ef:4179:a::5'],
  b: ['10.137.128.6', 'fd09:24ef:4179:b::6'],
} as const;
const [FIRST, SECOND] = ['93.184.216.34', '93.184.216.35'];
/** So much that a release is a change of the table in force. */
const MANY = prefixListOf(
  prefixSetFrom(Array.from({ length: 12_000 }, (_, i) => `198.18.${i >> 8}.${i & 255}`)),
);
const FIRST6 = '2606:2800:220:1::1';

const closers: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** The router of a firewall with an applier that opens by name. */
class Firewall {
  readonly network: Network;
  sink: NftSink;
  readonly path = join(temporaryDirectory(), 'openings.sock');
  #releases = 0;
  #marks = 0;
  readonly #arrived = new Map<number, number>();

  readonly #options: readonly string[];

  private constructor(network: Network, options: readonly string[]) {
    this.network = network;
    this.#options = options;
    this.sink = this.#newSink();
    closers.push(() => network.close());
    closers.push(() => this.sink.close());
  }

  #newSink(): NftSink {
    return sinkIn(this.network, {}, ['--openings', this.path, ...this.#options]);
  }

  /** The set of the table in force in which addresses of IPv4 are open. */
  nameSet(): string {
    const { router } = this.network;
    const listed = router.run(['nft', '-t', 'list', 'table', 'inet', router.table()]);
    return /n[0-9a-f]{16}_4_\d+_[0-9a-f]{16}/.exec(listed)?.[0] ?? '';
  }

  async restart(): Promise<void> {
    await this.sink.close();
    this.sink = this.#newSink();
  }

  /** `guard`: what keeps qubes from sending by an address of another. */
  static async open(
    guard = antispoofTables(),
    options: readonly string[] = [],
    { hasOwners = true } = {},
  ): Promise<Firewall> {
    const network = await Network.open();
    if (!hasOwners) await network.router.withoutOwners();
    if (guard !== '') network.router.nft(guard);
    const firewall = new Firewall(network, options);
    await firewall.load();
    return firewall;
  }

  async load(names = NAMES, rules = RULES, first: readonly string[] = []): Promise<void> {
    const runsOf = (lines: readonly string[]): Policy['egress'] => {
      const { runs, rejectCount } = parseRuleLines(new TextEncoder().encode(lines.join('\n')), 'egress', 0);
      expect(rejectCount).toBe(0);
      return runs;
    };
    const policies = Object.entries(QUBES).map(([name, texts]): [string, Policy] => {
      const prefixes = prefixSetFrom(texts);
      return [name, { ...emptyPolicy(name), prefixes, egress: runsOf(rules) }];
    });
    if (first.length > 0)
      policies.push([FIRST_POLICY, { ...emptyPolicy(FIRST_POLICY), egress: runsOf(first) }]);
    const lists = new Map<string, List>([
      ['updates', nameListOf(names, 'firewall')],
      ['many', MANY],
    ]);
    const hash = createHash('sha256')
      .update(`${++this.#releases}`)
      .digest();
    const ruleSet = { ...EMPTY_RULE_SET, lists, policies: new Map(policies) };
    const release: NftRelease = { hash, ruleSet, environment: { now: 0, dns: [] } };
    await this.sink.prepare(release);
    await this.sink.commit();
  }

  /** Frames that open connections, each from a port of its own; and their mark. */
  frames(
    from: 'a' | 'b',
    to: string,
    count = 1,
    proto: number = IpProtocol.tcp,
    port = 443,
    as: 'a' | 'b' = from,
  ) {
    const mark = ++this.#marks;
    const { routerMac, hostMac } = this.network.links[from];
    const [dst, src] = [address(to), address(QUBES[as][to.includes(':') ? 1 : 0])];
    const frames = Array.from({ length: count }, (_, i) => {
      const payload = segment(src, dst, proto, { mark, srcPort: 2000 + i, dstPort: port });
      return frameOf(routerMac, hostMac, { src, dst, proto, payload });
    });
    return { frames, mark };
  }

  /** Whether a packet that begins a flow comes to the world. */
  async passes(from: 'a' | 'b', to: string, proto: number = IpProtocol.tcp, port = 443): Promise<boolean> {
    const { frames, mark } = this.frames(from, to, 1, proto, port);
    await this.network.send(from, frames);
    return (await this.arrived(mark)) > 0;
  }

  /** Whether a reply comes to a qube, in the first flow of UDP that `frames` makes. */
  async replies(to: 'a' | 'b', from: string): Promise<boolean> {
    const mark = ++this.#marks;
    const { routerMac, hostMac } = this.network.links.world;
    const [src, dst] = [address(from), address(QUBES[to][from.includes(':') ? 1 : 0])];
    const payload = segment(src, dst, IpProtocol.udp, { mark, srcPort: 443, dstPort: 2000 });
    await this.network.send('world', [
      frameOf(routerMac, hostMac, { src, dst, proto: IpProtocol.udp, payload }),
    ]);
    return (await this.network.arrived(to)).has(mark);
  }

  /** How many frames of a mark have come to the world. */
  async arrived(mark: number): Promise<number> {
    for (const [each, { count }] of await this.network.arrived('world'))
      this.#arrived.set(each, (this.#arrived.get(each) ?? 0) + count);
    return this.#arrived.get(mark) ?? 0;
  }

  /** Speaks as rulecast-dns does. */
  async caller(): Promise<Caller> {
    await expect.poll(() => existsSync(this.path) && statSync(this.path).mode & 0o777).toBe(0o660);
    const socket = connect(this.path);
    closers.push(async () => socket.destroy());
    await once(socket, 'connect');
    return new Caller(socket);
  }
}

class Caller {
  readonly socket: Socket;
  readonly #reader = new AnswerReader();
  #id = 0;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  async open(qube: string, to: string, more: Partial<Opening> = {}): Promise<OpeningOutcome> {
    const opening = openingOf(++this.#id, qube, to, more);
    this.socket.write(openingFrame(opening));
    const [bytes] = (await once(this.socket, 'data')) as [Buffer];
    const [answer] = this.#reader.feed(bytes);
    expect(answer?.id).toBe(this.#id);
    return answer?.outcome ?? Outcome.refused;
  }
}

function openingOf(id: number, qube: string, to: string, more: Partial<Opening>): Opening {
  const { family } = address(to);
  const addresses = [bytesOf(to)];
  return {
    id,
    family,
    seconds: 90,
    ...keysOf(NAMES),
    qube: bytesOf(qube),
    addresses,
    label: 'x.deb.example',
    ...more,
  };
}

function keysOf(names: readonly string[]): Pick<Opening, 'key' | 'version'> {
  return listKeys('updates', nameListOf(names, 'firewall'), false);
}

function bytesOf(text: string): Uint8Array {
  const { words } = address(text);
  return Buffer.concat([...words].map((word) => Buffer.from(word.toString(16).padStart(8, '0'), 'hex')));
}

describe.skipIf(enforcementGap() !== undefined)('an address that a qube is told', () => {
  it('is open to it, by the rules that accept its name, and to no other', async () => {
    const firewall = await Firewall.open();
    const caller = await firewall.caller();
    expect(await firewall.passes('a', FIRST)).toBe(false);
    expect(await caller.open(QUBES.a[0], FIRST)).toBe(Outcome.open);
    expect(await caller.open(QUBES.a[1], FIRST6)).toBe(Outcome.open);
    expect(await firewall.passes('a', FIRST)).toBe(true);
    expect(await firewall.passes('a', FIRST6)).toBe(true);
    for (const other of [
      firewall.passes('b', FIRST),
      firewall.passes('b', FIRST6),
      firewall.passes('a', SECOND),
      firewall.passes('a', FIRST, IpProtocol.tcp, 80),
      firewall.passes('a', FIRST, IpProtocol.udp),
    ])
      expect(await other).toBe(false);
    expect(await firewall.sink.check()).toBe(false); // nothing that has to be repaired
    const listed = firewall.network.router.run([process.execPath, RULECTL, 'names', '--json']);
    expect(
      listed
        .trim()
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line)),
    ).toEqual(
      [
        [QUBES.a[0], FIRST],
        [QUBES.a[1], FIRST6],
      ].map(([qube, each]) => ({
        kind: 'name',
        qube,
        list: 'updates',
        name: 'x.deb.example',
        addresses: [{ address: each, leftS: expect.any(Number), agoS: expect.any(Number) }],
      })),
    );
    const told = (qube: string, to: string) => firewall.sink.toldTo(address(qube), address(to));
    const saying = [{ list: 'updates', name: 'x.deb.example', agoS: expect.any(Number) }];
    expect(await told(QUBES.a[0], FIRST)).toEqual(saying);
    expect(await told(QUBES.a[1], FIRST6)).toEqual(saying);
    for (const [qube, to] of [
      [QUBES.b[0], FIRST],
      [QUBES.a[0], SECOND],
      [QUBES.a[0], FIRST6],
    ] as const)
      expect(await told(qube, to)).toEqual([]);
    // By its other address, which its interface tells.
    expect(await caller.open(QUBES.b[0], FIRST6)).toBe(Outcome.open);
    expect(await firewall.passes('b', FIRST6)).toBe(true);
    // The flows to it are seen, by which it stays open.
    const flows = firewall.network.router.run([process.execPath, ELEMENTS], '{"verb": "flows"}\n');
    for (const [from, to] of [
      [QUBES.a[0], FIRST],
      [QUBES.a[1], FIRST6],
    ] as const)
      expect(JSON.parse(flows)).toContainEqual([...address(from).words, ...address(to).words]);
  });

  it('is open behind the policy first: what that drops is dropped, before and after it is told', async () => {
    const firewall = await Firewall.open();
    const caller = await firewall.caller();
    expect(await caller.open(QUBES.a[0], FIRST)).toBe(Outcome.open);
    expect(await firewall.passes('a', FIRST)).toBe(true);
    await firewall.load(NAMES, RULES, [`drop dst4=${FIRST}`, `drop dst4=${SECOND}`]);
    expect(await firewall.passes('a', FIRST)).toBe(false); // another packet of the same flow
    expect(await caller.open(QUBES.a[0], SECOND)).toBe(Outcome.open);
    expect(await firewall.passes('a', SECOND)).toBe(false);
    await firewall.load(NAMES, RULES, [`drop dst4=${FIRST}`]);
    expect([await firewall.passes('a', FIRST), await firewall.passes('a', SECOND)]).toEqual([false, true]);
  });

  it('stays open while releases take the place of each other, and new ones open before the answer', async () => {
    const firewall = await Firewall.open();
    const caller = await firewall.caller();
    await caller.open(QUBES.a[0], FIRST);
    const { frames, mark } = firewall.frames('a', FIRST, 500);
    await firewall.network.stream('a', frames, 2000);
    const untilMs = performance.now() + 1500;
    let swaps = 0;
    let opened = 0;
    const goesOn = (): boolean => performance.now() < untilMs || swaps <= 10 || opened <= 100;
    const swapping = (async () => {
      while (goesOn()) await firewall.load(NAMES, [...RULES, `accept dst4=198.51.100.${++swaps % 250}`]);
    })();
    const missing: string[] = [];
    while (goesOn()) {
      const to = `93.185.${opened >> 8}.${opened++ & 255}`;
      const outcome = await caller.open(QUBES.b[0], to, { label: `n${opened}.deb.example` });
      if (outcome !== Outcome.open) missing.push(`${to} ${outcome}`);
      else if (opened % 20 === 0 && !(await firewall.passes('b', to))) missing.push(to);
    }
    await swapping;
    const sent = await firewall.network.stopStream('a');
    expect([missing, await firewall.arrived(mark)]).toEqual([[], sent]);
    expect(sent).toBeGreaterThan(1000);
  });

  it.each(['by another table', 'in its table'])(
    'stays open over releases %s for as long as its list has the name, and is closed by the one that has not, at once',
    async (how) => {
      const firewall = await Firewall.open();
      const isLarge = how === 'in its table';
      const rules = [...RULES, ...(isLarge ? ['drop dst=@many'] : [])];
      const caller = await firewall.caller();
      await firewall.load(NAMES, rules);
      const open = (to: string, label: string, names = NAMES): Promise<OpeningOutcome> =>
        caller.open(QUBES.a[0], to, { label, ...keysOf(names) });
      await open(FIRST, 'x.deb.example');
      await open(SECOND, 'y.deb.example');
      const passing = async (): Promise<readonly boolean[]> => [
        await firewall.passes('a', FIRST),
        await firewall.passes('a', SECOND),
      ];
      const longer = ['*.deb.example', 'other.example'];
      const table = firewall.network.router.table();
      await firewall.load(longer, rules);
      expect(firewall.network.router.table() === table).toBe(isLarge);
      expect(await passing()).toEqual([true, true]);
      // Said of the state before, which rulecast-dns judges by for a moment yet.
      const third = '93.184.216.36';
      expect(await open(third, 'deb.example')).toBe(Outcome.later);
      expect(await open(third, 'z.deb.example')).toBe(Outcome.open);
      await firewall.load(['y.deb.example', 'other.example'], rules);
      expect(await passing()).toEqual([false, true]);
      expect(await firewall.passes('a', third)).toBe(false);
      expect(await open(FIRST, 'x.deb.example', longer)).toBe(Outcome.later);
      expect(await open(SECOND, 'y.deb.example', longer)).toBe(Outcome.open);
      expect(await firewall.sink.check()).toBe(false);
      await firewall.sink.settled();
      const sets = firewall.network.router.run([
        'nft',
        '-t',
        'list',
        'table',
        'inet',
        firewall.network.router.table(),
      ]);
      expect([...sets.matchAll(/set n[0-9a-f]{16}_4_/g)]).toHaveLength(1);
    },
  );

  it('gives way to others of the same qube but while a flow goes to it', async () => {
    const firewall = await Firewall.open();
    const caller = await firewall.caller();
    const some = (from: number, count: number): readonly Uint8Array[] =>
      Array.from({ length: count }, (_, i) => Uint8Array.of(93, 185, from + (i >> 8), i & 255));
    const { open } = Outcome;
    await caller.open(QUBES.a[0], FIRST);
    expect(await firewall.passes('a', FIRST)).toBe(true);
    expect(await firewall.passes('b', SECOND)).toBe(false);
    expect(await caller.open(QUBES.a[0], FIRST, { addresses: some(0, 63) })).toBe(open);
    expect(await caller.open(QUBES.a[0], FIRST, { addresses: some(1, 63) })).toBe(open);
    expect(await firewall.passes('a', '93.185.0.7')).toBe(false);
    expect(await firewall.passes('a', '93.185.1.7')).toBe(true);
    // There is room for 62 of 64: openings without a flow give way to them.
    const room = await caller.open(QUBES.a[0], FIRST, { addresses: some(2, 64) });
    expect(room).toEqual(Array.from({ length: 64 }, (_, i) => i < 62));
    for (const [to, passes] of [
      [FIRST, true],
      ['93.185.1.7', true],
      ['93.185.1.8', false],
      ['93.185.2.61', true],
      ['93.185.2.62', false],
    ] as const)
      expect([to, await firewall.passes('a', to)]).toEqual([to, passes]);
    firewall.network.router.run(['conntrack', '-F']);
    expect(await caller.open(QUBES.a[0], FIRST, { addresses: some(3, 64) })).toBe(open);
    expect(await firewall.passes('a', FIRST)).toBe(false);
    expect(await firewall.sink.check()).toBe(false);
  });

  it('ends when its time has run, but for as long as a flow goes to it', async () => {
    const firewall = await Firewall.open(antispoofTables(), [], { hasOwners: false });
    const { router } = firewall.network;
    await (await firewall.caller()).open(QUBES.a[0], FIRST, { addresses: [FIRST, SECOND].map(bytesOf) });
    expect(await firewall.passes('a', FIRST)).toBe(true);
    // As if most of a minute and a half had passed, which the next applier reads.
    const table = router.table();
    const set = firewall.nameSet();
    const pairs = [FIRST, SECOND].map((to) => `${QUBES.a[0]} . ${to}`);
    const soon = pairs.map((pair) => `${pair} timeout 12s comment "x.deb.example"`).join(', ');
    router.nft(
      `delete element inet ${table} ${set} { ${pairs.join(', ')} }\nadd element inet ${table} ${set} { ${soon} }\n`,
    );
    await firewall.restart();
    await firewall.load();
    await expect
      .poll(() => router.run(['nft', 'list', 'set', 'inet', router.table(), firewall.nameSet()]), {
        timeout: 20_000,
        interval: 500,
      })
      .not.toContain(SECOND);
    expect(await firewall.passes('a', FIRST)).toBe(true);
    expect(await firewall.passes('a', SECOND)).toBe(false);
  }, 60_000);

  it('is closed where its list or rule goes, and stays so', async () => {
    const firewall = await Firewall.open();
    const caller = await firewall.caller();
    await caller.open(QUBES.a[0], FIRST);
    await firewall.load(['other.example']);
    expect(await firewall.passes('a', FIRST)).toBe(false);
    expect(await caller.open(QUBES.a[0], FIRST)).toBe(Outcome.later); // said of the list that was
    await firewall.load(NAMES, ['accept proto=udp']);
    expect(await caller.open(QUBES.a[0], FIRST)).toBe(Outcome.later);
    await firewall.load();
    expect(await firewall.passes('a', FIRST)).toBe(false);
  });

  it('is open to nobody of whom it is not said by which interface he comes, and the status says so', async () => {
    const firewall = await Firewall.open('');
    const caller = await firewall.caller();
    const opened = (): Promise<readonly OpeningOutcome[]> =>
      caller
        .open(QUBES.a[0], FIRST)
        .then(async (first) => [first, await caller.open(QUBES.a[1], FIRST6)] as const);
    const { refused, open, later } = Outcome;
    const trouble = (): string => firewall.sink.trouble()?.text ?? '';
    expect(await opened()).toEqual([refused, refused]);
    expect(trouble()).toContain("over IPv4 and IPv6, since neither Qubes' set");
    expect(await firewall.passes('a', FIRST)).toBe(false);
    const { router } = firewall.network;
    const [four = '', six = ''] = antispoofTables().split(/(?=table ip6)/);
    router.nft(four.replace(/ elements = .*? } }/, ' }'));
    await expect.poll(opened).toEqual([later, refused]);
    router.nft('delete table ip qubes\n');
    for (const [whole, spoilt] of [
      ['table ip qubes', 'table ip others'],
      ['table ip qubes', 'table inet qubes'],
      ['allowed', 'others'],
    ] as const) {
      router.nft(four.replaceAll(whole, spoilt) + six);
      await expect.poll(opened).toEqual([refused, open]);
      router.nft('flush ruleset ip\nflush ruleset ip6\n');
      await expect.poll(opened).toEqual([refused, refused]);
    }
    router.nft(four);
    await expect.poll(opened).toEqual([open, refused]);
    await expect.poll(trouble).toContain('over IPv6, since');
    expect(await caller.open(QUBES.a[0], FIRST6)).toBe(Outcome.unknown);
    router.nft(six);
    await expect.poll(opened).toEqual([open, open]);
    expect(trouble()).toBe('');
  });

  it.each([
    ['nothing leads to', 'goto antispoof', 'iifname "none0" goto antispoof'],
    ['drops nobody', 'counter drop', 'counter accept'],
    ['has gone', 'hook prerouting', 'hook input'],
  ])('counts for packets by its interface alone, where the check of sources %s', async (_, whole, spoilt) => {
    const firewall = await Firewall.open(antispoofTables().replaceAll(whole, spoilt));
    await firewall.load(NAMES, ['accept dst=@updates']);
    const caller = await firewall.caller();
    for (const [family, to] of [FIRST, FIRST6].entries()) {
      expect(await caller.open(QUBES.a[family] ?? '', to)).toBe(Outcome.open);
      for (const proto of [IpProtocol.tcp, IpProtocol.udp]) {
        const spoofed = firewall.frames('b', to, 3, proto, 443, 'a');
        await firewall.network.send('b', spoofed.frames);
        expect(await firewall.arrived(spoofed.mark)).toBe(0);
      }
      // Nor in the flow that is there, whose replies come.
      const own = firewall.frames('a', to, 1, IpProtocol.udp);
      await firewall.network.send('a', own.frames);
      expect(await firewall.arrived(own.mark)).toBe(1);
      for (let i = 0; i < 3; i++) expect(await firewall.replies('a', to)).toBe(true);
      const spoofed = firewall.frames('b', to, 1, IpProtocol.udp, 443, 'a');
      await firewall.network.send('b', spoofed.frames);
      expect(await firewall.arrived(spoofed.mark)).toBe(0);
      await firewall.network.send('a', own.frames);
      expect(await firewall.arrived(own.mark)).toBe(2);
    }
  });

  it('closes where its pair goes, so that the next qube of that address has nothing of it', async () => {
    const firewall = await Firewall.open(antispoofTables().replaceAll('counter drop', 'accept'));
    await firewall.load(NAMES, ['accept dst=@updates']);
    const caller = await firewall.caller();
    const { router } = firewall.network;
    const pair = (name: string): string => `element ip qubes allowed { "${name}" . ${QUBES.a[0]} }\n`;
    const flow = firewall.frames('a', FIRST, 1, IpProtocol.udp);
    const goes = async (): Promise<boolean> => {
      const before = await firewall.arrived(flow.mark);
      await firewall.network.send('a', flow.frames);
      return (await firewall.arrived(flow.mark)) > before;
    };
    const held = (): boolean => router.run(['nft', 'list', 'ruleset', 'inet']).includes(FIRST);
    await caller.open(QUBES.a[0], FIRST);
    expect([await goes(), await firewall.replies('a', FIRST)]).toEqual([true, true]);
    router.nft(`delete ${pair('vif-a')}`);
    await expect.poll(held).toBe(false);
    expect([await goes(), await firewall.replies('a', FIRST)]).toEqual([false, false]);
    router.nft(`add ${pair('vif-b')}`); // the next one
    await expect.poll(() => caller.open(QUBES.a[0], SECOND)).toBe(Outcome.open);
    const spoofed = firewall.frames('b', FIRST, 1, IpProtocol.udp, 443, 'a');
    await firewall.network.send('b', spoofed.frames);
    expect(await firewall.arrived(spoofed.mark)).toBe(0);
    router.nft(`add ${pair('vif-a')}`); // of two interfaces: nobody's
    await expect.poll(() => caller.open(QUBES.a[0], SECOND)).toBe(Outcome.later);
    router.nft(`delete ${pair('vif-b')}`);
    await expect.poll(() => caller.open(QUBES.a[0], SECOND)).toBe(Outcome.open);
    expect(await goes()).toBe(false);
  });

  it('closes where its pair goes while no applier runs', async () => {
    const firewall = await Firewall.open();
    const caller = await firewall.caller();
    await caller.open(QUBES.a[0], FIRST);
    await caller.open(QUBES.b[0], FIRST);
    await firewall.sink.close();
    const element = `element ip qubes allowed { "vif-a" . ${QUBES.a[0]} }`;
    firewall.network.router.nft(
      `delete ${element}\nadd element ip qubes allowed { "vif-c" . ${QUBES.a[0]} }\n`,
    );
    await firewall.restart();
    await firewall.load(['x.deb.example']);
    expect(await firewall.passes('b', FIRST)).toBe(true);
    firewall.network.router.nft(
      `add ${element}\ndelete element ip qubes allowed { "vif-c" . ${QUBES.a[0]} }\n`,
    );
    const next = await firewall.caller();
    const keys = keysOf(['x.deb.example']);
    const isOpen = async (): Promise<boolean> =>
      (await next.open(QUBES.a[0], SECOND, keys)) === Outcome.open && (await firewall.passes('a', SECOND));
    await expect.poll(isOpen).toBe(true);
    expect(await firewall.passes('a', FIRST)).toBe(false);
  });

  it('stays open where tables are made anew with the same pairs, ours or those of Qubes', async () => {
    const firewall = await Firewall.open(antispoofTables(), [], { hasOwners: false });
    const caller = await firewall.caller();
    await caller.open(QUBES.a[0], FIRST);
    const { router } = firewall.network;
    for (let i = 0; i < 3; i++) {
      router.nft(`delete table ip qubes\ndelete table ip6 qubes\n${antispoofTables()}`);
      await firewall.load(NAMES, [...RULES, `accept dst4=198.51.100.${i}`]);
      expect(await firewall.passes('a', FIRST)).toBe(true);
    }
    expect(await caller.open(QUBES.a[0], SECOND)).toBe(Outcome.open);
  });

  it('is open by pairs of the configuration', async () => {
    const sources = Object.entries(QUBES).map(([name, texts]) => `vif-${name}=${texts.join(',')}`);
    const firewall = await Firewall.open('', ['--sources', sources.join(' ')]);
    const caller = await firewall.caller();
    expect(await caller.open(QUBES.a[0], FIRST6)).toBe(Outcome.open);
    const spoofed = firewall.frames('b', FIRST6, 3, IpProtocol.tcp, 443, 'a');
    await firewall.network.send('b', spoofed.frames);
    expect([await firewall.passes('a', FIRST6), await firewall.arrived(spoofed.mark)]).toEqual([true, 0]);
  });

  it('stays open over a restart of the subscriber and its applier, by what is in the kernel', async () => {
    const firewall = await Firewall.open();
    await (await firewall.caller()).open(QUBES.a[0], FIRST);
    for (const names of [NAMES, ['x.deb.example']]) {
      await firewall.restart();
      expect(await firewall.passes('a', FIRST)).toBe(true);
      await firewall.load(names);
      expect(await firewall.passes('a', FIRST)).toBe(true);
    }
    await firewall.restart();
    await firewall.load(['y.deb.example']);
    expect(await firewall.passes('a', FIRST)).toBe(false);
  });

  it('stays open where the applier dies, and the next one goes on with it', async () => {
    const firewall = await Firewall.open();
    await (await firewall.caller()).open(QUBES.a[0], FIRST);
    process.kill(appliers()[0] ?? 0, 'SIGKILL');
    expect(await firewall.passes('a', FIRST)).toBe(true);
    await expect
      .poll(async () => (await firewall.caller()).open(QUBES.a[0], SECOND), { timeout: 10_000 })
      .toBe(Outcome.open);
    await firewall.load(NAMES, [...RULES, 'accept dst4=198.51.100.1']); // a whole load, by what was read back
    expect([await firewall.passes('a', FIRST), await firewall.passes('a', SECOND)]).toEqual([true, true]);
  });
});

describe.skipIf(enforcementGap() !== undefined)('a rulecast-dns that somebody has taken over', () => {
  it('opens nothing private, nothing for who has no such rule, and nothing by other words', async () => {
    const firewall = await Firewall.open();
    const caller = await firewall.caller();
    const before = firewall.network.router.run(['nft', '-s', 'list', 'ruleset']);
    for (const to of ['10.137.128.6', '127.0.0.1', '169.254.169.254', '192.168.1.1', '224.0.0.1'])
      expect(await caller.open(QUBES.a[0], to)).toBe(Outcome.refused);
    for (const to of ['::1', 'fe80::1', 'fd09:24ef:4179:b::6', 'ff02::1'])
      expect(await caller.open(QUBES.a[1], to)).toBe(Outcome.refused);
    for (const qube of ['10.137.0.6', '10.138.0.1', '198.18.0.2', '0.0.0.0'])
      expect(await caller.open(qube, FIRST)).toBe(Outcome.refused);
    for (const more of [{ key: 'ab'.repeat(8) }, { version: 'ab'.repeat(8) }])
      expect(await caller.open(QUBES.a[0], FIRST, more)).toBe(Outcome.later);
    expect(firewall.network.router.run(['nft', '-s', 'list', 'ruleset'])).toBe(before);
    for (const bad of [
      openingFrame(openingOf(1, QUBES.a[0], FIRST, { seconds: 4_000_000_000 })),
      openingFrame(openingOf(1, QUBES.a[0], FIRST, { label: 'a" } ; flush ruleset' })),
      Buffer.alloc(100_000, 'x'),
      Buffer.alloc(3),
    ]) {
      const { socket } = await firewall.caller();
      socket.on('error', () => undefined);
      const ended = new Promise((resolve) => socket.once('close', resolve));
      socket.resume().write(bad);
      await ended;
    }
    expect(firewall.network.router.run(['nft', '-s', 'list', 'ruleset'])).toBe(before);
    expect(await (await firewall.caller()).open(QUBES.a[0], FIRST)).toBe(Outcome.open);
  });

  it('takes no room of a neighbour, and keeps no release waiting', async () => {
    const firewall = await Firewall.open();
    const caller = await firewall.caller();
    expect(await caller.open(QUBES.b[0], FIRST)).toBe(Outcome.open);
    const addresses = (from: number): readonly Uint8Array[] =>
      Array.from({ length: 64 }, (_, i) =>
        Uint8Array.of(93, from >> 10, (from >> 2) & 255, (from & 3) * 64 + i),
      );
    caller.socket.resume();
    let isOver = false;
    const flood = (async () => {
      for (let i = 0; !isOver; i++) {
        const more = { addresses: addresses(i), label: `n${i}.deb.example`, seconds: 86_430 };
        if (!caller.socket.write(openingFrame(openingOf(i, QUBES.a[0], FIRST, more))))
          await Promise.race(['drain', 'close'].map((event) => once(caller.socket, event)));
      }
    })();
    const startMs = performance.now();
    for (let i = 0; i < 5; i++) await firewall.load(NAMES, [...RULES, `accept dst4=198.51.100.${i}`]);
    expect(performance.now() - startMs).toBeLessThan(10_000); // some 0.1 s each; a minute without turns
    isOver = true;
    caller.socket.destroy();
    await flood;
    expect(await firewall.passes('b', FIRST)).toBe(true);
    const again = await firewall.caller();
    expect(await again.open(QUBES.b[0], SECOND)).toBe(Outcome.open);
    const table = firewall.network.router.table();
    const listed = firewall.network.router.run([
      'nft',
      '-j',
      'list',
      'set',
      'inet',
      table,
      firewall.nameSet(),
    ]);
    expect([...listed.matchAll(/"10\.137\.0\.5"/g)].length).toBeLessThanOrEqual(1024);
    await expect
      .poll(() => firewall.network.router.run(['nft', 'list', 'tables']).trim().split('\n').length, {
        timeout: 5000,
      })
      .toBe(3); // and those that check who sends: those before are emptied
    expect(await firewall.sink.check()).toBe(false);
  });
});
