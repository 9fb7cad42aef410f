/**
 * The policy `first` with real packets: it drops for every qube, whichever policy judges it, and ends flows;
 * a change of it writes nothing else in the kernel.
 */

import type { NftSink } from '@rulecast/nftables';
import {
  EMPTY_RULE_SET,
  emptyPolicy,
  FIRST_POLICY,
  IpProtocol,
  type Policy,
  prefixListOf,
  type RuleSet,
} from '@rulecast/rules';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ENFORCER, startEnforcer } from '../enforce/enforcer.ts';
import { frameOf, segment } from '../enforce/frames.mjs';
import { datagramFrom, passed } from '../enforce/journey.ts';
import { address, type HostName, Network } from '../enforce/network.mjs';
import { sinkIn } from '../enforce/sink.mjs';
import { prefixSetFrom, runsFrom } from '../kit/rules.ts';
import { rulectl } from '../processes.mjs';
import { ASKED, dig, House } from './house.ts';
import { enforcementGap } from './namespaces.ts';
import { Scene } from './scene.ts';

/** By its IPv4 address, of egress alone. */
const NAMED = '10.137.0.5';
/** An address of the same host, in no policy. */
const OTHER = '10.137.0.77';
const OTHER6 = 'fd09:24ef:4179:a::5';
const NEIGHBOUR = '10.137.128.6';
const WORLD = '203.0.113.7';
const WORLD6 = '2001:db8:7::7';
const BLOCKED = '203.0.113.66';
const BLOCKED6 = '2001:db8:bad::7';
/** The exception of `work`. */
const EXCEPTED = '203.0.113.67';

const LISTS = { bad: ['203.0.113.64/26', '2001:db8:bad::/48'] };
const EGRESS = ['drop dst=@bad'];
const INGRESS = ['drop src=@bad', `drop src4=${NEIGHBOUR} proto=udp`];

const SENT: readonly Parameters<typeof datagramFrom>[] = [
  ['a', 'world', NAMED, WORLD],
  ['a', 'world', NAMED, BLOCKED],
  ['a', 'world', NAMED, EXCEPTED],
  ['a', 'world', OTHER, WORLD],
  ['a', 'world', OTHER, BLOCKED],
  ['a', 'world', OTHER6, WORLD6],
  ['a', 'world', OTHER6, BLOCKED6],
  ['world', 'a', WORLD, NAMED],
  ['world', 'a', BLOCKED, NAMED],
  ['world', 'a', WORLD6, OTHER6],
  ['world', 'a', BLOCKED6, OTHER6],
  ['a', 'b', OTHER, NEIGHBOUR],
  ['b', 'a', NEIGHBOUR, OTHER],
];

let network: Network;
let sink: NftSink;
let releases = 0;
let marks = 0;

