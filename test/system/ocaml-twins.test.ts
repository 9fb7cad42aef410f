/**
 * The package in OCaml against the reference evaluator, over a million packets of random rule sets, and among
 * sessions that are spoiled.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Address,
  checkRuleSet,
  type Direction,
  emptyPolicy,
  evaluate,
  formatAddress,
  type Packet,
  type Policy,
  type Prefix,
  prefixSetOf,
  type Rule,
  type RuleSet,
  RunBuilder,
} from '@rulecast/rules';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  edgeAddresses,
  randomCase,
  randomPacket,
  randomPrefix,
  randomRule,
} from '../../packages/table/test/random-rule-set.ts';
import { ocaml, run } from '../kit/ocaml.ts';
import { Random } from '../kit/random.mjs';
import { recordedPublisher } from '../kit/recorded-publisher.ts';
import { verdictText } from '../kit/verdict-vectors.ts';

const RULE_SETS = 100;
const PACKETS = 10_000;
const RULES_MAX = 40;
const SESSIONS = 20_000;
const SEEDS = 8;

const tree = mkdtempSync(join(tmpdir(), 'rulecast-ocaml-'));
let built = '';

/** A random rule as it may be released. */
function soundRule(rule: Rule, direction: Direction): Rule {
  const { remote, ports, dns } = rule;
  const isMissing = remote.kind === 'list' && ['missing', 'unresolved'].includes(remote.list);
  const isDns = dns && direction === 'egress';
  return {
    ...rule,
    remote: isMissing ? { kind: 'list', list: 'l0' } : remote,
    dns: isDns,
    ports: isDns ? undefined : ports,
    proto: rule.proto ?? (ports === undefined || isDns ? undefined : 'tcp'),
  };
}

/** A random valid rule set, and the addresses at the edges of its prefixes. */
function soundCase(seed: number) {
  const random = new Random(seed);
  const { ruleSet, environment, prefixes } = randomCase(seed, 2);
  const all: Prefix[] = [...prefixes];
  const anyPrefix = (): Prefix => {
    const prefix = random.chance(0.7) ? random.pick(all) : randomPrefix(random, random.chance(0.5) ? 4 : 6);
    all.push(prefix);
    return prefix;
  };
  const rulesOf = (direction: Direction, change: (rule: Rule) => Rule = (rule) => rule): Policy['egress'] => {
    const runs = new RunBuilder();
    for (let i = random.below(RULES_MAX); i > 0; i--)
      runs.push(soundRule(change(randomRule(random, anyPrefix)), direction));
    return runs.build();
  };
  const owned = new Set<string>();
  const own = (): Prefix[] =>
    Array.from({ length: 3 }, anyPrefix).filter(({ family, words, length }) => {
      const key = `${family} ${words.join()} ${length}`;
      return !owned.has(key) && owned.add(key);
    });
  const policies = new Map<string, Policy>();
  for (const name of ['p0', 'p1', 'p2', 'default', 'common']) {
    if (random.chance(0.3)) continue;
    const isOwn = name.startsWith('p');
    policies.set(name, {
      ...emptyPolicy(name),
      prefixes: prefixSetOf(isOwn ? own() : []),
      defaultAction: name === 'common' ? 'drop' : random.pick(['accept', 'drop']),
      exceptions: {
        egress: name !== 'common' && random.chance(0.5) ? rulesOf('egress') : new RunBuilder().build(),
        ingress: isOwn && random.chance(0.5) ? rulesOf('ingress') : new RunBuilder().build(),
      },
      egress: rulesOf('egress'),
      ingress: name !== 'default' && random.chance(0.7) ? rulesOf('ingress') : new RunBuilder().build(),
    });
  }
  if (random.chance(0.4)) {
    const drop = (rule: Rule): Rule => ({ ...rule, action: 'drop' });
    const runs = { egress: rulesOf('egress', drop), ingress: rulesOf('ingress', drop) };
    policies.set('first', { ...emptyPolicy('first'), ...runs });
  }
  const sound: RuleSet = { ...ruleSet, policies };
  return { ruleSet: sound, environment, addresses: edgeAddresses(all), random };
}

/** A packet that has what its protocol can have, between addresses of one family. */
function possible(random: Random, addresses: readonly Address[]): Packet {
  const packet = randomPacket(random, addresses);
  const { src, dst, proto } = packet;
  const isTransport = proto === 6 || proto === 17;
  const isIcmp = proto === 1 || proto === 58;
  return {
    ...packet,
    src: src?.family === dst.family ? src : undefined,
    port: isTransport ? packet.port : undefined,
    icmpType: isIcmp ? packet.icmpType : undefined,
  };
}

function packetText({ direction, src, dst, proto, port, icmpType }: Packet): string {
  const source = src === undefined ? '-' : formatAddress(src);
  return [direction, source, formatAddress(dst), proto, port ?? icmpType ?? '-'].join(' ');
}

describe.runIf(ocaml.isThere)('the package in OCaml', () => {
  beforeAll(() => {
    built = ocaml.build(tree, '--profile release').built;
  });
  afterAll(() => rmSync(tree, { recursive: true }));

  it('gives a million packets the verdicts of the evaluator, with policy, rule, run, list and prefix', () => {
    const seen = new Map<string, number>();
    for (let seed = 1; seed <= RULE_SETS; seed++) {
      const { ruleSet, environment, addresses, random } = soundCase(seed);
      expect(checkRuleSet(ruleSet).filter(({ severity }) => severity === 'fault')).toEqual([]);
      const { trust, bytes } = recordedPublisher([ruleSet]);
      const dns = environment.dns.map(formatAddress);
      const lines = [[environment.earliest ?? environment.now, environment.now, ...dns].join(' ')];
      for (let i = 0; i < PACKETS; i++) {
        const packet = possible(random, addresses);
        const verdict = verdictText(evaluate(ruleSet, environment, packet));
        const form = verdict.replace(/ in .*| \d+ run .*/, '');
        seen.set(form, (seen.get(form) ?? 0) + 1);
        lines.push(`${packetText(packet)}\t${verdict}`);
      }
      const [session, packets] = [join(tree, 'session'), join(tree, 'packets')];
      writeFileSync(session, bytes);
      writeFileSync(packets, `${lines.join('\n')}\n`);
      const ended = run(join(built, 'test/packets.exe'), [trust, session, packets]);
      expect(ended.stdout.slice(0, 2000), `seed ${seed}, ${ended.stderr}`).toBe(`${PACKETS} compared\n`);
    }
    // Not all of one kind: each action from each block, and from none.
    for (const form of [
      'none',
      /^accept .* exceptions/,
      /^drop .* common/,
      /^accept .* own/,
      /^drop egress first/,
    ])
      expect(
        [...seen].some(([text, count]) => count > 1000 && (text === form || RegExp(form).test(text))),
      ).toBe(true);
  }, 600_000);

  it('is neither ended nor led astray by 20,000 sessions that are spoiled', () => {
    const ruleSets = [1, 2, 3, 4].map((seed) => soundCase(seed).ruleSet);
    const { trust, bytes } = recordedPublisher(ruleSets);
    const session = join(tree, 'spoiled');
    writeFileSync(session, bytes);
    const each = SESSIONS / SEEDS;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const ended = run(join(built, 'test/mutated.exe'), [trust, session, `${seed}`, `${each}`]);
      expect(ended).toMatchObject({ status: 0, stderr: '' });
      const { brought, closed }: { brought: number; closed: number } = JSON.parse(ended.stdout);
      expect(brought).toBeGreaterThan(each / 10);
      expect(closed).toBeGreaterThan(each / 2);
    }
  }, 600_000);
});