describe.skipIf(enforcementGap() !== undefined)('the policy first', () => {
  beforeEach(async () => {
    network = await Network.open();
    sink = sinkIn(network);
  });
  afterEach(async () => {
    await sink.close();
    await network.close();
  });

  it.each([
    ['nothing', undefined, [true, false, false, true, false, true, false]],
    ['drop', 'drop', [true, false, false, false, false, false, false]],
    ['accept', 'accept', [true, false, false, true, false, true, false]],
  ] as const)(
    'drops what any qube sends and gets, and judges no more of it, with unmatched %s',
    async (_, unmatched, sent) => {
      await enforce({ first: [EGRESS, INGRESS], unmatched });
      const [between, back] = [unmatched !== 'drop', false];
      expect(await passing()).toEqual([...sent, true, false, true, false, between, back]);
      await enforce({ first: [[], []], unmatched });
      const free = unmatched !== 'drop';
      const out = [true, true, true, free, free, free, free];
      expect(await passing()).toEqual([...out, true, true, true, true, free, free]);
    },
  );

  it('alone leaves everything else to the other tables', async () => {
    await enforce({ first: [EGRESS, INGRESS], isAlone: true });
    const out = [true, false, false, true, false, true, false];
    expect(await passing()).toEqual([...out, true, false, true, false, true, false]);
  });

  it('ends flows that it begins to forbid, there and back, of any qube', async () => {
    await enforce({ first: [['drop dst4=192.0.2.1'], ['drop src4=192.0.2.1']] });
    const flows: typeof SENT = [
      ['a', 'world', NAMED, WORLD],
      ['a', 'world', OTHER, WORLD],
      ['world', 'a', WORLD, '10.137.0.78'],
      ['a', 'b', OTHER, NEIGHBOUR],
    ];
    const all = async (): Promise<readonly (readonly boolean[])[]> => {
      const found: (readonly boolean[])[] = [];
      for (const flow of flows) found.push(await goes(...flow));
      return found;
    };
    const [both, none] = [
      [true, true],
      [false, false],
    ];
    for (let times = 0; times < 2; times++) expect(await all()).toEqual([both, both, both, both]);
    await enforce({ first: [[`drop dst4=${WORLD}`], []] });
    expect(await all()).toEqual([none, none, both, both]);
    await enforce({ first: [[], [`drop src4=${WORLD}`, `drop src4=${OTHER}`]] });
    expect(await all()).toEqual([both, both, none, none]);
    await enforce({ first: [[], []] });
    expect(await all()).toEqual([both, both, both, both]);
  });

  it('changes by few lines, none of them about a policy', async () => {
    const count = 12_000; // so many that a release is a change of the table in force
    const many = Array.from({ length: count }, (_, i) => `198.18.${i >> 8}.${i & 255}`);
    await enforce({ first: [EGRESS, INGRESS], many });
    const table = network.router.table();
    const before = await rules();
    expect(before.size).toBeGreaterThan(100);
    await enforce({ first: [[...EGRESS, 'drop proto=tcp dstports=25'], INGRESS], many });
    expect(network.router.table()).toBe(table);
    const after = await rules();
    const chainsOf = (one: ReadonlyMap<string, string>, other: ReadonlyMap<string, string>) =>
      [...one].filter(([handle]) => !other.has(handle)).map(([, chain]) => chain);
    const [gone, come] = [chainsOf(before, after), chainsOf(after, before)];
    // The mark of the release is in two chains; the others are the rules of `first`.
    const isMarked = (chain: string): boolean => ['forward', 'to_qubes'].includes(chain);
    expect([gone, come].map((chains) => chains.filter((chain) => !isMarked(chain)).length)).toEqual([2, 4]);
    const firsts = new Set([...gone, ...come].filter((chain) => !isMarked(chain)));
    expect([...firsts].map((chain) => chain.slice(0, 3)).sort()).toEqual(['e4_', 'e6_']);
    expect(await passing()).toEqual([
      true,
      false,
      false,
      true,
      false,
      true,
      false,
      true,
      false,
      true,
      false,
      true,
      false,
    ]);
  });
});

describe.skipIf(enforcementGap() !== undefined)('a release of the policy first', () => {
  beforeEach(() => Network.open().then((opened) => (network = opened)));
  afterEach(() => network.close());

  it.each([
    ['closed', false],
    ['open', true],
  ] as const)(
    'drops by it, and leaves the rest to --boot %s until something is said of it',
    async (boot, isOpen) => {
      const scene = new Scene();
      await scene.publisher();
      const start = () => startEnforcer(scene, network, ['--boot', boot]);
      const enforcer = await start();
      const push = async (document: object): Promise<void> => {
        const { records, ending } = await scene.control.pushText('rules.json', JSON.stringify(document));
        expect(ending, JSON.stringify(records)).toMatchObject({ kind: 'done' });
        await scene.control.synced(ENFORCER);
      };
      const lists = { bad: { entries: LISTS.bad } };
      const first = { egress: EGRESS, ingress: INGRESS };
      expect(await passing()).toEqual(SENT.map(() => isOpen));
      const dropped = [1, 4, 6, 8, 10, 12];
      const behindFirst = SENT.map((_, i) => isOpen && !dropped.includes(i));
      await push({ lists, first });
      expect(await passing()).toEqual(behindFirst.with(2, false));
      await enforcer.stop();
      await start();
      expect(await passing()).toEqual(behindFirst.with(2, false));
      await push({ unmatched: 'accept' });
      expect(await passing()).toEqual(SENT.map((_, i) => ![2, ...dropped].includes(i)));
      const packets = [`${OTHER} > ${BLOCKED} udp/443`, `${OTHER} > ${WORLD} udp/443`];
      const { stdout } = await rulectl(scene.directory, ['test', '--json', ...packets]);
      const verdicts = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
        .filter(({ kind }) => kind === 'verdict');
      expect(verdicts.map(({ action, policy }) => [action, policy])).toEqual([
        ['drop', FIRST_POLICY],
        ['none', undefined],
      ]);
    },
  );
});

describe.skipIf(enforcementGap() !== undefined)('names that first drops', () => {
  it('are blocked for qubes that nobody judges, which ask in vain where the boot mode closes', async () => {
    const house = await House.open('4.3');
    const lists = { ads: { names: ['.ads.example'], resolve: 'firewall' } };
    const asked = (name: string): Promise<string> => dig(house.a, ASKED[4][0], name);
    await house.pushDocument({ lists, first: { egress: ['drop dst=@ads'] } });
    for (const name of ['x.ads.example', 'good.example']) expect(await asked(name)).not.toMatch(/^N/);
    await house.pushDocument({ unmatched: 'accept' });
    expect([await asked('x.ads.example'), await asked('good.example')]).toEqual(['NXDOMAIN', 'NOERROR']);
    await house.pushDocument({ first: { egress: ['drop dst=@ads', 'drop specialtarget=dns'] } });
    expect(await asked('good.example')).not.toMatch(/^N/);
  });
});

interface Content {
  /** Rules for egress and for ingress. */
  readonly first: readonly [readonly string[], readonly string[]];
  readonly unmatched?: RuleSet['unmatched'];
  readonly isAlone?: boolean;
  /** A list that `work` drops. */
  readonly many?: readonly string[];
}

async function enforce(content: Content): Promise<void> {
  const hash = new Uint8Array(32);
  new DataView(hash.buffer).setUint32(0, ++releases);
  await sink.prepare({ hash, ruleSet: ruleSetOf(content), environment: { now: 0, dns: [] } });
  await sink.commit();
}

function ruleSetOf({ first: [egress, ingress], unmatched, isAlone, many = [] }: Content): RuleSet {
  const first = { egress: runsFrom('egress', egress), ingress: runsFrom('ingress', ingress) };
  const work: Policy = {
    ...emptyPolicy('work'),
    prefixes: prefixSetFrom([NAMED]),
    exceptions: {
      ...emptyPolicy('work').exceptions,
      egress: runsFrom('egress', [`accept dst4=${EXCEPTED}`]),
    },
    egress: runsFrom('egress', ['drop dst=@many', 'accept']),
  };
  // Policies of qubes that do not send here.
  const others = Array.from({ length: 30 }, (_, i): Policy => {
    const rules = { egress: runsFrom('egress', [`drop dst4=192.0.2.${i}`, 'accept proto=tcp']) };
    return { ...emptyPolicy(`other${i}`), ...rules, prefixes: prefixSetFrom([`10.136.0.${i}`]) };
  });
  const policies = [
    { ...emptyPolicy(FIRST_POLICY), ...first },
    ...(isAlone === true ? [] : [work, ...others]),
  ];
  return {
    ...EMPTY_RULE_SET,
    lists: new Map([
      ['bad', prefixListOf(prefixSetFrom(LISTS.bad))],
      ['many', prefixListOf(prefixSetFrom(many))],
    ]),
    policies: new Map(policies.map((policy) => [policy.name, policy])),
    unmatched,
  };
}

/** Whether the packets come through, with a port each time that no flow of before had. */
function passing(): Promise<readonly boolean[]> {
  return passed(
    network,
    SENT.map((sent) => datagramFrom(...sent)),
  );
}

/** Whether a packet of the one flow between two addresses comes through, and one back. */
async function goes(from: HostName, to: HostName, src: string, dst: string): Promise<readonly boolean[]> {
  const found: boolean[] = [];
  for (const [sender, receiver, by, at, srcPort, dstPort] of [
    [from, to, src, dst, 20_000, 443],
    [to, from, dst, src, 443, 20_000],
  ] as const) {
    const { routerMac, hostMac } = network.links[sender];
    const ends = { src: address(by), dst: address(at), proto: IpProtocol.udp };
    const mark = ++marks;
    const payload = segment(ends.src, ends.dst, ends.proto, { mark, srcPort, dstPort });
    await network.send(sender, [frameOf(routerMac, hostMac, { ...ends, payload })]);
    found.push((await network.arrived(receiver)).has(mark));
  }
  return found;
}

/** By handle of each rule in force, its chain. A rule that is written again has another handle. */
async function rules(): Promise<ReadonlyMap<string, string>> {
  await sink.check(); // once what follows a release is done
  const { router } = network;
  const found = new Map<string, string>();
  let chain = '';
  for (const line of router.run(['nft', '-a', '-t', 'list', 'table', 'inet', router.table()]).split('\n')) {
    const [, name] = /^\tchain (\S+) \{/.exec(line) ?? [];
    chain = name ?? chain;
    const [, handle] = /^\t\t.* # handle (\d+)$/.exec(line) ?? [];
    if (handle !== undefined) found.set(handle, chain);
  }
  return found;
}
